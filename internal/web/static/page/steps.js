// The steps: each shows a form and says what to do with what was filled in. They
// are plain functions of the journey (page/journey.js), which keeps what is known.
import { areaField, checkField, copyField, el, fact, radioField, save, say, selectField, textField } from "./dom.js";
import { ask, json } from "./api.js";
import { newKey } from "./newkey.js";
import { checks, gather } from "./proof.js";
import { inviteBy } from "./invite.js";
import { providerLinks } from "./providers.js";
import { identityStep, named, recoveryStep, tenantStep } from "./standing.js";
import { codePoints, isSlug, newID } from "../lib/names.js";
import { sealSpan } from "../lib/spans.js";
import { parseReceipt } from "../lib/receipts.js";
import { rootText } from "../lib/notes.js";
import { b64u } from "../lib/bytes.js";
import { Wrong } from "./wrong.js";

const accountPage = new URL("../../account", import.meta.url).href;

const plain = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");

// suggest fills a field from another one until the person has written in it.
function suggest(from, to, make) {
  let own = to.value !== "" && to.value !== make(from.value);
  to.control.addEventListener("input", () => { own = to.value !== ""; });
  from.control.addEventListener("input", () => { if (!own) to.control.value = make(from.value); });
}

export const steps = {
  who: {
    short: "You", title: "Who are you?",
    show(j) {
      const name = textField("name", "Your name", j.state.who?.name, "Shown to the people you work with. You can change or erase it later; it is in no signed record.", { autocomplete: "name", maxlength: "128" });
      const handle = textField("handle", "Handle", j.state.who?.handle, "How others mention you, such as ana or ana.silva.", { autocapitalize: "none", maxlength: "63" });
      suggest(name, handle, (v) => plain(v).replaceAll("-", ".").slice(0, 40));
      return {
        lead: j.state.invitation ? `You were invited to ${j.state.invitation.name} as ${j.state.invitation.role}. It takes a minute.` : "From nothing to your first verified record, in about two minutes.",
        fields: [name, handle],
        async next() {
          if (name.value === "") throw new Wrong("name", "Write your name, or what you want to be called.");
          if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(handle.value)) throw new Wrong("handle", "Use small letters, digits, dots, dashes and underscores, and begin with a letter or digit.");
          await j.keep({ who: { name: name.value, handle: handle.value } });
        },
      };
    },
  },

  organisation: {
    short: "Organisation", title: "Your organisation",
    show(j) {
      const kept = j.state.org ?? {};
      const name = textField("tenant_name", "Organisation", kept.name, "The name that its records carry. It stands in the first record and stays.", { autocomplete: "organization", maxlength: "256" });
      const slug = textField("slug", "Short name", kept.slug, "For addresses and commands, such as acme.", { autocapitalize: "none", maxlength: "63" });
      suggest(name, slug, (v) => plain(v).slice(0, 63).replace(/-+$/, ""));
      const retention = selectField("retention_days", "Keep what records contain", [["", "for good"], ["30", "30 days"], ["90", "90 days"], ["365", "1 year"], ["2555", "7 years"], ["3650", "10 years"]], kept.retention ?? "", "After that the contents are erased; that the record was made, when and by whom, stays provable.");
      const reading = checkField("public_reading", "Anybody may read what is marked public", kept.publicReading ?? false, "Leave it off if you are not sure.");
      const token = textField("admission", "Setup token", j.state.admission, "Only for the first organisation on a new server: it is in the file bootstrap-token in the server's data directory, and begins with llb_.", { type: "password", autocapitalize: "none" });
      return {
        lead: "Its records form one timeline of its own, which nobody can rewrite unseen.",
        fields: [name, slug, retention, reading, token],
        async next() {
          if (name.value === "" || codePoints(name.value) > 256) throw new Wrong("tenant_name", "Write the organisation's name.");
          if (!isSlug(slug.value)) throw new Wrong("slug", "Use small letters, digits and dashes, at most 63, and no dash at the ends.");
          if (token.value !== "" && !/^\S{8,}$/.test(token.value)) throw new Wrong("admission", "A setup token is one word, such as llb_…. Copy it whole.");
          await j.keep({ org: { name: name.value, slug: slug.value, retention: retention.value, publicReading: reading.value }, admission: token.value });
        },
      };
    },
  },

  key: {
    short: "Key", title: "Your key, and a way back",
    async show(j) {
      if (j.state.saved && j.state.me) return keyKept(j);
      const mine = await newKey();
      const keeper = radioField("keeper", "Who keeps your key?", [
        ["self", "This browser", "Nobody else can sign as you. A recovery sheet brings you back if this device is lost."],
        ["server", "The server, behind a password", "You sign in from any device. Whoever runs the server could sign as you, and your identity says so."],
      ], "self");
      const password = textField("password", "Password", "", "Some words that do not belong together are good.", { type: "password", autocomplete: "new-password" });
      const held = el("div", { hidden: true }, providerLinks("onboard"), password.element);
      keeper.element.classList.add("no-print");
      keeper.element.addEventListener("change", () => {
        mine.element.hidden = keeper.value === "server";
        held.hidden = !mine.element.hidden;
      });
      return {
        lead: "With it you sign what you put on record.",
        fields: [keeper, mine.kept, password], extra: [keeper.element, mine.element, held], placed: true,
        async next() {
          if (keeper.value === "server") {
            if (password.value === "") throw new Wrong("password", "Choose a password.");
            await openAccount(j, password.value);
          } else {
            await mine.take((me) => j.keep({ me, saved: true }));
          }
          await begin(j);
        },
      };
    },
  },

  template: {
    short: "Template", title: "Begin with a template",
    async show(j) {
      const { items } = await json("GET", "templates");
      const options = items.map((t) => [t.name, t.title, t.summary, contents(t.name)]);
      const choice = radioField("template", "What is it for?", [...options, ["", "Nothing yet", "Start empty. Templates can be applied later."]], j.state.template ?? options[0]?.[0] ?? "");
      return {
        lead: "A template is a few rules and examples, signed by you. You can change them later.",
        fields: [choice],
        async next() {
          await j.keep({ template: choice.value });
          await j.put("template", choice.value === "" ? { skip: true } : { template: choice.value });
        },
      };
    },
  },

  invite: {
    short: "People", title: "Invite somebody",
    show(j) {
      const role = radioField("role", "What may they do?", [
        ["auditor", "Auditor", "Reads and verifies everything, adds nothing."], ["member", "Member", "Adds records and reads."],
        ["admin", "Admin", "Manages people and rules too."], ["agent", "Agent", "A program that adds records."],
      ], "auditor");
      const list = el("div", { "aria-live": "polite" });
      const make = el("button", { type: "button" }, "Make an invitation");
      let shown = 0;
      make.addEventListener("click", () => j.busy(make, async () => {
        const { link, expires } = await inviteBy(j, role.value);
        shown++;
        await j.keep({ invited: true });
        list.append(...copyField(`link-${shown}`, `Invitation link ${shown}`, link, `For one ${role.value}, once, until ${new Date(expires).toLocaleString()}. It is shown only here: send it now.`, `Copy link ${shown}`, "The link was copied."));
        say(`An invitation for one ${role.value} was made.`);
      }));
      return {
        lead: "An invitation is a link for one person. It carries the role you choose, ends after a week, and you can take it back. You may also do this later.",
        fields: [role], extra: [el("div", { class: "row" }, make), list], extraLast: true,
        async next() { await j.put("invitations", j.state.invited ? { done: true } : { skip: true }); },
      };
    },
  },

  first: {
    short: "First record", title: "Your first record",
    show(j) {
      const text = areaField("text", "What do you want to put on record?", j.state.firstText ?? "", "For instance: Ana opened the books of Acme.");
      const who = selectField("visibility", "Who may read it", [["organization", "People of the organisation"], ["private", "You and auditors"], ["public", "Anybody, where public reading is on"]], "organization");
      return {
        lead: j.state.held ? "The server signs it for you, with the key that it keeps, and answers with a receipt." : "You sign it here, with your key. The server adds it to the timeline and answers with a receipt.",
        fields: j.state.held ? [text] : [text, who], action: "Sign and record",
        async next() {
          if (text.value === "") throw new Wrong("text", "Write a sentence.");
          const span = await (j.state.held ? told(j, text.value) : signed(j, text.value, who.value));
          await j.put("first_span", { span });
        },
      };
    },
  },

  proof: {
    short: "Proof", title: "See for yourself",
    show(j) {
      const list = el("ol", { class: "checks", "aria-live": "polite", "aria-label": "Checks" });
      const verdict = el("div", { "aria-live": "assertive" });
      const facts = el("div", {});
      const again = el("button", { type: "button" }, "Check again");
      const run = () => j.busy(again, () => prove(j, list, verdict, facts));
      again.addEventListener("click", run);
      return {
        lead: "Do not take the server's word for it: your browser checks now, by itself.",
        fields: [], extra: [verdict, list, facts, el("div", { class: "row" }, again)], action: null,
        begin: run,
      };
    },
  },
};

