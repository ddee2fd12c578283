package httpapi_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

func allow(t testing.TB, list string) setup {
	t.Helper()
	origins, err := httpapi.ParseOrigins(list)
	require.NoError(t, err)
	return func(d *httpapi.Deps) { d.Origins = origins }
}

func TestParseOrigins(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"":   nil,
		", ": nil,
		"https://App.example.com, http://localhost:5173":      {"https://app.example.com", "http://localhost:5173"},
		"https://a.example:443,http://b.example:80":           {"https://a.example", "http://b.example"},
		"https://[2001:db8::1]:8443,http://127.0.0.1:3000":    {"https://[2001:db8::1]:8443", "http://127.0.0.1:3000"},
		"https://xn--bcher-kva.example,https://a.example:444": {"https://xn--bcher-kva.example", "https://a.example:444"},
	} {
		got, err := httpapi.ParseOrigins(list)
		require.NoError(t, err, list)
		require.Equal(t, httpapi.Origins(want), got, list)
	}
	for _, bad := range []string{
		"*", "null", "https://*.example.com", "app.example.com", "//app.example.com", "ftp://app.example.com", "https://", "https://user@app.example.com",
		"https://app.example.com/", "https://app.example.com/x", "https://app.example.com?x", "https://app.example.com#", "https://bücher.example",
		"https://a.example https://b.example", "https://a_b.example", "https://[fe80::1%25eth0]", "https://.example", "https://a..example", "https://a.example:x",
	} {
		_, err := httpapi.ParseOrigins(bad)
		require.Equal(t, "cors_origins", fault.CodeOf(err), bad)
	}
}

// TestPagesOfOtherOrigins asks as a browser would for pages of this and other
// origins, before a request that it does not send by itself and with one.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	closed, open := newWorld(t), newWorld(t, allow(t, app))
	for name, c := range map[string]struct {
		w       *world
		origins []string
		shared  bool
	}{
		"nothing is set":        {closed, []string{app}, false},
		"the page":              {open, []string{app}, true},
		"in capitals":           {open, []string{"HTTPS://APP.EXAMPLE.COM"}, true},
		"with its usual port":   {open, []string{app + ":443"}, true},
		"another port":          {open, []string{app + ":444"}, false},
		"without TLS":           {open, []string{"http://app.example.com"}, false},
		"a name that ends so":   {open, []string{"https://evilapp.example.com"}, false},
		"a name that begins so": {open, []string{app + ".evil.example"}, false},
		"null":                  {open, []string{"null"}, false},
		"two":                   {open, []string{app, app}, false},
		"a list":                {open, []string{app + " " + app}, false},
		"a path":                {open, []string{app + "/"}, false},
		"no page":               {open, nil, false},
	} {
		req := c.w.request(http.MethodGet, c.w.at(""), c.w.token(c.w.owner), "", nil)
		req.Header["Origin"] = c.origins
		got := c.w.do(req).want(t, http.StatusOK).header
		require.Equal(t, c.shared, got.Get("Access-Control-Allow-Origin") == app, name)
		require.Equal(t, c.shared, len(got["Access-Control-Expose-Headers"]) > 0, name)
		require.Equal(t, c.w == open, got.Get("Vary") == "Origin", name)

		req = c.w.request(http.MethodOptions, c.w.at("/spans"), "", "", nil)
		req.Header["Origin"] = c.origins
		req.Header.Set("Access-Control-Request-Method", "POST")
		req.Header.Set("Access-Control-Request-Headers", "authorization, content-type")
		req.Header.Set("Access-Control-Request-Private-Network", "true")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode, name)
		if !c.shared {
			for header := range resp.Header {
				require.False(t, strings.HasPrefix(header, "Access-Control-"), "%s: %s", name, header)
			}
			continue
		}
		require.Equal(t, app, resp.Header.Get("Access-Control-Allow-Origin"), name)
		require.Contains(t, resp.Header.Get("Access-Control-Allow-Methods"), "POST", name)
		require.Contains(t, resp.Header.Get("Access-Control-Allow-Headers"), "Authorization", name)
		require.Equal(t, "true", resp.Header.Get("Access-Control-Allow-Private-Network"), name)
		require.Empty(t, resp.Header["Access-Control-Allow-Credentials"], "%s: nothing is sent by the browser's own leave", name)
	}

	req := open.request(http.MethodOptions, "/v1/nowhere", "", "", nil)
	req.Header.Set("Origin", app)
	req.Header.Set("Access-Control-Request-Method", "GET")
	r := open.do(req)
	r.problem(t, http.StatusNotFound, "route_unknown")
	require.Empty(t, r.header["Access-Control-Allow-Methods"])
}

