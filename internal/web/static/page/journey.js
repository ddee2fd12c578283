// A journey: which step comes next, what is known so far, and what went wrong. What is
// known outlives a reload; the server knows the steps that are done, and whatever was
// cut off is asked again as it was.
import { ask, json, Problem, Unreachable } from "./api.js";
import { el, say } from "./dom.js";
import { keep } from "./keep.js";
import { sentence } from "./section.js";
import { anew, loginOver, signInAgain } from "./standing.js";
import { Wrong } from "./wrong.js";
import { signerOf } from "../lib/crypto.js";
import { sealSpan } from "../lib/spans.js";
import { signToken } from "../lib/tokens.js";

// Steps that tell the server's session what was done elsewhere.
const told = ["recovery", "invitations", "first_span", "proof"];

// Which step a member of a body, or a code, belongs to.
const places = { "/handle": ["who", "handle"], "/name": ["who", "name"], "/slug": ["organisation", "slug"], "/retention_days": ["organisation", "retention_days"], "/admission": ["organisation", "admission"], "/password": ["key", "password"] };
const codes = {
  handle_taken: ["who", "handle"], tenant_taken: ["organisation", "slug"], slug_taken: ["organisation", "slug"], slug_invalid: ["organisation", "slug"],
  bootstrap_token_wrong: ["organisation", "admission"], bootstrap_token_spent: ["organisation", "admission"], tenants_closed: ["organisation", "admission"], master_key_required: ["key", "keeper"],
  registration_closed: ["organisation", "admission"], credential_invalid: ["organisation", "admission"],
};

// A Journey goes through steps (steps.js has their form) in an order, and is kept as a
// record of the browser.
export class Journey {
  constructor(state, { record, steps, order }) {
    Object.assign(this, { state, record, steps, order, shown: null });
  }

  async keep(more) {
    Object.assign(this.state, more);
    await keep(this.record, this.state);
  }

  signer() {
    return signerOf(this.state.me.key, this.state.me.privateKey);
  }

  // token is what proves this identity; undefined where the cookie of a login does.
  token() {
    if (this.state.held) return undefined;
    return signToken(this.signer(), this.state.me.id, this.state.node.id, location.origin);
  }

  // put does a step of the server's session, and signs what it asks to be signed.
  async put(step, body) {
    let answer = await this.step(step, body);
    const missing = (answer.drafts ?? []).filter((d) => d.missing);
    for (const [i, draft] of missing.entries()) {
      say(`Signing ${i + 1} of ${missing.length}.`);
      await this.append(draft);
    }
    if (missing.length > 0) answer = await this.step(step, body);
    if (answer.tenant) await this.keep({ tenant: { id: answer.tenant.id, slug: answer.tenant.slug, name: answer.tenant.name } });
    return answer;
  }

  async step(step, body, lapsed = this.state.lapsed) {
    if (lapsed) await anew(this, step);
    const { id, token } = await this.session();
    try {
      return await json("PUT", `onboarding/sessions/${id}/steps/${step}`, { token, body });
    } catch (err) {
      if (err.code === "onboarding_token_invalid" && !this.state.ended && !lapsed) {
        await this.keep({ lapsed: true });
        return this.step(step, body);
      }
      // What is only told may have been told otherwise before, or too long ago: what
      // matters stands in the timeline.
      if (told.includes(step) && (err.code === "onboarding_step_recorded" || err.status === 401)) return {};
      throw err;
    }
  }

  async session() {
    if (!this.state.session) {
      const { id, token } = await json("POST", "onboarding/sessions", { body: { road: "page" } });
      await this.keep({ session: { id, token } });
    }
    return this.state.session;
  }

  // append signs a draft and records it. The span is kept before it is sent, so
  // that what is sent again is the same.
  async append({ id, type, visibility, title, subject, tags, payload }) {
    const { tenant, me } = this.state;
    const drafts = this.state.drafts ?? {};
    drafts[id] ??= await sealSpan(this.signer(), { id, tenant: tenant?.id ?? (await this.tenantID()), author: me.id, type, visibility, ...(title ? { title } : {}), ...(subject ? { subject } : {}), ...(tags?.length ? { tags } : {}), payload });
    await this.keep({ drafts });
    await ask("POST", `tenants/${drafts[id].tenant}/spans`, { body: drafts[id] });
  }

