// Members of the protocol's objects, read strictly: unknown ones are refused,
// optional ones are absent and never null or empty.
import { Refusal, beneath } from "./refusal.js";
import { isB64u, utf8 } from "./bytes.js";
import { codePoints, isIdentity, isTime } from "./names.js";

export const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);

// read holds an object against {member: check}; names that end in ? are
// optional. A check throws, or answers false with the sentence beside it.
export function read(object, members) {
  if (!isObject(object)) throw new Refusal("member_type", "the member must be an object");
  const known = new Map(Object.entries(members).map(([name, check]) => [name.replace("?", ""), { check, optional: name.endsWith("?") }]));
  for (const name of Object.keys(object)) {
    if (!known.has(name)) throw new Refusal("member_unknown", "the member is not part of the protocol", "/" + name);
  }
  for (const [name, { check, optional }] of known) {
    if (!(name in object)) {
      if (optional) continue;
      throw new Refusal("member_missing", "the member is required", "/" + name);
    }
    const value = object[name];
    if (optional && (value === null || value === "" || (isObject(value) && Object.keys(value).length === 0) || (Array.isArray(value) && value.length === 0))) {
      throw new Refusal("member_empty", "an optional member is absent, never null or empty", "/" + name);
    }
    beneath(name, () => check(value));
  }
  return object;
}

// text is a check of a string that may not be empty.
export function text(ok, want) {
  return (value) => {
    if (typeof value !== "string" || value === "" || !ok(value)) throw new Refusal("member_malformed", "the member must be " + want);
  };
}

export const anything = () => {};
export const anyText = text(() => true, "text");
export const shortText = (bytes) => text((s) => utf8(s).length <= bytes, `text of at most ${bytes} bytes`);
export const points = (most) => text((s) => codePoints(s) <= most, `at most ${most} code points`);
export const oneOf = (...words) => text((s) => words.includes(s), words.join(" or "));
export const bytesOf = (size) => text((s) => isB64u(s, size), `base64url of exactly ${size} bytes`);
export const hashOf = bytesOf(32);
export const identity = text(isIdentity, "a LogLine ID");
export const time = text(isTime, "a time of the form YYYY-MM-DDTHH:MM:SS.mmmZ");

export function object(value) {
  if (!isObject(value)) throw new Refusal("member_type", "the member must be an object");
}

export function count(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new Refusal("member_malformed", "the member must be a whole number from 0 to 2^53-1");
}

export function one(value) {
  if (value !== 1) throw new Refusal("member_malformed", "the member must be 1");
}

export function list(most, check) {
  return (value) => {
    if (!Array.isArray(value)) throw new Refusal("member_type", "the member must be a list");
    if (value.length === 0) throw new Refusal("member_empty", "the list is empty");
    if (value.length > most) throw new Refusal("list_too_long", `the list has more than ${most} items`);
    value.forEach((item, i) => beneath(i, () => check(item)));
  };
}

// without is an object less some members.
export function without(object, ...names) {
  const out = { ...object };
  for (const name of names) delete out[name];
  return out;
}
