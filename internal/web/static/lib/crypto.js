// SHA-256 and Ed25519 by WebCrypto, and the rule on public keys that WebCrypto
// does not have.
import { Refusal } from "./refusal.js";
import { b64u, concat, isB64u, parseB64u, utf8 } from "./bytes.js";
import { jcs } from "./json.js";

const subtle = globalThis.crypto?.subtle;

// supported says whether this browser can make and check Ed25519 signatures, and
// that the page came from where browsers allow it (https, or this machine).
export async function supported() {
  try {
    await subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    return true;
  } catch {
    return false;
  }
}

// sum is SHA-256 over the concatenation of parts.
export async function sum(...parts) {
  return new Uint8Array(await subtle.digest("SHA-256", concat(...parts)));
}

export const random = (size) => crypto.getRandomValues(new Uint8Array(size));

// verify checks an Ed25519 signature (RFC 8032, without cofactor, S < L); it
// answers false for what is malformed.
export async function verify(publicKey, message, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    const key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", key, signature, message);
  } catch {
    return false;
  }
}

// verifyPair checks {key, value} over a domain line and JCS of a value.
export async function verifyPair(pair, domain, value) {
  if (!isB64u(pair.key, 32) || !isB64u(pair.value, 64)) return false;
  return verify(parseB64u(pair.key), concat(utf8(domain), jcs(value)), parseB64u(pair.value));
}

// A Signer has `key`, its public key in b64u, and signs bytes.
class Signer {
  constructor(key, privateKey) {
    this.key = key;
    this.privateKey = privateKey;
  }

  async sign(message) {
    return new Uint8Array(await subtle.sign("Ed25519", this.privateKey, message));
  }

  async pair(domain, value) {
    return { key: this.key, value: b64u(await this.sign(concat(utf8(domain), jcs(value)))) };
  }
}

// newSigner makes a key whose private half nobody can read, the page included;
// IndexedDB keeps it as it is.
export async function newSigner() {
  const pair = await subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  return new Signer(b64u(new Uint8Array(await subtle.exportKey("raw", pair.publicKey))), pair.privateKey);
}

// signerOf is the signer of a key that was kept.
export const signerOf = (key, privateKey) => new Signer(key, privateKey);

const pkcs8Head = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]); // RFC 8410

// signerOfSeed is the signer of a 32-byte seed.
export async function signerOfSeed(seed) {
  const form = concat(pkcs8Head, seed);
  const readable = await subtle.importKey("pkcs8", form, "Ed25519", true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", readable);
  const signer = new Signer(x, await subtle.importKey("pkcs8", form, "Ed25519", false, ["sign"]));
  form.fill(0);
  return signer;
}

// commitment is what an event says of the next key: b64u of its hash.
export const commitment = async (key) => b64u(await sum(parseB64u(key, 32)));

const p = 2n ** 255n - 19n;
const d = power(121666n, p - 2n) * (p - 121665n) % p;
// The y of the points whose order divides 8: 1, -1, 0 and the two of order 8.
const small = [
  1n, p - 1n, 0n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7n,
];

function power(base, exponent) {
  let out = 1n;
  for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = b * b % p) {
    if (e & 1n) out = out * b % p;
  }
  return out;
}

// checkPublicKey refuses what may not be enrolled as a key: anything but the
// canonical encoding of a point that is not of small order.
export function checkPublicKey(raw) {
  if (raw.length !== 32) throw new Refusal("key_malformed", `a public key has 32 bytes, this one has ${raw.length}`);
  let y = 0n;
  for (let i = 31; i >= 0; i--) y = (y << 8n) | BigInt(i === 31 ? raw[i] & 127 : raw[i]);
  if (y >= p) throw new Refusal("key_not_canonical", "the public key is not in canonical encoding");
  if (small.includes(y)) throw new Refusal("key_small_order", "the public key is of small order: anybody could sign for it");
  // x^2 = (y^2-1)/(dy^2+1) has a root where numerator times denominator has one.
  const u = (y * y - 1n + p) % p;
  const v = (d * y % p * y + 1n) % p;
  if (power(u * v % p, (p - 1n) / 2n) !== 1n) throw new Refusal("key_malformed", "the public key is not a point of the curve");
}
