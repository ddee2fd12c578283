// The recovery sheet (docs/recovery.md): the next key of an identity as text that
// can be typed from paper. Each group of four is three digits of base32 and a check
// digit, so that a slip of the pen is told with its place. parseSheet takes and
// refuses what internal/id/recovery does.
import { Refusal } from "../lib/refusal.js";
import { concat, utf8 } from "../lib/bytes.js";
import { commitment, random, signerOfSeed, sum } from "../lib/crypto.js";
import { isIdentity, isTime, scheme } from "../lib/names.js";

const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's
const header = "LOGLINE RECOVERY SHEET";
const [groups, inRow, perGroup] = [18, 6, 4];
const all = groups * perGroup;
const maxBytes = 16 << 10;

const twice = (d) => (d < 16 ? d << 1 : (d << 1) ^ 37); // times x in GF(32), x^5 + x^2 + 1
const checkDigit = (at, data) => twice(data.reduce((d, v) => twice(d) ^ v, at + 1));
const checkBits = async (identity, seed) => (await sum(utf8(`logline.recovery.v1\n${identity}\n`), seed)).slice(0, 2);

// keyText is the key's seed with 14 bits of check, in rows of six groups.
async function keyText(identity, seed) {
  const bits = Array.from(concat(seed, await checkBits(identity, seed)), (b) => b.toString(2).padStart(8, "0")).join("");
  const out = [];
  for (let n = 0; n < groups; n++) {
    const data = [0, 1, 2].map((i) => Number.parseInt(bits.slice((3 * n + i) * 5, (3 * n + i + 1) * 5), 2));
    out.push([...data, checkDigit(n, data)].map((d) => digits[d]).join(""));
  }
  return [0, 6, 12].map((i) => out.slice(i, i + inRow).join(" "));
}

// sheetOf is the whole sheet.
export async function sheetOf(identity, seed, node, made) {
  const rows = await keyText(identity, seed);
  return [`${header} 1`, `identity: ${identity}`, `key: ${rows.join("\n     ")}`, `node: ${node}`, `made: ${made}`, ""].join("\n");
}

// newNext makes a next key: its seed for the sheet, and the commitment that the
// identity's newest event makes to it.
export async function newNext() {
  const seed = random(32);
  return { seed, hash: await commitment((await signerOfSeed(seed)).key) };
}

// parseSheet reads a sheet as somebody typed it: {identity, seed, node, made}; the
// last two are "" where they are missing. Whoever is done with the seed fills it
// with zeros. A Refusal repeats nothing of the key; `groups` in it are the groups in
// question, counted from 0.
export async function parseSheet(text) {
  if (utf8(text).length > maxBytes) throw new Refusal("recovery_sheet_large", `a recovery sheet has at most ${maxBytes} bytes`);
  const fields = readLines(text);
  if (!fields.get("key") || !fields.get("identity")) throw other("the lines `identity:` and `key:` are not both there");
  const identity = typedIdentity(fields.get("identity"));
  if (!isIdentity(identity)) {
    throw new Refusal("recovery_identity", "the line `identity:` is not a LogLine ID: logline-id:// and 52 of the characters a-z and 2-7; compare it with the sheet");
  }
  const seed = await judge(identity, typedKey(fields.get("key")));
  const made = dense(fields.get("made") ?? "").toUpperCase();
  return { identity, seed, node: nodeOf(dense(fields.get("node") ?? "")), made: isTime(made) ? made : "" };
}

// linesOf takes a whole sheet apart into {identity, key, node}, as they stand there;
// undefined for what is none.
export function linesOf(text) {
  const fields = /identity\s*:/i.test(text) && /key\s*:/i.test(text) ? readLines(text) : new Map();
  if (!fields.has("identity") || !fields.has("key")) return undefined;
  const rows = fields.get("key").split("\n").map((row) => row.trim()).filter(Boolean);
  return { identity: dense(fields.get("identity")), key: rows.join("\n"), node: nodeOf(dense(fields.get("node") ?? "")) };
}

// progressOf is how much of a key is typed: {groups, wrong}, whole groups and those
// of them that are not as they were printed.
export function progressOf(text) {
  const typed = typedKey(text);
  return { groups: Math.min(Math.floor(typed.length / perGroup), groups), wrong: wrongOf(typed) };
}

// place names a group, counted from 0, as one finds it on paper.
export function place(at) {
  const n = Math.min(at, groups - 1);
  return `group ${n + 1} (row ${Math.floor(n / inRow) + 1}, number ${(n % inRow) + 1})`;
}

