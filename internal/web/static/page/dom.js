// Elements, made by what they are and never from text, so that nothing anybody
// wrote can become part of the page.

// el makes an element: properties that begin with "on" listen, others are
// attributes (true is present, false and undefined are not).
export function el(tag, properties = {}, ...children) {
  const out = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) out.addEventListener(name.slice(2), value);
    else if (name === "value") out.value = value;
    else if (name === "checked") out.checked = value;
    else out.setAttribute(name, value === true ? "" : value);
  }
  out.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return out;
}

// say tells a screen reader what just happened.
export function say(words) {
  document.getElementById("said").textContent = words;
}

// A Field is a label, what is filled in, a hint, and the place of its error. All
// are bound to one another for screen readers.
export class Field {
  constructor(name, label, control, hint = "") {
    this.name = name;
    this.control = control;
    control.id = "field-" + name;
    control.setAttribute("name", name);
    this.error = el("p", { class: "error", id: control.id + "-error" });
    const described = [this.error.id];
    const parts = [el("label", { for: control.id }, label)];
    if (hint) {
      described.unshift(control.id + "-hint");
      parts.push(el("p", { class: "hint", id: control.id + "-hint" }, hint));
    }
    control.setAttribute("aria-describedby", described.join(" "));
    this.element = el("div", { class: "field" }, parts, control, this.error);
  }

  get value() {
    return this.control.type === "checkbox" ? this.control.checked : this.control.value.trim();
  }

  // complain says beside the field what is wrong with it; "" takes it back.
  complain(words) {
    this.error.textContent = words;
    if (words) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }
}

export const textField = (name, label, value, hint, more = {}) =>
  new Field(name, label, el("input", { type: "text", value: value ?? "", autocomplete: "off", spellcheck: "false", ...more }), hint);

export const areaField = (name, label, value, hint) => new Field(name, label, el("textarea", { value: value ?? "", rows: "4" }), hint);

export function selectField(name, label, options, value, hint) {
  const control = el("select", {}, options.map(([v, words]) => el("option", { value: v }, words)));
  control.value = value;
  return new Field(name, label, control, hint);
}

// checkField is one box to tick, its label beside it.
export function checkField(name, label, checked, hint = "") {
  const field = new Field(name, label, el("input", { type: "checkbox", checked }), hint);
  const [caption, ...rest] = [...field.element.children].filter((c) => c !== field.control && c !== field.error);
  field.element.replaceChildren(el("div", { class: "choice" }, field.control, el("div", {}, caption, rest)), field.error);
  return field;
}

// radioField is a choice of one, each with a hint and perhaps more below it.
export function radioField(name, legend, options, value) {
  const error = el("p", { class: "error", id: `field-${name}-error` });
  const boxes = options.map(([v, words, hint, more], i) => {
    const id = `field-${name}-${i}`;
    const box = el("input", { type: "radio", name, id, value: v, checked: v === value, "aria-describedby": hint ? id + "-hint" : undefined });
    return [box, el("div", { class: "choice" }, box, el("div", {}, el("label", { for: id }, words), hint ? el("p", { class: "hint", id: id + "-hint" }, hint) : null, more))];
  });
  return {
    name, element: el("fieldset", { "aria-describedby": error.id }, el("legend", {}, legend), boxes.map(([, row]) => row), error),
    control: boxes[0][0],
    get value() { return boxes.find(([box]) => box.checked)?.[0].value ?? ""; },
    complain(words) { error.textContent = words; },
  };
}

// copyField is text to copy, with a button that does so and says that it was done.
export function copyField(name, label, text, hint, button, done) {
  const field = textField(name, label, text, hint, { readonly: true });
  const copy = el("button", { type: "button", onclick: () => navigator.clipboard?.writeText(text).then(() => say(done), () => field.control.select()) }, button);
  return [field.element, el("div", { class: "row" }, copy)];
}

// fact is a name and its value in a list of them.
export const fact = (name, value, mono) => [el("dt", {}, name), el("dd", { class: mono ? "mono" : undefined }, value)];

// showIn gives what puts a page's next view in the place of the one before, in the
// element of an id; its heading gets the focus.
export const showIn = (id) => (title, ...parts) => {
  const heading = el("h1", { tabindex: "-1" }, title);
  document.title = `${title} – LogLine`;
  document.getElementById(id).replaceChildren(heading, ...parts.flat().filter(Boolean));
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
};

// save offers text as a file.
export function save(name, text, type = "text/plain") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
