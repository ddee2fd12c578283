package httpapi

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Names of the cookie that holds a session's token. With TLS it has the prefix
// for which browsers ask that it was set with TLS, by this very host, for all
// paths (RFC 6265bis §4.1.3.2): nobody beside the host can plant one.
const (
	cookieName       = "logline_session"
	cookieSecureName = "__Host-" + cookieName
)

// codeSecond is the refusal of a session that waits for its second factor.
const codeSecond = "second_factor_required"

// cookiedKey says in echo's context that the request's credential came as a cookie.
const cookiedKey = "cookied"

// credentialOf is the credential that comes with a request, "" for none: of its
// Authorization header or, without one, of the session's cookie.
func (s *Server) credentialOf(c echo.Context) (string, error) {
	token, err := bearer(c)
	if err != nil || token != "" {
		return token, err
	}
	return s.cookie(c)
}

// cookie is the token in the session's cookie, "" without one. A browser sends it
// with whatever a page asks for, so that what changes something must be asked for
// by a page of this server (CSRF).
func (s *Server) cookie(c echo.Context) (string, error) {
	req := c.Request()
	cookie, err := req.Cookie(s.cookieName(req))
	if err != nil || cookie.Value == "" {
		return "", nil
	}
	if err := s.fromOwnPage(req); err != nil {
		return "", err
	}
	c.Set(cookiedKey, true)
	return cookie.Value, nil
}

func (s *Server) cookieName(req *http.Request) string {
	if s.secure(req) {
		return cookieSecureName
	}
	return cookieName
}

var errForeignPage = fault.New(fault.Forbidden, "origin_foreign", "a page of another origin may not do this with the session of this one")

// fromOwnPage refuses a request that changes something and that a browser sends
// for a page of somebody else, another port or name of the same site included: by
// Sec-Fetch-Site, which pages cannot set, and by Origin.
func (s *Server) fromOwnPage(req *http.Request) error {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if err := s.pages.Check(req); err != nil {
		return errForeignPage.Because(err)
	}
	if origin, ok := originOf(req); !ok || origin != "" && !s.isOwn(origin, req) {
		return errForeignPage
	}
	return nil
}

// setCookie gives the browser a session's token until expires, a time of the
// protocol's form; with "" it takes the cookie away.
func (s *Server) setCookie(c echo.Context, token, expires string) {
	req := c.Request()
	cookie := &http.Cookie{
		Name: s.cookieName(req), Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure(req), MaxAge: -1,
	}
	if until, err := span.ParseTime(expires); err == nil && token != "" {
		cookie.MaxAge = max(1, int(until.Sub(s.now()).Seconds()))
	}
	c.SetCookie(cookie)
}

// tend looks after the cookie that a request came with, once its token was
// judged: it takes away what proves nothing, and replaces what is old.
func (s *Server) tend(c echo.Context, token string, who id.Credential, err error) {
	if cookied, _ := c.Get(cookiedKey).(bool); !cookied {
		return
	}
	switch {
	case fault.CodeOf(err) == codeSecond: // it goes on with the code
	case fault.KindOf(err) == fault.Unauthenticated:
		s.setCookie(c, "", "")
	case err == nil && who.Session != nil && who.Session.Due:
		// Whether it could be replaced changes nothing for this request.
		if fresh, err := s.deps.Accounts.Rotate(c.Request().Context(), token); err == nil && fresh != "" {
			s.setCookie(c, fresh, who.Expires)
		}
	}
}

// hasBearer says whether a request has an Authorization header.
func hasBearer(c echo.Context) bool {
	return strings.Join(c.Request().Header.Values(echo.HeaderAuthorization), "") != ""
}