  async tenantID() {
    const { id, token } = await this.session();
    return (await json("GET", `onboarding/sessions/${id}`, { token })).tenant;
  }

  async finish() {
    await this.keep({ ended: this.state.ended ?? Date.now(), drafts: undefined });
  }

  // busy runs an act once at a time, and says what went wrong.
  async busy(button, act) {
    if (button?.getAttribute("aria-disabled") === "true") return;
    button?.setAttribute("aria-disabled", "true");
    this.shown?.alert.replaceChildren();
    for (const f of this.shown?.fields ?? []) f.complain("");
    try {
      await act();
    } catch (err) {
      await this.failed(err, () => this.busy(button, act));
    } finally {
      button?.removeAttribute("aria-disabled");
    }
  }

  // failed says what went wrong; where the person has to sign in again, again does the
  // act once they have.
  async failed(err, again) {
    if (err instanceof Wrong) return this.complain(err.field, err.message);
    if (this.state.held && loginOver(err) && again) return signInAgain(this, err, again);
    if (err instanceof Problem) {
      const place = err.errors.map((e) => places[e.pointer]).find(Boolean) ?? codes[err.code];
      if (place && this.order.includes(place[0])) {
        if (place[0] !== this.state.step) await this.go(place[0]);
        return this.complain(place[1], sentence(err.message));
      }
      return this.alert(sentence(err.message), err.instance ? `Reference ${err.instance}` : "");
    }
    if (err instanceof Unreachable) return this.alert(err.message);
    console.error(err);
    return this.alert("Something went wrong in this page: " + err.message);
  }

  complain(name, words) {
    const field = this.shown.fields.find((f) => f.name === name);
    if (!field) return this.alert(words);
    field.complain(words);
    field.control.focus();
    say(words);
  }

  alert(words, more = "") {
    this.shown.alert.replaceChildren(el("div", { class: "alert", role: "alert" }, words, more ? el("p", { class: "hint" }, more) : null));
    this.shown.alert.scrollIntoView({ block: "nearest" });
  }

  async go(step) {
    await this.keep({ step });
    await this.show();
  }

  async back() {
    await this.go(this.order[Math.max(0, this.order.indexOf(this.state.step) - 1)]);
  }

  async next() {
    const at = this.order.indexOf(this.state.step);
    if (at < this.order.length - 1) await this.go(this.order[at + 1]);
  }

  async show() {
    const name = this.state.step;
    const step = this.steps[name];
    progress(this, name);
    const view = await step.show(this);
    const [alert, aside] = [el("div", {}), el("div", {})]; // a form of its own, beside the step's
    const title = el("h1", { tabindex: "-1" }, step.title);
    this.shown = { ...view, alert, aside };
    const form = el("form", { novalidate: true, "aria-label": step.title });
    const parts = view.placed ? [...view.extra, alert] : [...(view.extraLast ? view.fields.map((f) => f.element) : []), ...(view.extra ?? []), ...(view.extraLast ? [] : view.fields.map((f) => f.element)), alert];
    if (view.next) {
      const button = el("button", { class: "main", type: "submit" }, view.action ?? "Continue");
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.busy(button, async () => {
          await view.next();
          await this.next();
        });
      });
      parts.push(button);
      // What is registered is not taken back by going back.
      if (["organisation", "key"].includes(name) && !this.state.registered ) {
        parts.push(el("button", { class: "quiet", type: "button", onclick: () => this.back() }, "Back"));
      }
    }
    form.append(...parts.filter(Boolean), ...(view.after ?? []));
    document.title = `${step.title} – LogLine`;
    document.getElementById("step").replaceChildren(title, el("p", { class: "lead" }, view.lead), form, aside);
    scrollTo(0, 0);
    title.focus({ preventScroll: true });
    await view.begin?.();
  }
}

function progress({ order, steps }, now) {
  const at = order.indexOf(now);
  const item = (name, i) => el("li", { class: i < at ? "done" : undefined, "aria-current": i === at ? "step" : undefined }, el("span", {}, steps[name].short + (i < at ? ", done" : "")));
  document.getElementById("progress").replaceChildren(el("ol", {}, order.map(item)), el("p", {}, `Step ${at + 1} of ${order.length}: ${steps[now].short}`));
}
