// A part of the account page. It loads by itself, and says beside itself what went
// wrong; what the caller may not see is not shown.
import { Problem, Unreachable } from "./api.js";
import { el, say } from "./dom.js";
import { Wrong } from "./wrong.js";

// What a session is told that proved itself too long ago.
const notFresh = ["session_not_fresh", "invitations_key_forbidden"];

let made = 0;

export class Section {
  // stale(again, {code, level}) gives what asks the person to prove again who they are,
  // and then does what was refused.
  constructor(title, { level = 2, stale } = {}) {
    this.title = title;
    this.level = level;
    this.stale = stale;
    this.fields = {}; // by the pointer, the code or the name that a complaint has
    this.heading = el("h" + level, { id: `section-${++made}`, tabindex: "-1" }, title);
    this.body = el("div", {});
    this.alert = el("div", {});
    this.element = el("section", { "aria-labelledby": this.heading.id }, this.heading, this.body, this.alert);
  }

  // load shows what fill answers, and remembers it for again. What is not for this
  // person, null, goes.
  async load(fill, asked = false) {
    this.fill = fill;
    this.alert.replaceChildren();
    this.element.setAttribute("aria-busy", "true");
    try {
      const parts = await fill();
      if (parts === null) return this.element.remove();
      this.body.replaceChildren(...[parts].flat(Infinity).filter(Boolean));
    } catch (err) {
      if (unseen(err)) return this.element.remove();
      if (notFresh.includes(err.code) && !asked) return this.later(fill);
      this.body.replaceChildren(el("button", { type: "button", "aria-label": "Try again: " + this.title, onclick: () => this.load(fill) }, "Try again"));
      this.complain(err, () => this.load(fill));
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  // later shows once it is asked for what takes that the person proves again who they are.
  later(fill) {
    this.body.replaceChildren(el("p", {}, "This is shown to whoever signed in within the last ten minutes."),
      el("div", { class: "row" }, this.button("Show it", () => this.load(fill, true), `Show: ${this.title}`)));
  }

  // again loads anew after something was changed; the focus, whose button may be gone,
  // goes to the heading.
  async again(words) {
    await this.load(this.fill);
    this.heading.focus({ preventScroll: true });
    if (words) say(words);
  }

  // busy runs an act once at a time.
  async busy(button, act) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    this.alert.replaceChildren();
    for (const f of Object.values(this.fields)) f.complain("");
    try {
      await act();
    } catch (err) {
      this.complain(err, () => this.busy(button, act));
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  // button is one that does something to the section, under a name that says to what.
  button(words, act, name = words, more = {}) {
    const b = el("button", { type: "button", "aria-label": name === words ? undefined : name, ...more }, words);
    b.addEventListener("click", () => this.busy(b, act));
    return b;
  }

  // twice is a button whose act cannot be taken back: it asks before.
  twice(words, question, yes, act, name = words) {
    const place = el("div", {});
    const ask = el("button", { type: "button", class: "danger", "aria-label": name === words ? undefined : name }, words);
    const back = () => { place.replaceChildren(ask); ask.focus(); };
    ask.addEventListener("click", () => {
      const no = el("button", { type: "button", onclick: back }, "Leave it");
      place.replaceChildren(el("div", { role: "group", "aria-label": question }, el("p", {}, question), el("div", { class: "row" }, this.button(yes, act, yes, { class: "danger" }), no)));
      no.focus();
    });
    place.append(ask);
    return place;
  }

  // complain says what went wrong. Where the person has to prove again who they are, it
  // asks for that in place, and then for what again does.
  complain(err, again) {
    if (err instanceof Wrong && this.fields[err.field]) return this.at(this.fields[err.field], err.message);
    if (err instanceof Problem) {
      const field = err.errors.map((e) => this.fields[e.pointer]).find(Boolean) ?? this.fields[err.code];
      if (field) return this.at(field, sentence(err.message));
    }
    const words = wordsOf(err);
    const proves = proveFirst(err) && again && this.stale?.(again, { code: err.code === "second_factor_required", level: this.level + 1 });
    this.alert.replaceChildren(el("div", { class: "alert", role: "alert" }, words, err.instance ? el("p", { class: "hint" }, `Reference ${err.instance}`) : null),
      proves || "");
    this.alert.scrollIntoView({ block: "nearest" });
  }

  at(field, words) {
    field.complain(words);
    field.control.focus();
    say(words);
  }
}

// proveFirst says whether it is done once the person has proved again who they are.
const proveFirst = (err) => err instanceof Problem && (notFresh.includes(err.code) || err.status === 401);

const unseen = (err) => err instanceof Problem && err.status === 403 && !notFresh.includes(err.code);

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

// wordsOf says to a person what went wrong.
export function wordsOf(err) {
  if (notFresh.includes(err.code)) return "You signed in more than ten minutes ago. This takes that you prove again who you are.";
  if (err instanceof Problem || err instanceof Unreachable) return sentence(err.message);
  if (err.name === "NotAllowedError") return "The browser did not do it: it was declined, or took too long.";
  if (err.name === "InvalidStateError") return "This device has a passkey for this account already.";
  if (!(err instanceof Wrong)) console.error(err);
  if (err instanceof SyntaxError || err instanceof TypeError) return "The server's answer is none that this page understands.";
  return sentence(err.message);
}

// moment is a time as people here write it.
export const moment = (time) => new Date(time).toLocaleString();

// short is an identity as short as it can still be told from others.
export const short = (id) => id.replace(/^logline-id:\/\/(.{8}).*(.{4})$/, "$1…$2");
