package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// opened is an account in custody with a session's token.
func (w *world) opened(handle string) openapi.AccountOpened {
	w.t.Helper()
	var out openapi.AccountOpened
	w.post("/v1/accounts", "", map[string]any{"custody": true, "handle": handle, "name": "Ana", "email": handle + "@example.com", "password": passphrase}).
		want(w.t, http.StatusCreated).decode(w.t, &out)
	return out
}

func (w *world) delete(path, token string) reply {
	w.t.Helper()
	return w.do(w.request(http.MethodDelete, path, token, "", nil))
}

// browser keeps cookies, as pages of the server have them.
type browser struct {
	*world
	jar http.CookieJar
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	b := &browser{world: w, jar: jar}
	there := *w
	there.http = &http.Client{Transport: w.http.Transport, Jar: jar}
	b.world = &there
	return b
}

// ask is a request as a page of the server sends it, or of another origin.
func (b *browser) ask(method, path, origin string, body any) reply {
	b.t.Helper()
	var text *strings.Reader
	if raw, err := json.Marshal(body); body != nil {
		require.NoError(b.t, err)
		text = strings.NewReader(string(raw))
	} else {
		text = strings.NewReader("")
	}
	req := b.request(method, path, "", "application/json", text)
	if req.Header.Set("Origin", origin); origin == "" {
		req.Header.Set("Origin", b.url)
	}
	return b.do(req)
}

func (b *browser) cookie() string {
	at, err := url.Parse(b.url)
	require.NoError(b.t, err)
	for _, c := range b.jar.Cookies(at) {
		if c.Name == "logline_session" {
			return c.Value
		}
	}
	return ""
}

func TestAccountInCustody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.opened("ana")
	require.Equal(t, "ana", made.Identity.Handle)
	require.True(t, made.Account.Custody)
	require.True(t, made.Session.Current)
	w.append(w.grant(made.Identity.Id, span.RoleMember)).want(t, http.StatusCreated)

	var in openapi.SignedIn
	w.post("/v1/sessions", "", map[string]any{"name": "@ana", "password": passphrase}).want(t, http.StatusCreated).decode(t, &in)
	// The node signs for the session what it may append, and no more than the role allows.
	event := func(id, typ, token string) reply {
		req := w.request(http.MethodPost, w.at("/events"), token, "application/cloudevents+json", strings.NewReader(`{"specversion":"1.0","id":"`+id+`","source":"/page","type":"`+typ+`","data":{"n":1}}`))
		return w.do(req)
	}
	event("1", "note.written", in.Token).want(t, http.StatusCreated)
	var got struct {
		Items []struct{ Span struct{ Author, Type string } }
	}
	w.get(w.at("/spans?type=note.written"), in.Token).want(t, http.StatusOK).decode(t, &got)
	require.Len(t, got.Items, 1)
	require.Equal(t, made.Identity.Id, got.Items[0].Span.Author)

	// Fresh, it manages: its own tenant, an API key.
	w.post("/v1/tenants", in.Token, map[string]any{"slug": "anas", "name": "Ana's", "owner": made.Identity.Id}).want(t, http.StatusCreated)
	w.post(pathOf(made.Identity.Id, "/keys"), in.Token, map[string]any{}).want(t, http.StatusCreated)
	w.clock.advance(11 * time.Minute)
	w.post(pathOf(made.Identity.Id, "/keys"), in.Token, map[string]any{}).problem(t, http.StatusForbidden, "session_not_fresh")
	w.delete("/v1/account", in.Token).problem(t, http.StatusForbidden, "session_not_fresh")
	event("2", "note.written", in.Token).want(t, http.StatusCreated)

	var where openapi.SessionPage
	w.get("/v1/sessions", in.Token).want(t, http.StatusOK).decode(t, &where)
	require.Len(t, where.Items, 2)
	require.Equal(t, "127.0.0.1", where.Items[0].Address)
	require.Contains(t, where.Items[0].Agent, "Go-http-client")
	var ended openapi.SessionsEnded
	w.delete("/v1/sessions", in.Token).want(t, http.StatusOK).decode(t, &ended)
	require.Equal(t, 1, ended.Ended)
	w.get("/v1/account", made.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.delete("/v1/sessions/current", in.Token).want(t, http.StatusOK)
	w.get("/v1/account", in.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
}

func TestAccountOfOwnKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var made openapi.AccountOpened
	w.post("/v1/accounts", w.token(w.owner), map[string]any{"password": passphrase}).want(t, http.StatusCreated).decode(t, &made)
	require.False(t, made.Account.Custody)
	require.Equal(t, "key", string(made.Session.How))
	w.post("/v1/accounts", w.token(w.owner), map[string]any{}).problem(t, http.StatusConflict, "account_exists")
	// It reads what its identity reads, and signs nothing.
	w.get(w.at(""), made.Token).want(t, http.StatusOK)
	w.post("/v1/tenants", made.Token, map[string]any{"slug": "more", "name": "More", "owner": w.owner.ID()}).problem(t, http.StatusForbidden, "session_cannot_sign")
	w.post("/v1/sessions", made.Token, map[string]any{}).problem(t, http.StatusForbidden, "api_key_no_account")
	// By key, a session; a delegated key that does not manage makes none.
	w.post("/v1/sessions", w.token(w.owner), map[string]any{}).want(t, http.StatusCreated)
	w.post("/v1/sessions", w.device(w.owner, "logline.api"), map[string]any{}).problem(t, http.StatusForbidden, "key_cannot_manage")
	w.post("/v1/sessions", "", map[string]any{}).problem(t, http.StatusBadRequest, "sign_in_incomplete")
}

