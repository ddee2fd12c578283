package httpapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/web"
)

// plainly asks for a page, which the document knows nothing of.
func (w *world) plainly(path string, header ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
	require.NoError(w.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return resp, string(body)
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	assets, err := web.Load()
	require.NoError(t, err)

	for page, file := range map[string]string{"/onboard": "onboard.html", "/account": "account.html", "/recover": "recover.html"} {
		resp, body := w.plainly(page)
		require.Equal(t, http.StatusOK, resp.StatusCode, page)
		require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
		require.Equal(t, string(assets[file].Body), body)
		require.Equal(t, []string{"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
			"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"}, resp.Header["Content-Security-Policy"])
		require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
		require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", resp.Header.Get("Cross-Origin-Opener-Policy"))
		require.NotContains(t, body, "<script>", "the policy lets no script in the document run")
		require.NotContains(t, body, "style=", "nor a style")
	}

	for name, a := range assets {
		if strings.HasSuffix(name, ".html") {
			continue
		}
		resp, body := w.plainly("/onboard/" + name)
		require.Equal(t, http.StatusOK, resp.StatusCode, name)
		require.Equal(t, a.Type, resp.Header.Get("Content-Type"), name)
		require.Equal(t, string(a.Body), body, name)
		require.Equal(t, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", resp.Header.Get("Content-Security-Policy"), name)
	}
}

// A browser that has the file hears that it is still the one.
func TestPagesAreKept(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	resp, _ := w.plainly("/onboard/lib/tree.js")
	tag := resp.Header.Get("ETag")
	require.Regexp(t, `^"[A-Za-z0-9_-]{16}"$`, tag)
	for _, asked := range []string{tag, "W/" + tag, `"other", ` + tag} {
		resp, body := w.plainly("/onboard/lib/tree.js", "If-None-Match", asked)
		require.Equal(t, http.StatusNotModified, resp.StatusCode, asked)
		require.Empty(t, body)
		require.Equal(t, tag, resp.Header.Get("ETag"))
	}
	resp, _ = w.plainly("/onboard/lib/tree.js", "If-None-Match", `"other"`)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestNothingElseIsServedBesideThePages(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	for _, path := range []string{"/onboard/", "/onboard/onboard.html", "/onboard/account.html", "/onboard/recover.html", "/recover/", "/account/", "/account/account.js", "/onboard/lib/none.js", "/onboard/lib/", "/onboard/..%2Fweb.go", "/onboard/lib/../../web.go", "/onboard/%00"} {
		resp, body := w.plainly(path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		require.Contains(t, body, "route_unknown", path)
	}
	off := newNode(t, func(d *httpapi.Deps) { d.Modules = []string{"httpapi", "timeline", "id", "engine"} })
	for _, page := range []string{"/onboard", "/account", "/recover"} {
		resp, _ := off.plainly(page)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, "a process without onboarding has no page for it")
	}
}
