// Runs the protocol's test vectors against the library in static/lib, in Node and
// in browsers: run(load) takes a function that answers a file of testdata/vectors
// as text, and answers {counts, failures}.
import { b64u, hex, parseB64u, utf8 } from "../static/lib/bytes.js";
import { canonical, canonicalize, parse } from "../static/lib/json.js";
import { checkPublicKey, signerOfSeed, sum } from "../static/lib/crypto.js";
import { Chain, counterSign, ghost, offer } from "../static/lib/events.js";
import { isUUIDv7 } from "../static/lib/names.js";
import { Refusal } from "../static/lib/refusal.js";
import { Timeline } from "../static/lib/timeline.js";
import { checkSignature, headerHash, headerOf, leafHash, lineOf, message, parseLine, parseOpened, parseSpan, sealSpan } from "../static/lib/spans.js";
import { parseNote, parseVerifierKey, verifierKey, verifyNote } from "../static/lib/notes.js";
import { parseSheet, sheetOf } from "../static/page/sheet.js";
import { root, verifyConsistency, verifyInclusion } from "../static/lib/tree.js";

export async function run(load) {
  const suite = new Suite(load);
  for (const part of ["canonicalJSON", "keyEvents", "ghosts", "spans", "entries", "timeline", "timelines", "tree", "checkpoint", "edges"]) {
    suite.part = part;
    suite.counts[part] = 0;
    try {
      await suite[part]();
    } catch (err) {
      suite.failures.push(`${part}: ${err.stack ?? err}`);
    }
  }
  return { counts: suite.counts, failures: suite.failures };
}

class Suite {
  constructor(load) {
    this.load = load;
    this.counts = {};
    this.failures = [];
  }

  same(what, want, got) {
    this.counts[this.part]++;
    if (want !== got) this.failures.push(`${this.part}: ${what}: want ${want}, got ${got}`);
  }

  async refused(why, f) {
    this.counts[this.part]++;
    try {
      await f();
    } catch (err) {
      if (!(err instanceof Refusal)) this.failures.push(`${this.part}: ${why}: failed otherwise: ${err.stack}`);
      return;
    }
    this.failures.push(`${this.part}: not refused: ${why}`);
  }

  async json(file) {
    return JSON.parse(await this.load(file));
  }

  async canonicalJSON() {
    const v = await this.json("canonical-json.json");
    for (const c of v.canonical) {
      const got = canonicalize(c.input);
      this.same(c.input, c.canonical, got);
      this.same(c.input, c.sha256, hex(await sum(utf8(got))));
      this.same(c.input, got, canonicalize(utf8(got)));
    }
    for (const c of v.refuse) await this.refused(c.why, () => canonicalize(c.input_b64u ? parseB64u(c.input_b64u) : c.input));
  }

  async recoverySheets() {
    const v = await this.json("recovery-sheet.json");
    for (const c of [...v.print, ...v.accept]) {
      const got = await parseSheet(c.text);
      this.same(c.why ?? "a sheet", [c.identity, c.seed, c.node ?? "", c.made ?? ""].join(), [got.identity, b64u(got.seed), got.node, got.made].join());
    }
    for (const c of v.print) this.same("the text", c.text, await sheetOf(c.identity, parseB64u(c.seed, 32), c.node, c.made));
    for (const c of v.refuse) {
      const got = await parseSheet(c.text).catch((err) => err);
      this.same(c.why, [c.code, c.detail, c.groups ?? ""].join(), [got.code, got.message, got.groups ?? ""].join());
    }
  }

  async keyEvents() {
    const v = await this.json("key-events.json");
    for (const k of v.keys) this.same(k.label, k.public, (await signerOfSeed(parseB64u(k.seed, 32))).key);
    const claimers = [];
    for (const c of v.accept) {
      if (c.claimer_events) claimers.push(await Chain.fold(c.claimer_events, claimers));
      const chain = await Chain.fold(c.events, claimers);
      this.same("id", c.id, chain.id);
      this.same("length", c.events.length, chain.length);
    }
    for (const c of v.refuse) {
      if (c.events.length > 1) await Chain.fold(c.events.slice(0, -1), claimers); // only the last event is at fault
      await this.refused(c.why, () => Chain.fold(c.events, claimers));
    }
  }

  // ghosts makes each ghost and claim of the vectors anew, from the keys, to the byte.
  async ghosts() {
    const v = await this.json("key-events.json");
    const signer = async (key) => signerOfSeed(parseB64u(v.keys.find((k) => k.public === key).seed, 32));
    for (const { id, events: [inception, claim], claimer_events } of v.accept.filter((c) => c.events[0].subject === "ghost")) {
      const own = await signer(inception.key);
      const made = await ghost(own, inception.expires, new Date(inception.time));
      this.same("a ghost's id", id, made.id);
      this.same("a ghost", canonical(inception), canonical(made.event));
      const claimer = claimer_events && (await Chain.fold(claimer_events));
      if (!claimer || !v.keys.some((k) => k.public === claimer.primary)) continue; // nobody has the seed
      const offered = await offer(await Chain.begin(made.event), own, claimer.id, new Date(claim.time));
      this.same("a claim", canonical(claim), canonical(await counterSign(offered, await signer(claimer.primary))));
    }
  }

