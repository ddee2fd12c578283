// The steps of a visitor: in by a door under a ghost, a first record and its proof, and
// then, for whoever stays, the claim (docs/ghosts.md).
import { json } from "./api.js";
import { Caller, otherKey, ownKey } from "./caller.js";
import { el, fact, save, say, textField } from "./dom.js";
import { claimBy, current, ended, offerTo, recordOf, settle, visits } from "./ghost.js";
import { Journey } from "./journey.js";
import { forget, keep, load } from "./keep.js";
import { newKey } from "./newkey.js";
import { moment, short } from "./section.js";
import { note, steps } from "./steps.js";
import { records } from "./visitor.js";
import { Wrong } from "./wrong.js";
import { newSigner, signerOf } from "../lib/crypto.js";
import { ghost } from "../lib/events.js";
import { isIdentity } from "../lib/names.js";
import { signToken } from "../lib/tokens.js";

const accountPage = new URL("../../account", import.meta.url).href;
const order = ["door", "first", "proof", "stay", "mine"];
const toAccount = () => el("a", { class: "button", href: accountPage }, "Go to your account");

// keptVisit is the visit by a token, or without one the visit that was shown last.
export async function keptVisit(node, token) {
  if (token) return (await visits(node)).find((v) => v.invitation.token === token);
  const record = await load(current);
  return record && load(record);
}

// visitBy is the visit by a door, as it was looked at. Whoever is in already comes again
// as the same ghost.
export async function visitBy(token, door, node) {
  const before = await load(recordOf(door.tenant));
  if (before?.came && before.node.id === node && !before.claimedBy && !ended(before)) return before;
  return { began: Date.now(), node: { id: node }, invitation: { token, ...door }, step: "door" };
}

// goOn shows a visit.
export async function goOn(visit) {
  const record = recordOf(visit.invitation.tenant);
  await keep(current, record);
  const journey = new Visit(visit, { record, steps: visiting, order });
  await journey.keep({});
  await journey.show();
}

class Visit extends Journey {
  // put: a visitor has no session of onboarding that would be told.
  async put() { return {}; }

  async show() {
    const over = ended(this.state) && !this.state.claimedBy;
    if (over) this.state.step = "over";
    this.order = over ? ["over"] : order;
    return super.show();
  }

  async failed(err, again) {
    if (err.code === "key_expired" || err.code === "ghost_expired") {
      await this.keep({ ended: true });
      return this.show();
    }
    const field = err.code === "handle_taken" ? "handle" : err.errors?.map((e) => e.pointer.slice(1)).find((name) => this.shown.fields.some((f) => f.name === name));
    return super.failed(field ? new Wrong(field, err.message) : err, again);
  }
}

