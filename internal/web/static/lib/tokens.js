// Bearer tokens signed by the caller's own key (protocol, section 7).
import { b64u, utf8 } from "./bytes.js";
import { canonical } from "./json.js";

// signToken makes a JWT with which an identity proves itself to one node, at the
// address (origin) that it speaks to, for at most five minutes.
export async function signToken(signer, identity, node, origin, seconds = 240, now = new Date()) {
  const iat = Math.floor(now.getTime() / 1000);
  const head = { alg: "EdDSA", typ: "logline-auth+jwt", kid: signer.key };
  const claims = { sub: identity, aud: node, iat, exp: iat + seconds, ...(origin ? { origin } : {}) };
  const signed = b64u(utf8(canonical(head))) + "." + b64u(utf8(canonical(claims)));
  return signed + "." + b64u(await signer.sign(utf8(signed)));
}
