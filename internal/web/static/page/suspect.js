// What a key that somebody else may have had has signed: `logline identity suspect`.
// Keys are valid by position, so that of each timeline it says from which entry on
// the key signs nothing any more.
import { el, textField } from "./dom.js";
import { moment, Section } from "./section.js";
import { form } from "./signin.js";
import { Wrong } from "./wrong.js";
import { canonical } from "../lib/json.js";

const days = 30;
const most = 1000; // entries that are looked at in one timeline, of either sort

// keyInQuestion is the primary key before the last rotation, and the event that ended it.
export function keyInQuestion(events) {
  const primaries = events.filter((e) => e.kind === "inception" || e.kind === "rotation");
  return primaries.length < 2 ? undefined : { key: primaries.at(-2).key, end: primaries.at(-1) };
}

// look finds in one timeline where the key ended, {ended?, entries, behind, more, cut}:
// entries by it or by keys that it delegated since a time, newest first; behind are
// those behind its end, of which an honest server has none. more and cut say that there
// are older entries, and older key events, that it did not look at.
export async function look(caller, tenant, events, { key, end }, since) {
  const known = new Set(events.map(canonical));
  const keys = new Set([key]);
  const found = { ended: undefined, entries: [], behind: 0, more: false, cut: false };
  let seen = 0;
  for await (const { seq, recorded_at, span } of entries(caller, tenant, "type=logline.identity&order=desc")) {
    if (found.ended !== undefined && recorded_at < since) break;
    if (++seen > most) {
      found.cut = true;
      break;
    }
    const event = span.payload?.event;
    if (!event || !known.has(canonical(event))) continue;
    if (canonical(event) === canonical(end)) found.ended ??= seq;
    else if (event.kind === "delegate" && event.signature.key === key && recorded_at >= since) keys.add(event.key);
  }
  seen = 0;
  for await (const entry of entries(caller, tenant, `author=${encodeURIComponent(caller.id)}&since=${encodeURIComponent(since)}&order=desc`)) {
    if (++seen > most) {
      found.more = true;
      break;
    }
    if (!keys.has(entry.span.signature.key)) continue;
    const behind = entry.seq > found.ended; // never, where the end was not found
    found.entries.push({ ...entry, behind });
    if (behind) found.behind++;
  }
  return found;
}

async function* entries(caller, tenant, query) {
  for (let cursor = ""; cursor !== null;) {
    const page = await caller.json("GET", `tenants/${tenant.id}/spans?${query}&limit=100${cursor ? "&cursor=" + encodeURIComponent(cursor) : ""}`);
    yield* page.items;
    cursor = page.next;
  }
}

// suspect is the part of a page that lists it, since a day that the person picks.
export function suspect(caller, events, more = {}) {
  const asked = keyInQuestion(events);
  const section = new Section("What is in question", more);
  const day = textField("since", "Signed since", dayOf(new Date(Date.now() - days * 86_400_000)), "The last day on which nobody else can have had your key.", { type: "date", max: dayOf(new Date()) });
  const list = el("div", { "aria-live": "polite" });
  section.fields = { since: day };
  const show = async () => {
    if (!/^\d{4}-\d\d-\d\d$/.test(day.value)) throw new Wrong("since", "Choose a day.");
    const since = new Date(day.value + "T00:00").toISOString();
    const tenants = await caller.all("tenants");
    const parts = [];
    for (const t of tenants) parts.push(timeline(t, await look(caller, t, events, asked, since)));
    list.replaceChildren(...(parts.length ? parts : [el("p", {}, "You are in no organisation here: nothing is in question.")]));
  };
  section.load(async () => {
    await show();
    return [
      el("p", {}, "What the old key signed before its end is valid: nobody can tell by the signature whether it was you. Look through it, as this server shows it."),
      form(section, [day], "Show", show), list,
      el("p", { class: "hint" }, "Undo what was not you by ", el("code", {}, "logline revert"), ", and tell whom it concerns. A program that trusts no server lists the same: ", el("code", {}, "logline identity suspect"), "."),
    ];
  });
  return section.element;
}

// dayOf is a day as its field has it, here.
const dayOf = (date) => [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((n) => String(n).padStart(2, "0")).join("-");

function timeline(tenant, { ended, entries: found, behind, more, cut }) {
  const count = found.length - behind;
  return el("div", {},
    el("h3", {}, `${tenant.name} (${tenant.slug})`),
    el("p", {}, ended === undefined ? (cut ? `The end of the old key is not among the last ${most} key events of this timeline, and older ones were not looked at.` : "The end of the old key is not there yet: it enters before your next record.") : `The old key ends with number ${ended}: what it signs from there on is refused.`),
    behind ? el("p", { class: "alert", role: "alert" }, el("strong", {}, "This server breaks the rules"), `It shows ${behind === 1 ? "a record" : `${behind} records`} by the old key behind its end. No honest server has any. Save the timeline, have it checked by logline verify, and tell whoever runs the server.`) : null,
    el("p", {}, count === 0 ? "Nothing is in question." : count === 1 ? "One record is in question." : `${count} records are in question.`),
    found.length ? el("ol", { class: "items" }, found.map(item)) : null,
    more ? el("p", { class: "hint" }, `Only your last ${most} records were looked at.`) : null,
    cut ? el("p", { class: "hint" }, `Only the last ${most} key events were looked at: keys that the old one let sign before those are not known here. logline identity suspect looks at all.`) : null);
}

function item({ seq, recorded_at, span, behind }) {
  const text = span.title ?? (typeof span.payload?.text === "string" ? span.payload.text : "");
  return el("li", {}, el("p", {}, el("strong", {}, span.type), behind ? " behind its end" : ""), text ? el("p", {}, text.slice(0, 400)) : null,
    el("p", { class: "hint" }, `Number ${seq}, recorded ${moment(recorded_at)}`));
}
