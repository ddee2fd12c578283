// Receipts: an entry, the proof that it is in the tree, and the signed checkpoint
// of that tree. Nothing in one is believed.
import { Refusal } from "./refusal.js";
import { b64u, equal, parseB64u } from "./bytes.js";
import { parse } from "./json.js";
import { parseNote, verifyNote } from "./notes.js";
import { leafHash, lineOf, parseOpened } from "./spans.js";
import { verifyInclusion } from "./tree.js";
import { isObject } from "./shape.js";

const bad = (why) => new Refusal("receipt_invalid", "this is not a receipt: " + why);

// parseReceipt reads a receipt as the server answers it, given as text, since
// what JSON.parse makes of it may not be what was signed.
export async function parseReceipt(text) {
  const said = parse(text, 3);
  const { entry, inclusion, checkpoint } = said;
  if (!isObject(entry) || !isObject(inclusion) || !Array.isArray(inclusion.hashes) || inclusion.hashes.length > 63) throw bad("entry or inclusion proof is missing");
  await parseOpened(entry);
  const line = lineOf(entry);
  return {
    entry, line, leaf: await leafHash(line), said: parseB64u(said.leaf_hash, 32), note: parseNote(checkpoint),
    index: inclusion.index, size: inclusion.size, hashes: inclusion.hashes.map((h) => parseB64u(h, 32)),
  };
}

// checkLeaf refuses a receipt whose leaf hash is not that of its line.
export function checkLeaf(r) {
  if (!equal(r.leaf, r.said)) throw new Refusal("leaf_mismatch", `the entry hashes to ${b64u(r.leaf)}, the receipt says ${b64u(r.said)}`);
}

// checkInclusion refuses a receipt whose entry is not in the tree of its checkpoint.
export async function checkInclusion(r) {
  if (r.index !== r.entry.seq) throw new Refusal("proof_invalid", `the proof is of leaf ${r.index}, the entry is number ${r.entry.seq}`);
  if (r.size !== r.note.size) throw new Refusal("proof_invalid", `the proof is of a tree of ${r.size}, the checkpoint is of ${r.note.size}`);
  await verifyInclusion(r.leaf, r.index, r.size, r.hashes, r.note.root);
}

// verifyReceipt is all of a receipt that needs no timeline: leaf, inclusion and
// the signature of the log's key.
export async function verifyReceipt(r, logKey) {
  checkLeaf(r);
  await checkInclusion(r);
  await verifyNote(r.note, logKey);
}

