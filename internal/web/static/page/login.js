// What the account page shows of the login: password, second factor, e-mail address,
// and logins at other providers.
import { el, save, say, textField } from "./dom.js";
import { accountOf, lastWayIn } from "./person.js";
import { providers } from "./providers.js";
import { qrCode } from "./qr.js";
import { moment, Section } from "./section.js";
import { form } from "./signin.js";
import { Wrong } from "./wrong.js";

// ofLogin is a part for whoever has a login; it shows what fill makes of the account.
function ofLogin(title, caller, { stale }, fill) {
  const section = new Section(title, { stale });
  section.load(async () => {
    const account = await accountOf(caller);
    return account === null ? null : fill(section, account);
  });
  return section.element;
}

export const password = (caller, more) => ofLogin("Password", caller, more, (section, account) => {
  const current = account.password_at && !caller.own ? textField("current-password", "Current password", "", "", { type: "password", autocomplete: "current-password" }) : null;
  const fresh = textField("new-password", "New password",  "", `At least ${account.password_min} characters of any kind, spaces too: some words that do not belong together are good. Not made of your names, and none that was stolen before.`, { type: "password", autocomplete: "new-password" });
  section.fields = { "/password": fresh, "new-password": fresh, ...(current ? { "/current": current, "current-password": current } : {}) };
  return [
    el("p", {}, account.password_at ? `Set ${moment(account.password_at)}.` : "You have none.", " Whoever sets one ends all other sessions."),
    form(section, [current, fresh].filter(Boolean), account.password_at ? "Change the password" : "Set a password", async () => {
      if (current?.control.value === "") throw new Wrong("current-password", "Write your current password.");
      if (fresh.control.value === "") throw new Wrong("new-password", "Choose a password.");
      await caller.json("POST", "account/password", { body: { ...(current ? { current: current.control.value } : {}), password: fresh.control.value } });
      await section.again("Your password was set. All other sessions have ended.");
      await more.ended();
    }),
  ];
});

export const secondFactor = (caller, more) => ofLogin("Second factor", caller, more, (section, account) => (account.second_factor_at
  ? secondOn(caller, section, account)
  : [
    el("p", {}, "With one, a password or another provider's word is not enough to sign in: it takes a code too, which an app on your phone makes. A passkey is two factors by itself."),
    el("div", { class: "row" }, section.button("Set up a second factor", () => setUp(caller, section, more))),
  ]));

const codeField = (label, hint) => textField("totp", label, "", hint, { autocomplete: "one-time-code", maxlength: "64" });

// setUp shows the secret, and makes it count by a code of it.
async function setUp(caller, section, more) {
  const { secret, uri, picture } = await caller.json("POST", "account/totp");
  const code = codeField("Code of the app", "Six digits. Once it is right, every other session ends.");
  section.fields = { totp: code, second_factor_wrong: code };
  section.body.replaceChildren(
    el("p", {}, "Have your app scan this, or ", el("a", { href: uri }, "open it in an app on this device"), ", or type the key."),
    qrCode(picture, "QR code of the key, for an app to scan"),
    el("dl", {}, el("dt", {}, "Key"), el("dd", { class: "mono" }, secret.match(/.{1,4}/g).join(" "))),
    ...form(section, [code], "Turn it on", async () => {
      const { codes } = await caller.json("POST", "account/totp/confirm", { body: { code: code.value.replaceAll(" ", "") } });
      showCodes(section, codes, "The second factor is on. All other sessions have ended.");
      await more.ended();
    }),
    el("button", { type: "button", class: "quiet", onclick: () => section.again() }, "Leave it"));
  code.control.focus();
}

// showCodes shows recovery codes, this once.
function showCodes(section, codes, words) {
  section.body.replaceChildren(
    el("p", { class: "good" }, words),
    el("p", {}, "Keep these recovery codes where your phone is not. Each is good once in the place of a code, and they are shown only here."),
    el("ol", { class: "codes mono", "aria-label": "Recovery codes" }, codes.map((c) => el("li", {}, c))),
    el("div", { class: "row" },
      el("button", { type: "button", onclick: () => { save("logline-recovery-codes.txt", codes.join("\n") + "\n"); say("The codes were saved as a file."); } }, "Save the codes as a file"),
      section.button("I have kept them", () => section.again())));
  section.heading.focus();
  say(words);
}

