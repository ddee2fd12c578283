// A timeline folded from its first entry: which keys, members and roles hold at
// each position, which node writes, and whether a span may stand there. What
// contracts decided it takes as it is recorded; that, and what a suspended tenant
// takes, is for `logline verify` to judge.
import { Refusal, beneath } from "./refusal.js";
import { b64u } from "./bytes.js";
import { Chain, eventOf } from "./events.js";
import { isType, isUUID, tenantOf } from "./names.js";
import { originOf, parseLogKey } from "./notes.js";
import { bytesOf, hashOf, identity, list, object, oneOf, points, read, text, count } from "./shape.js";

const folded = ["genesis", "identity", "member", "contract", "approval", "resolution", "decision", "revert", "redaction", "handover", "epoch", "tenant"].map((t) => "logline." + t);
const families = ["logline.task.", "logline.peer."];
const byNode = ["genesis", "identity", "resolution", "decision", "evidence", "handover", "epoch"].map((t) => "logline." + t);
const nodeToo = ["logline.member", "logline.contract", "logline.redaction", "logline.tenant"];

const inFamily = (type) => families.some((f) => type.startsWith(f));
const known = (type) => folded.includes(type) || type === "logline.evidence" || inFamily(type);
const nodeOnly = (type) => byNode.includes(type) || inFamily(type);

// Which of the built-in roles may what; roles that contracts declare may neither.
const rights = {
  append: ["owner", "admin", "member", "agent", "guest"],
  onBehalf: ["owner", "admin", "member", "agent", "auditor"],
  administer: ["owner", "admin"],
  revert: ["owner", "admin", "member"],
  own: ["owner"],
};
const needs = { "logline.member": "administer", "logline.contract": "administer", "logline.redaction": "administer", "logline.tenant": "own", "logline.revert": "revert" };

const isRole = (s) => s.length <= 64 && isType(s) && !s.includes(".");
const genesis = {
  slug: points(256), name: points(256), node: identity, log_key: bytesOf(33), owner: identity, nonce: (v) => text(() => true, "text")(v), tenant: text(isUUID, "a UUID"),
};
const member = { identity, roles: list(64, text(isRole, "a role name")), action: oneOf("grant", "withdraw") };
const handover = { to: identity };
const resolution = { span: text(isUUID, "a UUID"), header_hash: hashOf, outcome: oneOf("executed", "rejected", "expired") };
const epoch = { prev_origin: points(512), prev_size: count, prev_root: hashOf, log_key: bytesOf(33), "authorisation?": object };

export class Timeline {
  constructor() {
    this.size = 0;
    this.recordedAt = "";
    this.identities = new Map(); // by LogLine ID
    this.members = new Map(); // identity → Set of roles
    this.epoch = 0;
    this.ownerGranted = false;
    this.handedTo = ""; // the node that is to write, until it opens its epoch
    this.waiting = new Map(); // span id → grant or withdrawal that waits for votes
  }

  roles(id) {
    return [...(this.members.get(id) ?? [])];
  }

  can(id, right) {
    return this.roles(id).some((role) => rights[right].includes(role));
  }

  // take judges the next entry, whose form and hashes have been checked, and folds
  // it in. After a refusal the timeline is not to be used.
  async take(entry) {
    if (entry.seq !== this.size) throw new Refusal("seq_gap", `entry ${entry.seq} stands where entry ${this.size} is due`);
    if (entry.recorded_at < this.recordedAt) throw new Refusal("time_backwards", `entry ${entry.seq} was recorded before the one in front of it`);
    await this.check(entry.span, entry.seq, entry.recorded_at);
    await this.fold(entry);
    this.size++;
    this.recordedAt = entry.recorded_at;
  }

