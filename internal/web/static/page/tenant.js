// What the account page shows of an organisation: people, invitations, usage, the
// contracts in force, and the last records with their proofs.
import { pathOf } from "./api.js";
import { copyField, el, say, selectField } from "./dom.js";
import { inviteBy, withdraw } from "./invite.js";
import { keep, load } from "./keep.js";
import { checks, gather } from "./proof.js";
import { moment, Section, short } from "./section.js";
import { form } from "./signin.js";
import { parseNote } from "../lib/notes.js";

const lastSpans = 10;
const mostNames = 30;

// namesOf gives what the directory calls people, as far as it is told.
async function namesOf(caller, ids) {
  const names = new Map();
  await Promise.all(ids.slice(0, mostNames).map(async (id) => {
    const known = await caller.json("GET", pathOf(id)).catch(() => ({})); // the id does as well
    if (known.subject === "ghost") names.set(id, visitorName(known));
    else if (known.name || known.handle) names.set(id, [known.name, known.handle ? "@" + known.handle : ""].filter(Boolean).join(" "));
  }));
  return names;
}

// visitorName is what a ghost is called, which has no name.
function visitorName({ id, expires, claimed_by }) {
  if (claimed_by) return `Visitor ${short(id)}, now ${short(claimed_by)}`;
  return `Visitor ${short(id)}, ${new Date(expires) > new Date() ? "until" : "ended"} ${moment(expires)}`;
}

// rolesIn are the caller's roles; undefined where members are not shown to them.
export async function rolesIn(caller, tenant) {
  try {
    const { items } = await caller.json("GET", `tenants/${tenant.id}/members`);
    return items.find((m) => m.identity === caller.id)?.roles ?? [];
  } catch (err) {
    if (err.status !== 403) throw err;
    return undefined;
  }
}

export function members(caller, tenant, more) {
  const section = new Section("People", { ...more, level: 3 });
  section.load(async () => {
    const { items } = await caller.json("GET", `tenants/${tenant.id}/members`);
    const names = await namesOf(caller, items.map((m) => m.identity));
    return el("ul", { class: "items" }, items.filter((m) => m.roles.length).map((m) => el("li", {},
      el("p", {}, el("strong", {}, names.get(m.identity) ?? short(m.identity)), m.identity === caller.id ? " (you)" : ""),
      el("p", {}, m.roles.join(", ") + (m.status && m.status !== "active" ? `, ${m.status}` : "")),
      el("p", { class: "hint mono" }, m.identity))));
  });
  return section.element;
}

const invitable = [["auditor", "Auditor: reads and verifies"], ["member", "Member: adds records and reads"], ["admin", "Admin: manages people and rules"], ["agent", "Agent: a program that adds records"]];

// invitations are for those who may invite: by the key here, or in the server's custody.
export function invitations(caller, tenant, { stale }) {
  const section = new Section("Invitations", { stale, level: 3 });
  const links = el("div", { "aria-live": "polite" });
  const j = caller.within(tenant);
  section.load(async () => {
    const items = (await caller.all(`tenants/${tenant.id}/invitations`)).filter((i) => !i.uses);
    const open = items.filter((i) => i.state === "open");
    const role = selectField("invite-role", "Invite somebody as", invitable, "member", "A link for one person, good once and for a week. You may take it back.");
    section.fields = { "/role": role };
    return [
      open.length ? el("ul", { class: "items" }, open.map((i) => invitationItem(section, j, i))) : el("p", {}, "No invitation is open."),
      items.length > open.length ? el("p", { class: "hint" }, `${items.length - open.length} more were accepted, withdrawn, or have ended.`) : null,
      form(section, [role], "Make an invitation", async () => {
        const { link, expires } = await inviteBy(j, role.value);
        await section.again("An invitation was made.");
        links.replaceChildren(...copyField("link", "Invitation link", link, `For one ${role.value}, once, until ${moment(expires)}. It is shown only here: send it now.`, "Copy the link", "The link was copied."));
        section.body.append(links);
      }),
    ].flat();
  });
  return section.element;
}

function invitationItem(section, j, i) {
  const mark = i.id.slice(-4);
  return el("li", {}, el("p", {}, el("strong", {}, i.role), ` until ${moment(i.expires)}`),
    el("p", { class: "hint" }, `Made ${moment(i.created_at)} by ${i.inviter === j.state.me.id ? "you" : short(i.inviter)}`),
    section.twice("Withdraw", "Nobody can use its link any more.", "Yes, withdraw it", async () => {
      await withdraw(j, i.id);
      await section.again("The invitation was withdrawn.");
    }, `Withdraw the invitation of ${i.role} ${mark}`));
}

const quotas = { spans: "Records a second", storage: "Storage", feeds: "Open feeds", tasks: "Tasks that wait", members: "People" };

export function usage(caller, tenant, more) {
  const section = new Section("Usage", { ...more, level: 3 });
  section.load(async () => {
    const { items, warnings } = await caller.json("GET", `tenants/${tenant.id}/usage`);
    const amount = (quota, n) => (quota === "storage" ? bytes(n) : String(n));
    return [
      warnings.map((w) => el("p", { class: "alert" }, w)),
      el("div", { class: "card" }, el("dl", {}, el("dt", {}, "Records"), el("dd", {}, String(tenant.size)), items.map((q) => [
        el("dt", {}, quotas[q.quota] ?? q.quota),
        el("dd", {}, q.limit === undefined ? amount(q.quota, q.used) + ", no limit" : `${amount(q.quota, q.used)} of ${amount(q.quota, q.limit)} (${q.percent ?? 0} %)`),
      ]))),
    ].flat();
  });
  return section.element;
}

