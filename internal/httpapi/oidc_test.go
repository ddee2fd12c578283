package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/account/oidc/oidctest"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/secret"
)

const (
	oidcPublic = "http://localhost:8080"
	oidcBack   = oidcPublic + "/v1/sessions/oidc/work/callback"
)

// follow asks as a browser does that has cookies, and follows nothing.
func (w *world) follow(method, path, token, body string, headers http.Header, cookies ...*http.Cookie) reply {
	w.t.Helper()
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	req := w.request(method, path, token, kind, strings.NewReader(body))
	for name, values := range headers {
		req.Header[name] = values
	}
	for _, cookie := range cookies {
		req.AddCookie(cookie)
	}
	before := w.http
	defer func() { w.http = before }()
	w.http = &http.Client{Transport: before.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w.do(req)
}

// set is the cookie of a name that an answer sets; nil for none.
func (r reply) set(name string) *http.Cookie {
	for _, cookie := range (&http.Response{Header: r.header}).Cookies() {
		if cookie.Name == name {
			return cookie
		}
	}
	return nil
}

// A browser goes to a real provider, and comes back signed in.
func TestOIDCOverHTTP(t *testing.T) {
	t.Parallel()
	const password = "of the tests, of the tests"
	issuer := oidctest.Start(t, oidctest.Options{Clients: []oidctest.Client{{ID: "logline", Secret: password, Redirects: []string{oidcBack}}}})
	var deps httpapi.Deps
	w := newWorld(t, func(d *httpapi.Deps) { deps = *d })
	var err error
	deps.PublicURL = oidcPublic
	deps.OIDC, err = oidc.New(w.db, w.accounts, oidc.Config{
		Providers: []oidc.Provider{{Settings: oidc.Settings{Name: "work", Label: "Work", Issuer: issuer, ClientID: "logline", Domains: []string{"corp.example"}}, Secret: secret.New(password)}},
		PublicURL: oidcPublic, Opens: func(string) bool { return true },
	})
	require.NoError(t, err)
	server := httptest.NewServer(httpapi.New(deps).Handler())
	t.Cleanup(server.Close)
	w.url = server.URL
	var providers openapi.OIDCProviderPage
	w.get("/v1/sessions/oidc", "").want(t, http.StatusOK).decode(t, &providers)
	require.Equal(t, []openapi.OIDCProvider{{Name: "work", Label: "Work"}}, providers.Items)

	// Nobody else's page sends a browser there, and none but ours is come back to.
	for _, site := range []string{"cross-site", "same-site"} {
		w.follow(http.MethodGet, "/v1/sessions/oidc/work", "", "", http.Header{"Sec-Fetch-Site": {site}}).problem(t, http.StatusForbidden, "origin_foreign")
	}
	for _, page := range []string{"https://evil.example", "//evil.example", "/onboard", "x"} {
		w.follow(http.MethodGet, "/v1/sessions/oidc/work?page="+url.QueryEscape(page), "", "", nil).want(t, http.StatusBadRequest)
	}
	w.follow(http.MethodGet, "/v1/sessions/oidc/none", "", "", nil).problem(t, http.StatusNotFound, "oidc_unknown")

	goes := func() (string, *http.Cookie) {
		began := w.follow(http.MethodGet, "/v1/sessions/oidc/work?page=onboard", "", "", http.Header{"Sec-Fetch-Site": {"same-origin"}}).want(t, http.StatusSeeOther)
		kept := began.set("logline_oidc")
		require.NotNil(t, kept)
		require.True(t, kept.HttpOnly)
		require.Equal(t, http.SameSiteLaxMode, kept.SameSite)
		require.Equal(t, 600, kept.MaxAge)
		require.Equal(t, "/", kept.Path)
		return began.header.Get("Location"), kept
	}
	comes := func(location, login string) string {
		at := oidctest.NewBrowser(t).SignIn(location, oidcBack, login)
		return at.RequestURI()
	}
	location, kept := goes()
	require.True(t, strings.HasPrefix(location, issuer+"/auth?"))
	answer := comes(location, "ana@corp.example")
	w.follow(http.MethodGet, answer, "", "", nil).problem(t, http.StatusUnauthorized, "oidc_state")
	_, others := goes()
	w.follow(http.MethodGet, answer, "", "", nil, others).problem(t, http.StatusUnauthorized, "oidc_state")
	done := w.follow(http.MethodGet, answer, "", "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, kept).want(t, http.StatusSeeOther)
	require.Equal(t, oidcPublic+"/onboard#oidc=signed-in", done.header.Get("Location"))
	require.Negative(t, done.set("logline_oidc").MaxAge)
	session := done.set("logline_session")
	require.NotNil(t, session)
	require.True(t, session.HttpOnly)
	w.follow(http.MethodGet, answer, "", "", nil, kept).problem(t, http.StatusUnauthorized, "oidc_state")
	var mine openapi.Account
	w.follow(http.MethodGet, "/v1/account", "", "", nil, session).want(t, http.StatusOK).decode(t, &mine)
	require.True(t, mine.Custody)
	var in openapi.SessionPage
	w.follow(http.MethodGet, "/v1/sessions", "", "", nil, session).want(t, http.StatusOK).decode(t, &in)
	require.Equal(t, "oidc", string(in.Items[0].How))

	// Whoever reads HTML comes back to the page with the reason, one of a fixed list, and
	// to no other address.
	html := http.Header{"Accept": {"text/html,application/xhtml+xml;q=0.9"}, "Sec-Fetch-Site": {"same-origin"}}
	refused := func(path, at, reason string, cookies ...*http.Cookie) {
		t.Helper()
		back := w.follow(http.MethodGet, path, "", "", html, cookies...).want(t, http.StatusSeeOther)
		told, found := strings.CutPrefix(back.header.Get("Location"), oidcPublic+at+"#")
		require.True(t, found, back.header.Get("Location"))
		said, err := url.ParseQuery(told)
		require.NoError(t, err)
		require.Equal(t, url.Values{"oidc": {"refused"}, "reason": {reason}, "reference": {back.header.Get("X-Request-Id")}}, said)
	}
	refused(answer, "/account", "oidc_state", kept)
	refused("/v1/sessions/oidc/none?page=onboard", "/onboard", "oidc_unknown")
	refused("/v1/sessions/oidc/none/callback?state=x&page=https://evil.example", "/account", "oidc_unknown")
	w.follow(http.MethodGet, "/v1/sessions/oidc/none?page=https://evil.example", "", "", html).want(t, http.StatusBadRequest)
	foreign := html.Clone()
	foreign.Set("Sec-Fetch-Site", "cross-site")
	w.follow(http.MethodGet, "/v1/sessions/oidc/work", "", "", foreign).problem(t, http.StatusForbidden, "origin_foreign")
	location, kept = goes()
	refused(oidctest.NewBrowser(t).Abort(location, oidcBack).RequestURI(), "/onboard", "oidc_denied", kept)
	location, kept = goes()
	refused(comes(location, "nobody@home.example"), "/onboard", "oidc_not_linked", kept)
	began := w.follow(http.MethodGet, "/v1/sessions/oidc/work?page=account", "", "", html).want(t, http.StatusSeeOther)
	back := w.follow(http.MethodGet, comes(began.header.Get("Location"), "ana@corp.example"), "", "", html, began.set("logline_oidc"), session)
	require.Equal(t, oidcPublic+"/account#oidc=signed-in", back.header.Get("Location"))
	session = back.set("logline_session")

	// Linking begins in a page of ours, in a session that is fresh.
	bo := w.opened("bo")
	const link = `{"provider": "work", "page": "onboard"}`
	w.follow(http.MethodPost, "/v1/account/oidc", bo.Token, `{"provider": "work", "page": "https://evil.example"}`, nil).want(t, http.StatusBadRequest)
	w.follow(http.MethodPost, "/v1/account/oidc", "", link, http.Header{"Sec-Fetch-Site": {"cross-site"}}, session).problem(t, http.StatusForbidden, "origin_foreign")
	began = w.follow(http.MethodPost, "/v1/account/oidc", bo.Token, link, nil).want(t, http.StatusOK)
	var to openapi.OIDCLocation
	began.decode(t, &to)
	answer = comes(to.Location, "bo@home.example")
	done = w.follow(http.MethodGet, answer, "", "", nil, began.set("logline_oidc")).want(t, http.StatusSeeOther)
	require.Equal(t, oidcPublic+"/onboard#oidc=linked", done.header.Get("Location"))
	require.Nil(t, done.set("logline_session"))
	var links openapi.OIDCLinkPage
	w.get("/v1/account/oidc", bo.Token).want(t, http.StatusOK).decode(t, &links)
	require.Len(t, links.Items, 1)
	require.Equal(t, "bo@home.example", links.Items[0].Subject)
	location, kept = goes()
	done = w.follow(http.MethodGet, comes(location, "bo@home.example"), "", "", nil, kept, session).want(t, http.StatusSeeOther)
	w.follow(http.MethodGet, "/v1/account", "", "", nil, done.set("logline_session")).want(t, http.StatusOK).decode(t, &mine)
	require.Equal(t, bo.Identity.Id, mine.Identity)
	w.follow(http.MethodGet, "/v1/account", "", "", nil, session).want(t, http.StatusUnauthorized) // a browser has one session

	// What outlives the session needs one that is fresh.
	at := "/v1/account/oidc/" + links.Items[0].Id
	w.clock.advance(11 * time.Minute)
	w.follow(http.MethodPost, "/v1/account/oidc", bo.Token, link, nil).problem(t, http.StatusForbidden, "session_not_fresh")
	w.delete(at, bo.Token).problem(t, http.StatusForbidden, "session_not_fresh")
	var again openapi.SignedIn
	w.post("/v1/sessions", "", map[string]any{"name": "bo", "password": passphrase}).want(t, http.StatusCreated).decode(t, &again)
	w.delete(at, again.Token).want(t, http.StatusNoContent)
	w.delete(at, again.Token).problem(t, http.StatusNotFound, "oidc_link_unknown")
}