// What a browser sends with the cookie changes something only for pages of this
// server, and the token is nowhere but in the cookie.
func TestSessionCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opened("ana")
	b := w.browser()
	signIn := map[string]any{"name": "ana", "password": passphrase, "cookie": true}
	b.ask(http.MethodPost, "/v1/sessions", "https://evil.example", signIn).problem(t, http.StatusForbidden, "origin_foreign")
	require.Empty(t, b.cookie())
	r := b.ask(http.MethodPost, "/v1/sessions", "", signIn).want(t, http.StatusCreated)
	require.NotContains(t, string(r.body), "lls_")
	set := r.header.Get("Set-Cookie")
	require.Regexp(t, `^logline_session=lls_[a-z2-7]{75}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`, set)

	first := b.cookie()
	b.ask(http.MethodGet, "/v1/account", "", nil).want(t, http.StatusOK)
	for _, origin := range []string{"https://evil.example", "null", strings.Replace(w.url, "127.0.0.1", "127.0.0.2", 1), w.url + "0"} {
		b.ask(http.MethodDelete, "/v1/sessions", origin, nil).problem(t, http.StatusForbidden, "origin_foreign")
	}
	req := b.request(http.MethodDelete, "/v1/sessions", "", "", nil)
	req.Header.Set("Sec-Fetch-Site", "same-site") // another port or name of the same site, without Origin
	b.do(req).problem(t, http.StatusForbidden, "origin_foreign")
	b.ask(http.MethodDelete, "/v1/sessions", "", nil).want(t, http.StatusOK)
	// A credential in the header is what counts, wherever it comes from: pages cannot send another's.
	req = b.request(http.MethodDelete, "/v1/sessions", first, "", nil)
	req.Header.Set("Origin", "https://evil.example")
	b.do(req).want(t, http.StatusOK)

	// After an hour another token takes its place, in the cookie alone.
	w.clock.advance(time.Hour)
	r = b.ask(http.MethodGet, "/v1/account", "", nil).want(t, http.StatusOK)
	require.NotContains(t, string(r.body), "lls_")
	second := b.cookie()
	require.NotEqual(t, first, second)
	b.ask(http.MethodGet, "/v1/account", "", nil).want(t, http.StatusOK)
	require.Equal(t, second, b.cookie())
	w.get("/v1/account", first).want(t, http.StatusOK) // for requests that were under way
	w.clock.advance(3 * time.Minute)
	w.get("/v1/account", first).problem(t, http.StatusUnauthorized, "credential_invalid")
	// What proves nothing is taken away.
	b.ask(http.MethodGet, "/v1/account", "", nil).problem(t, http.StatusUnauthorized, "credential_invalid")
	require.Empty(t, b.cookie())
	b.ask(http.MethodGet, "/v1/account", "", nil).problem(t, http.StatusUnauthorized, "credential_required")

	// Signing in again ends the session that the browser had, and a password that is set renews it.
	b.ask(http.MethodPost, "/v1/sessions", "", signIn).want(t, http.StatusCreated)
	third := b.cookie()
	b.ask(http.MethodPost, "/v1/sessions", "", signIn).want(t, http.StatusCreated)
	w.get("/v1/account", third).problem(t, http.StatusUnauthorized, "credential_invalid")
	fourth := b.cookie()
	r = b.ask(http.MethodPost, "/v1/account/password", "", map[string]any{"current": passphrase, "password": passphrase + " again"}).want(t, http.StatusOK)
	require.NotContains(t, string(r.body), "lls_")
	require.NotEqual(t, fourth, b.cookie())
	b.ask(http.MethodDelete, "/v1/sessions/current", "", nil).want(t, http.StatusOK)
	require.Empty(t, b.cookie())
}

