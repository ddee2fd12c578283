package oidc

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc/oidctest"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

const (
	passphrase = "correct horse battery staple"
	public     = "http://localhost:8080"
	back       = public + "/v1/sessions/oidc/"
	password   = "of the tests, of the tests"
)

var cheap = argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// scene is a service on a real database and a real provider, under the real clock,
// which the test moves on.
type scene struct {
	*Service
	t        testing.TB
	db       *storage.DB
	accounts *account.Service
	ahead    *atomic.Int64
	closed   *atomic.Bool // nobody new comes in
	wire     *wire
}

func (s *scene) now() time.Time          { return time.Now().Add(time.Duration(s.ahead.Load())) }
func (s *scene) advance(d time.Duration) { s.ahead.Add(int64(d)) }

// wire is what is between the node and the provider. A test may change an answer
// with tokens on its way.
type wire struct {
	base   http.RoundTripper
	change func(answer map[string]any)
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.base.RoundTrip(req)
	if err != nil || req.Method != http.MethodPost || w.change == nil {
		return res, err
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	w.change(answer)
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return res, nil
}

// clients are this node, as two parties that the provider knows.
func clients() []oidctest.Client {
	return []oidctest.Client{
		{ID: "logline", Secret: password, Redirects: []string{back + "work/callback"}},
		{ID: "other", Secret: password, Redirects: []string{back + "other/callback"}, Method: "client_secret_post"},
	}
}

func provider(name, issuer, client string) Provider {
	return Provider{Settings{Name: name, Label: "Work", Issuer: issuer, ClientID: client, Domains: []string{"corp.example"}}, secret.New(password)}
}

// each runs a test on both databases, with one provider.
func each(t *testing.T, test func(s *scene)) {
	t.Parallel()
	issuer := oidctest.Start(t, oidctest.Options{Clients: clients()})
	backend.Each(t, func(t *testing.T, url string) {
		db, _ := backend.Open(t, url)
		test(newScene(t, db, provider("work", issuer, "logline"), provider("other", issuer, "other")))
	}, backend.SQLite, backend.Postgres)
}

func newScene(t testing.TB, db *storage.DB, providers ...Provider) *scene {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	s := &scene{t: t, db: db, ahead: new(atomic.Int64), closed: new(atomic.Bool), wire: &wire{base: transport}}
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	node, err := id.NewKeys(id.SubjectNode, s.now(), rand.Reader)
	require.NoError(t, err)
	dir, masters := id.NewDirectory(db, id.DefaultVerifier(), s.now), id.Masters{master}
	s.accounts = account.New(db, dir, id.NewCustody(db, masters, dir, node.ID(), s.now, rand.Reader), id.NewSecrets(db, masters, rand.Reader), account.Config{Hash: cheap, Now: s.now})
	s.Service = s.process(providers)
	return s
}

// process is one more of the node.
func (s *scene) process(providers []Provider) *Service {
	s.t.Helper()
	made, err := New(s.db, s.accounts, Config{
		Providers: providers, PublicURL: public, Transport: s.wire, Now: s.now,
		Opens: func(domain string) bool { return domain == "corp.example" && !s.closed.Load() },
	})
	require.NoError(s.t, err)
	return made
}

func (s *scene) held(handle string) string {
	s.t.Helper()
	info, err := s.accounts.CreateHeld(s.t.Context(), account.NewAccount{Handle: handle, Password: passphrase}, account.Where{})
	require.NoError(s.t, err)
	return info.ID
}

func (s *scene) begin(provider string, why Purpose) Begun {
	s.t.Helper()
	begun, err := s.Begin(s.t.Context(), provider, why)
	require.NoError(s.t, err)
	return begun
}

// answered is what a browser brings back from a provider, once login has signed in.
func (s *scene) answered(begun Begun, login string) url.Values {
	s.t.Helper()
	return oidctest.NewBrowser(s.t).SignIn(begun.Location, back, login).Query()
}

func (s *scene) finish(begun Begun, answer url.Values) (Done, error) {
	s.t.Helper()
	return s.Finish(s.t.Context(), "work", answer, begun.Browser, account.Where{})
}

func (s *scene) signsIn(login string) (Done, error) {
	s.t.Helper()
	begun := s.begin("work", Purpose{})
	return s.finish(begun, s.answered(begun, login))
}

// linksAs links an account, in a session of its own.
func (s *scene) linksAs(identity, login string) error {
	s.t.Helper()
	n, _, err := s.accounts.Begin(s.t.Context(), identity, account.ByPasskey, account.Where{})
	require.NoError(s.t, err)
	begun := s.begin("work", Purpose{Identity: identity, Session: n.ID})
	done, err := s.finish(begun, s.answered(begun, login))
	require.Empty(s.t, done.Token, "linking signs nobody in")
	return err
}

func (s *scene) count(table string) int {
	s.t.Helper()
	n := 0
	require.NoError(s.t, s.db.Read.QueryRowContext(s.t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

func refused(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
	require.Equal(t, kind, fault.KindOf(err))
}

// A provider's proven address lets somebody in once; from then on it is the subject
// that counts, and no address leads to an account that is there.
func TestOpensAnAccount(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		require.NoError(t, s.accounts.SetEmail(t.Context(), ana, "ana@corp.example"))
		require.NoError(t, s.accounts.ProveEmail(t.Context(), ana, "ana@corp.example"))

		begun := s.begin("work", Purpose{Page: "onboard"})
		at, err := url.Parse(begun.Location)
		require.NoError(t, err)
		require.Equal(t, []string{"S256"}, at.Query()["code_challenge_method"])
		require.Equal(t, []string{back + "work/callback"}, at.Query()["redirect_uri"])
		require.NotContains(t, begun.Location, begun.Browser)
		answer := s.answered(begun, "ana@corp.example")
		done, err := s.process(s.Providers()).Finish(t.Context(), "work", answer, begun.Browser, account.Where{Agent: "A browser"})
		require.NoError(t, err, "any process finishes")
		require.Equal(t, "onboard", done.Page)
		require.Equal(t, account.ByOIDC, done.Session.How)
		require.NotEqual(t, ana, done.Session.Identity, "an address is nobody's account")
		who, err := s.accounts.Authenticate(t.Context(), done.Token)
		require.NoError(t, err)
		require.True(t, who.Session.Held)
		require.True(t, who.Session.Fresh)

		again, err := s.signsIn("ana@corp.example")
		require.NoError(t, err)
		require.Equal(t, done.Session.Identity, again.Session.Identity)
		all, err := s.List(t.Context(), again.Session.Identity)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, Link{ID: all[0].ID, Identity: again.Session.Identity, Provider: "work", Issuer: s.Providers()[0].Issuer, Subject: "ana@corp.example",
			Email: "ana@corp.example", CreatedAt: all[0].CreatedAt, UsedAt: all[0].UsedAt}, all[0])
		require.NotEmpty(t, all[0].UsedAt)

		identities := s.count("identities")
		for _, login := range []string{"unproven@corp.example", "eve@other.example", "eve@sub.corp.example", "nobody"} {
			_, err = s.signsIn(login)
			refused(t, err, fault.Forbidden, "oidc_not_linked")
		}
		s.closed.Store(true)
		_, err = s.signsIn("bo@corp.example")
		refused(t, err, fault.Forbidden, "oidc_not_linked")
		require.Equal(t, identities, s.count("identities"))
		require.Equal(t, 1, s.count("account_oidc_links"))
		require.Zero(t, s.count("account_oidc_flows"))
	})
}

// Of two who come back at once as one new person, both are signed in to one account.
func TestOpensOneAccount(t *testing.T) {
	each(t, func(s *scene) {
		var done [2]Done
		errs := make(chan error, len(done))
		for i := range done {
			begun := s.begin("work", Purpose{})
			answer, process := s.answered(begun, "ana@corp.example"), s.process(s.Providers())
			go func() {
				var err error
				done[i], err = process.Finish(t.Context(), "work", answer, begun.Browser, account.Where{})
				errs <- err
			}()
		}
		for range done {
			require.NoError(t, <-errs)
		}
		require.Equal(t, done[0].Session.Identity, done[1].Session.Identity)
		require.Equal(t, 1, s.count("identities"))
	})
}

func TestLinks(t *testing.T) {
	each(t, func(s *scene) {
		s.closed.Store(true)
		ana, bob := s.held("ana"), s.held("bob")
		require.NoError(t, s.linksAs(ana, "a@home.example"))
		require.NoError(t, s.linksAs(ana, "a@home.example"), "once more is the same")
		done, err := s.signsIn("a@home.example")
		require.NoError(t, err)
		require.Equal(t, ana, done.Session.Identity)
		refused(t, s.linksAs(bob, "a@home.example"), fault.Conflict, "oidc_taken")

		// Who signed out meanwhile links nothing.
		n, _, err := s.accounts.Begin(t.Context(), bob, account.ByPasskey, account.Where{})
		require.NoError(t, err)
		begun := s.begin("work", Purpose{Identity: bob, Session: n.ID})
		answer := s.answered(begun, "b@home.example")
		require.NoError(t, s.accounts.End(t.Context(), bob, n.ID))
		_, err = s.finish(begun, answer)
		refused(t, err, fault.Unauthenticated, "oidc_signed_out")
		require.Equal(t, 1, s.count("account_oidc_links"))
		_, err = s.Begin(t.Context(), "work", Purpose{Identity: "logline-id://none"})
		refused(t, err, fault.NotFound, "account_unknown")

		// It is one factor.
		offer, err := s.accounts.OfferSecond(t.Context(), ana, "ana")
		require.NoError(t, err)
		code, err := totp.GenerateCode(offer.Secret, s.now())
		require.NoError(t, err)
		_, _, err = s.accounts.ConfirmSecond(t.Context(), ana, "", code)
		require.NoError(t, err)
		done, err = s.signsIn("a@home.example")
		require.NoError(t, err)
		require.Equal(t, account.NeedsTOTP, done.Session.Needs)

		require.NoError(t, s.accounts.Deactivate(t.Context(), ana, "operator"))
		_, err = s.signsIn("a@home.example")
		refused(t, err, fault.Forbidden, "account_deactivated")

		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		refused(t, s.Remove(t.Context(), bob, all[0].ID, false), fault.NotFound, "oidc_link_unknown")
		require.NoError(t, s.Remove(t.Context(), ana, all[0].ID, false), "there is a password")
		_, err = s.signsIn("a@home.example")
		refused(t, err, fault.Forbidden, "oidc_not_linked")
	})
}

func TestLastWayIn(t *testing.T) {
	each(t, func(s *scene) {
		done, err := s.signsIn("ana@corp.example")
		require.NoError(t, err)
		ana := done.Session.Identity
		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		first := all[0].ID
		refused(t, s.Remove(t.Context(), ana, first, false), fault.Conflict, "oidc_last")
		require.NoError(t, s.linksAs(ana, "a@home.example"))
		require.NoError(t, s.Remove(t.Context(), ana, first, false))
		all, err = s.List(t.Context(), ana)
		require.NoError(t, err)
		refused(t, s.Remove(t.Context(), ana, all[0].ID, false), fault.Conflict, "oidc_last")
		require.NoError(t, s.Remove(t.Context(), ana, all[0].ID, true))
		found, err := s.accounts.Erase(t.Context(), ana)
		require.NoError(t, err)
		require.True(t, found)
	})
}

// A way to a provider is good once, for ten minutes, in the browser that began it,
// to that provider, with the code that came back by it.
func TestWays(t *testing.T) {
	each(t, func(s *scene) {
		begun, foreign := s.begin("work", Purpose{}), s.begin("work", Purpose{})
		answer := s.answered(begun, "ana@corp.example")

		_, err := s.finish(foreign, answer)
		refused(t, err, fault.Unauthenticated, "oidc_state")
		_, err = s.finish(Begun{}, answer)
		refused(t, err, fault.Unauthenticated, "oidc_state")
		_, err = s.Finish(t.Context(), "other", answer, begun.Browser, account.Where{})
		refused(t, err, fault.Unauthenticated, "oidc_state")
		_, err = s.Finish(t.Context(), "none", answer, begun.Browser, account.Where{})
		refused(t, err, fault.NotFound, "oidc_unknown")
		_, err = s.finish(begun, url.Values{"state": {b64(make([]byte, 32))}, "code": answer["code"], "iss": answer["iss"]})
		refused(t, err, fault.Unauthenticated, "oidc_state")

		// A code that came by another way is not this one's: its verifier is another.
		state := func(b Begun) string {
			at, err := url.Parse(b.Location)
			require.NoError(t, err)
			return at.Query().Get("state")
		}
		_, err = s.finish(foreign, url.Values{"state": {state(foreign)}, "code": answer["code"], "iss": answer["iss"]})
		refused(t, err, fault.Unauthenticated, "oidc_refused")

		begun = s.begin("work", Purpose{})
		answer = s.answered(begun, "ana@corp.example")
		_, err = s.finish(begun, answer)
		require.NoError(t, err)
		_, err = s.finish(begun, answer)
		refused(t, err, fault.Unauthenticated, "oidc_state")
		once := s.begin("work", Purpose{})
		_, err = s.finish(once, url.Values{"state": {state(once)}, "code": answer["code"], "iss": answer["iss"]})
		refused(t, err, fault.Unauthenticated, "oidc_refused")

		late := s.begin("work", Purpose{})
		answer = s.answered(late, "ana@corp.example")
		s.advance(Lasts)
		_, err = s.finish(late, answer)
		refused(t, err, fault.Unauthenticated, "oidc_state")
		require.Equal(t, 1, s.count("account_sessions"))
	})
}

// Words of the provider that are genuine, and not for this way.
func TestWordsThatDoNotFit(t *testing.T) {
	t.Parallel()
	issuer := oidctest.Start(t, oidctest.Options{Clients: clients(), InToken: true})
	elsewhere := oidctest.Start(t, oidctest.Options{Clients: clients(), InToken: true})
	db, _ := backend.Open(t, "memory:")
	s := newScene(t, db, provider("work", issuer, "logline"), provider("other", issuer, "other"), provider("elsewhere", elsewhere, "logline"))

	// word is an ID token of a sign-in that came to its end.
	word := func(of *Service, name, through string) (token string) {
		begun, err := of.Begin(t.Context(), name, Purpose{})
		require.NoError(t, err)
		answer := oidctest.NewBrowser(t).SignIn(begun.Location, back, "ana@corp.example").Query()
		s.wire.change = func(answer map[string]any) { token, _ = answer["id_token"].(string) }
		defer func() { s.wire.change = nil }()
		_, err = of.Finish(t.Context(), through, answer, begun.Browser, account.Where{})
		require.NoError(t, err)
		require.NotEmpty(t, token)
		return token
	}
	earlier, others := word(s.Service, "work", "work"), word(s.Service, "other", "other")
	// The other provider knows the same redirections: here it is the one called work.
	foreign := word(s.process([]Provider{provider("work", elsewhere, "logline")}), "work", "work")
	sessions := s.count("account_sessions")

	instead := func(token string) error {
		s.wire.change = func(answer map[string]any) { answer["id_token"] = token }
		defer func() { s.wire.change = nil }()
		_, err := s.signsIn("ana@corp.example")
		return err
	}
	for because, token := range map[string]string{
		"nonce": earlier, "audience": others, "issued by a different provider": foreign,
		"malformed": "", "failed to verify signature": earlier[:strings.LastIndex(earlier, ".")+1] + "AAAA" + earlier[strings.LastIndex(earlier, ".")+5:],
	} {
		err := instead(token)
		refused(t, err, fault.Unauthenticated, "oidc_refused")
		require.ErrorContains(t, fault.From(err).Unwrap(), because)
	}

	// Answers by way of the browser that name another provider, or none (RFC 9207).
	for _, iss := range []string{elsewhere, ""} {
		begun := s.begin("work", Purpose{})
		answer := s.answered(begun, "ana@corp.example")
		require.Equal(t, issuer, answer.Get("iss"))
		answer.Set("iss", iss)
		_, err := s.finish(begun, answer)
		refused(t, err, fault.Unauthenticated, "oidc_refused")
		require.ErrorContains(t, fault.From(err).Unwrap(), "another issuer's")
	}
	begun := s.begin("work", Purpose{})
	_, err := s.finish(begun, oidctest.NewBrowser(t).Abort(begun.Location, back).Query())
	refused(t, err, fault.Forbidden, "oidc_denied")
	require.ErrorContains(t, err, "access_denied")
	begun = s.begin("work", Purpose{})
	answer := s.answered(begun, "ana@corp.example")
	answer.Del("code")
	_, err = s.finish(begun, answer)
	refused(t, err, fault.Unauthenticated, "oidc_refused")

	// A node whose clock is two hours ahead finds the token to be over.
	s.advance(2 * time.Hour)
	_, err = s.signsIn("ana@corp.example")
	refused(t, err, fault.Unauthenticated, "oidc_refused")
	require.ErrorAs(t, err, new(*oidclib.TokenExpiredError))
	s.advance(-2 * time.Hour)
	require.Equal(t, sessions, s.count("account_sessions"))

	// By its other name the provider is another issuer, and is not taken for this one.
	named := s.process([]Provider{provider("work", strings.Replace(issuer, "127.0.0.1", "localhost", 1), "logline")})
	_, err = named.Begin(t.Context(), "work", Purpose{})
	refused(t, err, fault.Unavailable, "oidc_unavailable")
	require.ErrorContains(t, fault.From(err).Unwrap(), "did not match")

	// A secret that is wrong is no way in, and no defect.
	wrong := provider("work", issuer, "logline")
	wrong.Secret = secret.New("another")
	begun = s.begin("work", Purpose{})
	_, err = s.process([]Provider{wrong}).Finish(t.Context(), "work", s.answered(begun, "ana@corp.example"), begun.Browser, account.Where{})
	refused(t, err, fault.Unauthenticated, "oidc_refused")
}

func TestOpenWaysAreBounded(t *testing.T) {
	each(t, func(s *scene) {
		kind := "BLOB"
		if s.db.Pool() != nil {
			kind = "BYTEA"
		}
		s.begin("work", Purpose{})
		_, err := s.db.Write.ExecContext(t.Context(), `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
			INSERT INTO account_oidc_flows (hash, browser, provider, page, expires_at) SELECT CAST(CAST(i AS TEXT) AS `+kind+`), CAST('x' AS `+kind+`), 'work', '', $1 FROM n`,
			s.now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z"))
		require.NoError(t, err)
		_, err = s.Begin(t.Context(), "work", Purpose{})
		refused(t, err, fault.Unavailable, "oidc_busy")
		s.advance(Lasts)
		s.begin("work", Purpose{})
		require.Equal(t, 1, s.count("account_oidc_flows"))
	})
}

// TestHostileProvider: a provider leads the node nowhere but to its own hosts, and
// fills no memory. What it would say otherwise is in the tests with a real one.
func TestHostileProvider(t *testing.T) {
	t.Parallel()
	db, _ := backend.Open(t, "memory:")
	var inside atomic.Int64
	internal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(internal.Close)
	for name, says := range map[string]func(w http.ResponseWriter, own string){
		"tokens elsewhere":  func(w http.ResponseWriter, own string) { discovery(w, own, own+"/auth", internal.URL+"/token") },
		"browser elsewhere": func(w http.ResponseWriter, own string) { discovery(w, own, internal.URL+"/auth", own+"/token") },
		"a script":          func(w http.ResponseWriter, own string) { discovery(w, own, "javascript:alert(1)", own+"/token") },
		"redirected": func(w http.ResponseWriter, own string) {
			w.Header().Set("Location", internal.URL)
			w.WriteHeader(http.StatusFound)
		},
		"without end": func(w http.ResponseWriter, own string) {
			_, _ = io.WriteString(w, `{"issuer": "`+own+`", "pad": "`+strings.Repeat("a", mostAnswer)+`"}`)
		},
		"nothing": func(http.ResponseWriter, string) {},
		"a long refusal": func(w http.ResponseWriter, _ string) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, strings.Repeat("a", mostAnswer))
		},
	} {
		var calls atomic.Int64
		var own string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Content-Type", "application/json")
			says(w, own)
		}))
		own = server.URL
		s := newScene(t, db, provider("work", own, "logline"))
		for range 2 {
			_, err := s.Begin(t.Context(), "work", Purpose{})
			refused(t, err, fault.Unavailable, "oidc_unavailable")
			require.Less(t, len(fault.From(err).Unwrap().Error()), 2*mostError, name)
		}
		require.EqualValues(t, 1, calls.Load(), "%s: it is left alone for a while", name)
		s.advance(spareFor)
		_, err := s.Begin(t.Context(), "work", Purpose{})
		refused(t, err, fault.Unavailable, "oidc_unavailable")
		require.EqualValues(t, 2, calls.Load(), name)
		server.Close()
	}
	require.Zero(t, inside.Load())

	// Keys elsewhere are not fetched either; a host that the operator names is its own.
	f := fence{hosts: []string{"login.example:443", "keys.example:443"}}
	for address, want := range map[string]bool{
		"https://login.example/a": true, "https://LOGIN.example": false, "https://keys.example:443/k": true, "https://login.example:8443": false,
		"http://login.example": false, "https://login.example@evil.example": false, "https://a@login.example": false, "https://evil.example": false, "file:///etc/passwd": false,
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, want, f.allows(u), address)
	}
	_, err := f.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://evil.example/keys", nil))
	require.ErrorIs(t, err, errFence)
}

func discovery(w http.ResponseWriter, issuer, auth, token string) {
	_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "authorization_endpoint": auth, "token_endpoint": token, "jwks_uri": issuer + "/keys"})
}

// What is another way in makes an account together with its identity, or neither.
func TestNoHalfAccount(t *testing.T) {
	t.Parallel()
	db, _ := backend.Open(t, "memory:")
	s := newScene(t, db)
	_, err := s.accounts.CreateHeld(t.Context(), account.NewAccount{With: func(context.Context, *sql.Tx, string) error { return errTaken }}, account.Where{})
	refused(t, err, fault.Conflict, "oidc_taken")
	require.Zero(t, s.count("identities"))
	_, err = s.accounts.CreateHeld(t.Context(), account.NewAccount{}, account.Where{})
	require.Equal(t, fault.Invalid, fault.KindOf(err), "without any way in there is no account")
}
