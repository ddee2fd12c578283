// The recovery sheet (docs/recovery.md): the next key of an identity as text that
// can be typed from paper. Each group of four is three digits of base32 and a check
// digit, so that a slip of the pen is told with its place.
import { concat, utf8 } from "../lib/bytes.js";
import { commitment, random, signerOfSeed, sum } from "../lib/crypto.js";

const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's
const groups = 18;

const twice = (d) => (d < 16 ? d << 1 : (d << 1) ^ 37); // times x in GF(32), x^5 + x^2 + 1

// keyText is the key's seed with 14 bits of check, in rows of six groups.
async function keyText(identity, seed) {
  const check = await sum(utf8(`logline.recovery.v1\n${identity}\n`), seed);
  const bits = Array.from(concat(seed, check.slice(0, 2)), (b) => b.toString(2).padStart(8, "0")).join("");
  const out = [];
  for (let n = 0; n < groups; n++) {
    const data = [0, 1, 2].map((i) => Number.parseInt(bits.slice((3 * n + i) * 5, (3 * n + i + 1) * 5), 2));
    const last = twice(data.reduce((d, v) => twice(d) ^ v, n + 1));
    out.push([...data, last].map((d) => digits[d]).join(""));
  }
  return [0, 6, 12].map((i) => out.slice(i, i + 6).join(" "));
}

// sheetOf is the whole sheet.
export async function sheetOf(identity, seed, node, made) {
  const rows = await keyText(identity, seed);
  return ["LOGLINE RECOVERY SHEET 1", `identity: ${identity}`, `key: ${rows.join("\n     ")}`, `node: ${node}`, `made: ${made}`, ""].join("\n");
}

// newNext makes a next key: its seed for the sheet, and the commitment that the
// identity's first event makes to it.
export async function newNext() {
  const seed = random(32);
  return { seed, hash: await commitment((await signerOfSeed(seed)).key) };
}
