// A new identity of one's own: its key, which nobody can read, and its recovery sheet.
import { checkField, el, save, say } from "./dom.js";
import { newNext, sheetOf } from "./sheet.js";
import { newSigner } from "../lib/crypto.js";
import { inception } from "../lib/events.js";
import { Wrong } from "./wrong.js";

// newKey makes one: what shows the sheet, the box to tick, and take, which hands the
// identity over once the sheet is kept.
export async function newKey() {
  const next = await newNext();
  const signer = await newSigner();
  const made = await inception("person", signer, next.hash);
  const text = await sheetOf(made.id, next.seed, location.origin, new Date().toISOString());
  next.seed.fill(0);
  const kept = checkField("saved", "I have printed or saved my recovery sheet", false);
  let offered = false;
  const sheet = el("pre", { class: "sheet mono", tabindex: "0", "aria-label": "Recovery sheet" }, text);
  const element = el("div", {},
    el("p", { class: "no-print" }, "It was made just now. Nobody can read or copy it, not even this page."),
    el("h2", { class: "no-print" }, "Recovery sheet"),
    el("section", { class: "card", "aria-label": "Recovery sheet to keep" }, sheet),
    el("div", { class: "row no-print" },
      el("button", { type: "button", onclick: () => { offered = true; print(); } }, "Print it"),
      el("button", { type: "button", onclick: () => { offered = true; save("logline-recovery-sheet.txt", text); say("The sheet was saved as a file."); } }, "Save as a file")),
    el("p", { class: "hint no-print" }, "Whoever has the sheet has your identity: keep it like a passport. This page forgets it when you go on."),
    kept.element);
  return {
    element, kept,
    async take(to) {
      if (!kept.value) throw new Wrong("saved", offered ? "Tick this once the sheet is where you will find it again." : "Print or save the sheet first, then tick this.");
      await to({ id: made.id, key: signer.key, privateKey: signer.privateKey, event: made.event });
      sheet.remove();
    },
  };
}
