// Key events (protocol, section 2): made, read, and folded to the keys that are
// current after the last of them.
import { Refusal, beneath } from "./refusal.js";
import { parseB64u, utf8 } from "./bytes.js";
import { jcs, parse } from "./json.js";
import { checkPublicKey, commitment, verifyPair } from "./crypto.js";
import { hashText, identityOf, isPattern, isReserved, matches, timeOf } from "./names.js";
import { bytesOf, count, hashOf, identity, list, oneOf, one, read, time, without } from "./shape.js";

const domain = "logline.key.v1\n";
const maxBytes = 16 << 10;
const subjects = ["person", "organization", "service", "agent", "node", "ghost"];

const key = (value) => {
  bytesOf(32)(value);
  checkPublicKey(parseB64u(value));
};
const pair = (value) => read(value, { key, value: bytesOf(64) });
const label = (value) => { // required, and free to be empty
  if (typeof value !== "string" || utf8(value).length > 64) throw new Refusal("text_too_long", "the member must be text of at most 64 bytes");
};
const types = list(1024, (value) => {
  if (typeof value !== "string" || !isPattern(value)) throw new Refusal("member_malformed", "the member must be a type pattern such as invoice.* or payment.requested");
  if (isReserved(value) && value.includes("*")) throw new Refusal("types_reserved_pattern", "a reserved type is named exactly, without *");
});
const next = (value) => value === null || hashOf(value);
const always = { v: one, time, signature: pair };
const forms = {
  inception: { seq: count, subject: oneOf(...subjects), key, next, "expires?": time, "custody?": identity },
  rotation: { seq: count, prev: hashOf, key, next: hashOf },
  revocation: { seq: count, prev: hashOf, "reason?": label },
  claim: { seq: count, prev: hashOf, by: identity, counter: pair },
  delegate: { under: hashOf, key, label, "types?": types, "expires?": time, "custody?": identity },
  undelegate: { under: hashOf, key },
};

// parseEvent checks the form of a sealed event, given as JSON or as the value
// that parse made of it; not its signatures, which begin and apply check.
export function parseEvent(source) {
  const event = typeof source === "string" || source instanceof Uint8Array ? parse(source) : source;
  if (jcs(event).length > maxBytes) throw new Refusal("event_too_large", `a key event has at most ${maxBytes} bytes`);
  if (!Object.hasOwn(forms, event.kind)) throw new Refusal("event_kind", "the kind is none of " + Object.keys(forms).join(", "), "/kind");
  read(event, { kind: () => {}, ...always, ...forms[event.kind] });
  if (event.kind === "inception") checkInception(event);
  return event;
}

function checkInception(e) {
  if (e.seq !== 0) throw new Refusal("member_malformed", "the member must be 0", "/seq");
  if (e.subject === "ghost") {
    if (e.next !== null) throw new Refusal("ghost_next", "a ghost's next is null: its key never rotates", "/next");
    if (!("expires" in e)) throw new Refusal("ghost_expires", "a ghost always expires", "/expires");
  } else {
    if (e.next === null) throw new Refusal("next_missing", "only a ghost's next is null", "/next");
    if ("expires" in e) throw new Refusal("expires_not_ghost", "expires is for ghosts alone", "/expires");
  }
}

const body = (event) => without(event, "signature", "counter");

// sealedHash is what prev and under name.
export const sealedHash = (event) => hashText(jcs(event));

async function signedBy(event, key) {
  if (event.signature.key !== key) throw new Refusal("signer_wrong", `a key event of kind ${event.kind} must be signed by another key`, "/signature/key");
  await signatureHolds(event, "signature");
}

async function signatureHolds(event, member) {
  if (!(await verifyPair(event[member], domain, body(event)))) {
    throw new Refusal("signature_invalid", "the signature does not fit the event and the key", `/${member}/value`);
  }
}

