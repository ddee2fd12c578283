// Invitations (docs/invitations.md): the inviter's key delegates to a new key the
// right to grant one role, and that key is sealed under the invitation's token,
// which stands in the link alone.
import { eventsOf, json } from "./api.js";
import { b64u, concat, utf8 } from "../lib/bytes.js";
import { random, signerOfSeed, sum } from "../lib/crypto.js";
import { Chain, delegation, undelegation } from "../lib/events.js";
import { hashText, newID, timeOf } from "../lib/names.js";
import { sealSpan } from "../lib/spans.js";

const prefix = "lli_";
const days = 7;

// inviteBy makes an invitation to a role, or a door where uses says how many may come,
// and gives {link, expires}. j has the tenant and the inviter in its state, and signs
// as them.
export async function inviteBy(j, role, { uses, life = days * 86_400_000 } = {}) {
  const { tenant, held } = j.state;
  const [secret, id] = [random(32), newID()];
  const expires = timeOf(new Date(Date.now() + life));
  const terms = { id, role, expires, ...(uses ? { uses } : {}), token_hash: await hashText(utf8("logline.invitation.v1\n"), secret) };
  const body = held ? terms : { ...terms, ...(await own(j, secret, terms)) }; // the server signs with the key that it holds
  const made = await json("POST", `tenants/${tenant.id}/invitations`, { token: await j.token(), body });
  const page = made.page ? made.page.replace(/\/$/, "") + "/onboard" : new URL("../../onboard", import.meta.url).href;
  return { link: `${page}#invite=${prefix}${b64u(secret)}`, expires };
}

// own is what an inviter with a key of one's own signs and seals.
async function own(j, secret, { id, role, expires, uses }) {
  const { tenant, me } = j.state;
  const signer = j.signer();
  const chain = await chainOf(j);
  const seed = random(32);
  const granter = await signerOfSeed(seed);
  const event = await delegation(chain, signer, granter.key, { label: "invitation", types: ["logline.member"], expires });
  const span = await sealSpan(signer, { id, tenant: tenant.id, author: me.id, type: "invitation.created", visibility: "organization", payload: { invitation: id, role, expires, ...(uses ? { uses } : {}) } });
  const sealed = await seal(secret, seed, tenant.id, id);
  seed.fill(0);
  return { sealed, span, delegation: event };
}

// seal is nonce || AES-256-GCM(seed) under HKDF-SHA256 of the token, for one
// invitation of one tenant.
async function seal(secret, seed, tenant, id) {
  const { subtle } = crypto;
  const source = await subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  const key = await subtle.deriveKey({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8("logline.invitation.v1 seal") }, source, { name: "AES-GCM", length: 256 }, false, ["encrypt"]);
  const nonce = random(12);
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: utf8(tenant + "\n" + id) }, key, seed);
  return b64u(concat(nonce, new Uint8Array(sealed)));
}

// withdraw ends an invitation, tells of it, and withdraws the delegation of its key
// where that is ours. Each may be done again.
export async function withdraw(j, id) {
  const { tenant, me, held } = j.state;
  const over = await json("DELETE", `tenants/${tenant.id}/invitations/${id}`, { token: await j.token() });
  if (held || over.revoked_by !== me.id) return;
  const mark = await sum(utf8("invitation.revoked" + id));
  const span = await sealSpan(j.signer(), {
    id: newID(new Date(over.revoked_at), mark.slice(0, 10)), tenant: tenant.id, author: me.id, type: "invitation.revoked", visibility: "organization", causes: [id], payload: { invitation: id },
  });
  try {
    await json("POST", `tenants/${tenant.id}/spans`, { body: span });
  } catch (err) {
    if (err.code !== "id_conflict") throw err; // told before
  }
  if (over.inviter === me.id && over.signer) await endKey(j, over.signer);
}

// endKey withdraws one of the caller's delegated keys, where it still stands.
export async function endKey(j, key) {
  const chain = await chainOf(j);
  if (chain.grant(key)) await json("POST", eventsOf(j.state.me.id), { body: await undelegation(chain, j.signer(), key) });
}

// chainOf is the caller's own identity, folded from its key events.
export async function chainOf(j) {
  const { events } = await json("GET", eventsOf(j.state.me.id), { token: await j.token() });
  const chain = await Chain.fold(events);
  if (chain.id !== j.state.me.id) throw new Error("The server answered with the key events of somebody else.");
  return chain;
}

// look says what an invitation would give.
export const look = (token) => json("POST", "invitations/look", { body: { token } });
