// Merkle trees (RFC 6962, RFC 9162 section 2.1): roots and proofs. Hashes are
// bytes; indexes and sizes are whole numbers below 2^53.
import { Refusal } from "./refusal.js";
import { b64u, equal } from "./bytes.js";
import { sum } from "./crypto.js";

const join = (left, right) => sum(Uint8Array.of(1), left, right);

// root is that of a list of leaf hashes.
export async function root(leaves) {
  if (leaves.length === 0) return sum();
  let row = leaves;
  while (row.length > 1) {
    const up = [];
    for (let i = 0; i + 1 < row.length; i += 2) up.push(await join(row[i], row[i + 1]));
    if (row.length % 2 === 1) up.push(row.at(-1));
    row = up;
  }
  return row[0];
}

const odd = (n) => n % 2 === 1;
const half = (n) => Math.floor(n / 2);
const whole = (n) => Number.isSafeInteger(n) && n >= 0;

// climb goes up from a leaf beside its siblings. toLeft and toRight are told of
// each sibling; it answers how many levels were left over, 0 for a fitting proof.
async function climb(fn, sn, proof, toLeft, toRight) {
  for (const hash of proof) {
    if (sn === 0) throw new Refusal("proof_incomplete", "the proof has more hashes than such a proof needs");
    if (odd(fn) || fn === sn) {
      await toLeft(hash);
      while (fn !== 0 && !odd(fn)) [fn, sn] = [half(fn), half(sn)];
    } else {
      await toRight(hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) throw new Refusal("proof_incomplete", "the proof has fewer hashes than such a proof needs");
}

// verifyInclusion refuses unless the leaf at index is in the tree of size leaves
// with that root.
export async function verifyInclusion(leaf, index, size, proof, rootHash) {
  if (!whole(index) || !whole(size) || index >= size) throw new Refusal("proof_invalid", `a tree of ${size} leaves has no leaf ${index}`);
  let hash = leaf;
  await climb(index, size - 1, proof, async (p) => { hash = await join(p, hash); }, async (p) => { hash = await join(hash, p); });
  if (!equal(hash, rootHash)) throw new Refusal("proof_invalid", `the inclusion proof of leaf ${index} leads to root ${b64u(hash)}, not to ${b64u(rootHash)}`);
}

// verifyConsistency refuses unless the tree of `to` leaves extends that of `from`.
export async function verifyConsistency(from, to, fromRoot, toRoot, proof) {
  if (!whole(from) || !whole(to) || from > to) throw new Refusal("proof_invalid", `a tree of ${to} leaves cannot extend one of ${from}`);
  if (from === 0 || from === to) {
    if (proof.length !== 0) throw new Refusal("proof_invalid", `a consistency proof from ${from} to ${to} has no hashes`);
    if (from === to && !equal(fromRoot, toRoot)) throw new Refusal("proof_invalid", `two different roots are claimed for size ${to}`);
    if (from === 0 && !equal(fromRoot, await sum())) throw new Refusal("proof_invalid", "this is not the root of the empty tree");
    return;
  }
  if (proof.length === 0) throw new Refusal("proof_incomplete", `the consistency proof from ${from} to ${to} is empty`);
  // A full tree is itself the proof's first node.
  const full = Number.isInteger(Math.log2(from)) && 2 ** Math.log2(from) === from;
  const [first, ...rest] = full ? [fromRoot, ...proof] : proof;
  let [fn, sn] = [from - 1, to - 1];
  while (odd(fn)) [fn, sn] = [half(fn), half(sn)];
  let old = first;
  let grown = first;
  await climb(fn, sn, rest,
    async (p) => { old = await join(p, old); grown = await join(p, grown); },
    async (p) => { grown = await join(grown, p); });
  if (!equal(old, fromRoot)) throw new Refusal("proof_invalid", `the consistency proof leads to another root at size ${from}: the log was rewritten`);
  if (!equal(grown, toRoot)) throw new Refusal("proof_invalid", `the consistency proof leads to another root at size ${to}`);
}