// Under TLS the cookie is one that nobody beside the host can plant, and no other counts.
func TestSecureCookie(t *testing.T) {
	t.Parallel()
	proxies, err := httpapi.ParseProxies("loopback", "")
	require.NoError(t, err)
	w := newWorld(t, func(d *httpapi.Deps) { d.Proxies = proxies })
	w.opened("ana")
	send := func(method, path, body string, cookie *http.Cookie) reply {
		req := w.request(method, path, "", "application/json", strings.NewReader(body))
		req.Header.Set("X-Forwarded-Proto", "https")
		if cookie != nil {
			req.AddCookie(cookie)
		}
		return w.do(req)
	}
	r := send(http.MethodPost, "/v1/sessions", `{"name":"ana","password":"`+passphrase+`","cookie":true}`, nil).want(t, http.StatusCreated)
	require.Regexp(t, `^__Host-logline_session=lls_[a-z2-7]{75}; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax$`, r.header.Get("Set-Cookie"))
	cookie, err := http.ParseSetCookie(r.header.Get("Set-Cookie"))
	require.NoError(t, err)
	send(http.MethodGet, "/v1/account", "", cookie).want(t, http.StatusOK)
	cookie.Name = "logline_session"
	send(http.MethodGet, "/v1/account", "", cookie).problem(t, http.StatusUnauthorized, "credential_required")
}

// A feed that began with a session goes on through the session's tokens, and ends
// with the session.
func TestFeedOfSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	member := w.member(span.RoleMember)
	n, token, err := w.accounts.Begin(t.Context(), member.ID(), account.ByPasskey, account.Where{})
	require.NoError(t, err)
	taps := map[string]*tap{"websocket": w.socket("", token), "sse": w.events("", token)}
	for _, c := range taps {
		c.next()
	}
	w.clock.advance(time.Hour)
	fresh, err := w.accounts.Rotate(t.Context(), token)
	require.NoError(t, err)
	w.get(w.at(""), fresh).want(t, http.StatusOK)
	w.clock.advance(3 * time.Minute) // the token that they began with holds no more
	for _, c := range taps {
		for range 3 {
			require.Equal(t, "heartbeat", c.next().Type)
		}
	}
	require.NoError(t, w.accounts.End(t.Context(), member.ID(), n.ID))
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 4001, code, "%s: %s", name, reason)
	}
}

