// The ways in: a passkey, another provider's word, a name and a password with the
// second factor where there is one, or the key in this browser.
import { ask, json } from "./api.js";
import { el, textField } from "./dom.js";
import { keep } from "./keep.js";
import { able, signIn } from "./passkey.js";
import { chosen } from "./caller.js";
import { providerLinks } from "./providers.js";
import { Section } from "./section.js";
import { Wrong } from "./wrong.js";

let made = 0; // sections, of which several may be on a page

// signInSection asks who it is, and tells done. own says that there is a key here;
// code that a session waits for its second factor; as, that it is one identity that
// has to prove again who it is; page, where other providers lead back to.
export function signInSection({ own, code, as, page = "account", title = "How do you want to sign in?", level }, done) {
  const section = new Section(title, { level });
  const mark = made++ ? `-${made}` : "";
  const by = async (session) => {
    if (as && session.identity !== as) {
      await ask("DELETE", "sessions/current");
      throw new Wrong("", "That is somebody else's login. Sign in as the one who you were.");
    }
    await keep(chosen, "session");
    await done();
  };
  const signedIn = async (session) => {
    if (!session.needs) return by(session);
    section.body.replaceChildren(...codeForm(section, mark, by));
    section.fields.code.control.focus();
  };
  const passkey = section.button("Sign in with a passkey", async () => signedIn(await signIn()), undefined, { class: "main" });
  const byKey = async () => { await keep(chosen, "key"); await done(); };
  section.body.append(...(code ? codeForm(section, mark, by) : [
    able() ? el("div", { class: "row" }, passkey) : "",
    own ? el("div", { class: "row" }, section.button("Use the key in this browser", byKey)) : "",
    providerLinks(page),
    ...passwordForm(section, mark, as, signedIn),
  ]));
  return section.element;
}

function passwordForm(section, mark, as, signedIn) {
  const name = textField("who" + mark, "Handle, address or LogLine ID", as, "", { autocomplete: "username", autocapitalize: "none", maxlength: "254" });
  const password = textField("password" + mark, "Password", "", "", { type: "password", autocomplete: "current-password" });
  section.fields = { who: name, password, sign_in_refused: password };
  name.element.hidden = as !== undefined; // it is known who it is
  return form(section, [name, password], "Sign in", async () => {
    if (name.value === "") throw new Wrong("who", "Write your handle, your address or your LogLine ID.");
    if (password.control.value === "") throw new Wrong("password", "Write your password.");
    const { session } = await json("POST", "sessions", { body: { name: name.value, password: password.control.value, cookie: true } });
    await signedIn(session);
  });
}

function codeForm(section, mark, by) {
  const code = textField("code" + mark, "Code", "", "Of the app that makes codes for you, or a recovery code.", { autocomplete: "one-time-code", maxlength: "64" });
  section.fields = { code, second_factor_wrong: code };
  return form(section, [code], "Go on", async () => {
    const { session } = await json("POST", "sessions/second-factor", { body: { code: code.value } });
    await by(session);
  });
}

// form is fields and what is done with them.
export function form(section, fields, action, act) {
  const button = el("button", { type: "submit", class: "main" }, action);
  const out = el("form", { novalidate: true, "aria-label": section.title }, fields.map((f) => f.element), button);
  out.addEventListener("submit", (event) => {
    event.preventDefault();
    section.busy(button, act);
  });
  return [out];
}
