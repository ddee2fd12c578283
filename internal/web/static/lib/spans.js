// Spans, entries and lines (protocol, sections 3 and 4).
import { Refusal, beneath } from "./refusal.js";
import { b64u, concat, parseB64u, utf8 } from "./bytes.js";
import { canonical, jcs, parse } from "./json.js";
import { random, sum, verifyPair } from "./crypto.js";
import { hashText, isType, isUUID, isUUIDv7, newID, timeOf } from "./names.js";
import { anyText, bytesOf, count, hashOf, identity, isObject, list, object, oneOf, one, points, read, shortText, text, time, without } from "./shape.js";

const domain = "logline.span.v1\n";
const maxHeader = 16 << 10;
const maxPayload = 1 << 20;
const maxLine = 65535;

const spanID = text(isUUIDv7, "a UUIDv7 in lower case");
const header = {
  v: one, id: spanID, tenant: text(isUUID, "a UUID in lower case"), author: identity,
  type: text(isType, "dot-separated lower-case segments, at most 128 bytes"),
  "title?": points(256), "subject?": shortText(256), "tags?": list(32, shortText(256)),
  time, "occurred_at?": time, "on_behalf_of?": identity,
  status: oneOf("executed", "simulated"), visibility: oneOf("private", "organization", "public"),
  "causes?": list(64, spanID), payload_hash: hashOf,
  signature: (value) => read(value, { key: bytesOf(32), value: bytesOf(64) }),
};
const opened = { payload: object, salt: bytesOf(16) };
const withheld = { "withheld?": oneOf("redacted", "private") };

const given = (source) => (typeof source === "string" || source instanceof Uint8Array ? parse(source) : source);

// headerOf is the sealed span without payload and salt: what enters the tree.
export const headerOf = (span) => without(span, "payload", "salt", "withheld");

export const headerHash = (span) => hashText(jcs(headerOf(span)));

export const payloadHash = (salt, payload) => hashText(parseB64u(salt, 16), jcs(payload));

// message is what the span's signature covers.
export const message = (span) => concat(utf8(domain), jcs(without(headerOf(span), "signature")));

// parseSpan checks a span's form, its payload's hash and its signature: all that
// can be said of it without a timeline.
export async function parseSpan(source) {
  const span = read(given(source), { ...header, ...opened });
  if (jcs(headerOf(span)).length > maxHeader) throw new Refusal("header_too_large", `the header has more than ${maxHeader} bytes`);
  if (jcs(span.payload).length > maxPayload) throw new Refusal("payload_too_large", `the payload has more than ${maxPayload} bytes`, "/payload");
  await checkPayload(span);
  await checkSignature(span);
  return span;
}

async function checkPayload(span) {
  if ((await payloadHash(span.salt, span.payload)) !== span.payload_hash) {
    throw new Refusal("payload_hash_mismatch", "the hash is not that of salt and payload; one of the three was altered", "/payload_hash");
  }
}

export async function checkSignature(span) {
  if (!(await verifyPair(span.signature, domain, without(headerOf(span), "signature")))) {
    throw new Refusal("signature_invalid", "the signature does not fit the span and its key", "/signature/value");
  }
}

// sealSpan makes a span of what the author says: {tenant, author, type, payload,
// visibility, title?, …}. id and time are of now where they are not given.
export async function sealSpan(signer, said, now = new Date()) {
  const { payload, ...rest } = said;
  const salt = b64u(random(16));
  const unsigned = { v: 1, id: newID(now), time: timeOf(now), status: "executed", ...rest, payload_hash: await payloadHash(salt, payload) };
  return { ...unsigned, payload, salt, signature: await signer.pair(domain, unsigned) };
}

const transition = (value) => read(value, { from: anyText, key: anyText, to: anyText, workflow: anyText });
const texts = list(65535, anyText);
const decision = {
  outcome: oneOf("allow", "pending"), "evaluator?": anyText, "contracts?": texts, "rules?": texts, "tags?": texts,
  "transitions?": list(65535, transition), "effects?": object, "values?": object, "detail_hash?": hashOf,
};
const detail = { salt: bytesOf(16), "actions?": object, "annotations?": object, "notes?": texts, "reasons?": texts };

function readEntry(entry, inSpan, inDecision) {
  read(entry, { v: one, seq: count, recorded_at: time, span: (v) => read(v, inSpan), decision: (v) => read(v, inDecision) });
  if (entry.span.status !== "executed") throw new Refusal("entry_simulated", "a simulated span is never an entry", "/span/status");
  return entry;
}

// parseLine reads one line of a timeline, which must be canonical.
export function parseLine(line) {
  const entry = readEntry(parse(line), header, decision);
  if (canonical(entry) !== line) throw new Refusal("line_not_canonical", "the line is not in canonical form");
  lineOf(entry);
  return entry;
}

// parseOpened reads an entry as readers and bundles have it: payload, salt and
// detail put back, or withheld. What was put back must fit its hash.
export async function parseOpened(source) {
  const value = typeof source === "string" ? parse(source, 2) : source;
  const payload = isObject(value?.span) && "payload" in value.span ? { payload: object } : {}; // where it is there it may be empty
  const entry = readEntry(value,
    { ...header, ...payload, "salt?": opened.salt, ...withheld },
    { ...decision, "detail?": object, ...withheld });
  const { span } = entry;
  const both = Number("payload" in span) + Number("salt" in span);
  if (both === 1 || (both > 0 && "withheld" in span)) throw new Refusal("member_missing", "payload and salt stand together, or the reason why they are withheld", "/span");
  if (both === 2) await checkPayload(span);
  const d = entry.decision.detail;
  if (d !== undefined) {
    beneath("detail", () => read(d, detail));
    if ((await hashText(parseB64u(d.salt, 16), jcs(without(d, "salt")))) !== entry.decision.detail_hash) {
      throw new Refusal("detail_hash_mismatch", "the hash is not that of the detail", "/decision/detail_hash");
    }
  }
  return entry;
}

// lineOf is the line of an entry, opened or not: what the leaf hashes.
export function lineOf(entry) {
  const line = canonical({ ...entry, span: headerOf(entry.span), decision: without(entry.decision, "detail", "withheld") });
  if (utf8(line).length > maxLine) throw new Refusal("line_too_large", `the line has more than ${maxLine} bytes`);
  return line;
}

// leafHash is H(0x00 || line), RFC 6962 section 2.1.
export const leafHash = (line) => sum(Uint8Array.of(0), utf8(line));