// contents shows what is in a template, once somebody wants to see it.
function contents(name) {
  const details = el("details", {}, el("summary", {}, "What is in it"));
  details.addEventListener("toggle", async () => {
    try {
      const { roles, contracts } = await json("GET", `templates/${encodeURIComponent(name)}`);
      details.append(el("dl", {}, roles.map((r) => [el("dt", {}, r.name), el("dd", {}, r.does)])),
        ...contracts.map((c) => el("pre", { class: "mono", tabindex: "0", "aria-label": `Contract ${c.name}` }, c.source)));
    } catch (err) {
      details.append(el("p", { class: "error" }, err.message));
    }
  }, { once: true });
  return details;
}

// signed signs a record here, and appends it. It is kept before it is sent, so that
// what is sent again is the same span.
async function signed(j, text, visibility) {
  const { span, tenant, me } = j.state;
  if (span?.payload.text !== text || span.visibility !== visibility) {
    await j.keep({ span: await sealSpan(j.signer(), { tenant: tenant.id, author: me.id, type: "note.recorded", visibility, payload: { text } }), firstText: text });
  }
  await ask("POST", `tenants/${tenant.id}/spans`, { body: j.state.span });
  await j.keep({ spanID: j.state.span.id });
  return j.state.span.id;
}

// told has the server sign a record, as an event (docs/cloudevents.md): the same
// event is one span, however often it is sent.
async function told(j, text) {
  if (j.state.event?.data.text !== text) {
    await j.keep({ event: { specversion: "1.0", id: newID(), source: location.origin + "/onboard", type: "note.recorded", data: { text } }, firstText: text });
  }
  const { text: receipt } = await ask("POST", `tenants/${j.state.tenant.id}/events`, { body: JSON.stringify(j.state.event), type: "application/cloudevents+json" });
  const { entry } = await parseReceipt(receipt);
  await j.keep({ spanID: entry.span.id });
  return entry.span.id;
}

