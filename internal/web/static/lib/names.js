// Forms of ids, times and types (protocol, sections 1 to 3).
import { base32, b64u, utf8 } from "./bytes.js";
import { jcs } from "./json.js";
import { random, sum } from "./crypto.js";

export const scheme = "logline-id://";

export const isUUID = (s) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(s);
export const isUUIDv7 = (s) => isUUID(s) && s[14] === "7" && "89ab".includes(s[19]);
export const isIdentity = (s) => /^logline-id:\/\/[a-z2-7]{51}[aq]$/.test(s);

// isTime: exactly YYYY-MM-DDTHH:MM:SS.mmmZ, of a day that there is.
export function isTime(s) {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(s)) return false;
  const at = new Date(s);
  return !Number.isNaN(at.getTime()) && at.toISOString() === s;
}

export const timeOf = (date) => date.toISOString();

// isType says whether a span may have this type, reserved or not.
export const isType = (s) => s.length <= 128 && /^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$/.test(s);

// isPattern is a type in which whole segments may be *, and the last one **.
export function isPattern(s) {
  if (s === "" || utf8(s).length > 128) return false;
  const segments = s.split(".");
  return segments.every((seg, i) => seg === "*" || (seg === "**" && i === segments.length - 1) || isType(i === 0 ? seg : "a" + seg) && seg !== "" && !seg.includes("."));
}

// matches: * stands for one segment, a final ** for the rest.
export function matches(pattern, type) {
  const want = pattern.split(".");
  const have = type.split(".");
  for (let i = 0; i < want.length; i++) {
    if (want[i] === "**" && i === want.length - 1) return have.length > i;
    if (i >= have.length || (want[i] !== "*" && want[i] !== have[i])) return false;
  }
  return want.length === have.length;
}

export const isReserved = (type) => type.startsWith("logline.");

// isSlug may name a tenant at its node.
export const isSlug = (s) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(s) && !isUUID(s);

export const codePoints = (s) => Array.from(s).length;

function uuidOf(bytes) {
  const h = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join("-");
}

// newID is a UUIDv7 of now (RFC 9562 section 5.7); the same ten bytes give the same.
export function newID(now = new Date(), tail = random(10)) {
  const bytes = new Uint8Array(16);
  bytes.set(tail, 6);
  let ms = now.getTime();
  for (let i = 5; i >= 0; i--, ms = Math.floor(ms / 256)) bytes[i] = ms % 256;
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return uuidOf(bytes);
}

// identityOf is the LogLine ID that an inception, without its signature, founds.
export async function identityOf(inception) {
  return scheme + base32(await sum(utf8("logline.id.v1\n"), jcs(inception)));
}

// tenantOf derives a tenant's id from genesis: a UUIDv8 whose 122 free bits are
// the first of the hash of genesis without `tenant`.
export async function tenantOf(genesis) {
  const rest = { ...genesis };
  delete rest.tenant;
  const hash = await sum(utf8("logline.tenant.v1\n"), jcs(rest));
  const bytes = new Uint8Array(16);
  for (let i = 0, bit = 0; i < 128; i++) {
    if ((i >= 48 && i < 52) || i === 64 || i === 65) continue; // version and variant
    bytes[i >> 3] |= ((hash[bit >> 3] >> (7 - (bit & 7))) & 1) << (7 - (i & 7));
    bit++;
  }
  bytes[6] |= 0x80;
  bytes[8] |= 0x80;
  return uuidOf(bytes);
}

export const hashText = async (...parts) => b64u(await sum(...parts));
