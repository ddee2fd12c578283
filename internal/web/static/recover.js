// Recovering an identity with its recovery sheet, in a browser that has nothing of it,
// or where its key may be somebody else's too: type the sheet, keep the new one, have
// the rotation recorded, and look at what is in question (page/recovery.js).
import { json } from "./page/api.js";
import { Caller, otherKey, ownKey } from "./page/caller.js";
import { checkField, el, Field, save, say, showIn } from "./page/dom.js";
import { forget, keep, load } from "./page/keep.js";
import { alone, begin, historyOf, hold, record, send, settle } from "./page/recovery.js";
import { moment, Section, sentence, wordsOf } from "./page/section.js";
import { linesOf, parseSheet, place, progressOf } from "./page/sheet.js";
import { form } from "./page/signin.js";
import { suspect } from "./page/suspect.js";
import { Wrong } from "./page/wrong.js";
import { supported } from "./lib/crypto.js";
import { Refusal } from "./lib/refusal.js";

const account = new URL("../account", import.meta.url).href;
const done = "#recovered"; // an address of its own, for a reload

const show = showIn("recover");
const stop = (title, words, ...more) => show(title, el("p", { class: "alert", role: "alert" }, words), ...more);

async function start() {
  try {
    await open();
  } catch (err) {
    stop("The page could not begin", wordsOf(err), el("button", { class: "main", type: "button", onclick: start }, "Try again"));
  }
}

async function open() {
  if (!(await supported())) {
    return stop("This browser cannot make the keys that LogLine uses", "It takes a browser of 2025 or newer (Chrome 137, Firefox 129, Safari 17), and a page by https:// or on this machine. Use another one, or logline identity recover on a computer.");
  }
  const { id } = await json("GET", "node");
  const met = (await load("node")) ?? (await load("journey"))?.node.id;
  if (met && met !== id) {
    return stop("This is another server than before", `This browser knows ${met}; the server here is ${id}. Type no recovery sheet here before you have asked whoever runs it.`,
      el("div", { class: "row" }, el("button", { type: "button", onclick: async () => { await keep("node", id); await start(); } }, "It was set up anew: go on")));
  }
  const pending = await load(record);
  if (pending?.node === id) return unfinished(pending);
  const own = await ownKey(id);
  const history = own && (await historyOf(own.id));
  const since = history?.events.findLast((e) => e.kind === "rotation" && e.key === own.key && history.chain.primary === own.key)?.time;
  if (since && location.hash === done) return recovered(own, id, history);
  return typing(id, own, since);
}