// TestDeactivatedAccountActsByNoAPIKey: whoever is kept out does not come in by an API
// key of their identity in custody: not to read, not to have anything signed, and no
// feed that is open goes on. What was made stays, for when they are let in again.
func TestDeactivatedAccountActsByNoAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	made := w.opened("ana")
	w.append(w.grant(made.Identity.Id, span.RoleMember)).want(t, http.StatusCreated)
	var key openapi.APIKey
	w.post(pathOf(made.Identity.Id, "/keys"), made.Token, map[string]any{"rights": []string{"read", "append"}}).want(t, http.StatusCreated).decode(t, &key)
	event := func(id string) reply {
		return w.do(w.request(http.MethodPost, w.at("/events"), key.Key, "application/cloudevents+json", strings.NewReader(`{"specversion":"1.0","id":"`+id+`","source":"/program","type":"note.written","data":{}}`)))
	}
	event("1").want(t, http.StatusCreated)
	taps := map[string]*tap{"websocket": w.socket("", key.Key), "sse": w.events("", key.Key)}
	for _, c := range taps {
		c.next()
	}
	require.NoError(t, w.accounts.Deactivate(t.Context(), made.Identity.Id, "an operator"))
	event("2").problem(t, http.StatusUnauthorized, "credential_invalid")
	w.get(w.at("/spans"), key.Key).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.get(w.at("/spans"), made.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 4001, code, "%s: %s", name, reason)
	}
	require.NoError(t, w.accounts.Activate(t.Context(), made.Identity.Id))
	event("2").want(t, http.StatusCreated)
	w.get(w.at("/spans"), made.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
}

func TestEraseAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.opened("ana")
	who := made.Identity.Id
	w.post("/v1/tenants", made.Token, map[string]any{"slug": "anas", "name": "Ana's", "owner": who}).want(t, http.StatusCreated)
	w.delete("/v1/account", made.Token).problem(t, http.StatusConflict, "account_sole_owner")
	w.get("/v1/account", made.Token).want(t, http.StatusOK)

	ben := w.opened("ben")
	w.append(w.grant(ben.Identity.Id, span.RoleMember)).want(t, http.StatusCreated)
	w.delete("/v1/account", ben.Token).want(t, http.StatusOK)
	w.get("/v1/account", ben.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.post("/v1/sessions", "", map[string]any{"name": "ben", "password": passphrase}).problem(t, http.StatusUnauthorized, "sign_in_refused")
	info, err := w.dir.Get(t.Context(), ben.Identity.Id)
	require.NoError(t, err)
	require.Equal(t, []string{id.StatusRevoked, "", ""}, []string{info.Status, info.Handle, info.Name})
	var left int
	require.NoError(t, w.db.Read.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM sealed_keys WHERE identity = $1) + (SELECT count(*) FROM accounts WHERE identity = $1)`, ben.Identity.Id).Scan(&left))
	require.Zero(t, left)
}

// Where registration is not open, what lets in identities with keys of their own lets
// in those that are made with an account: the bootstrap token and an invitation, which
// is for one.
func TestAccountsWhereRegistrationIsNotOpen(t *testing.T) {
	t.Parallel()
	open := func(w *world, admission string) reply {
		return w.post("/v1/accounts", "", map[string]any{"custody": true, "password": passphrase, "admission": admission})
	}
	closed := newNode(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	open(closed, "").problem(t, http.StatusForbidden, "registration_closed")
	open(closed, bootstrapToken[:20]).problem(t, http.StatusForbidden, "registration_closed")
	var first openapi.AccountOpened
	open(closed, bootstrapToken).want(t, http.StatusCreated).decode(t, &first)
	closed.post("/v1/tenants", bootstrapToken, map[string]any{"slug": "acme", "name": "Acme", "owner": first.Identity.Id}).want(t, http.StatusCreated)
	open(closed, bootstrapToken).problem(t, http.StatusForbidden, "registration_closed")
	closed.get("/v1/tenants/acme", first.Token).want(t, http.StatusOK)

	w := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration, d.Registration = false, httpapi.RegistrationInvite })
	i := w.invite(w.owner, span.RoleAuditor)
	open(w, "").problem(t, http.StatusForbidden, "registration_closed")
	var invited openapi.AccountOpened
	open(w, i.Reveal()).want(t, http.StatusCreated).decode(t, &invited)
	open(w, i.Reveal()).problem(t, http.StatusNotFound, "invitation_invalid")
	w.post("/v1/invitations/accept", invited.Token, map[string]any{"token": i.Reveal()}).want(t, http.StatusOK)
	w.get(w.at("/members"), invited.Token).want(t, http.StatusOK)
	w.post("/v1/accounts", w.token(w.owner), map[string]any{"password": passphrase, "admission": i.Reveal()}).problem(t, http.StatusBadRequest, "account_labels")
	w.post("/v1/accounts", w.token(w.owner), map[string]any{"password": passphrase}).want(t, http.StatusCreated)
}

// The second factor, as a browser goes through it.
func TestSecondFactorOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opened("ana")
	b := w.browser()
	signIn := map[string]any{"name": "ana", "password": passphrase, "cookie": true}
	b.ask(http.MethodPost, "/v1/sessions", "", signIn).want(t, http.StatusCreated)
	var offer openapi.SecondFactorOffer
	b.ask(http.MethodPost, "/v1/account/totp", "", nil).want(t, http.StatusCreated).decode(t, &offer)
	code := func() map[string]any {
		c, err := totp.GenerateCode(offer.Secret, w.clock.now())
		require.NoError(t, err)
		return map[string]any{"code": c}
	}
	before := b.cookie()
	var codes openapi.RecoveryCodes
	b.ask(http.MethodPost, "/v1/account/totp/confirm", "", code()).want(t, http.StatusOK).decode(t, &codes)
	require.Empty(t, codes.Token)
	require.NotEqual(t, before, b.cookie())
	b.ask(http.MethodPost, "/v1/account/totp", "", nil).problem(t, http.StatusConflict, "second_factor_exists")

	var in openapi.SignedIn
	other := w.browser()
	other.ask(http.MethodPost, "/v1/sessions", "", signIn).want(t, http.StatusCreated).decode(t, &in)
	require.EqualValues(t, "totp", in.Session.Needs)
	half := other.cookie()
	other.ask(http.MethodGet, "/v1/account", "", nil).problem(t, http.StatusUnauthorized, "second_factor_required")
	require.Equal(t, half, other.cookie())
	other.ask(http.MethodPost, "/v1/sessions/second-factor", "", map[string]any{"code": "000000"}).problem(t, http.StatusForbidden, "second_factor_wrong")
	other.ask(http.MethodPost, "/v1/sessions/second-factor", "https://evil.example", code()).problem(t, http.StatusForbidden, "origin_foreign")
	w.get("/v1/account", half).problem(t, http.StatusUnauthorized, "second_factor_required")
	w.clock.advance(30 * time.Second)
	other.ask(http.MethodPost, "/v1/sessions/second-factor", "", code()).want(t, http.StatusOK)
	require.NotEqual(t, half, other.cookie())
	other.ask(http.MethodGet, "/v1/account", "", nil).want(t, http.StatusOK)
	w.post("/v1/sessions", "", map[string]any{"name": "ana", "password": passphrase, "code": codes.Codes[0]}).want(t, http.StatusCreated)
	b.ask(http.MethodPost, "/v1/account/recovery-codes", "", map[string]any{"code": codes.Codes[1]}).want(t, http.StatusOK).decode(t, &codes)
	b.ask(http.MethodPost, "/v1/account/totp/remove", "", map[string]any{"code": codes.Codes[0]}).want(t, http.StatusOK)
}