  // check refuses a span that may not stand at a position, as far as keys, roles
  // and reserved types tell.
  async check(span, seq, recordedAt) {
    if (span.type.startsWith("logline.")) this.checkReserved(span, seq);
    if (seq === 0) return this.checkGenesis(span);
    if (span.tenant !== this.tenant) throw new Refusal("tenant_mismatch", "the span was signed for another tenant", "/tenant");
    if (seq === 1) return this.checkNode(span, recordedAt);
    if (this.handedTo !== "" && span.type !== "logline.epoch") throw new Refusal("timeline_handed_over", `the timeline was handed over to ${this.handedTo}`);
    const chain = this.identities.get(span.author);
    if (chain === undefined) throw new Refusal("author_unknown", "the author's key events are not in this timeline", "/author");
    chain.maySign(span.signature.key, span.type, recordedAt);
    if (seq === 2) return this.checkLogKey(span);
    if (span.type === "logline.epoch") return this.checkWriter(span);
    this.checkAuthor(span);
  }

  checkReserved(span, seq) {
    const { type } = span;
    if (!known(type)) throw new Refusal("reserved_type_unknown", `${type} is not a type of the protocol`, "/type");
    if (type === "logline.genesis" && seq !== 0) throw new Refusal("genesis_repeated", "genesis is entry 0 and no other", "/type");
    if (["logline.genesis", "logline.identity"].includes(type) && span.visibility !== "public") throw new Refusal("public_required", `a ${type} span is public`, "/visibility");
    if (folded.includes(type) && span.visibility === "private") throw new Refusal("private_not_allowed", `a ${type} span cannot be private`, "/visibility");
    if (folded.includes(type) && span.payload === undefined) throw new Refusal("payload_missing", `the payload of a ${type} span is never withheld`, "/payload");
  }

  async checkGenesis(span) {
    if (span.type !== "logline.genesis") throw new Refusal("genesis_missing", "a timeline begins with logline.genesis");
    const g = beneath("payload", () => read(span.payload, genesis));
    if ((await tenantOf(g)) !== g.tenant || span.tenant !== g.tenant) throw new Refusal("genesis_tenant_mismatch", "the tenant's id does not derive from genesis", "/payload/tenant");
    if (span.author !== g.node) throw new Refusal("reserved_author", "genesis is authored by the node that it names", "/author");
  }

  async checkNode(span, recordedAt) {
    const event = span.type === "logline.identity" ? eventOf(span.payload) : {};
    if (event.kind !== "inception" || event.subject !== "node") throw new Refusal("founding_incomplete", "entry 1 is the inception of the node", "/type");
    const chain = await Chain.begin(event);
    if (span.author !== this.node || chain.id !== this.node || chain.primary !== this.genesisKey) throw new Refusal("founding_mismatch", "entry 1 is not the inception of the node that genesis names, or another key signed genesis");
    chain.maySign(span.signature.key, span.type, recordedAt);
  }

  async checkLogKey(span) {
    const event = span.type === "logline.identity" && span.author === this.node ? eventOf(span.payload) : {};
    if (event.kind !== "delegate" || event.key !== b64u(this.logKey) || !(event.types ?? []).includes("logline.log")) {
      throw new Refusal("founding_mismatch", "entry 2 delegates the log key that genesis names, for logline.log");
    }
  }

  checkWriter({ author }) {
    if (author !== (this.handedTo || this.node)) throw new Refusal("epoch_not_authorised", "a new epoch is opened by the node that writes, or by the one it handed over to", "/author");
  }

  checkAuthor(span) {
    const { author, type } = span;
    const reserved = type.startsWith("logline.");
    if (author === this.node && (!reserved || nodeOnly(type) || nodeToo.includes(type))) return;
    if (nodeOnly(type)) throw new Refusal("reserved_author", `only the timeline's node authors ${type} spans`, "/author");
    if (this.roles(author).length === 0) throw new Refusal("not_a_member", "the author holds no role in this tenant", "/author");
    if (!this.can(author, "append")) throw new Refusal("append_forbidden", "none of the author's roles may append", "/author");
    if ("on_behalf_of" in span && span.on_behalf_of !== author && !this.can(author, "onBehalf")) throw new Refusal("guest_on_behalf", "a guest appends on its own behalf only", "/on_behalf_of");
    if (Object.hasOwn(needs, type) && !this.can(author, needs[type])) throw new Refusal("role_forbidden", `none of the author's roles may append ${type}`, "/author");
  }