// openAccount has the server make an identity and keep its key. Where the answer to
// an earlier try was lost, the handle is taken by what that try made.
async function openAccount(j, password) {
  const { who, asked, invitation, admission } = j.state;
  const admits = invitation?.token ?? admission;
  await j.keep({ asked: true });
  let opened;
  try {
    opened = await json("POST", "accounts", { body: { custody: true, handle: who.handle, name: who.name, password, cookie: true, ...(admits ? { admission: admits } : {}) } });
  } catch (err) {
    if (err.code !== "handle_taken" || !asked) throw err;
    opened = await json("POST", "sessions", { body: { name: who.handle, password, cookie: true } }).catch(() => { throw err; });
  }
  await j.keep({ me: { id: opened.session.identity }, held: true, saved: true });
}

// keyKept is the key step of somebody whose key and sheet are made already.
function keyKept(j) {
  const { invitation, held } = j.state;
  return {
    lead: held ? "The server keeps your key, behind your login. Go on to register." : invitation ? `You join ${invitation.name} as ${invitation.role}, with the key in this browser.` : "Your key is in this browser, and you have kept your recovery sheet. Go on to register.",
    fields: [], next: () => begin(j),
  };
}

// begin registers the identity and makes the organisation, or joins one.
async function begin(j) {
  const { invitation } = j.state;
  await named(j);
  if (!j.state.brought) {
    await j.put("identity", await identityStep(j));
    await j.keep({ registered: true, brought: true });
  }
  await j.put("tenant", tenantStep(j));
  if (!invitation) await j.keep({ admission: "" }); // it is spent
  await j.put("recovery", recoveryStep(j));
  if (!j.state.noted) await note(j);
}

