// What the account page shows of the person: profile, keys, passkeys, sessions.
import { json } from "./api.js";
import { el, fact, textField } from "./dom.js";
import { chainOf, endKey } from "./invite.js";
import { able, register } from "./passkey.js";
import { moment, Section } from "./section.js";
import { form } from "./signin.js";
import { Wrong } from "./wrong.js";

const recovering = new URL("../../recover", import.meta.url).href;

// accountOf is the caller's login at this server, null where the identity has none.
// Parts of the page that ask at once get one answer.
export function accountOf(caller) {
  caller.asked ??= caller.json("GET", "account").catch((err) => {
    if (err.code !== "account_unknown") throw err;
    return null;
  }).finally(() => { caller.asked = undefined; });
  return caller.asked;
}

// lastWayIn asks once more where the server will not take the last way in away by the
// way; err is its answer, and remove does it nevertheless.
export function lastWayIn(section, err, code, remove) {
  if (err.code !== code) throw err;
  section.complain(err);
  section.alert.append(section.button("Lock me out, and remove it", remove, undefined, { class: "danger" }));
}

// profile: what the directory calls the person. leave is told when the account is gone.
export function profile(caller, { stale, leave }) {
  const section = new Section("Profile", { stale });
  section.load(async () => {
    const [known, account] = await Promise.all([caller.json("GET", caller.path), accountOf(caller)]);
    const name = textField("name", "Your name", known.name, "Shown to the people you work with; it is in no signed record.", { autocomplete: "name", maxlength: "128" });
    const handle = textField("handle", "Handle", known.handle, "How others mention you.", { autocapitalize: "none", maxlength: "63" });
    section.fields = { name, handle, "/name": name, "/handle": handle, handle_taken: handle };
    return [
      form(section, [name, handle], "Save", async () => {
        if (!/^([a-z0-9][a-z0-9._-]{0,62})?$/.test(handle.value)) throw new Wrong("handle", "Use small letters, digits, dots, dashes and underscores, and begin with a letter or digit.");
        await caller.json("PATCH", caller.path, { body: { name: name.value, handle: handle.value } });
        await section.again("Your profile was saved.");
      }),
      el("div", { class: "row" },
        known.name || known.handle ? section.twice("Erase name and handle", "Nobody finds you by them any more, and others may take the handle. What you signed stays as it is.", "Yes, erase them", async () => {
          await caller.json("DELETE", caller.path);
          await section.again("Name and handle were erased.");
        }) : null,
        account ? section.twice("Erase my account", erasing(account), "Yes, erase my account", async () => {
          await caller.json("DELETE", "account");
          await leave();
        }) : null),
    ];
  });
  return section.element;
}

const erasing = (account) => (account.custody
  ? "Password, passkeys, sessions, name and handle are erased, and your identity ends: the server destroys its keys, and nobody can sign as you any more. It cannot be undone. What you signed stays as it is."
  : "Password, passkeys, sessions, name and handle are erased. Your identity stays, and so does the key in this browser. What you signed stays as it is.");

// keys: which keys sign for the person, folded here from the signed key events.
export function keys(caller, { stale }) {
  const section = new Section("Keys", { stale });
  section.load(async () => {
    const [chain, account] = await Promise.all([chainOf(caller.within()), accountOf(caller)]);
    const others = [...chain.delegated].filter(([key, terms]) => !terms.ended && chain.grant(key));
    return [
      el("div", { class: "card" }, el("dl", {},
        fact("Your LogLine ID", chain.id, true),
        fact("Primary key", chain.primary, true),
        fact("Kept", whereKept(caller, chain, account)))),
      others.length ? el("h3", {}, "Keys that may sign for you") : null,
      others.length ? el("ul", { class: "items" }, others.map(([key, terms]) => keyItem(caller, section, key, terms))) : null,
      el("p", { class: "hint" }, recovery(caller, account)),
      caller.own ? el("p", {}, el("a", { class: "button", href: recovering }, "My key may be stolen")) : null,
    ];
  });
  return section.element;
}

function whereKept(caller, chain, account) {
  if (account?.custody) return "by this server, which signs for you when you are signed in";
  if (!caller.own) return "by yourself, elsewhere than in this browser";
  return chain.primary === caller.me.key ? "in this browser, where nobody can read it" : "elsewhere: the key in this browser is not the primary one any more";
}

const recovery = (caller, account) => (account?.custody
  ? "The server keeps your key: your password or a passkey brings you back from any device. Have two of them."
  : ["If this device is lost, your recovery sheet brings you back, on ", el("a", { href: recovering }, "this server's page"), " from any other, or on a computer by ", el("code", {}, "logline identity recover --sheet FILE"), ". From then on the keys here sign no more."]);

function keyItem(caller, section, key, terms) {
  const name = terms.label || "without a name";
  const what = [terms.types.length ? `may sign ${terms.types.join(", ")}` : "may sign everything but what manages", terms.expires ? `until ${moment(terms.expires)}` : "without an end"].join(", ");
  const mayEnd = caller.own;
  return el("li", {}, el("p", {}, el("strong", {}, name)), el("p", { class: "hint" }, what), el("p", { class: "mono" }, key),
    mayEnd ? section.twice("Withdraw", `The key “${name}” signs nothing any more, for good.`, "Yes, withdraw it", async () => {
      await endKey(caller.within(), key);
      await section.again("The key was withdrawn.");
    }, `Withdraw ${name} ${key.slice(0, 6)}`) : null);
}

