package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/web"
)

// onboardPage is where the page is that brings people in, accountPage where they see
// what they have, recoverPage where they take an identity back. The files of all lie
// below the first.
const (
	onboardPage = "/onboard"
	accountPage = "/account"
	recoverPage = "/recover"
)

// documents are the files that are pages, by where they are.
var documents = map[string]string{onboardPage: "onboard.html", accountPage: "account.html", recoverPage: "recover.html"}

// pagePolicy lets a page run and show what this server itself sends, ask this
// server alone, and nothing else: no script in the document, no other origin, no
// text that becomes code (Trusted Types).
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// servePages adds the pages for people, where there is the module that they are
// for. They are not in openapi.yaml: they are no part of the API.
func (s *Server) servePages() {
	if s.deps.Modules != nil && !slices.Contains(s.deps.Modules, "onboarding") {
		return
	}
	assets, err := web.Load()
	if err != nil {
		s.log.Error("pages cannot be served", "error", err) // a defect of the build, which a test finds
		return
	}
	page := func(c echo.Context) error { return s.asset(c, assets) }
	for path := range documents {
		s.echo.GET(path, page)
	}
	s.echo.GET(onboardPage+"/*", page)
}

// asset answers with one file of a page. Browsers keep it and ask each time
// whether it is still the one: the page and its scripts are always of one version.
func (s *Server) asset(c echo.Context, assets web.Assets) error {
	name, isPage := documents[c.Path()]
	if !isPage {
		name = c.Param("*")
	}
	a, ok := assets[name]
	if !ok || strings.HasSuffix(name, ".html") && !isPage {
		return errRoute
	}
	header := c.Response().Header()
	if isPage {
		header.Set(echo.HeaderContentSecurityPolicy, pagePolicy)
	}
	header.Set(echo.HeaderCacheControl, "no-cache")
	header.Set("ETag", a.ETag)
	if asked := c.Request().Header.Get("If-None-Match"); asked != "" && slices.Contains(tagsOf(asked), a.ETag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, a.Type, a.Body)
}

// tagsOf are the validators of an If-None-Match, compared weakly (RFC 9110 §13.1.2).
func tagsOf(list string) []string {
	tags := strings.Split(list, ",")
	for i, tag := range tags {
		tags[i] = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
	}
	return tags
}