  async spans() {
    const v = await this.json("spans.json");
    for (const c of v.spans) {
      const span = await parseSpan(JSON.stringify(c.span));
      this.same("message", c.signed_message_b64u, b64u(message(span)));
      this.same("header", c.header_hash, await headerHash(span));
    }
    for (const c of v.refuse_alone) await this.refused(c.why, () => parseSpan(JSON.stringify(c.span)));
  }

  async entries() {
    const { spans } = await this.json("spans.json");
    for (const [i, c] of (await this.json("entries.json")).entries()) {
      const entry = parseLine(c.line);
      this.same("seq", i, entry.seq);
      this.same("leaf", c.leaf_hash, b64u(await leafHash(c.line)));
      this.same("span", canonical(headerOf(spans[i].span)), canonical(entry.span));
      const opened = { ...entry, span: spans[i].span, decision: { ...entry.decision, ...(c.detail ? { detail: c.detail } : {}) } };
      this.same("line", c.line, lineOf(await parseOpened(canonical(opened))));
      await this.refused("a line with a space", () => parseLine(c.line.replace(":", ": ")));
    }
  }

  async timeline() {
    const v = await this.json("spans.json");
    const timeline = new Timeline();
    for (const [i, c] of (await this.json("entries.json")).entries()) {
      await checkSignature(v.spans[i].span);
      await timeline.take({ ...parseLine(c.line), span: v.spans[i].span });
    }
    this.same("tenant", v.tenant, timeline.tenant);
    this.same("node", v.node, timeline.node);
    this.same("owner", "owner", timeline.roles(v.author).join());
    for (const c of v.refuse_at_end_of_timeline) {
      const span = await parseSpan(JSON.stringify(c.span)); // it is sound in itself
      await this.refused(c.why, () => timeline.check(span, timeline.size, timeline.recordedAt));
    }
  }

  // timelines are longer stories, in which some spans are refused on the way.
  async timelines() {
    for (const v of await this.json("timelines.json")) {
      const timeline = new Timeline();
      const take = ({ line, payload }) => {
        const entry = parseLine(line);
        return timeline.take({ ...entry, span: { ...entry.span, payload } });
      };
      for (const c of v.entries) {
        if (c.refused) {
          this.counts.timelines++;
          const code = await take(c).then(() => "nothing", (err) => err.code ?? err.stack);
          this.same(`${v.story}, entry ${timeline.size}: ${c.line}`, c.refused, code);
        } else {
          await take(c);
        }
      }
      this.same("node", v.node, timeline.node);
      this.same("epoch", v.epoch, timeline.epoch);
      this.same("log key", v.log_key, b64u(Uint8Array.of(1, ...timeline.logKey)));
      const members = [...timeline.members].map(([id, roles]) => [id, [...roles].sort()]).filter(([, roles]) => roles.length > 0);
      this.same("members", canonical(v.members), canonical(Object.fromEntries(members)));
    }
  }

  async tree() {
    const leaves = (await this.json("entries.json")).map((c) => parseB64u(c.leaf_hash, 32));
    const v = await this.json("tree.json");
    const roots = new Map(v.roots.map((r) => [r.size, parseB64u(r.root, 32)]));
    for (const r of v.roots) this.same(`root of ${r.size}`, r.root, b64u(await root(leaves.slice(0, r.size))));
    for (const c of v.inclusion) {
      const hashes = c.hashes.map((h) => parseB64u(h, 32));
      await verifyInclusion(leaves[c.index], c.index, c.size, hashes, roots.get(c.size));
      this.counts.tree++;
      for (const bad of altered(hashes)) await this.refused("an altered inclusion proof", () => verifyInclusion(leaves[c.index], c.index, c.size, bad, roots.get(c.size)));
    }
    for (const c of v.consistency) {
      const hashes = c.hashes.map((h) => parseB64u(h, 32));
      await verifyConsistency(c.from, c.to, roots.get(c.from), roots.get(c.to), hashes);
      this.counts.tree++;
      for (const bad of altered(hashes)) await this.refused("an altered consistency proof", () => verifyConsistency(c.from, c.to, roots.get(c.from), roots.get(c.to), bad));
    }
  }

