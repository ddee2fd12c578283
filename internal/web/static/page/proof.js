// The checks of a first span, each with what it means in words. They use what the
// browser knows by itself (the span it signed, its key, the node it first met, the
// checkpoint it saw before) and believe nothing that the server says.
import { Refusal } from "../lib/refusal.js";
import { b64u, equal } from "../lib/bytes.js";
import { canonical } from "../lib/json.js";
import { checkNote, holdsReceipt, verifyBundle } from "../lib/bundle.js";
import { Chain } from "../lib/events.js";
import { parseNote } from "../lib/notes.js";
import { checkInclusion, checkLeaf, parseReceipt } from "../lib/receipts.js";
import { checkSignature, headerOf } from "../lib/spans.js";
import { root } from "../lib/tree.js";

// checks does one check after the other and yields {title, says, holds}; it ends
// after the first that does not hold. known: {span?, me, node, tenant, owner?,
// noted?}. fetched: {receipt?, bundle, events}, all as text but events. What it
// found stays in found.
export async function* checks(known, fetched, found = {}) {
  const list = known.span ? [...ofSpan(known, fetched, found), ...ofTimeline(known, fetched, found)] : ofTimeline(known, fetched, found);
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

function ofSpan(known, fetched, found) {
  return [
    ["It is what you signed", async () => {
      const r = (found.receipt = await parseReceipt(fetched.receipt));
      if (canonical(headerOf(r.entry.span)) !== canonical(headerOf(known.span))) throw new Refusal("not_what_was_signed", "The entry in the receipt is not the span that you signed in this browser.");
      if (r.entry.span.signature.key !== known.me.key) throw new Refusal("not_your_key", "The entry is signed by another key than yours.");
      await checkSignature(r.entry.span);
      return "The entry holds your span to the letter, and your signature fits it.";
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
      const roles = timeline.roles(known.me.id);
      if (roles.length === 0) throw new Refusal("no_role", "The timeline gives you no role.");
      return `Its id derives from its first entry, which names its owner, its node and its log key. You are ${roles.join(" and ")} in it.`;
    }],
    ["The server's key signed it", async () => {
      const { timeline, note } = found.folded;
      const node = await Chain.fold(fetched.events);
      if (node.id !== known.node) throw new Refusal("other_node", "The key events are of another node than the one you met at the start.");
      if (!node.mayLog(b64u(timeline.logKey))) throw new Refusal("log_key_invalid", "The node's key events do not let this key sign checkpoints.");
      await checkNote(found.folded, note, { node: known.node });
      if (found.receipt) await holdsReceipt(found.folded, found.receipt);
      return "The checkpoint is signed by the log key that the node you met at the start has delegated.";
    }],
    ["Nothing was rewritten since you came", async () => {
      if (!known.noted) return "This is the first checkpoint that this browser sees; it keeps it for the next time.";
      const before = parseNote(known.noted);
      if (before.size > found.folded.leaves.length) throw new Refusal("shrunk", `The timeline has ${found.folded.leaves.length} entries now, and had ${before.size} before.`);
      if (!equal(await root(found.folded.leaves.slice(0, before.size)), before.root)) throw new Refusal("rewritten", `The first ${before.size} entries are not those that this browser saw before.`);
      return `The ${before.size} entries of the checkpoint that this browser kept before are still the same.`;
    }],
  ];
}
