// The checks of a first span, each with what it means in words. They use what the
// browser knows by itself (the span it signed, its key, the node it first met, the
// checkpoint it saw before) and believe nothing that the server says.
import { Refusal } from "../lib/refusal.js";
import { b64u, equal, parseB64u } from "../lib/bytes.js";
import { canonical, parse } from "../lib/json.js";
import { checkNote, holdsReceipt, verifyBundle } from "../lib/bundle.js";
import { Chain } from "../lib/events.js";
import { parseNote, parseVerifierKey, verifyNote } from "../lib/notes.js";
import { checkInclusion, checkLeaf, parseReceipt } from "../lib/receipts.js";
import { checkSignature, headerOf, parseOpened } from "../lib/spans.js";
import { root, verifyConsistency } from "../lib/tree.js";

// Entries that a phone folds in a few seconds. The proof of a longer timeline is of
// the entry and the checkpoint; the whole is for the command line.
export const most = 3000;

const first = "This is the first checkpoint that this browser sees; it keeps it for the next time.";

// checks does one check after the other and yields {title, says, holds}; it ends
// after the first that does not hold. known: {span? or event? or shown?, me?, node,
// tenant, owner?, noted?}; shown is an entry as a page shows it. fetched is what gather
// gave. What it found stays in found.
export async function* checks(known, fetched, found = {}) {
  const whole = fetched.bundle === undefined ? ofCheckpoint : ofTimeline;
  const list = [...(known.span || known.event || known.shown ? ofSpan(known, fetched, found) : []), ...whole(known, fetched, found)];
  for (const [title, check] of list) {
    try {
      yield { title, says: await check(), holds: true };
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      yield { title, says: err.message, holds: false, code: err.code };
      return;
    }
  }
}

// gather asks for what is to be checked; of a long timeline not all, and neither for a
// guest, from whom the founding of the timeline may be hidden. read gives the text at a
// path of the tenant, events are the node's key events.
export async function gather(read, events, { spanID, opened, noted, guest }) {
  const out = { events, tenant: JSON.parse(await read("")) };
  if (spanID) out.receipt = await read(`/spans/${spanID}/receipt`);
  if (opened) out.opened = await read(`/spans/${spanID}`);
  if (out.tenant.size <= most && !guest) return { ...out, bundle: await read("/bundle") };
  out.checkpoint = await read("/checkpoint");
  if (!noted) return out;
  const { size } = out.receipt ? (await parseReceipt(out.receipt)).note : parseNote(out.checkpoint);
  const [from, to] = [parseNote(noted).size, size].sort((a, b) => a - b);
  return { ...out, consistency: await read(`/proofs/consistency?from=${from}&to=${to}`) };
}

function ofSpan(known, fetched, found) {
  return [
    known.shown ? ["It is what this page shows", () => asShown(known.shown, fetched, found)] : known.span ? ["It is what you signed", async () => {
      const r = (found.receipt = await parseReceipt(fetched.receipt));
      if (canonical(headerOf(r.entry.span)) !== canonical(headerOf(known.span))) throw new Refusal("not_what_was_signed", "The entry in the receipt is not the span that you signed in this browser.");
      if (r.entry.span.signature.key !== known.me.key) throw new Refusal("not_your_key", "The entry is signed by another key than yours.");
      await checkSignature(r.entry.span);
      return "The entry holds your span to the letter, and your signature fits it.";
    }] : ["It is what you wrote", async () => {
      const r = (found.receipt = await parseReceipt(fetched.receipt));
      const { span } = await parseOpened(parse(fetched.opened, 3).entry);
      if (canonical(headerOf(r.entry.span)) !== canonical(headerOf(span))) throw new Refusal("not_what_was_written", "The entry in the receipt is another one than the server shows as yours.");
      if (span.author !== known.me.id || canonical(span.payload?.data ?? null) !== canonical(known.event.data)) throw new Refusal("not_what_was_written", "The entry does not hold what you wrote.");
      await checkSignature(span);
      return "The entry holds what you wrote, signed in your name with the key that the server keeps.";
    }],
    ["The entry has the fingerprint that the receipt says", async () => {
      checkLeaf(found.receipt);
      return `This browser computed it again: ${b64u(found.receipt.leaf)}.`;
    }],
    ["It is in the timeline", async () => {
      await checkInclusion(found.receipt);
      return `It is number ${found.receipt.index}, counted from 0: with ${found.receipt.hashes.length} hashes beside it, it leads to the root of a tree of ${found.receipt.size} that the server signed.`;
    }],
  ];
}

// place is what of an entry is never withheld: where and when it stands, and what was
// signed.
const place = ({ seq, recorded_at, span }) => canonical({ seq, recorded_at, span: headerOf(span) });

