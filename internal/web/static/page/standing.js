// What stands at the server, whatever became of the session that brought it about:
// logins that end, and onboarding sessions, which last seven days.
import { json, pathOf } from "./api.js";
import { otherKey } from "./caller.js";
import { signInSection } from "./signin.js";
import { Wrong } from "./wrong.js";

const lapsed = ["session_not_fresh", "onboarding_login_required", "onboarding_login_missing"];

// loginOver says whether an answer is for whoever has to sign in again.
export const loginOver = (err) => lapsed.includes(err.code) || (err.status === 401 && !["onboarding_token_invalid", "sign_in_refused"].includes(err.code));

// signInAgain asks a person whose keys the server holds to sign in, where they are, and
// then does again what was refused.
export function signInAgain(j, err, again) {
  j.alert("You signed in too long ago, or your login has ended. Sign in here, and it goes on.");
  j.shown.aside.replaceChildren(signInSection({ as: j.state.me.id, page: "onboard", code: err.code === "second_factor_required", title: "Sign in again" }, async () => {
    j.shown.aside.replaceChildren();
    await again();
  }));
}

// takeLogin goes on with the login by which somebody came back from another provider, as
// the address says, which anybody can write: a key that is here stays.
export async function takeLogin(j) {
  if (j.state.me?.privateKey ?? (await otherKey())) throw new Wrong("", "The key of an identity is in this browser already, and would be lost. Go on with that identity here; for the one of the other login use another browser, or another profile of this one.");
  const account = await json("GET", "account");
  if (!account.custody) throw new Wrong("keeper", "The key of that login's identity is elsewhere. Begin in the browser that has it, or choose again here.");
  await j.keep({ me: { id: account.identity }, held: true, saved: true, unnamed: !account.handle && !account.name });
  await j.show();
}

// named gives an identity that another provider's word opened the name and handle that
// its person wrote first.
export async function named(j) {
  if (!j.state.unnamed) return;
  const { me, who } = j.state;
  await json("PATCH", pathOf(me.id), { body: who });
  await j.keep({ unnamed: false });
}

// identityStep, tenantStep and recoveryStep are the bodies of these steps.
export async function identityStep(j) {
  const { who, me, held, registered } = j.state;
  if (held) return { session: true };
  return { events: [me.event], token: await j.token(), ...(registered ? {} : { handle: who.handle, name: who.name, ...admits(j) }) };
}

export function tenantStep(j) {
  const { org, invitation, tenant } = j.state;
  if (invitation) return { invitation: invitation.token };
  // A contract that erases contents stands as the tenant does.
  return { slug: org.slug, name: org.name, public_reading: org.publicReading, ...(org.retention && !tenant ? { retention_days: Number(org.retention) } : {}), ...admits(j) };
}

export const recoveryStep = (j) => ({ method: j.state.held ? "held" : "sheet" });

const admits = ({ state: { invitation, admission } }) => ((invitation?.token ?? admission) ? { admission: invitation?.token ?? admission } : {});

// anew begins another onboarding session in the place of one that is over, and tells it
// what stands before a step. It takes that place once it knows all of that.
export async function anew(j, step) {
  const { brought, tenant, spanID } = j.state;
  const { id, token } = await json("POST", "onboarding/sessions", { body: { road: "page" } });
  const tell = (name, body) => json("PUT", `onboarding/sessions/${id}/steps/${name}`, { token, body });
  if (brought && step !== "identity") await tell("identity", await identityStep(j));
  if (tenant && !["identity", "tenant"].includes(step)) {
    await tell("tenant", tenantStep(j));
    await tell("recovery", recoveryStep(j));
  }
  if (spanID && step === "proof") await tell("first_span", { span: spanID });
  await j.keep({ session: { id, token }, lapsed: undefined });
}
