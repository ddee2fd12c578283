// A whole timeline in a bundle (protocol, section 6), checked from its first
// entry, as `logline verify` does: form, hashes, signatures, keys and roles at
// their position, the tree, and who signed its checkpoint.
import { Refusal } from "./refusal.js";
import { b64u, equal, parseB64u } from "./bytes.js";
import { parse } from "./json.js";
import { parseNote, verifyNote } from "./notes.js";
import { checkSignature, leafHash, lineOf, parseOpened } from "./spans.js";
import { root } from "./tree.js";
import { Timeline } from "./timeline.js";

// What an entry that this reader may not see could explain.
const restsOnRoles = ["not_a_member", "append_forbidden", "role_forbidden", "guest_on_behalf"];

// verifyBundle reads a bundle from entry 0 on, given as text, and refuses what
// does not hold, naming the entry. pins are what the caller knows by itself:
// {tenant?, node?}. Without node the answer is consistent and its origin is not
// authenticated.
export async function verifyBundle(text, pins = {}) {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const head = parse(lines[0] ?? "", 2);
  if (head.logline !== "bundle" || head.v !== 1 || head.from !== 0) throw new Refusal("header_invalid", "this is not a bundle from entry 0 on");
  const note = parseNote(head.checkpoint);
  if (head.to !== note.size || lines.length - 1 !== note.size) throw new Refusal("header_invalid", `the bundle holds ${lines.length - 1} of the ${note.size} entries of its checkpoint`);
  const out = { timeline: new Timeline(), leaves: [], note, entries: 0, hidden: 0 };
  for (const [i, line] of lines.slice(1).entries()) {
    try {
      await takeLine(out, line, i);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      throw new Refusal(err.code, `entry ${i}: ${err.message}`, err.pointer);
    }
  }
  if (!equal(await root(out.leaves), note.root)) throw new Refusal("root_mismatch", "the entries do not lead to the root of the checkpoint");
  await checkNote(out, note, pins);
  return out;
}

async function takeLine(out, line, seq) {
  const value = parse(line, 2);
  if ("leaf" in value && !("span" in value)) {
    if (value.seq !== seq) throw new Refusal("seq_gap", "a hidden entry stands where another is due");
    out.leaves.push(parseB64u(value.leaf, 32));
    out.hidden++;
    out.timeline.size++;
    return;
  }
  const entry = await parseOpened(value);
  await checkSignature(entry.span);
  out.leaves.push(await leafHash(lineOf(entry)));
  out.entries++;
  try {
    await out.timeline.take(entry);
  } catch (err) {
    if (!(err instanceof Refusal) || out.hidden === 0 || !restsOnRoles.includes(err.code)) throw err;
    out.timeline.size++;
  }
}

// checkNote refuses a checkpoint of a folded timeline that is not by the log key
// which the timeline's own node delegated.
export async function checkNote({ timeline }, note, pins = {}) {
  if (note.tenant !== timeline.tenant || (pins.tenant !== undefined && pins.tenant !== timeline.tenant)) throw new Refusal("origin_mismatch", "the checkpoint is of another tenant");
  if (note.node !== timeline.node) throw new Refusal("origin_mismatch", "the checkpoint is by another node than the timeline's");
  if (pins.node !== undefined && pins.node !== timeline.node) throw new Refusal("node_mismatch", `the timeline is kept by ${timeline.node}, not by ${pins.node}`);
  if (note.epoch !== timeline.epoch) throw new Refusal("origin_mismatch", `the checkpoint is of epoch ${note.epoch}, the timeline is in ${timeline.epoch}`);
  if (!timeline.identities.get(timeline.node)?.mayLog(b64u(timeline.logKey))) throw new Refusal("log_key_invalid", "the node's key events do not let the log key sign checkpoints");
  await verifyNote(note, timeline.logKey);
}

// holdsReceipt refuses a receipt that is not of this timeline: its checkpoint must
// be by the log's key, over the very leaves that were folded.
export async function holdsReceipt(folded, receipt) {
  await checkNote(folded, receipt.note);
  if (receipt.note.size > folded.leaves.length) throw new Refusal("receipt_ahead", "the receipt is of a longer timeline than the one that was checked; load it again");
  if (!equal(await root(folded.leaves.slice(0, receipt.note.size)), receipt.note.root)) throw new Refusal("fork", "the receipt's checkpoint is of another history than the timeline's");
  if (!equal(folded.leaves[receipt.entry.seq], receipt.leaf)) throw new Refusal("fork", "the entry of the receipt is not the one in the timeline");
}
