// The visits of this browser (docs/ghosts.md): ghosts whose keys it keeps, each in a
// record of its own, and how one becomes part of an identity.
import { eventsOf, json } from "./api.js";
import { kept, keep, load } from "./keep.js";
import { signerOf } from "../lib/crypto.js";
import { Chain, counterSign, offer } from "../lib/events.js";
import { timeOf } from "../lib/names.js";

const prefix = "visit ";

// current names the visit that /onboard goes on with.
export const current = "current";

export const recordOf = (tenant) => prefix + tenant;

// visits are those at a node, the last first.
export async function visits(node) {
  const names = (await kept()).filter((name) => String(name).startsWith(prefix));
  const all = await Promise.all(names.map(load));
  return all.filter((v) => v.node.id === node && v.me).sort((a, b) => b.began - a.began);
}

// ended says that a visit's ghost signs nothing any more.
export const ended = (visit) => visit.ended === true || (visit.me !== undefined && visit.me.expires <= timeOf(new Date()));

// open says that a visit's ghost can still act, and be claimed.
export const open = (visit) => visit.came === true && !visit.claimedBy && !ended(visit);

// offerTo is a ghost's claim by an identity, as the ghost signs it.
export async function offerTo(visit, by) {
  return offer(await Chain.begin(visit.me.event), signerOf(visit.me.key, visit.me.privateKey), by);
}

// claimBy makes a visit's ghost part of an identity whose key is here. The claim is kept
// before it is sent, so that what is sent again is the same.
export async function claimBy(visit, owner) {
  const record = recordOf(visit.tenant.id);
  if (visit.claim?.by !== owner.id) {
    visit.claim = await counterSign(await offerTo(visit, owner.id), signerOf(owner.key, owner.privateKey));
    await keep(record, visit);
  }
  try {
    await json("POST", eventsOf(visit.me.id), { body: visit.claim });
  } catch (err) {
    if (err.status !== undefined) visit.claim = undefined; // another try signs anew
    if (err.code !== "identity_claimed") throw err;
  }
  return settle(visit);
}

// settle finds out who claimed a visit's ghost, and forgets the key, which signs nothing
// any more. Nothing is believed: both signatures are checked here.
export async function settle(visit) {
  const { events } = await json("GET", eventsOf(visit.me.id));
  const claim = events.at(-1);
  if (claim.kind !== "claim") return undefined;
  const claimer = await asOf((await json("GET", eventsOf(claim.by))).events, claim.counter.key);
  const ghost = await Chain.fold(events, [claimer]);
  if (ghost.id !== visit.me.id) throw new Error("The server answered with the key events of somebody else.");
  visit.claimedBy = ghost.claimedBy;
  delete visit.me.privateKey;
  await keep(recordOf(visit.tenant.id), visit);
  return visit.claimedBy;
}

// asOf folds key events as far as where a key was the primary one.
async function asOf(events, key) {
  const chain = await Chain.begin(events[0]);
  for (const event of events.slice(1)) {
    if (chain.primary === key) break;
    await chain.apply(event);
  }
  return chain;
}
