// Bytes and their spellings: one spelling for each value, anything else is
// refused, so that no character can change unnoticed.
import { Refusal } from "./refusal.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);

export function textOf(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refusal("json_invalid_utf8", "the bytes are not valid UTF-8");
  }
}

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

// base64 is the standard form with padding, as in signed notes.
export function base64(bytes) {
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text);
}

export function parseBase64(text, size = -1) {
  let out;
  try {
    out = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw new Refusal("base64_invalid", "the value is not base64");
  }
  // atob forgives white space, missing padding and spare bits; we do not.
  if (base64(out) !== text || (size >= 0 && out.length !== size)) {
    throw new Refusal("base64_invalid", size < 0 ? "the value is not strict base64" : `the value is not base64 of exactly ${size} bytes`);
  }
  return out;
}

// b64u is base64url without padding (protocol, section 1).
export const b64u = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

export function parseB64u(text, size = -1) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) {
    throw new Refusal("base64_invalid", "the value is not base64url without padding");
  }
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return parseBase64(standard + "=".repeat((4 - (standard.length % 4)) % 4), size);
}

export function isB64u(text, size) {
  try {
    parseB64u(text, size);
    return true;
  } catch {
    return false;
  }
}

const letters = "abcdefghijklmnopqrstuvwxyz234567";

// base32 in lower case without padding, as in LogLine IDs.
export function base32(bytes) {
  let out = "";
  let bits = 0;
  let value = 0;
  for (const b of bytes) {
    value = (value << 8) | b;
    for (bits += 8; bits >= 5; bits -= 5) out += letters[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? out + letters[(value << (5 - bits)) & 31] : out;
}
