// Checkpoints: C2SP tlog-checkpoint as a C2SP signed note, read strictly.
import { Refusal } from "./refusal.js";
import { base64, b64u, concat, equal, hex, parseB64u, parseBase64, utf8 } from "./bytes.js";
import { sum, verify } from "./crypto.js";
import { isIdentity, isUUID, scheme } from "./names.js";

const ed25519 = 1; // the note algorithm byte before a key
const maxNote = 64 << 10;
const maxSignatures = 100;

function decimal(text) {
  const n = Number(text);
  if (!/^(0|[1-9][0-9]*)$/.test(text) || !Number.isSafeInteger(n)) throw new Refusal("number_invalid", "this is not a decimal number");
  return n;
}

// parseOrigin reads logline/v1/<tenant id>/<node id without scheme>/<epoch>.
export function parseOrigin(text) {
  const [a, v, tenant, node, epoch, ...more] = text.split("/");
  if (a !== "logline" || v !== "v1" || more.length > 0 || !isUUID(tenant ?? "") || !isIdentity(scheme + node) || epoch === undefined) {
    throw new Refusal("origin_invalid", "the origin does not read logline/v1/<tenant>/<node>/<epoch>");
  }
  return { tenant, node: scheme + node, epoch: decimal(epoch) };
}

export const originOf = ({ tenant, node, epoch }) => `logline/v1/${tenant}/${node.slice(scheme.length)}/${epoch}`;

// keyHash is the first four bytes of H(name || "\n" || 0x01 || key).
async function keyHash(name, key) {
  return (await sum(utf8(name + "\n"), Uint8Array.of(ed25519), key)).slice(0, 4);
}

// verifierKey is the note verifier key of a log's public key under an origin.
export async function verifierKey(origin, key) {
  return `${origin}+${hex(await keyHash(origin, key))}+${base64(concat(Uint8Array.of(ed25519), key))}`;
}

// parseVerifierKey takes apart what verifierKey made, in its one spelling.
export async function parseVerifierKey(text) {
  const [origin, , ...rest] = text.split("+");
  const raw = parseBase64(rest.join("+"), 33);
  if (raw[0] !== ed25519 || (await verifierKey(origin, raw.slice(1))) !== text) {
    throw new Refusal("verifier_key_invalid", "this is not a log's verifier key in its one spelling");
  }
  return { ...parseOrigin(origin), origin, key: raw.slice(1) };
}

// parseLogKey reads the log key of genesis and epochs: b64u(0x01 || key).
export function parseLogKey(text) {
  const raw = parseB64u(text, 33);
  if (raw[0] !== ed25519) throw new Refusal("log_key_invalid", "a log key is b64u of 0x01 and an Ed25519 public key");
  return raw.slice(1);
}

const bad = (why) => new Refusal("checkpoint_invalid", "this is not a LogLine checkpoint: " + why);

// parseNote reads a signed checkpoint; it believes nothing of it.
export function parseNote(note) {
  if (typeof note !== "string" || utf8(note).length > maxNote) throw bad("it is not text of at most 64 KiB");
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw bad("it has control characters");
  const cut = note.indexOf("\n\n");
  const lines = note.slice(0, cut).split("\n");
  if (cut < 0 || lines.length !== 3) throw bad("it does not consist of origin, size and root, an empty line and signatures");
  if (!note.endsWith("\n")) throw bad("it does not end with a signature line");
  const signatures = note.slice(cut + 2, -1).split("\n").map(parseSignature);
  if (signatures.length > maxSignatures) throw bad("it has too many signatures");
  return { ...parseOrigin(lines[0]), origin: lines[0], size: decimal(lines[1]), root: parseBase64(lines[2], 32), text: note.slice(0, cut + 1), signed: note, signatures };
}

function parseSignature(line) {
  const found = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line);
  if (found === null) throw bad("a signature line is malformed");
  const raw = parseBase64(found[2]);
  if (raw.length < 5) throw bad("a signature is too short");
  return { name: found[1], keyHash: raw.slice(0, 4), value: raw.slice(4) };
}

// verifyNote refuses unless the log's key signed the note, once, under the note's
// own origin. Whether it is the right key is for the timeline to say.
export async function verifyNote(note, key) {
  const own = note.signatures.filter((s) => s.name === note.origin);
  const wrong = (why) => new Refusal("checkpoint_signature_invalid", `the signature of the checkpoint of ${note.size} entries does not hold: ${why}`);
  if (own.length === 0) throw wrong("no signature is by the log's key");
  if (own.length > 1) throw wrong("it has several signatures under its own origin");
  const hash = await keyHash(note.origin, key);
  if (!equal(own[0].keyHash, hash) || !(await verify(key, utf8(note.text), own[0].value))) {
    throw wrong("the signature under its own origin does not verify with the log's key");
  }
}

export const rootText = (note) => b64u(note.root);
