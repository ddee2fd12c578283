// The page of /onboard: the journey from nothing to a first verified record, of somebody
// who founds, joins by an invitation, or visits by a door.
import { json, Problem, Unreachable } from "./page/api.js";
import { el } from "./page/dom.js";
import { current, recordOf } from "./page/ghost.js";
import { look } from "./page/invite.js";
import { Journey } from "./page/journey.js";
import { forget, keep, load } from "./page/keep.js";
import { cameBack, told } from "./page/providers.js";
import { sentence } from "./page/section.js";
import { signInSection } from "./page/signin.js";
import { takeLogin } from "./page/standing.js";
import { steps } from "./page/steps.js";
import { goOn, keptVisit, visitBy } from "./page/visit.js";
import { supported } from "./lib/crypto.js";

const record = "journey";
const founding = ["who", "organisation", "key", "template", "invite", "first", "proof"];
const joining = ["who", "key", "first", "proof"];
const watching = ["who", "key", "proof"]; // roles that add nothing

const orderOf = ({ invitation }) => (!invitation ? founding : invitation.role === "auditor" ? watching : joining);

const came = location.hash; // for another try

// fragment takes what the link carries out of the address, where others could see it.
function fragment() {
  const said = new URLSearchParams(location.hash.slice(1));
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return { invite: said.get("invite"), token: said.get("token") };
}

async function begin() {
  const back = cameBack();
  const { invite, token } = fragment();
  if (!(await supported())) {
    return stop("This browser cannot make the keys that LogLine uses", "It takes a browser of 2025 or newer (Chrome 137, Firefox 129, Safari 17), and a page by https:// or on this machine. Use another one, or logline onboard in a terminal.");
  }
  const node = await json("GET", "node");
  const visit = await keptVisit(node.id, invite);
  let state = visit ?? (await load(record));
  if (state && state.node.id !== node.id) {
    return stop("This is another server than before", `You began with ${state.node.id}; the server here is ${node.id}. If it was set up anew, begin again.`, visit ? recordOf(visit.invitation.tenant) : record);
  }
  if (visit && !token) return goOn(visit);
  state ??= { began: Date.now(), step: "who", node: { id: node.id } };
  if (invite && state.invitation?.token !== invite) {
    const preview = await look(invite);
    if (preview.visitors) return goOn(await visitBy(invite, preview, node.id));
    state = invited(state, invite, preview);
  }
  if (token) state.admission = token;
  await forget(current);
  const journey = new Journey(state, { record, steps, order: orderOf(state) });
  await journey.keep({});
  await journey.show();
  if (back) await cameFrom(journey, back);
}

// cameFrom goes on with what another provider's word brought.
async function cameFrom(j, back) {
  const { aside } = j.shown;
  const take = async () => {
    if (j.state.held) return aside.replaceChildren();
    if (j.state.step === "key") return takeLogin(j);
    return aside.replaceChildren(el("p", { class: "good", role: "status" }, "You are signed in. ", el("a", { href: new URL("../account", import.meta.url).href }, "Go to your account"), "."));
  };
  if (!back.signedIn) return aside.replaceChildren(told(back));
  if (back.code) return aside.replaceChildren(signInSection({ code: true, page: "onboard", title: "Your second factor" }, () => j.busy(undefined, take)));
  return j.busy(undefined, take);
}

// invited is the journey of somebody who comes by an invitation. Who has an identity
// in this browser joins with it: its key is nowhere else.
function invited({ node, who, me, saved, registered, held }, token, { name, slug, role, tenant }) {
  const journey = { began: Date.now(), node, invitation: { token, name, slug, role, tenant } };
  return registered ? { ...journey, who, me, saved, registered, held, step: "key" } : { ...journey, step: "who" };
}

// stop ends the journey with the reason, and a way to begin anew that forgets a record.
function stop(title, words, anew) {
  const heading = el("h1", { tabindex: "-1" }, title);
  const again = el("button", { class: "main", type: "button", onclick: () => { history.replaceState(null, "", location.pathname + location.search + came); location.reload(); } }, "Try again");
  const fresh = el("button", { class: "quiet", type: "button", onclick: async () => { await forget(anew); await forget(current); location.reload(); } }, "Begin again, and forget the key in this browser");
  document.getElementById("step").replaceChildren(heading, el("p", { class: "alert", role: "alert" }, words), again, anew ? fresh : "");
  heading.focus();
}

// A link that is opened in the same window changes the fragment alone.
addEventListener("hashchange", () => { if (/^#(invite|token)=/.test(location.hash)) location.reload(); });
begin().catch((err) => {
  if (!(err instanceof Problem || err instanceof Unreachable)) console.error(err);
  const link = err instanceof Problem && err.code.startsWith("invitation");
  stop(link ? "This invitation cannot be used" : "The page could not begin", sentence(err.message) + (link ? " A door for visitors gives nothing either once it is full." : ""));
});