async function asShown(shown, fetched, found) {
  const r = (found.receipt = await parseReceipt(fetched.receipt));
  const opened = await parseOpened(parse(fetched.opened, 3).entry);
  if (place(r.entry) !== place(shown) || place(opened) !== place(shown)) throw new Refusal("not_what_is_shown", "The entry in the receipt is another one than this page shows.");
  if (canonical(opened.span.payload ?? null) !== canonical(shown.span.payload ?? null)) throw new Refusal("not_what_is_shown", "What the entry contains is not what this page shows.");
  await checkSignature(opened.span);
  return opened.span.payload ? "The entry holds what is shown, to the letter, and the signature of its author fits it." : "The entry is the one that is shown, and the signature of its author fits it. What it contains is withheld.";
}

function ofTimeline(known, fetched, found) {
  return [
    ["Every entry so far holds", async () => {
      found.folded = await verifyBundle(fetched.bundle, { tenant: known.tenant, node: known.node });
      const hidden = found.folded.hidden ? `; ${found.folded.hidden} you may not see are covered by the tree alone` : "";
      return `${found.folded.entries} entries checked from the first on: each signature, and that its key and role were good at its place${hidden}.`;
    }],
    ["It is your organisation's", async () => {
      const { timeline } = found.folded;
      if (known.owner && timeline.owner !== known.owner) throw new Refusal("other_owner", "The timeline's first entry names another owner than you.");
      if (!known.me) return "Its id derives from its first entry, which names its owner, its node and its log key.";
      const roles = timeline.roles(known.me.id);
      if (roles.length === 0) throw new Refusal("no_role", "The timeline gives you no role.");
      return `Its id derives from its first entry, which names its owner, its node and its log key. You are ${roles.join(" and ")} in it.`;
    }],
    ["The server's key signed it", async () => {
      const { timeline } = found.folded;
      const note = (found.note = found.folded.note);
      await nodeSigns(known, fetched, timeline.logKey);
      await checkNote(found.folded, note, { node: known.node });
      if (found.receipt) await holdsReceipt(found.folded, found.receipt);
      return "The checkpoint is signed by the log key that the node you met at the start has delegated.";
    }],
    ["Nothing was rewritten since you came", async () => {
      if (!known.noted) return first;
      const before = parseNote(known.noted);
      if (before.size > found.folded.leaves.length) throw new Refusal("shrunk", `The timeline has ${found.folded.leaves.length} entries now, and had ${before.size} before.`);
      if (!equal(await root(found.folded.leaves.slice(0, before.size)), before.root)) throw new Refusal("rewritten", `The first ${before.size} entries are not those that this browser saw before.`);
      return `The ${before.size} entries of the checkpoint that this browser kept before are still the same.`;
    }],
  ];
}

// nodeSigns folds the node's key events, which must be those of the node that this
// browser met at the start, and let a key sign checkpoints.
async function nodeSigns(known, fetched, key) {
  const node = await Chain.fold(fetched.events);
  if (node.id !== known.node) throw new Refusal("other_node", "The key events are of another node than the one you met at the start.");
  if (!node.mayLog(b64u(key))) throw new Refusal("log_key_invalid", "The node's key events do not let this key sign checkpoints.");
}

// ofCheckpoint are the checks of a timeline that is too long to be folded here.
function ofCheckpoint(known, fetched, found) {
  return [
    ["The server's key signed it", async () => {
      const { origin, tenant, node, key } = await parseVerifierKey(fetched.tenant.log_key);
      const note = (found.note = found.receipt?.note ?? parseNote(fetched.checkpoint));
      if (tenant !== known.tenant || node !== known.node || note.origin !== origin) throw new Refusal("origin_mismatch", "The checkpoint is of another timeline, or by another node than the one you met at the start.");
      await nodeSigns(known, fetched, key);
      await verifyNote(note, key);
      return "The checkpoint is signed by the log key that the node you met at the start has delegated.";
    }],
    ["Nothing was rewritten since you came", async () => {
      if (!known.noted) return first;
      const before = parseNote(known.noted);
      const [a, b] = before.size <= found.note.size ? [before, found.note] : [found.note, before];
      const { hashes } = parse(fetched.consistency);
      await verifyConsistency(a.size, b.size, a.root, b.root, hashes.map((h) => parseB64u(h, 32)));
      if (a === found.note && a.size < b.size) return `These ${a.size} entries are the beginning of the ${b.size} of the checkpoint that this browser kept.`;
      return `The ${a.size} entries of the checkpoint that this browser kept are the beginning of these ${b.size}.`;
    }],
  ];
}