// typing asks for the sheet.
function typing(node, own, since) {
  const section = new Section("Your recovery sheet");
  const [identity, key] = [
    new Field("identity", "LogLine ID", el("textarea", { rows: "3", value: own?.id ?? "", ...plain }), "The line “identity” of the sheet. A 0 is read as o, a 1 as l, an 8 as b."),
    new Field("key", "Key", el("textarea", { rows: "6", ...plain, autocapitalize: "characters" }), "The three rows of six groups. Small letters and spaces do not matter. Or paste the whole sheet."),
  ];
  const progress = el("p", { class: "hint", "aria-live": "polite" });
  key.element.append(progress);
  section.fields = { identity, key };
  let from = ""; // the server that a pasted sheet names
  const typed = (event) => {
    progress.textContent = told(() => {
      const whole = linesOf(event.target.value);
      if (whole) {
        [identity.control.value, key.control.value, from] = [whole.identity, whole.key, whole.node];
        say("The sheet was read into its two fields.");
      }
      return progressWords(key.control.value);
    });
  };
  for (const f of [identity, key]) f.control.addEventListener("input", typed);
  section.body.append(...form(section, [identity, key], "Go on", () => judged(async () => {
    progress.textContent = "";
    if (identity.value === "") throw new Wrong("identity", "Write the LogLine ID that is on the sheet.");
    if (key.value === "") throw new Wrong("key", "Write the key that is on the sheet.");
    const sheet = await parseSheet([line("identity", identity.value), line("key", key.value), `node: ${from}`].join("\n"));
    const other = await otherKey(sheet.identity);
    if (other) {
      sheet.seed.fill(0);
      throw new Wrong("identity", `This browser has the key of another identity, ${other}, which would be lost. Use another browser, or another profile of this one.`);
    }
    const begun = await begin(sheet, node);
    identity.control.value = key.control.value = "";
    newSheet(begun, sheet.node);
  })));
  show("Recover your identity",
    since ? el("div", { class: "good" }, el("strong", {}, "Recovered"), `The key in this browser is yours since ${moment(since)}. `, el("a", { href: done }, "See what is in question")) : null,
    el("p", { class: "lead" }, own
      ? "Does somebody else have your key too? With your recovery sheet you replace it: every key of your identity ends, the one in this browser among them, and a new one takes its place here."
      : "Is your phone lost, or your key stolen? With your recovery sheet you have your identity back in this browser. Every key of it ends, wherever it is; name and roles stay."),
    el("div", { class: "alert" }, el("strong", {}, "Is this your server?"), "Whoever serves this page can get what you type, and with it your identity. The address is ", el("code", {}, location.origin), ". If you are not sure, use a computer, and a program that did not come from here: ", el("code", {}, "logline identity recover --sheet FILE"), "."),
    section.element,
    el("p", { class: "hint" }, "Does the server keep your key, behind a password? Then there is no sheet: ", el("a", { href: account }, "sign in"), "."));
}

// What is typed stays on the page: no dictionary, no history, no restored form.
const plain = { autocomplete: "off", autocapitalize: "none", autocorrect: "off", spellcheck: "false" };

const line = (name, value) => (new RegExp(`^\\s*${name}\\s*:`, "i").test(value) ? value : `${name}: ${value}`);

// told is what is said while somebody types.
function told(read) {
  try {
    return read();
  } catch (err) {
    return sentence(err.message);
  }
}

function progressWords(text) {
  const { groups, wrong } = progressOf(text);
  if (wrong.length) return `Not as it was printed: ${wrong.map(place).join(", ")}.`;
  return groups ? `${groups} of 18 groups, each as it was printed.` : "";
}

const places = { recovery_identity: "identity", recovery_group: "key", recovery_length: "key", recovery_character: "key", recovery_checksum: "key", recovery_sheet_other: "key" };
const words = {
  recovery_identity: "This is not a LogLine ID: 52 of the characters a-z and 2-7, with logline-id:// before them or without. Compare it with the sheet.",
  recovery_checksum: "The key and the LogLine ID do not belong together. Compare the ID with the sheet, then each group of the key.",
  identity_unknown: "This server does not know the identity. Open this page at the server that is on the sheet.",
};

// judged runs an act, and says what it refuses beside the field that it is about.
async function judged(act) {
  try {
    await act();
  } catch (err) {
    if (err instanceof Refusal || words[err.code]) throw new Wrong(places[err.code] ?? "", words[err.code] ?? sentence(err.message));
    throw err;
  }
}

// newSheet shows the new sheet, and goes on once it is kept.
function newSheet({ pending, sheet, others }, from) {
  const section = new Section("New recovery sheet");
  section.heading.classList.add("no-print");
  const kept = checkField("saved", "I have printed or saved my new sheet", false);
  kept.element.classList.add("no-print");
  section.fields = { saved: kept };
  const text = el("pre", { class: "sheet mono", tabindex: "0", "aria-label": "New recovery sheet" }, sheet);
  section.body.append(
    el("div", { class: "card", role: "group", "aria-label": "Recovery sheet to keep" }, text),
    el("div", { class: "row no-print" },
      el("button", { type: "button", onclick: () => print() }, "Print it"),
      el("button", { type: "button", onclick: () => { save("logline-recovery-sheet-new.txt", sheet); say("The sheet was saved as a file."); } }, "Save as a file")),
    ...form(section, [kept], "Recover my identity", () => judged(async () => {
      if (!kept.value) throw new Wrong("saved", "Print or save the new sheet first, then tick this. After this step the old one works no more.");
      await hold(pending);
      await finish(pending);
    })),
    el("button", { type: "button", class: "quiet no-print", onclick: async () => { await forget(record); await start(); } }, "Leave it"));
  show("Keep your new sheet",
    el("p", { class: "lead" }, "Your sheet is right, and works once. From now on this new one is your way back. Nothing has changed yet; if you leave now, the old one stays good and this one never counts."),
    elsewhere(from),
    el("dl", { class: "no-print" }, el("dt", {}, "Your LogLine ID"), el("dd", { class: "mono" }, pending.me.id),
      el("dt", {}, "Ends"), el("dd", {}, others.length ? `your key so far, and ${others.length === 1 ? "another one" : `${others.length} others`} that it let sign for you` : "your key so far")),
    section.element);
}

