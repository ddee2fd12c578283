// What the account page shows of visits: all there is to somebody whose only key here is
// a ghost's, and what may still be claimed to everybody else.
import { Caller, ownKey } from "./caller.js";
import { el, fact } from "./dom.js";
import { claimBy, current, ended, open, recordOf, visits } from "./ghost.js";
import { keep } from "./keep.js";
import { moment, Section, short } from "./section.js";
import { spans } from "./tenant.js";
import { Wrong } from "./wrong.js";

const onboarding = new URL("../../onboard", import.meta.url).href;

// to goes on with a visit on its own page, at a step.
async function to(visit, step) {
  await keep(recordOf(visit.tenant.id), { ...visit, step, ...(step === "first" ? { span: undefined, spanID: undefined, firstText: "" } : {}) });
  await keep(current, recordOf(visit.tenant.id));
  location.href = onboarding;
}

// visitor are the parts for somebody who has nothing here but ghosts; none where there
// is no visit.
export async function visitor(node) {
  return (await visits(node)).filter((v) => v.came).map((v) => part(v, node));
}

function part(visit, node) {
  const section = new Section(`Visit to ${visit.tenant.name}`);
  section.load(async () => [
    el("div", { class: "card" }, el("dl", {}, fact("Organisation", `${visit.tenant.name} (${visit.tenant.slug})`), fact("You come as", "a visitor, under a ghost that ends by itself"), fact("Ghost", visit.me.id, true), fact(ended(visit) ? "Ended" : "Ends", moment(visit.me.expires)))),
    ...(visit.claimedBy ? [el("p", {}, "It is part of ", el("span", { class: "mono" }, visit.claimedBy), ".")]
      : ended(visit) ? [el("p", { class: "alert" }, "This visit has ended: the ghost signs nothing any more, and can no longer be claimed. What it put on record stays.")]
        : await standing(section, visit, new Caller(visit.me.id, node, visit.me))),
  ]);
  return section.element;
}

async function standing(section, visit, caller) {
  const tenant = (await caller.all("tenants")).find((t) => t.id === visit.tenant.id);
  return [
    el("div", { class: "row" }, section.button("Become a member of LogLine", () => to(visit, "stay")), tenant ? section.button("Put something on record", () => to(visit, "first")) : null),
    tenant ? spans(caller, tenant, {}) : el("p", {}, `The people of ${visit.tenant.name} must agree before you are in, or your role was withdrawn.`),
  ];
}

// claims is for somebody with an identity whose key is here: the ghosts of this browser
// that may become part of it. undefined where there are none.
export async function claims(caller) {
  if (!caller.own || (await ownKey(caller.node))?.id !== caller.id) return undefined;
  const mine = async () => (await visits(caller.node)).filter(open);
  if ((await mine()).length === 0) return undefined;
  const section = new Section("You came as a visitor");
  section.load(async () => {
    const all = await mine();
    if (all.length === 0) return el("p", {}, "No visit is left to claim.");
    return el("ul", { class: "items" }, all.map((v) => el("li", {},
      el("p", {}, el("strong", {}, v.tenant.name)), el("p", { class: "hint" }, `Ghost ${short(v.me.id)}, until ${moment(v.me.expires)}`),
      section.button("Make it part of my identity", async () => {
        const by = await claimBy(v, caller.me);
        if (by && by !== caller.id) await section.again(); // it is not in the list any more
        if (by !== caller.id) throw new Wrong("", by ? `Another identity, ${by}, has claimed your visit to ${v.tenant.name} before: it cannot be claimed twice.` : "The server did not keep the claim. Try again.");
        await section.again(`What you did in ${v.tenant.name} as a visitor is yours.`);
      }, `Make the visit to ${v.tenant.slug} part of my identity`))));
  });
  return section.element;
}

// records are the last of the caller and of the ghosts that they claimed, in a tenant.
export async function records(caller, tenant) {
  const { items } = await caller.json("GET", `tenants/${tenant.id}/spans?author=${encodeURIComponent(caller.id)}&claimed=true&order=desc&limit=10`);
  return items.length === 0 ? el("p", {}, "None yet.") : el("ol", { class: "items" }, items.map(({ seq, span, recorded_at }) => el("li", {},
    el("p", {}, el("strong", {}, span.type)), typeof span.payload?.text === "string" ? el("p", {}, span.payload.text.slice(0, 400)) : null,
    el("p", { class: "hint" }, `Number ${seq}, recorded ${moment(recorded_at)}${span.author === caller.id ? "" : ", as a visitor"}`))));
}

// yours shows them to whoever has claimed a ghost.
export function yours(caller, tenant, more) {
  const section = new Section("Your records", { ...more, level: 3 });
  section.load(async () => {
    const { claimed = [] } = await caller.json("GET", caller.path);
    return claimed.length === 0 ? null : records(caller, tenant);
  });
  return section.element;
}