const visiting = {
  door: {
    short: "Door", title: "Come in as a visitor",
    async show(j) {
      const { name, slug, inviter, inviter_name, expires, registration } = j.state.invitation;
      const here = await ownHere(j);
      const closed = !registration && !j.state.came;
      return {
        lead: `${inviter_name || short(inviter)} opened a door of ${name} for visitors.`,
        fields: [], extra: [
          el("div", { class: "card" }, el("dl", {}, fact("Organisation", `${name} (${slug})`), fact("Opened by", inviter_name ? [inviter_name, el("br"), el("span", { class: "mono" }, inviter)] : inviter, !inviter_name), fact("Your visit ends", moment(expires)))),
          el("h2", {}, "What a visitor may do"),
          el("ul", {}, el("li", {}, "Put on record what you want to say, signed by a key of your own, at most 60 records a minute."), el("li", {}, "Read and prove what you put on record, and what is public there."), el("li", {}, "Nothing else: what its people read stays with them.")),
          el("p", {}, "You come as a ghost: an identity of one key, made in this browser, which ends by itself. If you stay, you make what you did part of an identity of your own."),
          here === "member" ? el("p", {}, `With the identity in this browser you belong to ${name} already. `, toAccount()) : null,
          here === "stranger" ? el("p", { class: "hint" }, `To join ${name} with the identity in this browser, ask for an invitation of your own. You may visit now, and make the visit part of that identity before it ends.`) : null,
          closed ? el("p", { class: "alert", role: "alert" }, "This server takes no new identities, and so no visitors. Ask whoever gave you the link.") : null,
        ],
        action: j.state.came ? "Go on" : `Visit ${name}`, next: closed ? undefined : () => enter(j),
      };
    },
  },

  first: { ...steps.first, title: "Your record", show: (j) => ({ ...steps.first.show(j), lead: `You visit ${j.state.invitation.name} until ${moment(j.state.me.expires)}. You sign here, with your ghost's key; the server adds it to the timeline and answers with a receipt.` }) },

  proof: { ...steps.proof, show: (j) => ({ ...steps.proof.show(j), next: async () => {}, action: "Go on" }) },

  stay: {
    short: "Stay", title: "Stay, or leave it at that",
    async show(j) {
      const node = j.state.node.id;
      const own = await ownKey(node);
      const begun = await load("journey");
      const { registration } = await json("GET", "node");
      const ready = begun?.me?.privateKey && begun.node.id === node ? begun : undefined;
      const taken = begun?.me?.privateKey ? !ready : begun?.held && begun.node.id === node;
      const view = own ? claiming(j, own) : !taken && (ready || registration === "open") ? await becoming(j, begun, ready) : notHere(j, begun, taken);
      return { ...view, lead: `Your ghost ends at ${moment(j.state.me.expires)}. What it put on record stays; until then you may make it part of an identity that lasts. Roles do not come along.`,
        after: [elsewhere(j), el("div", { class: "row" }, anew(j), toAccount())] };
    },
  },

  mine: {
    short: "Yours", title: "What you did here is yours",
    async show(j) {
      const { me, claimedBy, invitation } = j.state;
      const own = await ownKey(j.state.node.id);
      return {
        lead: `The ghost is part of ${own?.id === claimedBy ? "your identity" : "another identity"}: this browser checked both signatures.`,
        fields: [], extra: [
          el("div", { class: "card" }, el("dl", {}, fact("Identity", claimedBy, true), fact("Ghost", me.id, true))),
          ...(await theirs(new Caller(own?.id, j.state.node.id, own), j.state, own?.id === claimedBy)),
          el("div", { class: "row" }, toAccount(), el("button", { type: "button", onclick: async () => { await forget(current); location.reload(); } }, "Set up an organisation of your own")),
          el("p", { class: "hint" }, `${invitation.name} sees who you became wherever it sees the ghost.`),
        ],
      };
    },
  },

  over: {
    short: "Over", title: "Your visit has ended",
    show(j) {
      const { me, invitation } = j.state;
      const go = el("button", { type: "button", class: "main" }, "Forget this visit");
      go.addEventListener("click", () => j.busy(go, async () => { await forget(j.record); await forget(current); location.reload(); }));
      return {
        lead: `You visited ${invitation.name} as a ghost, which ended at ${moment(me.expires)}.`,
        fields: [], extra: [
          el("p", {}, "It signs nothing any more, and can no longer be claimed. What it put on record stays. To come again, ask for another link."),
          el("div", { class: "card" }, el("dl", {}, fact("Ghost", me.id, true))), go,
        ],
      };
    },
  },
};

// ownHere says how the identity of this browser stands to the organisation.
async function ownHere(j) {
  const own = await ownKey(j.state.node.id);
  if (!own) return "";
  const tenants = await new Caller(own.id, j.state.node.id, own).all("tenants");
  const here = tenants.find((t) => t.id === j.state.invitation.tenant);
  return here && !here.public_reading ? "member" : "stranger"; // what anybody may read says nothing
}

const noEntry = "This door lets nobody in any more: it is full, was withdrawn, or has ended. Ask whoever gave you the link for another.";
const waiting = "The people of the organisation must agree before you are in. Come back to this page later; your use of the door is kept.";

// enter makes the ghost, once, and has the door let it in. The ghost is kept first, so
// that whoever lost the answer comes again as the same.
async function enter(j) {
  const { invitation } = j.state;
  const before = await load(j.record); // another window may have been quicker
  if (before?.me && before.invitation.token === invitation.token) await j.keep({ ...before, step: "door" });
  if (!j.state.me) {
    const signer = await newSigner();
    const { id, event } = await ghost(signer, invitation.expires);
    await j.keep({ me: { id, key: signer.key, privateKey: signer.privateKey, event, expires: invitation.expires } });
  }
  try {
    const grant = await json("POST", "invitations/accept", { token: await j.token(), body: { token: invitation.token, events: [j.state.me.event] } });
    await j.keep({ tenant: { id: grant.tenant, slug: grant.slug, name: grant.name }, came: true });
    await json("GET", `tenants/${grant.tenant}`, { token: await j.token() });
  } catch (err) {
    if (err.code === "invitation_invalid") throw new Wrong("", noEntry);
    if (err.code === "tenant_unknown") throw new Wrong("", waiting);
    throw err;
  }
  if (!j.state.noted) await note(j);
}

