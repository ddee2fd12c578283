// Who looks at the account page: an identity whose key is in this browser, or one
// that is signed in by a cookie, which no script can read.
import { ask, json, pathOf } from "./api.js";
import { load } from "./keep.js";
import { signerOf } from "../lib/crypto.js";
import { signToken } from "../lib/tokens.js";

// A Caller asks the server as itself. me is {id, key, privateKey} of a key in this
// browser; without it the cookie of a session goes along.
export class Caller {
  constructor(id, node, me) {
    this.id = id;
    this.node = node;
    this.me = me;
    this.custody = false; // the server holds the keys; known once it was asked
  }

  get own() {
    return this.me !== undefined;
  }

  // path is where the directory has the identity.
  get path() {
    return pathOf(this.id);
  }

  async token() {
    return this.own ? signToken(this.signer(), this.id, this.node, location.origin) : undefined;
  }

  signer() {
    return signerOf(this.me.key, this.me.privateKey);
  }

  async ask(method, path, more = {}) {
    return ask(method, path, { ...more, token: await this.token() });
  }

  async json(method, path, more = {}) {
    return json(method, path, { ...more, token: await this.token() });
  }

  // all are the items of all pages of a list.
  async all(path) {
    const items = [];
    for (let cursor = ""; cursor !== null;) {
      const page = await this.json("GET", `${path}?limit=100${cursor ? "&cursor=" + encodeURIComponent(cursor) : ""}`);
      items.push(...page.items);
      cursor = page.next;
    }
    return items;
  }

  // within is the caller as invite.js knows an inviter; tenant may be left out.
  within(tenant) {
    return { state: { tenant, me: { id: this.id }, held: !this.own }, signer: () => this.signer(), token: () => this.token() };
  }
}

// chosen says by what the person came last: "key" or "session".
export const chosen = "account";

// ownKey is the key in this browser, of somebody who is registered at this node.
export async function ownKey(node) {
  const journey = await load("journey");
  return journey?.registered && journey.me?.privateKey && journey.node.id === node ? journey.me : undefined;
}

// otherKey is the identity, of any node, whose key would be lost if an identity's took
// its place here.
export async function otherKey(identity) {
  const { me } = (await load("journey")) ?? {};
  return me?.privateKey && me.id !== identity ? me.id : undefined;
}

// recognise finds out who it is: {caller}, {needs: "code"} where a session waits for
// the second factor, or {} for nobody. stale says that the key here is good no more.
export async function recognise(node) {
  const me = await ownKey(node);
  let stale = false;
  if (me && (await load(chosen)) !== "session") {
    const caller = new Caller(me.id, node, me);
    try {
      await caller.json("GET", caller.path);
      return { caller };
    } catch (err) {
      if (err.status !== 401) throw err;
      stale = true;
    }
  }
  try {
    const { items } = await json("GET", "sessions");
    return { caller: new Caller(items.find((s) => s.current).identity, node), stale };
  } catch (err) {
    if (err.status !== 401) throw err;
    return { needs: err.code === "second_factor_required" ? "code" : undefined, stale };
  }
}
