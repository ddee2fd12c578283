// API keys: how programs come as the person, and what they may do.
import { checkField, copyField, el, selectField, textField } from "./dom.js";
import { moment, Section } from "./section.js";
import { form } from "./signin.js";
import { Wrong } from "./wrong.js";
import { timeOf } from "../lib/names.js";

const rights = [
  ["read", "Read what you may read", true],
  ["append", "Have records signed, where this server keeps your key", false],
  ["tasks", "Make and run tasks", false],
];
const lives = [["30", "30 days"], ["90", "90 days"], ["365", "1 year"], ["", "As long as this server lets keys last"]];

export function apiKeys(caller, { stale }) {
  const section = new Section("API keys", { stale });
  section.load(async () => {
    const [all, tenants] = await Promise.all([caller.all(`${caller.path}/keys`), caller.all("tenants")]);
    const now = new Date().toISOString();
    const open = all.filter((k) => !k.revoked_at && (!k.expires || k.expires > now));
    return [
      el("p", {}, "A program that has one comes as you, and may do what the key says. It cannot change your account."),
      open.length ? el("ul", { class: "items" }, open.map((k) => keyItem(caller, section, k, tenants))) : el("p", {}, "You have none."),
      all.length > open.length ? el("p", { class: "hint" }, `${all.length - open.length} more were withdrawn, or have ended.`) : null,
      newKey(caller, section, tenants),
    ];
  });
  return section.element;
}

function newKey(caller, section, tenants) {
  const label = textField("key-label", "What is the new key for?", "", "Such as Nightly import. No personal data.", { maxlength: "64" });
  const may = rights.map(([name, words, on]) => [name, checkField(`key-${name}`, words, on)]);
  const types = textField("key-types", "Types of records it may have signed", "", "Such as note.* order.paid. Empty: all but what manages.", { autocapitalize: "none" });
  const tenant = selectField("key-tenant", "Where it counts", [["", "In all your organisations"], ...tenants.map((t) => [t.id, t.name])], "");
  const life = selectField("key-life", "How long it lasts", lives, "90");
  section.fields = { "key-label": label, "key-read": may[0][1], "/label": label, "/types": types, "/tenant": tenant, "/expires": life, "/rights": may[0][1] };
  const named = el("fieldset", {}, el("legend", {}, "What it may do"), may.map(([, box]) => box.element));
  return form(section, [label, { element: named }, types, tenant, life], "Make an API key", async () => {
    const chosen = may.filter(([, box]) => box.value).map(([name]) => name);
    if (label.value === "") throw new Wrong("key-label", "Say what it is for, so that you know it again.");
    if (chosen.length === 0) throw new Wrong("key-read", "Choose something that it may do.");
    const { key } = await caller.json("POST", `${caller.path}/keys`, { body: {
      label: label.value, rights: chosen,
      ...(types.value ? { types: types.value.split(/[\s,]+/) } : {}),
      ...(tenant.value ? { tenant: tenant.value } : {}),
      ...(life.value ? { expires: timeOf(new Date(Date.now() + life.value * 86_400_000)) } : {}),
    } });
    await section.again("An API key was made.");
    section.body.append(...copyField("api-key", `API key for ${label.value}`, key, "It is shown only here. Keep it as you keep a password.", "Copy the key", "The key was copied."));
  });
}

function keyItem(caller, section, k, tenants) {
  const name = k.label || k.id;
  const where = k.tenant ? `in ${tenants.find((t) => t.id === k.tenant)?.name ?? k.tenant}` : "in all your organisations";
  const what = [(k.rights ?? ["read"]).join(", "), k.types?.length ? `types ${k.types.join(", ")}` : "", where, k.expires ? `until ${moment(k.expires)}` : "without an end"].filter(Boolean).join("; ");
  return el("li", {}, el("p", {}, el("strong", {}, name)), el("p", { class: "hint" }, what),
    el("p", { class: "hint" }, `Made ${moment(k.created_at)}. ${k.used_at ? "Last used " + moment(k.used_at) : "Not used yet"}`),
    section.twice("Withdraw", `Whatever uses the key “${name}” is shut out at once.`, "Yes, withdraw the key", async () => {
      await caller.json("DELETE", `${caller.path}/keys/${k.id}`);
      await section.again("The key was withdrawn.");
    }, `Withdraw the API key ${name}`));
}