// passkeys: the ways to sign in without a password.
export function passkeys(caller, { stale, anew }) {
  const section = new Section("Passkeys", { stale });
  section.load(async () => {
    if ((await accountOf(caller)) === null) return noLogin(caller, section, anew);
    const { items } = await caller.json("GET", "account/passkeys");
    return [
      items.length ? el("ul", { class: "items" }, items.map((p) => passkeyItem(caller, section, p))) : el("p", {}, "You have none yet. A passkey signs you in by your phone, your computer or a security key, with nothing to type."),
      able() ? addForm(caller, section) : el("p", { class: "hint" }, "This browser makes no passkeys on this page: they take https:// and a host's name."),
    ].flat();
  });
  return section.element;
}

function noLogin(caller, section, anew) {
  return [
    el("p", {}, "Your key is your way in, and you have no login at this server. With one you can sign in elsewhere by a passkey, to read and to see your sessions. Signing stays with your key."),
    el("div", { class: "row" }, section.button("Open a login", async () => {
      await caller.json("POST", "accounts", { body: { cookie: true } });
      await json("DELETE", "sessions/current"); // the key is the way in here
      await anew("A login was opened.");
    })),
  ];
}

function addForm(caller, section) {
  const name = textField("passkey", "What do you call the new passkey?", "", "Such as My phone.", { maxlength: "64" });
  section.fields = { passkey: name, passkey_name: name };
  return form(section, [name], "Add a passkey", async () => {
    if (name.value === "") throw new Wrong("passkey", "Give it a name, so that you know it again.");
    await register(name.value, await caller.token());
    await section.again(`The passkey ${name.value} was added.`);
  });
}

function passkeyItem(caller, section, p) {
  const path = `account/passkeys/${p.id}`;
  const used = p.cloned_at ? `A copy of it was used (${moment(p.cloned_at)}): it signs nobody in any more. Remove it.` : p.used_at ? `Last used ${moment(p.used_at)}` : "Not used yet";
  const rename = el("div", { hidden: true });
  const field = textField(`rename-${p.id}`, `New name for ${p.name}`, p.name, "", { maxlength: "64" });
  rename.append(field.element, el("div", { class: "row" }, section.button("Save the name", async () => {
    section.fields = { ...section.fields, "/name": field };
    await caller.json("PATCH", path, { body: { name: field.value } });
    await section.again("The passkey was renamed.");
  }, `Save the name of ${p.name}`)));
  const remove = async (query = "") => {
    await caller.ask("DELETE", path + query);
    await section.again(`The passkey ${p.name} was removed.`);
  };
  return el("li", {}, el("p", {}, el("strong", {}, p.name)), el("p", { class: "hint" }, `For ${p.host}, made ${moment(p.created_at)}. ${used}${p.synced ? ". Kept elsewhere too" : ""}`),
    el("div", { class: "row" },
      el("button", { type: "button", "aria-label": `Rename ${p.name}`, onclick: () => { rename.hidden = false; field.control.focus(); } }, "Rename"),
      section.twice("Remove", `${p.name} signs you in no more.`, "Yes, remove it", async () => {
        try {
          await remove();
        } catch (err) {
          lastWayIn(section, err, "passkey_last", () => remove("?last=true"));
        }
      }, `Remove ${p.name}`)),
    rename);
}

// sessions: where the person is signed in. leave is told when it is not here any more;
// others get ended(), to say that there are fewer.
export function sessions(caller, more) {
  const { stale, leave } = more;
  const section = new Section("Where you are signed in", { stale });
  more.ended = () => section.load(section.fill);
  section.load(async () => {
    const { items } = await caller.json("GET", "sessions");
    const others = items.filter((s) => !s.current).length;
    return [
      caller.own ? el("p", {}, "Here you come by the key in this browser, without a session.") : null,
      items.length ? el("ol", { class: "items" }, items.map((s, i) => sessionItem(caller, section, s, i + 1, leave))) : el("p", {}, "Nowhere else."),
      others ? section.twice("Sign out everywhere else", `${others === 1 ? "One session ends" : `${others} sessions end`} at once.`, "Yes, sign out there", async () => {
        const { ended } = await caller.json("DELETE", "sessions");
        await section.again(`${ended} ended.`);
      }) : null,
    ];
  });
  return section.element;
}

const ways = { password: "by password", key: "by key", passkey: "by passkey", passkey_touch: "by a passkey's touch", oidc: "by another service" };

function sessionItem(caller, section, s, n, leave) {
  const end = async () => {
    await caller.json("DELETE", `sessions/${s.id}`);
    if (s.current) await leave();
    else await section.again("That session has ended.");
  };
  return el("li", {}, el("p", {}, el("strong", {}, s.current ? "This browser" : browserOf(s.agent)), s.needs ? ", waiting for the second factor" : ""),
    el("p", { class: "hint" }, `${ways[s.how]}, since ${moment(s.created_at)}${s.address ? " from " + s.address : ""}; last used ${moment(s.seen_at)}`),
    el("div", { class: "row" }, section.button("Sign out", end, s.current ? "Sign out here" : `Sign out number ${n}`)));
}

// browserOf is what a person calls a browser, of what it calls itself.
function browserOf(agent = "") {
  const found = (list) => list.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = found([[/Edg\//, "Edge"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]]);
  const system = found([[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/Linux/, "Linux"]]);
  if (!browser) return agent.slice(0, 60) || "A program";
  return system ? `${browser} on ${system}` : browser;
}
