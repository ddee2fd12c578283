// Signing in by another provider's word (docs/oidc.md): the way there, and what the
// page is told when the browser is back.
import { json } from "./api.js";
import { el } from "./dom.js";

// providers are those that this server knows, none where it does not say.
export const providers = () => json("GET", "sessions/oidc").then(({ items }) => items, () => []);

const way = (name, page) => new URL(`../../v1/sessions/oidc/${encodeURIComponent(name)}?page=${page}`, import.meta.url).href;

// providerLinks is where a link to each provider appears once they are known.
export function providerLinks(page) {
  const place = el("div", { hidden: true });
  providers().then((all) => {
    place.append(...all.map((p) => el("div", { class: "row" }, el("a", { class: "button", href: way(p.name, page) }, `Sign in with ${p.label}`))));
    place.hidden = all.length === 0;
  });
  return place;
}

const reasons = {
  oidc_busy: "Too many people are signing in at once. Wait a minute, or sign in another way.",
  oidc_denied: "The other provider signed nobody in: somebody said no there, or it does not let you. Begin again, or sign in another way.",
  oidc_links_full: "Your account has as many logins as it may. Remove one first.",
  oidc_not_linked: "No account here is linked to that login, and it opens none. Sign in another way, or accept an invitation, and link it in your account.",
  oidc_refused: "What the other provider said does not fit what it was asked. Begin again, or sign in another way.",
  oidc_signed_out: "You are not signed in any more as you were when you began. Sign in, and begin again.",
  oidc_state: "Nothing is open that this answers: it took more than ten minutes, was done before, or began in another browser. Begin again.",
  oidc_taken: "That login is linked to another account here. Sign in by it, and remove it there first.",
  oidc_unavailable: "The other provider does not answer as it should now. Try again in a minute, or sign in another way.",
  oidc_unknown: "Nobody signs in here by that provider any more.",
};

// cameBack takes what the server says of a way to a provider out of the address:
// {signedIn, code, good, words, reference}, or undefined.
export function cameBack() {
  const said = new URLSearchParams(location.hash.slice(1));
  const result = said.get("oidc");
  if (result === null) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  if (result === "signed-in" || result === "second-factor") return { signedIn: true, code: result === "second-factor" };
  if (result === "linked") return { good: true, words: "That login is linked: it signs you in from now on." };
  // Anybody can make an address: what it says is looked up, and never shown.
  const reference = said.get("reference") ?? "";
  return {
    words: reasons[said.get("reason")] ?? "Signing in by the other provider did not work. Begin again, or sign in another way.",
    reference: /^[0-9a-f-]{16,36}$/.test(reference) ? reference : "",
  };
}

// told shows it.
export const told = (back) => (back?.words
  ? el("div", { class: back.good ? "good" : "alert", role: back.good ? "status" : "alert" }, back.words, back.reference ? el("p", { class: "hint" }, `Reference ${back.reference}`) : null)
  : null);
