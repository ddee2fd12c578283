// A person's account at a node: who they are here, how they come in, what they belong
// to, and what was recorded last. Each part loads by itself (page/section.js).
import { json } from "./page/api.js";
import { el, fact, say, showIn } from "./page/dom.js";
import { keep, load } from "./page/keep.js";
import { chosen, ownKey, recognise } from "./page/caller.js";
import { apiKeys } from "./page/apikeys.js";
import { email, links, password, secondFactor } from "./page/login.js";
import { accountOf, keys, passkeys, profile, sessions } from "./page/person.js";
import { cameBack, told } from "./page/providers.js";
import { Section, wordsOf } from "./page/section.js";
import { signInSection } from "./page/signin.js";
import { doors } from "./page/doors.js";
import { contracts, invitations, members, rolesIn, spans, usage } from "./page/tenant.js";
import { claims, visitor, yours } from "./page/visitor.js";
import { supported } from "./lib/crypto.js";

const onboarding = new URL("../onboard", import.meta.url).href;
const recovering = new URL("../recover", import.meta.url).href;

const show = showIn("account");

async function begin() {
  if (!(await supported())) {
    return show("This browser cannot check what LogLine signs", el("p", { class: "alert", role: "alert" }, "It takes a browser of 2025 or newer (Chrome 137, Firefox 129, Safari 17), and a page by https:// or on this machine."));
  }
  const { id } = await json("GET", "node");
  const met = (await load("node")) ?? (await load("journey"))?.node.id;
  if (met && met !== id) return otherNode(met, id);
  await keep("node", id);
  const back = cameBack();
  if (back?.signedIn) await keep(chosen, "session");
  const { caller, needs, stale } = await recognise(id);
  if (caller) return account(caller, id, back);
  const visited = needs || stale || back ? [] : await visitor(id);
  return visited.length ? visiting(visited, id) : signIn(id, { code: needs === "code", stale, back });
}

// visiting is the account of somebody who has nothing here but what a visitor has.
function visiting(parts, node) {
  show("Your visits", el("p", { class: "lead" }, "You have no identity of your own in this browser."), parts,
    el("button", { type: "button", class: "quiet", onclick: () => signIn(node) }, "Sign in with an identity of your own"));
}

// otherNode stops before anything is believed of a server that is not the one which
// this browser knows.
function otherNode(met, id) {
  const go = el("button", { type: "button", onclick: async () => { await keep("node", id); await start(); } }, "It was set up anew: go on");
  show("This is another server than before", el("p", { class: "alert", role: "alert" }, `This browser knows ${met}; the server here is ${id}. Ask whoever runs it before you go on.`), el("div", { class: "row" }, go));
}

// signIn shows the ways in, and the account once there is one.
async function signIn(node, { code, stale, back } = {}) {
  const own = !stale && (await ownKey(node)) !== undefined;
  show("Sign in", told(back),
    stale ? el("p", { class: "alert", role: "alert" }, "The key in this browser is good no more at this server: it was replaced or withdrawn, or your identity has ended. If that was not you, recover with your recovery sheet.") : null,
    signInSection({ own, code }, start),
    el("p", {}, "Nobody here yet? ", el("a", { href: onboarding }, "Set up your identity"), ". Lost your key? ", el("a", { href: recovering }, "Recover your identity"), "."));
}

// leave is what follows where the session or the account has ended.
async function leave(node) {
  await keep(chosen, "session");
  await signIn(node);
  say("You are signed out.");
}

async function account(caller, node, back) {
  const again = (done, how) => (caller.own ? undefined : signInSection({ as: caller.id, title: "Prove again who you are", ...how }, done));
  const more = { stale: again, leave: () => leave(node), anew: async (words) => { await start(); say(words); } };
  const other = el("button", { type: "button", class: "quiet", onclick: () => signIn(node) }, "Sign in as somebody else, or in another way");
  show("Your account", told(back), el("p", { class: "lead" }, caller.own ? "You come by the key in this browser." : "You are signed in."),
    profile(caller, more), keys(caller, more), passkeys(caller, more), password(caller, more), secondFactor(caller, more), email(caller, more), links(caller, more),
    sessions(caller, more), apiKeys(caller, more), await claims(caller), tenants(caller, more), other);
}

// tenants are the organisations that the person may read, with their roles there.
function tenants(caller, more) {
  const section = new Section("Organisations", more);
  const place = el("div", {});
  section.load(async () => {
    const [all, login] = await Promise.all([caller.all("tenants"), accountOf(caller)]);
    caller.custody = login?.custody === true;
    if (all.length === 0) return [el("p", {}, "None yet."), el("p", {}, el("a", { href: onboarding }, "Set one up, or join one by an invitation"), ".")];
    await Promise.all(all.map(async (t) => { t.roles = await rolesIn(caller, t); }));
    if (all.length === 1) open(caller, all[0], place, more);
    return [el("ul", { class: "items" }, all.map((t) => el("li", {},
      el("p", {}, el("strong", {}, t.name), ` (${t.slug})`),
      el("p", { class: "hint" }, `${roleWords(t)}${t.state && t.state !== "open" ? ", " + t.state : ""}, ${t.size} records`),
      all.length > 1 ? el("button", { type: "button", "aria-label": `Show ${t.slug}`, onclick: () => open(caller, t, place, more).focus() } , "Show") : null))), place];
  });
  return section.element;
}

const roleWords = (t) => (t.roles === undefined ? "You see a part of it" : t.roles.length ? `You are ${t.roles.join(" and ")}` : "Anybody may read what is public");

// invites says whether the person may invite: by a role, and a key that signs grants.
const invites = (caller, t) => (caller.own || caller.custody) && t.roles?.some((r) => ["owner", "admin"].includes(r));

// open shows one organisation and gives its heading.
function open(caller, t, place, more) {
  const heading = el("h2", { tabindex: "-1" }, t.name);
  place.replaceChildren(heading, el("dl", {}, fact("Organisation's id", t.id, true)),
    members(caller, t, more), ...(invites(caller, t) ? [invitations(caller, t, more), doors(caller, t, more)] : []), usage(caller, t, more), contracts(caller, t, more), yours(caller, t, more), spans(caller, t, more));
  return heading;
}

async function start() {
  try {
    await begin();
  } catch (err) {
    show("The page could not begin", el("p", { class: "alert", role: "alert" }, wordsOf(err)), el("button", { class: "main", type: "button", onclick: start }, "Try again"));
  }
}

start();
