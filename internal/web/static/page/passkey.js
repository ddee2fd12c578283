// Passkeys: what the server asks goes to the browser, and its answer goes back. The
// key stays with whoever keeps the person's passkeys.

import { json } from "./api.js";

// able says whether this browser makes passkeys on this page.
export const able = () => typeof globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON === "function";

// register makes a passkey for the account that is signed in, or whose token it is,
// under a name by which the person knows it. It throws a Problem of the server, or the browser's
// NotAllowedError where the person says no.
export async function register(name, token) {
  const asked = await json("POST", "account/passkeys/begin", { token });
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(asked.public_key);
  const made = await navigator.credentials.create({ publicKey });
  return json("POST", "account/passkeys/finish", { token, body: { name, credential: made.toJSON() } });
}

// signIn signs in whoever's passkey the person chooses, by a cookie. The session says
// whether a second factor is still needed.
export async function signIn() {
  const asked = await json("POST", "sessions/passkey/begin");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked.public_key);
  const answer = await navigator.credentials.get({ publicKey });
  return (await json("POST", "sessions/passkey/finish", { body: { credential: answer.toJSON(), cookie: true } })).session;
}