// Pages that may read answers may open feeds too, and no others.
func TestSocketsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick, allow(t, "https://app.example.com"), func(d *httpapi.Deps) {
		var err error
		d.Proxies, err = httpapi.ParseProxies("loopback", "")
		require.NoError(t, err)
	})
	host := strings.TrimPrefix(w.url, "http://")
	for name, c := range map[string]struct {
		header http.Header
		status int
	}{
		"no page":                        {http.Header{}, 101},
		"its own":                        {http.Header{"Origin": {"http://" + host}}, 101},
		"its own, by TLS to the proxy":   {http.Header{"Origin": {"https://" + host}, "X-Forwarded-Proto": {"https"}}, 101},
		"without TLS, where there is":    {http.Header{"Origin": {"http://" + host}, "X-Forwarded-Proto": {"https"}}, 403},
		"another that is allowed":        {http.Header{"Origin": {"https://app.example.com"}}, 101},
		"another":                        {http.Header{"Origin": {"https://elsewhere.example"}}, 403},
		"another port":                   {http.Header{"Origin": {"http://127.0.0.1:1"}}, 403},
		"null":                           {http.Header{"Origin": {"null"}}, 403},
		"two":                            {http.Header{"Origin": {"http://" + host, "https://elsewhere.example"}}, 403},
		"what the client says of a host": {http.Header{"Origin": {"https://elsewhere.example"}, "X-Forwarded-Host": {"elsewhere.example"}}, 403},
		"another scheme":                 {http.Header{"Origin": {"file://" + host}}, 403},
	} {
		conn, resp, err := w.dial(w.feedPath(""), w.token(w.owner), c.header)
		require.NotNil(t, resp, "%s: %v", name, err)
		require.Equal(t, c.status, resp.StatusCode, name)
		if err == nil {
			require.NoError(t, conn.Close())
		}
	}
}

// safeHeaders stand in every answer.
var safeHeaders = map[string]string{
	"X-Content-Type-Options":       "nosniff",
	"Content-Security-Policy":      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

// cached are the operations whose answers may be kept, and how.
var cached = map[string]string{"getTile": "public, max-age=31536000, immutable"}

// TestEveryAnswerIsSafe asks at every operation of the document, as somebody who
// may and as nobody, and by a method that none has.
func TestEveryAnswerIsSafe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 256 {
		w.append(w.note(w.owner, 1)).want(t, http.StatusCreated) // a full tile
	}
	spec, err := spectest.Load()
	require.NoError(t, err)
	asked, answered := 0, 0
	for path, item := range spec.Document.Paths.Map() {
		path = parameterless(path, w.tenant.Id)
		for method, op := range item.Operations() {
			for _, token := range []string{"", w.token(w.owner)} {
				resp := w.bare(method, path, token, op)
				asked++
				if resp.StatusCode < http.StatusBadRequest {
					answered++
				}
				checkSafe(t, resp, op.OperationID)
			}
		}
		checkSafe(t, w.bare("PROPFIND", path, "", nil), "")
		checkSafe(t, w.bare(http.MethodOptions, path, "", nil), "")
	}
	checkSafe(t, w.bare(http.MethodGet, "/nowhere", "", nil), "")
	require.Greater(t, asked, 100)
	require.Greater(t, answered, 20)
}

func parameterless(path, tenant string) string {
	path = strings.ReplaceAll(path, "{tenant}", tenant)
	for strings.Contains(path, "{") {
		open, end := strings.Index(path, "{"), strings.Index(path, "}")
		value := map[string]string{"{level}": "0", "{index}": "000", "{id}": "none"}[path[open:end+1]]
		if value == "" {
			value = "0190a000-0000-8000-8000-000000000000"
		}
		path = path[:open] + value + path[end+1:]
	}
	return path
}

// bare asks without a body, and reads nothing but the head.
func (w *world) bare(method, path, token string, op *openapi3.Operation) *http.Response {
	w.t.Helper()
	req := w.request(method, path, token, "application/json", nil)
	if op != nil && op.OperationID == "feed" {
		req.Header.Set("Accept", "text/event-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return resp
}

func checkSafe(t *testing.T, resp *http.Response, operation string) {
	t.Helper()
	where := resp.Request.Method + " " + resp.Request.URL.Path
	for name, want := range safeHeaders {
		require.Equal(t, []string{want}, resp.Header[name], "%s: %s", where, name)
	}
	for _, name := range []string{"Server", "X-Powered-By", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Set-Cookie"} {
		require.Empty(t, resp.Header[name], "%s: %s", where, name)
	}
	want := "no-store"
	if kept := cached[operation]; kept != "" && resp.StatusCode == http.StatusOK {
		want = kept
	}
	require.Equal(t, []string{want}, resp.Header["Cache-Control"], where)
}

// Who came by TLS is told to come by it always, and nobody else is.
func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	proxies, err := httpapi.ParseProxies("192.0.2.1", "")
	require.NoError(t, err)
	handler := httpapi.New(httpapi.Deps{Proxies: proxies}).Handler()
	for name, c := range map[string]struct {
		peer, proto string
		tls         *tls.ConnectionState
		want        bool
	}{
		"by TLS":                {"203.0.113.9:1", "", &tls.ConnectionState{}, true},
		"by TLS to a proxy":     {"192.0.2.1:1", "https", nil, true},
		"without":               {"192.0.2.1:1", "http", nil, false},
		"so the client says":    {"203.0.113.9:1", "https", nil, false},
		"a proxy says nothing":  {"192.0.2.1:1", "", nil, false},
		"without, and no proxy": {"203.0.113.9:1", "", nil, false},
	} {
		req, rec := httptest.NewRequest(http.MethodGet, "/livez", nil), httptest.NewRecorder()
		req.RemoteAddr, req.TLS = c.peer, c.tls
		req.Header.Set("X-Forwarded-Proto", c.proto)
		handler.ServeHTTP(rec, req)
		require.Equal(t, c.want, rec.Header().Get("Strict-Transport-Security") == "max-age=31536000", name)
	}
}
