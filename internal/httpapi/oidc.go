package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

// Names of the cookie by which a browser shows that it began what it finishes. It
// is no credential: see cookieName for the prefix.
const (
	oidcCookie       = "logline_oidc"
	oidcCookieSecure = "__Host-" + oidcCookie
)

// oidcPages are all pages that a browser is led to from a provider.
var oidcPages = map[string]string{"": onboardPage, "onboard": onboardPage, "account": accountPage}

var errOIDCPage = fault.New(fault.Invalid, "oidc_page", "page is one of this server's own that people come back to: onboard or account").At("/page", "is none of them")

// oidcReasons are what a page is told of why nobody was signed in; it has words for
// each. Anything else is oidc_failed to it, and the log says what.
var oidcReasons = []string{
	"oidc_busy", "oidc_denied", "oidc_links_full", "oidc_not_linked", "oidc_refused", "oidc_signed_out", "oidc_state", "oidc_taken", "oidc_unavailable", "oidc_unknown",
}

// ListOIDCProviders shows by whose word people sign in.
func (s *Server) ListOIDCProviders(c echo.Context) error {
	page := api.OIDCProviderPage{Items: []api.OIDCProvider{}}
	for _, p := range s.deps.OIDC.Providers() {
		page.Items = append(page.Items, api.OIDCProvider{Name: p.Name, Label: p.Label})
	}
	return answer(c, http.StatusOK, page)
}

// BeginOIDCSignIn leads a browser to a provider.
func (s *Server) BeginOIDCSignIn(c echo.Context, provider api.OIDCProviderParameter, params api.BeginOIDCSignInParams) error {
	// A stranger's page could have a browser signed in, in the place of who it is.
	if err := s.fromOwnLink(c.Request()); err != nil {
		return err
	}
	begun, err := s.beginOIDC(c, provider, oidc.Purpose{Page: string(params.Page)})
	if err != nil {
		return s.oidcFailed(c, string(params.Page), err)
	}
	return c.Redirect(http.StatusSeeOther, begun.Location)
}

// BeginOIDCLink tells the caller's browser where to go to link the account. It is
// no link to follow: whoever could have a browser follow one would link the account
// to a login of their own.
func (s *Server) BeginOIDCLink(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	var body api.NewOIDCLink
	if err := s.bind(c, &body); err != nil {
		return err
	}
	begun, err := s.beginOIDC(c, body.Provider, oidc.Purpose{Identity: who.Identity, Session: sessionIn(who), Page: string(body.Page)})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.OIDCLocation{Location: begun.Location})
}

func (s *Server) beginOIDC(c echo.Context, provider string, why oidc.Purpose) (oidc.Begun, error) {
	if _, ok := oidcPages[why.Page]; !ok {
		return oidc.Begun{}, errOIDCPage
	}
	begun, err := s.deps.OIDC.Begin(c.Request().Context(), provider, why)
	if err == nil {
		s.setOIDCCookie(c, begun.Browser, int(oidc.Lasts.Seconds()))
	}
	return begun, err
}

// fromOwnLink refuses to follow a link that a browser found on somebody else's page.
func (s *Server) fromOwnLink(req *http.Request) error {
	asked := req.Clone(req.Context())
	asked.Method = http.MethodPost // a link that changes something is judged as what does
	return s.fromOwnPage(asked)
}

func (s *Server) oidcCookieName(req *http.Request) string {
	if s.secure(req) {
		return oidcCookieSecure
	}
	return oidcCookie
}

// setOIDCCookie gives a browser what it brings back. Lax: it comes back by a link on
// the provider's page.
func (s *Server) setOIDCCookie(c echo.Context, value string, age int) {
	req := c.Request()
	c.SetCookie(&http.Cookie{
		Name: s.oidcCookieName(req), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure(req), MaxAge: age,
	})
}

// FinishOIDCSignIn takes a provider's answer.
func (s *Server) FinishOIDCSignIn(c echo.Context, provider api.OIDCProviderParameter, _ api.FinishOIDCSignInParams) error {
	req, browser := c.Request(), ""
	if cookie, err := req.Cookie(s.oidcCookieName(req)); err == nil {
		browser = cookie.Value
		s.setOIDCCookie(c, "", -1)
	}
	done, err := s.deps.OIDC.Finish(req.Context(), provider, req.URL.Query(), browser, s.where(c))
	if err != nil {
		return s.oidcFailed(c, done.Page, err)
	}
	result := "linked"
	if !done.Linked {
		result = "signed-in"
		if done.Session.Needs == account.NeedsTOTP {
			result = "second-factor"
		}
		s.leaveCookie(c)
		s.setCookie(c, done.Token, done.Session.ExpiresAt)
	}
	return c.Redirect(http.StatusSeeOther, s.deps.PublicURL+oidcPages[done.Page]+"#oidc="+result)
}

// oidcFailed leads whoever reads HTML, a person's browser on its way, back to the page
// with the reason; anything else gets the problem document.
func (s *Server) oidcFailed(c echo.Context, page string, err error) error {
	at, ok := oidcPages[page]
	if !ok || s.deps.PublicURL == "" || !strings.Contains(c.Request().Header.Get(echo.HeaderAccept), echo.MIMETextHTML) {
		return err
	}
	if page == "" { // nothing says where they came from: everybody may sign in there
		at = accountPage
	}
	reason := fault.CodeOf(err)
	if !slices.Contains(oidcReasons, reason) {
		reason = "oidc_failed"
	}
	told := url.Values{"oidc": {"refused"}, "reason": {reason}, "reference": {idOf(c)}}
	if sent := c.Redirect(http.StatusSeeOther, s.deps.PublicURL+at+"#"+told.Encode()); sent != nil {
		return sent
	}
	return err // it is answered; the log has the reason
}

// ListOIDCLinks shows who the caller is at other providers.
func (s *Server) ListOIDCLinks(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	all, err := s.deps.OIDC.List(c.Request().Context(), who.Identity)
	if err != nil {
		return err
	}
	page := api.OIDCLinkPage{Items: make([]api.OIDCLink, len(all))}
	for i, l := range all {
		page.Items[i] = api.OIDCLink{Id: l.ID, Provider: l.Provider, Issuer: l.Issuer, Subject: l.Subject, Email: l.Email, CreatedAt: l.CreatedAt, UsedAt: l.UsedAt}
	}
	return answer(c, http.StatusOK, page)
}

// RemoveOIDCLink ends one of the caller's links.
func (s *Server) RemoveOIDCLink(c echo.Context, link string, params api.RemoveOIDCLinkParams) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	if err := s.deps.OIDC.Remove(c.Request().Context(), who.Identity, link, params.Last); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
