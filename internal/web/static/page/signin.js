// The ways in: a passkey, a name and a password with the second factor where there
// is one, or the key in this browser.
import { json } from "./api.js";
import { el, textField } from "./dom.js";
import { keep } from "./keep.js";
import { able, signIn } from "./passkey.js";
import { chosen } from "./caller.js";
import { Section } from "./section.js";
import { Wrong } from "./wrong.js";

// signInSection asks who it is, and tells done. own says that there is a key here;
// code that a session waits for its second factor.
export function signInSection({ own, code }, done) {
  const section = new Section("How do you want to sign in?");
  const by = async (way) => { await keep(chosen, way); await done(); };
  const signedIn = async (session) => {
    if (!session.needs) return by("session");
    section.body.replaceChildren(...codeForm(section, () => by("session")));
    section.fields.code.control.focus();
  };
  const passkey = section.button("Sign in with a passkey", async () => signedIn(await signIn()), undefined, { class: "main" });
  section.body.append(...(code ? codeForm(section, () => by("session")) : [
    able() ? el("div", { class: "row" }, passkey) : "",
    own ? el("div", { class: "row" }, section.button("Use the key in this browser", () => by("key"))) : "",
    ...passwordForm(section, signedIn),
  ]));
  return section.element;
}

function passwordForm(section, signedIn) {
  const name = textField("who", "Handle, address or LogLine ID", "", "", { autocomplete: "username", autocapitalize: "none", maxlength: "254" });
  const password = textField("password", "Password", "", "", { type: "password", autocomplete: "current-password" });
  section.fields = { who: name, password, sign_in_refused: password };
  return form(section, [name, password], "Sign in", async () => {
    if (name.value === "") throw new Wrong("who", "Write your handle, your address or your LogLine ID.");
    if (password.control.value === "") throw new Wrong("password", "Write your password.");
    const { session } = await json("POST", "sessions", { body: { name: name.value, password: password.control.value, cookie: true } });
    await signedIn(session);
  });
}

function codeForm(section, done) {
  const code = textField("code", "Code", "", "Of the app that makes codes for you, or a recovery code.", { autocomplete: "one-time-code", maxlength: "64" });
  section.fields = { code, second_factor_wrong: code };
  return form(section, [code], "Go on", async () => {
    await json("POST", "sessions/second-factor", { body: { code: code.value } });
    await done();
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
