package browser

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
)

// authenticator gives a window an authenticator that keeps passkeys and verifies its
// person. Chromium finds no passkeys in one that does not; what becomes of those is
// tested in internal/account/passkey.
func (b *tab) authenticator() webauthn.AuthenticatorID {
	b.t.Helper()
	b.call("authenticators", call(b, webauthn.Enable, webauthn.EnableParams{}))
	added, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	require.NoError(b.t, err)
	return added.AuthenticatorID
}

func (b *tab) passkeys(of webauthn.AuthenticatorID) []*webauthn.Credential {
	b.t.Helper()
	held, err := chromedp.Call(b.ctx, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: of})
	require.NoError(b.t, err)
	return held.Credentials
}

// addCredential is webauthn.AddCredential without what browsers refuse when it is named.
var addCredential = cdp.Command[credential, cdp.Empty]{Method: webauthn.CommandAddCredential}

type credential struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      map[string]any           `json:"credential"`
}

// asks is what a module of the page answers, as JSON, or the code of what refused it.
func (b *tab) asks(module, expression string) string {
	b.t.Helper()
	return eval[string](b, `import("/onboard/page/`+module+`.js").then(async (m) => JSON.stringify(await (`+expression+`)) ?? "").catch((e) => typeof e.code === "string" ? e.code : String(e))`)
}

// A person opens an account with a password, makes a passkey, signs out and in again
// by it; a copy of it is found out; in the end it is removed.
func TestPasskeyInChromium(t *testing.T) {
	t.Parallel()
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(master, []byte(text), 0o600))
	s := node(t, "--master-key-file", master)
	home := strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/onboard"

	b := open(t)
	b.visit(home)
	device := b.authenticator()
	require.Contains(t, b.asks("api", `m.json("POST", "accounts", { body: { custody: true, handle: "ana", password: "correct horse battery staple", cookie: true } })`), `"handle":"ana"`)
	require.Equal(t, "true", b.asks("passkey", `m.able()`))
	made := b.asks("passkey", `m.register("This phone")`)
	require.Contains(t, made, `"name":"This phone"`)
	require.Contains(t, made, `"host":"localhost"`)
	require.Contains(t, made, `"verified":true`)
	held := b.passkeys(device)
	require.Len(t, held, 1)
	require.Equal(t, "localhost", held[0].RpID)
	require.Equal(t, "ana", held[0].UserName)
	require.Contains(t, b.asks("passkey", `m.register("Again")`), "InvalidStateError", "an authenticator makes one for an account")

	signedOut := func(b *tab) {
		require.NotContains(t, b.asks("api", `m.ask("DELETE", "sessions/current").then(() => "gone")`), "code")
		require.Equal(t, "credential_required", b.asks("api", `m.json("GET", "account")`))
	}
	signedOut(b)
	require.Contains(t, b.asks("passkey", `m.signIn()`), `"how":"passkey"`)
	require.Contains(t, b.asks("api", `m.json("GET", "account")`), `"handle":"ana"`)
	require.Contains(t, b.asks("api", `m.json("GET", "account/passkeys")`), `"used_at"`)

	// A thief has copied it, and is ahead by one.
	thief := open(t)
	thief.visit(home)
	stolen := thief.authenticator()
	own := b.passkeys(device)[0]
	thief.call("copy", call(thief, addCredential, credential{stolen, map[string]any{
		"credentialId": own.CredentialID, "isResidentCredential": true, "rpId": own.RpID, "privateKey": own.PrivateKey, "userHandle": own.UserHandle, "signCount": own.SignCount + 1,
	}}))
	require.Contains(t, thief.asks("passkey", `m.signIn()`), `"how":"passkey"`)
	require.Equal(t, "passkey_cloned", b.asks("passkey", `m.signIn()`))
	require.Equal(t, "passkey_cloned", thief.asks("passkey", `m.signIn()`))

	// On another device, by the password that is left.
	key := open(t)
	key.visit(home)
	key.authenticator()
	require.Contains(t, key.asks("api", `m.json("POST", "sessions", { body: { name: "ana", password: "correct horse battery staple", cookie: true } })`), `"how":"password"`)
	require.Contains(t, key.asks("passkey", `m.register("Key")`), `"name":"Key"`)
	require.Contains(t, key.asks("api", `m.json("GET", "account/passkeys")`), `"cloned_at"`)
	signedOut(key)
	require.Contains(t, key.asks("passkey", `m.signIn()`), `"how":"passkey"`)

	// What is removed signs nobody in.
	require.Equal(t, `"gone"`, key.asks("api", `m.json("GET", "account/passkeys").then(async (all) => { for (const p of all.items) await m.ask("DELETE", "account/passkeys/" + p.id); return "gone"; })`))
	require.Equal(t, "passkey_refused", key.asks("passkey", `m.signIn()`))

	// The same server by its address: there are no passkeys on such a page.
	key.visit(s.URL + "/onboard")
	require.Equal(t, "passkeys_elsewhere", key.asks("passkey", `m.signIn()`))
}