  async fold(entry) {
    const { span } = entry;
    switch (span.type) {
      case "logline.genesis":
        this.genesis = span.payload;
        ({ tenant: this.tenant, node: this.node, owner: this.owner } = span.payload);
        this.logKey = parseLogKey(span.payload.log_key);
        this.genesisKey = span.signature.key;
        return;
      case "logline.identity":
        return this.embed(eventOf(span.payload));
      case "logline.member":
        return this.askMember(entry, beneath("payload", () => read(span.payload, member)));
      case "logline.resolution":
        return this.resolve(beneath("payload", () => read(span.payload, resolution)));
      case "logline.epoch":
        return this.nextEpoch(span, beneath("payload", () => read(span.payload, epoch)), entry.seq);
      case "logline.handover":
        return this.handOver(beneath("payload", () => read(span.payload, handover)));
    }
  }

  async embed(event) {
    if (event.kind === "inception") {
      const chain = await Chain.begin(event);
      if (this.identities.has(chain.id)) throw new Refusal("identity_embedded", "the identity's inception is in this timeline already");
      this.identities.set(chain.id, chain);
      return;
    }
    const chain = [...this.identities.values()].find((c) => (event.prev ? c.head === event.prev : c.under === event.under));
    if (chain === undefined) throw new Refusal("event_unplaced", "the event follows no embedded event that is the last of its identity");
    await chain.apply(event, [...this.identities.values()]);
  }

  // askMember takes a grant or a withdrawal, which does nothing yet where it waits.
  askMember({ span, decision }, p) {
    const change = this.member(span.author, p);
    if (decision?.outcome === "pending") this.waiting.set(span.id, { span, p });
    else change();
  }

  // resolve ends the waiting: what was asked for is judged once more, as roles are
  // by now.
  resolve({ span: id, outcome }) {
    const asked = this.waiting.get(id);
    this.waiting.delete(id);
    if (asked === undefined || outcome !== "executed") return;
    this.checkAuthor(asked.span);
    this.member(asked.span.author, asked.p)();
  }

  // member judges a change of roles, and answers what makes it.
  member(author, p) {
    let founds = false;
    if (author === this.node && !this.can(author, "administer")) {
      if (this.ownerGranted || p.action !== "grant" || p.identity !== this.owner || p.roles.join() !== "owner") {
        throw new Refusal("reserved_author", "the node grants one thing once: the role owner to the owner that genesis names");
      }
      founds = true;
    } else if (p.roles.includes("owner") && !this.can(author, "own")) {
      throw new Refusal("role_forbidden", "only an owner grants or withdraws the role owner", "/roles");
    }
    if (p.action === "grant" && this.identities.get(p.identity)?.status !== "active") {
      throw new Refusal("member_not_embedded", "the identity's key events are not in this timeline, or it is not active", "/identity");
    }
    return () => {
      this.ownerGranted ||= founds;
      const have = this.members.get(p.identity) ?? new Set();
      for (const role of p.roles) {
        if (p.action === "grant") have.add(role);
        else have.delete(role);
      }
      this.members.set(p.identity, have);
    };
  }

  handOver({ to }) {
    const chain = this.identities.get(to);
    if (chain?.subject !== "node" || chain.status !== "active" || to === this.node) {
      throw new Refusal("handover_target", "a timeline is handed over to another, active node whose key events are in it", "/to");
    }
    this.handedTo = to;
  }

  nextEpoch({ author }, p, seq) {
    if (p.prev_size !== seq) throw new Refusal("epoch_size", "the epoch does not continue the tree where it stands");
    const number = Number(p.prev_origin.split("/").at(-1));
    if (!Number.isSafeInteger(number) || number < this.epoch || p.prev_origin !== originOf({ tenant: this.tenant, node: this.node, epoch: number })) {
      throw new Refusal("epoch_origin", "the epoch follows another timeline, another node's, or an older epoch");
    }
    if (!this.identities.get(author).mayLog(b64u(parseLogKey(p.log_key)))) throw new Refusal("epoch_log_key", "the log key is not delegated by the node for logline.log");
    this.epoch = number + 1;
    this.logKey = parseLogKey(p.log_key);
    this.node = author;
    this.handedTo = "";
  }
}