// note keeps the first checkpoint that this browser sees.
export async function note(j) {
  const { text } = await ask("GET", `tenants/${j.state.tenant.id}/checkpoint`, { token: await j.token() });
  await j.keep({ noted: text });
}

async function prove(j, list, verdict, facts) {
  const { tenant, span, event, me, node, invitation, noted } = j.state;
  list.replaceChildren();
  verdict.replaceChildren();
  facts.replaceChildren();
  const token = await j.token();
  const read = async (path) => (await ask("GET", `tenants/${tenant.id}${path}`, { token })).text;
  const fetched = await gather(read, (await json("GET", "node")).events, { spanID: j.state.spanID, opened: event !== undefined, noted, guest: invitation?.role === "guest" });
  const found = {};
  const known = { span, event, me, node: node.id, tenant: tenant.id, owner: invitation ? undefined : me.id, noted };
  for await (const c of checks(known, fetched, found)) {
    list.append(el("li", { class: c.holds ? "holds" : "fails" }, el("strong", {}, c.title), el("span", {}, c.says)));
    if (!c.holds) {
      verdict.append(el("div", { class: "alert", role: "alert" }, el("strong", {}, "Not verified"), `This check failed: ${c.title}. ${c.says} Do not rely on this server, keep this page, and tell whoever runs it.`));
      return;
    }
  }
  const r = found.receipt;
  if (r) await j.put("proof", { seq: r.index, leaf_hash: b64u(r.leaf), root: rootText(r.note), size: r.size });
  await j.finish();
  const { began, ended } = j.state;
  const took = Math.max(1, Math.round((ended - began) / 1000));
  verdict.append(el("div", { class: "good" }, el("strong", {}, "Verified"), `Checked in this browser, ${took === 1 ? "a second" : `${took} seconds`} after you began.`));
  facts.append(...verified(j, found, fetched));
  scrollTo(0, 0);
  say("Verified.");
}

// verified is what was verified, and the files to check it again elsewhere.
function verified(j, { receipt, note }, fetched) {
  const { tenant, me, node } = j.state;
  const file = (words, name, text, type) => (text === undefined ? null : el("button", { type: "button", onclick: () => save(name, text, type) }, words));
  const guest = j.state.invitation?.role === "guest";
  const long = fetched.bundle === undefined && !guest;
  return [
    guest ? el("p", {}, "What others put on record is not for guests to read: what is proven is your entry, and the checkpoint of the whole that it is in.") : null,
    long ? el("p", {}, `The timeline has ${note.size} entries: that each of them holds is for the command line to check.`) : null,
    el("div", { class: "card" }, el("dl", {},
      fact("Organisation", `${tenant.name} (${tenant.slug})`),
      receipt ? fact("Entry", `number ${receipt.index}, recorded ${new Date(receipt.entry.recorded_at).toLocaleString()}`) : fact("Entries", String(note.size)),
      fact("Root of the timeline", rootText(note), true), fact("You", me.id, true), fact("Server", node.id, true))),
    el("div", { class: "row" },
      file("Save the receipt", "logline-receipt.json", fetched.receipt, "application/json"),
      file("Save the checkpoint", "logline-checkpoint.txt", note.signed),
      file("Save the timeline", "logline-timeline.ndjson", fetched.bundle, "application/x-ndjson")),
    guest ? null : el("p", { class: "hint" }, "A program that did not come from this server checks the same: ",
      el("code", {}, long ? `logline verify --tenant ${tenant.slug}` : `logline verify --node ${node.id} --checkpoint logline-checkpoint.txt logline-timeline.ndjson`)),
    el("p", {}, el("a", { class: "button", href: accountPage }, "Go to your account")),
  ].filter(Boolean);
}