function bytes(n) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return `${at ? n.toFixed(1) : n} ${units[at]}`;
}

export function contracts(caller, tenant, more) {
  const section = new Section("Contracts in force", { ...more, level: 3 });
  section.load(async () => {
    const { items } = await caller.json("GET", `tenants/${tenant.id}/contracts`);
    const now = items.filter((c) => c.mode !== "past");
    if (now.length === 0) return el("p", {}, "None: whatever people with a role sign is recorded.");
    return el("ul", { class: "items" }, now.map((c) => el("li", {},
      el("p", {}, el("strong", {}, c.title || c.name)),
      el("p", { class: "hint" }, `${c.name} ${c.version}, ${c.mode === "shadow" ? "on trial: it refuses nothing" : "enforced"}, since ${moment(c.activated_at)}`),
      source(caller, tenant, c))));
  });
  return section.element;
}

// source shows a contract's text once somebody wants to see it.
function source(caller, tenant, c) {
  const details = el("details", {}, el("summary", {}, `Read ${c.name}`));
  details.addEventListener("toggle", async () => {
    try {
      const found = await caller.json("GET", `tenants/${tenant.id}/contracts/${encodeURIComponent(c.name)}?version=${encodeURIComponent(c.version)}`);
      details.append(el("pre", { class: "mono", tabindex: "0", "aria-label": `Contract ${c.name}` }, found.source.text));
    } catch (err) {
      details.append(el("p", { class: "error" }, err.message));
    }
  }, { once: true });
  return details;
}

// spans are the last records, each with what checks its proof in this browser.
export function spans(caller, tenant, more) {
  const section = new Section("Last records", { ...more, level: 3 });
  section.load(async () => {
    const { items } = await caller.json("GET", `tenants/${tenant.id}/spans?order=desc&limit=${lastSpans}`);
    const names = await namesOf(caller, [...new Set(items.map((e) => e.span.author))].filter((id) => id !== tenant.node));
    const author = (id) => (id === caller.id ? "you" : id === tenant.node ? "the server" : names.get(id) ?? short(id));
    return [
      el("p", { class: "hint" }, "Do not take the server's word for any of them: your browser checks by itself."),
      el("ol", { class: "items" }, items.map((entry) => entryItem(caller, tenant, section, entry, author))),
    ];
  });
  return section.element;
}

function entryItem(caller, tenant, section, entry, author) {
  const { span, seq, recorded_at } = entry;
  const list = el("ol", { class: "checks", "aria-live": "polite", "aria-label": `Checks of number ${seq}`, hidden: true });
  const verdict = el("div", { "aria-live": "assertive" });
  const text = span.title ?? (typeof span.payload?.text === "string" ? span.payload.text : "");
  return el("li", {}, el("p", {}, el("strong", {}, span.type)), text ? el("p", {}, text.slice(0, 400)) : null,
    el("p", { class: "hint" }, `Number ${seq}, by ${author(span.author)}, recorded ${moment(recorded_at)}, ${span.withheld ? "contents withheld" : span.visibility}`),
    el("div", { class: "row" }, section.button("Check the proof", () => prove(caller, tenant, entry, list, verdict), `Check the proof of number ${seq}`)),
    verdict, list);
}

// prove checks an entry as it is shown, against what this browser knows by itself:
// the node it met first, and the last checkpoint of the organisation that it checked.
async function prove(caller, tenant, entry, list, verdict) {
  list.replaceChildren();
  list.hidden = false;
  verdict.replaceChildren();
  const noted = await load(seen(tenant)) ?? (await before(tenant));
  const read = async (path) => (await caller.ask("GET", `tenants/${tenant.id}${path}`)).text;
  const fetched = await gather(read, (await caller.json("GET", "node")).events, { spanID: entry.span.id, opened: true, noted, guest: tenant.roles === undefined });
  const found = {};
  const stranger = tenant.public_reading && tenant.roles?.length === 0;
  const known = { shown: entry, me: stranger ? undefined : { id: caller.id }, node: caller.node, tenant: tenant.id, noted };
  for await (const c of checks(known, fetched, found)) {
    list.append(el("li", { class: c.holds ? "holds" : "fails" }, el("strong", {}, c.title), el("span", {}, c.says)));
    if (!c.holds) {
      verdict.append(el("div", { class: "alert", role: "alert" }, el("strong", {}, "Not verified"), `This check failed: ${c.title}. ${c.says} Do not rely on this server, keep this page, and tell whoever runs it.`));
      return;
    }
  }
  if (!noted || parseNote(noted).size < found.note.size) await keep(seen(tenant), found.note.signed);
  verdict.append(el("div", { class: "good" }, el("strong", {}, "Verified"), `Checked in this browser: number ${entry.seq} of ${tenant.name}.`));
  say("Verified.");
}

const seen = (tenant) => "checkpoint " + tenant.id;

// before is the checkpoint that was kept when the person came by /onboard.
async function before(tenant) {
  const journey = await load("journey");
  return journey?.tenant?.id === tenant.id ? journey.noted : undefined;
}
