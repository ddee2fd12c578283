// A provider of OpenID Connect for tests, in a process of its own: oidc-provider with
// the forms that it has for development. It ends with its input.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const want = JSON.parse(process.env.OIDC_WANT);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: want.clients.map((c) => ({
      client_id: c.id, client_secret: c.secret, redirect_uris: c.redirects, token_endpoint_auth_method: c.method,
      grant_types: ["authorization_code"], response_types: ["code"],
    })),
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: !want.inToken,
    cookies: { keys: ["of the tests"] },
    pkce: { required: () => true },
    // Whoever signs in is who they say; unproven+… has not shown that the address is theirs.
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id.includes("@") ? id : undefined, email_verified: !id.startsWith("unproven") }),
    }),
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