const other = (why) => new Refusal("recovery_sheet_other", `this is not a recovery sheet of the form 1: ${why}`);

// readLines takes the text apart into what stands behind the names of its lines. A
// line without a name goes on with the one before.
function readLines(text) {
  const fields = new Map();
  let name = "";
  for (let line of text.replaceAll(/\r\n?/g, "\n").replaceAll("\ufeff", "").split(/(?<=\n)/)) {
    const words = upper(line).split(spaces).filter(Boolean);
    if (words.length === 4 && words.slice(0, 3).join(" ") === header) {
      if (words[3] !== "1") throw other("it is of a later form; use a newer version of this program");
      name = "";
      continue;
    }
    const colon = line.indexOf(":");
    const before = line.slice(0, Math.max(0, colon)).replaceAll(ends, "").toLowerCase();
    if (/^[a-z]+$/.test(before)) [name, line] = [before, line.slice(colon + 1)];
    fields.set(name, (fields.get(name) ?? "") + line);
  }
  return fields;
}

const spaces = /[\s\u0085]+/u;
const ends = /^[\s\u0085]+|[\s\u0085]+$/gu;
const dense = (text) => text.replaceAll(/[\s\u0085\p{Cf}]/gu, "");
const upper = (text) => text.replaceAll(/\p{Ll}/gu, (c) => (c.toUpperCase().length === c.length ? c.toUpperCase() : c));

// typedIdentity is a LogLine ID as somebody typed it. Its alphabet has no 0, 1 and
// 8, so that these stand for what they look like.
function typedIdentity(text) {
  const said = dense(text).toLowerCase().replaceAll("0", "o").replaceAll("1", "l").replaceAll("8", "b");
  return scheme + (said.startsWith(scheme) ? said.slice(scheme.length) : said);
}

// typedKey is the digits of a key as somebody typed it.
function typedKey(text) {
  const out = [];
  for (const c of upper(dense(text))) {
    if ("-–—_.·,".includes(c)) continue;
    const at = digits.indexOf(c === "O" ? "0" : c === "I" || c === "L" ? "1" : c);
    if (at < 0) {
      throw refusedAt("recovery_character", [Math.floor(out.length / perGroup)], (where) => `a character in ${where} of the key is none that a sheet has: digits, and letters without U`);
    }
    if (out.length > 2 * all) break;
    out.push(at);
  }
  return out;
}

function refusedAt(code, at, words) {
  const err = new Refusal(code, words(at.map(place).join(", ")));
  err.groups = at.map((n) => Math.min(n, groups - 1));
  return err;
}

function wrongOf(typed) {
  const out = [];
  for (let at = 0; at < Math.min(Math.floor(typed.length / perGroup), groups); at++) {
    const group = typed.slice(at * perGroup, (at + 1) * perGroup);
    if (group[perGroup - 1] !== checkDigit(at, group.slice(0, -1))) out.push(at);
  }
  return out;
}

// judge is the seed that digits are, beside its identity.
async function judge(identity, typed) {
  const wrong = wrongOf(typed);
  if (typed.length !== all) {
    // Behind a character too few or too many every group is another.
    const first = wrong[0] ?? Math.min(Math.floor(typed.length / perGroup), groups - 1);
    const counted = typed.length > 2 * all ? `more than ${2 * all}` : typed.length;
    throw refusedAt("recovery_length", [first], (where) => `the key has ${counted} characters, and ${all} on the sheet; compare from ${where} on`);
  }
  if (wrong.length > 0) throw refusedAt("recovery_group", wrong, (where) => `the key is not as it was printed in ${where}; compare with the sheet`);
  const bytes = new Uint8Array(34);
  typed.filter((_, i) => i % perGroup !== perGroup - 1).forEach((d, i) => {
    for (let bit = 0; bit < 5; bit++) bytes[(5 * i + bit) >> 3] |= ((d >> (4 - bit)) & 1) << (7 - ((5 * i + bit) & 7));
  });
  const seed = bytes.slice(0, 32);
  const check = await checkBits(identity, seed);
  const fits = check[0] === bytes[32] && (check[1] & 0xfc) === bytes[33];
  bytes.fill(0);
  if (fits) return seed;
  seed.fill(0);
  throw new Refusal("recovery_checksum", "the key and the identity do not belong together: compare the line `identity:` with the sheet, then each group of the key");
}

// nodeOf is the address of a server, "" for what is none.
function nodeOf(text) {
  try {
    const { protocol, username, password, search, hash } = new URL(text);
    return /^https?:$/.test(protocol) && text.length <= 256 && username + password + search + hash === "" ? text : "";
  } catch {
    return "";
  }
}
