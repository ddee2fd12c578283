// Doors for visitors on the account page: open one, see how many came, withdraw it.
import { copyField, el, selectField, textField } from "./dom.js";
import { inviteBy, withdraw } from "./invite.js";
import { moment, Section, short } from "./section.js";
import { form } from "./signin.js";
import { Wrong } from "./wrong.js";

const most = 1000;
const hour = 3_600_000; // ms
const lives = [[1, "an hour"], [24, "a day"], [48, "two days"], [168, "a week"], [719, "30 days"]];

// doors are for those who may invite.
export function doors(caller, tenant, { stale }) {
  const section = new Section("Doors for visitors", { stale, level: 3 });
  const links = el("div", { "aria-live": "polite" });
  const j = caller.within(tenant);
  section.load(async () => {
    const items = (await caller.all(`tenants/${tenant.id}/invitations`)).filter((i) => i.uses);
    const open = items.filter((i) => i.state === "open" || (i.state === "accepted" && new Date(i.expires) > new Date()));
    const uses = textField("uses", "How many may come", "10", "Each comes as a ghost that ends with the door, reads and proves what it put on record itself, and is a guest.", { inputmode: "numeric", maxlength: "4" });
    const life = selectField("life", "Open for", lives.map(([h, words]) => [String(h), words]), "24", "Visitors last as long.");
    section.fields = { uses, life, "/uses": uses, "/expires": life };
    return [
      open.length ? el("ul", { class: "items" }, open.map((i) => doorItem(section, j, i))) : el("p", {}, "No door is open. By a door many come with one link, without an identity of their own."),
      items.length > open.length ? el("p", { class: "hint" }, `${items.length - open.length} more were withdrawn or have ended.`) : null,
      form(section, [uses, life], "Open a door", async () => {
        const many = Number(uses.value);
        if (!Number.isInteger(many) || many < 1 || many > most) throw new Wrong("uses", `Write a number from 1 to ${most}.`);
        const { link, expires } = await inviteBy(j, "guest", { uses: many, life: Number(life.value) * hour });
        await section.again("A door was opened.");
        links.replaceChildren(...copyField("door-link", "Link of the door", link, `For ${many === 1 ? "one visitor" : `${many} visitors`}, until ${moment(expires)}. It is shown only here: whoever has it can come.`, "Copy the link", "The link was copied."));
        section.body.append(links);
      }),
    ].flat();
  });
  return section.element;
}

function doorItem(section, j, i) {
  const full = i.used >= i.uses;
  return el("li", {}, el("p", {}, el("strong", {}, `${i.used ?? 0} of ${i.uses} came`), full ? ", it is full" : ""),
    el("p", { class: "hint" }, `Until ${moment(i.expires)}, opened ${moment(i.created_at)} by ${i.inviter === j.state.me.id ? "you" : short(i.inviter)}`),
    full ? null : section.twice("Withdraw", "Nobody else comes by it. Who is in stays, until they end.", "Yes, withdraw it", async () => {
      await withdraw(j, i.id);
      await section.again("The door was withdrawn.");
    }, `Withdraw the door ${i.id.slice(-4)}`));
}