// A Chain is an identity as its events so far make it. apply changes nothing
// where it refuses.
export class Chain {
  static async begin(source) {
    const event = parseEvent(source);
    if (event.kind !== "inception") throw new Refusal("inception_expected", `an identity begins with an inception, not with ${event.kind}`, "/kind");
    await signedBy(event, event.key);
    const chain = new Chain();
    chain.id = await identityOf(body(event));
    chain.subject = event.subject;
    chain.custody = event.custody;
    chain.expires = event.expires;
    chain.status = "active";
    chain.primary = event.key;
    chain.next = event.next;
    chain.seq = 0;
    chain.head = chain.under = await sealedHash(event);
    chain.delegated = new Map();
    chain.former = [];
    chain.length = 1;
    return chain;
  }

  // fold reads a whole list of events; claimers are the chains that a claim in it
  // may name.
  static async fold(events, claimers = []) {
    if (!Array.isArray(events) || events.length === 0) throw new Refusal("inception_expected", "an identity begins with an inception");
    const chain = await Chain.begin(events[0]);
    for (const event of events.slice(1)) await chain.apply(event, claimers);
    return chain;
  }

  async apply(source, claimers = []) {
    const event = parseEvent(source);
    if (this.status !== "active") throw new Refusal("identity_" + this.status, `the identity is ${this.status}; nothing follows`);
    switch (event.kind) {
      case "delegate":
        return this.delegate(event);
      case "undelegate":
        return this.undelegate(event);
      case "inception":
        throw new Refusal("inception_repeated", "an identity has one inception; this one follows another", "/kind");
    }
    if (event.seq !== this.seq + 1) throw new Refusal("event_seq", `the next event of this identity has seq ${this.seq + 1}`, "/seq");
    if (event.prev !== this.head) throw new Refusal("event_prev", "prev does not name this identity's last event", "/prev");
    await this[event.kind](event, claimers);
    this.seq = event.seq;
    this.head = await sealedHash(event);
    if (event.kind === "rotation") this.under = this.head;
    this.length++;
    return true;
  }

  async rotation(event) {
    if (this.next === null) throw new Refusal("rotation_of_ghost", "a ghost's key never rotates");
    if ((await commitment(event.key)) !== this.next) throw new Refusal("rotation_not_committed", "the new key is not the one that the previous event committed to", "/key");
    await signedBy(event, event.key);
    this.former.push(this.primary, ...this.delegated.keys());
    this.primary = event.key;
    this.next = event.next;
    this.delegated = new Map();
  }

  async revocation(event) {
    if (this.next === null) await signedBy(event, this.primary);
    else {
      if ((await commitment(event.signature.key)) !== this.next) throw new Refusal("signer_wrong", "a revocation is signed by the next key", "/signature/key");
      await signatureHolds(event, "signature");
    }
    this.status = "revoked";
  }

  async claim(event, claimers) {
    if (this.subject !== "ghost") throw new Refusal("claim_not_ghost", "only a ghost can be claimed");
    if (event.by === this.id) throw new Refusal("claim_of_itself", "an identity cannot claim itself", "/by");
    const claimer = claimers.find((c) => c.id === event.by);
    if (claimer === undefined) throw new Refusal("claimer_unknown", "the claiming identity is not known here", "/by");
    if (claimer.status !== "active") throw new Refusal("claimer_not_active", `the claiming identity is ${claimer.status}`, "/by");
    await signedBy(event, this.primary);
    if (event.counter.key !== claimer.primary) throw new Refusal("counter_signer_wrong", "a claim is counter-signed by the claiming identity's primary key", "/counter/key");
    await signatureHolds(event, "counter");
    this.status = "claimed";
    this.claimedBy = event.by;
  }

  async standsUnder(event) {
    if (event.under !== this.under) throw new Refusal("event_under", "under does not name this identity's last inception or rotation", "/under");
    await signedBy(event, this.primary);
  }

  async delegate(event) {
    await this.standsUnder(event);
    const hash = await sealedHash(event);
    const known = this.delegated.get(event.key);
    if (known?.ended) throw new Refusal("delegation_ended", "this key's delegation was withdrawn for good", "/key");
    if (known?.hash === hash) return false;
    if (known) throw new Refusal("delegation_exists", "this key is already delegated under this event, with other terms", "/key");
    this.delegated.set(event.key, { hash, label: event.label, types: event.types ?? [], expires: event.expires, ended: false });
    this.length++;
    return true;
  }