// elsewhere warns where the old sheet names another server than this one.
function elsewhere(from) {
  if (!from || new URL(from).origin === location.origin) return null;
  return el("p", { class: "alert no-print", role: "alert" }, `Your sheet names ${from}, and this is ${location.origin}. If you do not know why, leave this page and use the sheet there at once.`);
}

// unfinished is a recovery whose end is not known.
function unfinished(pending) {
  const section = new Section("Go on");
  section.body.append(
    el("div", { class: "row" }, section.button("Go on", () => judged(() => finish(pending)), undefined, { class: "main" })),
    el("p", { class: "hint" }, "Or begin again. If the old sheet is called spent then, use the new one."),
    el("button", { type: "button", class: "quiet", onclick: async () => { await forget(record); await start(); } }, "Type a sheet"));
  show("Your recovery is not finished", el("p", { class: "lead" }, "It was cut off when your new key was sent. Nothing is lost, and your new sheet is in your hands: what was sent is sent again, and is done once."),
    el("dl", {}, el("dt", {}, "Your LogLine ID"), el("dd", { class: "mono" }, pending.me.id)), section.element);
}

async function finish(pending) {
  await alone(pending);
  let history;
  try {
    history = await send(pending);
  } catch (err) {
    if (err.code === "sheet_used_twice") await forget(record);
    if (/^event_/.test(err.code)) throw new Wrong("", "Your identity has changed meanwhile. Begin again, with your newest sheet.");
    throw err;
  }
  if (history.chain.primary !== pending.me.key) {
    await forget(record);
    throw new Wrong("", "Your new key was taken, and has been replaced since by a newer sheet. Use the newest one.");
  }
  await settle(pending);
  globalThis.history.replaceState(null, "", done);
  recovered(pending.me, pending.node, history);
  say("Recovered.");
}

// recovered says what has ended, and what is in question.
function recovered(me, node, { chain, events }) {
  const caller = new Caller(me.id, node, me);
  show("Recovered",
    el("div", { class: "good" }, el("strong", {}, "Your identity is yours again"), "Its key is in this browser, where nobody can read it. Every other key of it has ended."),
    el("div", { class: "card" }, el("dl", {}, el("dt", {}, "Your LogLine ID"), el("dd", { class: "mono" }, me.id), el("dt", {}, "Your key now"), el("dd", { class: "mono" }, chain.primary),
      el("dt", {}, "Ended"), chain.former.map((key) => el("dd", { class: "mono" }, key)))),
    el("h2", {}, "What to do now"),
    el("ul", { class: "plain" },
      el("li", {}, "Destroy the old sheet. Its key is your key now, and whoever finds it signs as you."),
      el("li", {}, "Put the new sheet where you will find it again."),
      el("li", {}, "Let other devices be approved again, and make invitations that nobody used anew: they ended with the old key."),
      el("li", {}, "Passwords, passkeys and API keys of yours still work, wherever they are. Look through them on your account page.")),
    el("p", {}, el("a", { class: "button", href: account }, "Go to your account")),
    suspect(caller, events));
}

// A link to the other address of this page changes the fragment alone.
addEventListener("hashchange", start);
start();