  async checkpoint() {
    const v = await this.json("checkpoint.json");
    const key = parseB64u((await signerOfSeed(parseB64u(v.log_key_seed, 32))).key, 32);
    this.same("verifier key", v.verifier_key, await verifierKey(v.origin, key));
    this.same("its key", b64u(key), b64u((await parseVerifierKey(v.verifier_key)).key));
    const note = parseNote(v.checkpoint);
    this.same("origin", v.origin, note.origin);
    await verifyNote(note, key);
    await this.refused("another size", () => verifyNote(parseNote(v.checkpoint.replace("\n21\n", "\n20\n")), key));
    await this.refused("another key", async () => verifyNote(note, parseB64u((await signerOfSeed(await sum(key))).key, 32)));
    await this.refused("no signature", () => parseNote(v.checkpoint.split("\n\n")[0] + "\n\n"));
    await this.refused("a second signature of the log", () => verifyNote(parseNote(v.checkpoint + v.checkpoint.split("\n\n")[1]), key));
  }

  // edges are what the vectors leave open.
  async edges() {
    const code = async (want, f) => this.same(want, want, await codeOf(f));
    await code("json_number_range", () => parse('{"n":9007199254740991.4}'));
    await code("json_number_range", () => parse('{"n":90071992547409911e-1}'));
    this.same("2^53-1 in full", '{"n":9007199254740991}', canonicalize('{"n":9007199254740991.000}'));
    await code("json_too_deep", () => parse('{"a":' + "[".repeat(64) + "]".repeat(64) + "}"));
    for (const text of ["AB", "AAA=", "AA\n", "A"]) await code("base64_invalid", () => parseB64u(text));
    const bytes = (y, sign) => Uint8Array.from({ length: 32 }, (_, i) => Number((y >> BigInt(8 * i)) & 255n) | (i === 31 ? sign : 0));
    const p = 2n ** 255n - 19n;
    for (const y of [0n, 1n, p - 1n, 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n]) {
      for (const sign of [0, 128]) await code("key_small_order", () => checkPublicKey(bytes(y, sign)));
    }
    for (const y of [p, p + 1n, 2n ** 255n - 1n]) await code("key_not_canonical", () => checkPublicKey(bytes(y, 0)));
    await code("key_malformed", () => checkPublicKey(bytes(2n, 0))); // of no point
    await code(undefined, () => checkPublicKey(bytes(3n, 0)));
    this.same("a UUID of another variant", false, isUUIDv7("019b76da-a800-76fe-c88d-4842ea4538d5"));
    await this.claims();
    await this.shortProofs();
    await this.emptyPayload();
    await this.recoverySheets();
  }

  async emptyPayload() {
    const said = { tenant: "d34e1747-5b14-88b1-a45b-f748568d1192", author: "logline-id://vlns7bajzgm33ozhez3umhtmgh5igxkhn2s2gjn2vu3bgqyhbluq", type: "note.recorded", visibility: "public", payload: {} };
    const span = await sealSpan(await signerOfSeed(new Uint8Array(32)), said);
    const entry = { v: 1, seq: 0, recorded_at: span.time, span, decision: { outcome: "allow" } };
    this.same("an empty payload", undefined, await codeOf(() => parseOpened(entry)));
  }

  async claims() {
    const { accept } = await this.json("key-events.json");
    const claimed = accept.find((c) => c.claimer_events);
    const claimer = await Chain.fold(claimed.claimer_events);
    const [inception, claim] = claimed.events;
    const altered = { ...claim, counter: { ...claim.counter, value: claim.signature.value } };
    this.same("a counter-signature of another key", "signature_invalid", await codeOf(() => Chain.fold([inception, altered], [claimer])));
  }

  async shortProofs() {
    const leaves = await Promise.all([1, 2, 3, 4, 5].map((n) => sum(Uint8Array.of(n))));
    const of = (n) => root(leaves.slice(0, n));
    this.same("an empty proof", "proof_incomplete", await codeOf(async () => verifyInclusion(leaves[0], 0, 2, [], await of(1))));
    const proof = [leaves[2], leaves[3], await of(2)];
    this.same("a history rewritten before", "proof_invalid", await codeOf(async () => verifyConsistency(3, 4, await of(2), await of(4), proof)));
    this.same("a history that grew", undefined, await codeOf(async () => verifyConsistency(3, 4, await of(3), await of(4), proof)));
  }
}

// codeOf is the code by which f refuses, undefined where it does not.
async function codeOf(f) {
  try {
    await f();
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    return err.code;
  }
}

// altered are proofs with a hash changed, one left out, and one too many.
function altered(hashes) {
  const flip = (i) => hashes.map((h, j) => (i === j ? h.map((b, k) => (k === 0 ? b ^ 1 : b)) : h));
  return [...hashes.map((_, i) => flip(i)), ...(hashes.length ? [hashes.slice(1), hashes.slice(0, -1)] : []), [...hashes, new Uint8Array(32)]];
}