  async undelegate(event) {
    await this.standsUnder(event);
    const known = this.delegated.get(event.key);
    if (!known || known.ended) throw new Refusal("delegation_unknown", "this key is not delegated now", "/key");
    known.ended = true;
    this.length++;
    return true;
  }

  // grant is what a key may do now: {primary, types}; null for no current key.
  grant(key) {
    if (this.status !== "active") return null;
    if (key === this.primary) return { primary: true, types: [], expires: this.expires };
    const known = this.delegated.get(key);
    if (!known || known.ended) return null;
    const ends = [known.expires, this.expires].filter(Boolean).sort();
    return { primary: false, types: known.types, expires: ends[0] };
  }

  // maySign refuses a key that may not sign spans of a type recorded at a time.
  maySign(key, type, recordedAt) {
    const grant = this.grant(key);
    if (grant === null) {
      if (this.former.includes(key)) throw new Refusal("key_rotated", "the key was valid once; a rotation replaced it");
      throw new Refusal(this.status === "active" ? "key_unknown" : "key_revoked", "the key is none of this identity's current keys");
    }
    if (grant.expires && recordedAt >= grant.expires) throw new Refusal("key_expired", `the key expired at ${grant.expires}`);
    if (grant.primary) return;
    const covers = isReserved(type) ? grant.types.includes(type) : grant.types.length === 0 || grant.types.some((t) => matches(t, type));
    if (!covers) throw new Refusal("key_type_not_delegated", `the delegation of this key does not cover type ${type}`);
  }

  // mayLog says whether a key is delegated for signing checkpoints.
  mayLog(key) {
    const grant = this.grant(key);
    return grant !== null && !grant.primary && grant.types.includes("logline.log");
  }
}

async function seal(event, signer) {
  return { ...event, signature: await signer.pair(domain, event) };
}

// inception makes an identity of a primary signer and the commitment to the next
// key; answers {id, event}.
export async function inception(subject, primary, nextHash, now = new Date()) {
  const event = { v: 1, kind: "inception", seq: 0, subject, key: primary.key, next: nextHash, time: timeOf(now) };
  return { id: await identityOf(event), event: await seal(event, primary) };
}

// ghost makes an identity of one key, which never rotates, and an end; answers
// {id, event}.
export async function ghost(signer, expires, now = new Date()) {
  const event = { v: 1, kind: "inception", seq: 0, subject: "ghost", key: signer.key, next: null, time: timeOf(now), expires };
  return { id: await identityOf(event), event: await seal(event, signer) };
}

// offer is a ghost's claim by another identity as the ghost signs it; counterSign is
// what that identity's primary key adds to make it one.
export async function offer(chain, signer, by, now = new Date()) {
  return seal({ v: 1, kind: "claim", seq: chain.seq + 1, prev: chain.head, by, time: timeOf(now) }, signer);
}

export const counterSign = async (offered, primary) => ({ ...offered, counter: await primary.pair(domain, body(offered)) });

// rotation makes the next key the primary and commits to another.
export async function rotation(chain, nextSigner, nextHash, now = new Date()) {
  return seal({ v: 1, kind: "rotation", seq: chain.seq + 1, prev: chain.head, key: nextSigner.key, next: nextHash, time: timeOf(now) }, nextSigner);
}

// delegation lets another key sign for the identity: {label, types?, expires?}.
export async function delegation(chain, primary, key, terms, now = new Date()) {
  return seal({ v: 1, kind: "delegate", under: chain.under, key, ...terms, time: timeOf(now) }, primary);
}

// undelegation ends a delegation for good.
export async function undelegation(chain, primary, key, now = new Date()) {
  return seal({ v: 1, kind: "undelegate", under: chain.under, key, time: timeOf(now) }, primary);
}

// eventOf is the sealed event in the payload of a logline.identity span.
export const eventOf = (payload) => beneath("event", () => parseEvent(read(payload, { event: () => {} }).event));
