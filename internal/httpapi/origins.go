package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
)

// Origins are the pages that may read what the server answers, open feeds and
// make tickets, beside those that the server's own name stands over. Each is
// scheme://host, with a port where it is not the usual one.
type Origins []string

var errOrigins = fault.New(fault.Invalid, "cors_origins",
	"must be exact origins such as https://app.example.com or http://localhost:5173, separated by commas: without a path, without *, and not null")

// hostName is a name in ASCII; browsers send those of other scripts as xn--….
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// ParseOrigins reads origins separated by commas.
func ParseOrigins(list string) (Origins, error) {
	var out Origins
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		origin, ok := parseOrigin(text)
		if !ok {
			return nil, errOrigins
		}
		out = append(out, origin)
	}
	return out, nil
}

// parseOrigin is an origin as browsers write it (RFC 6454 §6.2): in lower case,
// without the port that is usual for its scheme.
func parseOrigin(text string) (string, bool) {
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Opaque != "" || strings.Contains(text, "#") {
		return "", false
	}
	if host := u.Hostname(); !hostName.MatchString(host) {
		if at, err := netip.ParseAddr(host); err != nil || at.Zone() != "" || !strings.HasPrefix(u.Host, "[") {
			return "", false
		}
	}
	return u.Scheme + "://" + withoutUsualPort(u.Scheme, u.Host), true
}

func withoutUsualPort(scheme, host string) string {
	if usual := map[string]string{"http": ":80", "https": ":443"}[scheme]; usual != "" {
		host = strings.TrimSuffix(host, usual)
	}
	return strings.TrimSuffix(host, ":")
}

// originOf is the origin of the page that a browser sends the request for, "" for
// a request without one; ok is false where there are several, or one that is none.
func originOf(req *http.Request) (origin string, ok bool) {
	said := req.Header[echo.HeaderOrigin]
	if len(said) == 0 {
		return "", true
	}
	if len(said) > 1 {
		return "", false
	}
	return parseOrigin(said[0])
}

// ownOrigin refuses what a browser sends for a page of somebody else, on routes
// where browsers themselves do not ask first.
func (s *Server) ownOrigin(req *http.Request) error {
	origin, ok := originOf(req)
	if ok && (origin == "" || slices.Contains(s.deps.Origins, origin) || s.isOwn(origin, req)) {
		return nil
	}
	return errOrigin
}

// isOwn says whether an origin is that of the request's own address. A page that
// came without TLS is another one than a page that came with it.
func (s *Server) isOwn(origin string, req *http.Request) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	if scheme == "http" && s.secure(req) {
		return false
	}
	return host == withoutUsualPort(scheme, strings.ToLower(req.Host))
}

// What pages of other origins may send and see, beside what all may (Fetch §3.2).
const (
	sharedRequest = "Authorization, Content-Type, Last-Event-ID, Logline-Expected-Seq"
	sharedAnswer  = "Content-Disposition, Retry-After, WWW-Authenticate, X-Request-Id"
	sharedFor     = "600" // seconds
)

// share lets the pages of Deps.Origins read the answer (CORS). No others, and
// none with cookies: what a page sends is allowed by the credential in it alone.
func (s *Server) share(next echo.HandlerFunc) echo.HandlerFunc {
	if len(s.deps.Origins) == 0 {
		return next
	}
	return func(c echo.Context) error {
		req, header := c.Request(), c.Response().Header()
		header[echo.HeaderVary] = s.always.vary[:1:1] // caches keep no answer for other origins
		origin, ok := originOf(req)
		if !ok || origin == "" || !slices.Contains(s.deps.Origins, origin) {
			return next(c)
		}
		header.Set(echo.HeaderAccessControlAllowOrigin, origin)
		if req.Method != http.MethodOptions || req.Header.Get(echo.HeaderAccessControlRequestMethod) == "" {
			header.Set(echo.HeaderAccessControlExposeHeaders, sharedAnswer)
			return next(c)
		}
		if allowed, _ := c.Get(echo.ContextKeyHeaderAllow).(string); allowed != "" {
			header.Set(echo.HeaderAccessControlAllowMethods, allowed)
			header.Set(echo.HeaderAccessControlAllowHeaders, sharedRequest)
			header.Set(echo.HeaderAccessControlMaxAge, sharedFor)
			if req.Header.Get("Access-Control-Request-Private-Network") == "true" {
				header.Set("Access-Control-Allow-Private-Network", "true")
			}
			header.Add(echo.HeaderVary, echo.HeaderAccessControlRequestMethod)
		}
		return next(c)
	}
}