// claiming is for whoever has an identity in this browser.
function claiming(j, own) {
  return {
    fields: [], extra: [el("p", {}, "The identity in this browser: ", el("span", { class: "mono" }, own.id))], action: "Make it part of my identity",
    next: () => claim(j, own),
  };
}

async function claim(j, own) {
  if (!(await claimBy(j.state, own))) throw new Wrong("", "The server did not keep the claim. Try again.");
  say("The ghost is part of your identity.");
}

// becoming makes an identity here, or goes on with ready, one that is not registered yet.
async function becoming(j, begun, ready) {
  j.state.who ??= begun?.who;
  const who = steps.who.show(j);
  const made = ready ? undefined : await newKey();
  return {
    fields: [...who.fields, ...(made ? [made.kept] : [])], placed: true, action: "Become a member of LogLine",
    extra: [el("h2", {}, "An identity of your own"), ...who.fields.map((f) => f.element),
      made ? made.element : el("p", {}, "Your key is in this browser, and you have kept your recovery sheet.")],
    async next() {
      await who.next();
      const mine = { began: Date.now(), step: "organisation", ...ready, node: j.state.node, who: j.state.who, saved: true };
      await made?.take(async (me) => {
        await alone(me);
        await keep("journey", Object.assign(mine, { me }));
      });
      await alone(mine.me);
      await register(mine);
      await keep("journey", { ...mine, registered: true });
      await claim(j, mine.me);
    },
  };
}

async function alone(me) {
  if (await otherKey(me.id)) throw new Wrong("", "Another window made an identity in this browser meanwhile, whose key would be lost. Load this page anew.");
}

async function register({ me, who, node }) {
  const token = await signToken(signerOf(me.key, me.privateKey), me.id, node.id, location.origin);
  await json("POST", "identities", { token, body: { events: [me.event], handle: who.handle, name: who.name } });
}

// notHere says what to do where the node registers nobody who just comes, or the place
// of an identity in this browser is taken.
const notHere = (j, begun, taken) => ({
  fields: [], next: undefined, extra: [el("p", {}, taken && begun.held
    ? "The server keeps the key of your identity here, and does not sign claims with it. Claim the ghost by an identity whose key you have."
    : taken ? `This browser has the key of an identity at another server, ${begun.node.id}, which would be lost. Claim the ghost by an identity that is kept elsewhere.`
    : `This server registers whoever is invited. Ask ${j.state.invitation.name} for an invitation of your own, and open its link in this browser: your account then offers the claim.`)],
});

// elsewhere is the claim by an identity whose key is not here: the ghost signs, and the
// command adds the other signature.
function elsewhere(j) {
  const id = textField("by", "Its LogLine ID", "", "As logline identity show says it.", { autocapitalize: "none", maxlength: "64" });
  const sign = el("button", { type: "button" }, "Sign, and save as a file");
  sign.addEventListener("click", () => j.busy(sign, async () => {
    if (!isIdentity(id.value)) {
      id.complain("Write the whole LogLine ID: logline-id:// and 52 letters and digits.");
      return id.control.focus();
    }
    id.complain("");
    save("logline-claim.json", JSON.stringify({ ghost: j.state.me.id, claim: await offerTo(j.state, id.value) }, null, 1) + "\n", "application/json");
    say("The claim was saved as a file.");
  }));
  const again = el("button", { type: "button" }, "Look whether it is claimed");
  again.addEventListener("click", () => j.busy(again, async () => {
    if (!(await settle(j.state))) throw new Wrong("", "Nobody has claimed it yet.");
    await j.go("mine");
  }));
  return el("details", {}, el("summary", {}, "Claim it by an identity that is kept elsewhere"), id.element, el("div", { class: "row" }, sign),
    el("p", {}, "Then, where its key is: ", el("code", {}, "logline identity claim --offer logline-claim.json")), el("div", { class: "row" }, again));
}

// anew goes back to put something else on record.
function anew(j) {
  const button = el("button", { type: "button" }, "Put something else on record");
  button.addEventListener("click", () => j.busy(button, async () => {
    await j.keep({ span: undefined, spanID: undefined, firstText: "" });
    await j.go("first");
  }));
  return button;
}

// theirs are the claimed ghost's records as those of who claimed it, where they may read.
async function theirs(caller, { tenant, invitation }, own) {
  if (!own) return [];
  const tenants = await caller.all("tenants");
  if (!tenants.some((t) => t.id === tenant.id)) {
    return [el("p", {}, `You hold no role in ${invitation.name}, so it shows you nothing. Ask for an invitation of your own, and open it in this browser: your account then shows what you did as a visitor among your records.`)];
  }
  return [el("h2", {}, "Your records"), await records(caller, tenant)];
}