function secondOn(caller, section, account) {
  const code = codeField("Code, or a recovery code", "Both of these take one.");
  section.fields = { totp: code, second_factor_wrong: code };
  const ask = (path) => {
    if (code.value === "") throw new Wrong("totp", "Write a code of your app, or a recovery code.");
    return caller.json("POST", path, { body: { code: code.value } });
  };
  return [
    el("p", {}, `On since ${moment(account.second_factor_at)}. You have ${account.recovery_codes_left} recovery codes left.`),
    code.element,
    el("div", { class: "row" }, section.button("Make new recovery codes", async () => {
      const { codes } = await ask("account/recovery-codes");
      showCodes(section, codes, "The codes before these are good no more.");
    })),
    section.twice("Remove the second factor", "From then on a password alone signs you in.", "Yes, remove the second factor", async () => {
      await ask("account/totp/remove");
      await section.again("The second factor was removed.");
    }),
  ];
}

export const email = (caller, more) => ofLogin("E-mail address", caller, more, (section, account) => {
  const proven = account.email_proven ? `You showed that you read it (${moment(account.email_proven)}).` : "You may sign in by it, until somebody shows that they read it.";
  const address = textField("email", "E-mail address", account.email, account.email ? proven : "You need none. With one you may sign in by it.", { autocomplete: "email", autocapitalize: "none", inputmode: "email", maxlength: "254" });
  section.fields = { email: address, "/email": address };
  const set = (to) => caller.json("PATCH", "account", { body: { email: to } });
  return [
    form(section, [address], "Save the address", async () => {
      if (address.value === "") throw new Wrong("email", "Write an address, or leave it as it is.");
      await set(address.value);
      await section.again("Your address was saved.");
    }),
    account.email && !account.email_proven ? el("div", { class: "row" }, section.button("Show that you read it", async () => {
      await caller.json("POST", "account/email/code");
      proveEmail(caller, section, account.email);
    })) : null,
    account.email ? section.twice("Remove the address", "You sign in by it no more.", "Yes, remove the address", async () => {
      await set("");
      await section.again("Your address was removed.");
    }) : null,
  ];
});

// proveEmail takes the code that was mailed to an address.
function proveEmail(caller, section, address) {
  const code = textField("mailed-code", "Code in the mail", "", "It begins with llc_ and is good for half an hour. If none comes, look among the junk, or ask for another, up to three in an hour.", { autocomplete: "one-time-code", autocapitalize: "none", maxlength: "64" });
  section.fields = { "/code": code, "mailed-code": code, code_invalid: code };
  section.body.replaceChildren(
    el("p", {}, "A code is on its way to ", el("strong", {}, address), "."),
    ...form(section, [code], "Show it", async () => {
      if (code.value === "") throw new Wrong("mailed-code", "Write the code that came by mail.");
      await caller.json("POST", "account/email/proof", { body: { code: code.value } });
      await section.again("The address is yours: nobody else signs in by it.");
    }),
    el("button", { type: "button", class: "quiet", onclick: () => section.again() }, "Leave it"));
  code.control.focus();
}

export const links = (caller, more) => ofLogin("Logins at other providers", caller, more, async (section) => {
  const [all, { items }] = await Promise.all([providers(), caller.json("GET", "account/oidc")]);
  if (all.length + items.length === 0) return null;
  const label = (link) => all.find((p) => p.name === link.provider)?.label ?? link.issuer;
  return [
    items.length ? el("ul", { class: "items" }, items.map((link) => linkItem(caller, section, link, label(link)))) : el("p", {}, "You have none. Once one is linked, you sign in here by signing in there."),
    all.map((p) => el("div", { class: "row" }, section.button(`Link ${p.label}`, async () => {
      const { location: there } = await caller.json("POST", "account/oidc", { body: { provider: p.name, page: "account" } });
      location.assign(there);
    }))),
  ];
});

function linkItem(caller, section, link, label) {
  const who = link.email || link.subject;
  const remove = async (query = "") => {
    await caller.ask("DELETE", `account/oidc/${link.id}${query}`);
    await section.again(`${label} signs you in no more.`);
  };
  return el("li", {}, el("p", {}, el("strong", {}, label), link.provider ? "" : ", which signs nobody in here any more"),
    el("p", { class: "hint" }, `${who}, since ${moment(link.created_at)}. ${link.used_at ? "Last used " + moment(link.used_at) : "Not used yet"}`),
    section.twice("Remove", `${label} signs you in no more. Sessions that it began go on.`, "Yes, remove it", async () => {
      try {
        await remove();
      } catch (err) {
        lastWayIn(section, err, "oidc_last", () => remove("?last=true"));
      }
    }, `Remove ${label}, ${who}`));
}
