// Taking an identity back with its recovery sheet, as `logline identity recover` does:
// the sheet's key becomes the current one, and a new next key goes to a new sheet.
//
// It may be cut off at any point. Until the rotation is taken the old sheet works,
// from then on the new one. So the new sheet is in the person's hands, and the signed
// rotation is kept, before it is sent; what is sent again is the same event.
import { eventsOf, json, Problem } from "./api.js";
import { forget, keep, load } from "./keep.js";
import { chosen, otherKey } from "./caller.js";
import { moment } from "./section.js";
import { newNext, parseSheet, sheetOf } from "./sheet.js";
import { commitment, signerOfSeed } from "../lib/crypto.js";
import { Chain, rotation, sealedHash } from "../lib/events.js";
import { Refusal } from "../lib/refusal.js";

// record is what is kept of a recovery that is not finished: {node, me: {id, key,
// privateKey, event}, event}, the rotation last.
export const record = "recovery";

// historyOf is an identity's chain, folded here, and its events.
export async function historyOf(identity) {
  const { events } = await json("GET", eventsOf(identity));
  if (events?.[0]?.subject === "ghost") throw new Refusal("rotation_of_ghost", "This is a visitor's identity. It has one key and no recovery sheet.");
  const chain = await Chain.fold(events);
  if (chain.id !== identity) throw new Refusal("identity_forged", "The server answered with the key events of somebody else.");
  return { chain, events };
}

// begin judges a sheet against what its identity has committed to, and makes the
// rotation: {pending, sheet, others}; sheet is the text of the new one. It tells nobody
// and keeps nothing. The seed of the old sheet is gone afterwards, whatever happens.
export async function begin(old, node) {
  let signer;
  try {
    signer = await signerOfSeed(old.seed);
  } finally {
    old.seed.fill(0);
  }
  const { chain, events } = await historyOf(old.identity);
  await mayRecover(chain, events, signer.key);
  const next = await newNext();
  const event = await rotation(chain, signer, next.hash);
  const sheet = await sheetOf(chain.id, next.seed, location.origin, new Date().toISOString());
  next.seed.fill(0);
  await readsBack(sheet, chain.id, next.hash);
  const others = [...chain.delegated].filter(([key]) => chain.grant(key)).map(([key]) => key);
  const me = { id: chain.id, key: signer.key, privateKey: signer.privateKey, event: events[0] };
  return { sheet, others, pending: { node, me, event } };
}

// mayRecover says why a sheet is not the one that counts.
async function mayRecover(chain, events, key) {
  if (chain.status !== "active") {
    throw new Refusal("identity_" + chain.status, `This identity was ${chain.status} on ${moment(events.at(-1).time)}. That is for good: no sheet brings it back.`);
  }
  const used = events.find((e) => e.kind === "rotation" && e.key === key);
  if (used) {
    throw new Refusal("sheet_spent", `This sheet is spent: it was used on ${moment(used.time)}. Each works once. Use the newest one, which was shown then or later.`);
  }
  if ((await commitment(key)) !== chain.next) {
    throw new Refusal("sheet_unknown", "This sheet does not fit the identity as this server knows it. Perhaps the page that showed it was left before the end, so that it never counted: use the one before. Or a newer one was made. Or the server withholds a part of your identity's history.");
  }
}

// readsBack makes sure of the only thing that the person will have.
async function readsBack(text, identity, hash) {
  const { seed, identity: read } = await parseSheet(text);
  const { key } = await signerOfSeed(seed);
  seed.fill(0);
  if (read !== identity || (await commitment(key)) !== hash) throw new Error("This browser makes recovery sheets that cannot be read. Use another one.");
}

// hold keeps a rotation before it is sent, where this browser keeps anything.
export async function hold(pending) {
  await keep(record, pending);
  if (!(await load(record))?.me.privateKey) {
    throw new Refusal("nothing_kept", "This browser keeps nothing, as in some private windows: your key would be gone with the page. Nothing was sent. Use another window or browser.");
  }
}

// send has the rotation recorded, and believes that it is once it stands in the
// identity's events; answers those.
export async function send(pending) {
  let refused;
  try {
    await json("POST", eventsOf(pending.me.id), { body: pending.event });
  } catch (err) {
    if (!(err instanceof Problem) || err.status === 429 || err.status >= 500) throw err;
    refused = err;
  }
  const history = await historyOf(pending.me.id);
  if (await stands(history, pending)) return history;
  if (history.chain.primary === pending.me.key) {
    throw new Refusal("sheet_used_twice", "The old sheet was used in another window or program meanwhile, with another new sheet: that one counts. Destroy the one that was shown here.");
  }
  if (refused) throw refused;
  throw new Refusal("rotation_withheld", "The server says that it has taken your new key, and shows your identity without it. Keep both sheets, try again, and tell whoever runs the server.");
}

async function stands({ events }, { event }) {
  const hash = await sealedHash(event);
  for (const e of events) {
    if (e.kind === "rotation" && e.key === event.key && (await sealedHash(e)) === hash) return true;
  }
  return false;
}

// alone refuses where this browser has got the key of another identity since the sheet
// was typed, which would be lost.
export async function alone({ me }) {
  const other = await otherKey(me.id);
  if (other) throw new Refusal("other_key", `This browser has the key of another identity by now, ${other}, which would be lost. Use another browser, or another profile of this one, and type the new sheet there; if that does not fit, the old one.`);
}

// settle makes the key the one of this browser, for the other pages.
export async function settle(pending) {
  const { node, me } = pending;
  await alone(pending); // another window may have made one while it was sent
  const journey = await load("journey");
  await keep("journey", { ...(journey?.me?.id === me.id ? goesOn(journey) : { began: Date.now(), step: "organisation" }), node: { id: node }, me, saved: true, registered: true });
  await keep("node", node);
  await keep(chosen, "key");
  await forget(record);
}

// goesOn is a journey without what the old key signed, and what hangs on that key.
function goesOn({ began, ended, who, org, tenant, invitation, noted }) {
  const step = tenant ? "proof" : invitation ? "key" : "organisation";
  return { began, ...(ended ? { ended } : {}), who, org, tenant, invitation, noted, step };
}
