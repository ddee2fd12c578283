// Questions to the server. Each may be sent again: what was done is answered again.
import { scheme } from "../lib/names.js";

const base = new URL("../../v1/", import.meta.url);
const patience = 30_000; // ms

// pathOf is where the directory has an identity, eventsOf where its key events are.
export const pathOf = (identity) => "identities/" + identity.slice(scheme.length);
export const eventsOf = (identity) => pathOf(identity) + "/events";

// A Problem is an answer that says no (RFC 9457).
export class Problem extends Error {
  constructor(status, body, after) {
    super(body.detail ?? `the server answered ${status}`);
    this.status = status;
    this.code = (body.type ?? "").replace("urn:logline:problem:", "");
    this.errors = body.errors ?? [];
    this.after = after; // seconds to wait, 0 where nobody said
    this.instance = body.instance;
  }
}

// Unreachable says that nobody answered.
export class Unreachable extends Error {
  constructor() {
    super("The server could not be reached. Nothing is lost: check your connection and try again.");
  }
}

// ask gives {status, text}; json reads it. Bodies are values, or text as it is.
export async function ask(method, path, { token, body, type = "application/json" } = {}) {
  for (let attempt = 1; ; attempt++) {
    const answer = await once(method, path, token, body, type);
    if (answer.status < 400) return answer;
    const problem = new Problem(answer.status, read(answer.text), answer.after);
    if (attempt === 3 || !(answer.after >= 1 && answer.after <= 5)) throw problem;
    await new Promise((resolve) => setTimeout(resolve, 1000 * answer.after));
  }
}

async function once(method, path, token, body, type) {
  try {
    const response = await fetch(new URL(path, base), {
      method, redirect: "error", cache: "no-store", signal: AbortSignal.timeout(patience),
      headers: { ...(token ? { Authorization: "Bearer " + token } : {}), ...(body === undefined ? {} : { "Content-Type": type }) },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
    return { status: response.status, text: await response.text(), after: Number(response.headers.get("Retry-After") ?? 0) };
  } catch {
    throw new Unreachable();
  }
}

function read(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

export const json = async (...question) => JSON.parse((await ask(...question)).text);
