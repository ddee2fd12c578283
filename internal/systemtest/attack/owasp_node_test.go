package attack

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

// Gained would be: the node's memory or time for a request that costs its sender
// nothing.
func TestOWASPAPI4UnrestrictedResourceConsumption(t *testing.T) {
	s := alone(t)
	owner := s.token(s.owner)
	before := s.resident(t)
	for name, c := range map[string]struct {
		method, path, kind string
		body               []byte
		want               int
	}{
		"a span of 8 MiB":               {http.MethodPost, s.at("/spans"), "application/json", bytes.Repeat([]byte(" "), 8<<20), http.StatusRequestEntityTooLarge},
		"a span as deep as it is long":  {http.MethodPost, s.at("/spans"), "application/json", []byte(strings.Repeat(`{"a":`, 200_000)), http.StatusBadRequest},
		"a registration of 8 MiB":       {http.MethodPost, "/v1/identities", "application/json", bytes.Repeat([]byte("["), 8<<20), http.StatusRequestEntityTooLarge},
		"a registration of brackets":    {http.MethodPost, "/v1/identities", "application/json", []byte(`{"events":` + strings.Repeat("[", 500_000)), http.StatusBadRequest},
		"10,000 events to register":     {http.MethodPost, "/v1/identities", "application/json", []byte(`{"events":[` + strings.TrimSuffix(strings.Repeat(`{},`, 10_000), ",") + `]}`), http.StatusBadRequest},
		"101 signatures to check":       {http.MethodPost, "/v1/signatures/verify", "application/json", []byte(`{"items":[` + strings.TrimSuffix(strings.Repeat(`{"message":"x","key":"x","signature":"x"},`, 101), ",") + `]}`), http.StatusBadRequest},
		"101 spans to simulate":         {http.MethodPost, s.at("/simulations"), "application/x-ndjson", bytes.Repeat([]byte("{}\n"), 101), http.StatusBadRequest},
		"a page without end":            {http.MethodGet, s.at("/spans?limit=1000000"), "", nil, http.StatusBadRequest},
		"a page of less than nothing":   {http.MethodGet, s.at("/spans?limit=-1"), "", nil, http.StatusBadRequest},
		"causes without end":            {http.MethodGet, s.at("/spans/" + s.organization + "/causes?depth=1000000"), "", nil, http.StatusBadRequest},
		"a question of 3,000 words":     {http.MethodGet, s.at("/spans?q=" + strings.Repeat("a+", 3_000)), "", nil, http.StatusBadRequest},
		"a pattern of 3,000 stars":      {http.MethodGet, s.at("/spans?type=a" + strings.Repeat(".*", 3_000)), "", nil, http.StatusBadRequest},
		"a number that overflows":       {http.MethodGet, s.at("/proofs/inclusion?index=18446744073709551615&size=18446744073709551615"), "", nil, http.StatusBadRequest},
		"a checkpoint of 8 MiB":         {http.MethodPost, s.at("/checkpoint"), "text/plain", bytes.Repeat([]byte("x\n"), 4<<20), http.StatusRequestEntityTooLarge},
		"1,001 events in a batch":       {http.MethodPost, s.at("/events"), "application/cloudevents-batch+json", []byte(`[` + strings.TrimSuffix(strings.Repeat(`{},`, 1001), ",") + `]`), http.StatusRequestEntityTooLarge},
		"a form":                        {http.MethodPost, s.at("/spans"), "multipart/form-data; boundary=x", bytes.Repeat([]byte("--x\r\n\r\n"), 10_000), http.StatusUnsupportedMediaType},
		"an address of 16 KiB":          {http.MethodGet, "/v1/tenants/" + strings.Repeat("a", 16<<10), "", nil, http.StatusRequestURITooLong},
		"a header of 64 KiB is cut off": {http.MethodGet, s.at("?" + strings.Repeat("a", 64<<10)), "", nil, http.StatusRequestHeaderFieldsTooLarge},
	} {
		r := s.do(c.method, owner, c.path, c.kind, c.body)
		require.Equal(t, c.want, r.status, "%s: %.300s", name, r.body)
	}
	// Compressed bodies are not unpacked, whatever the type says.
	for _, encoding := range []string{"gzip", "zstd", "br", "deflate", "gzip, gzip", "identity, gzip"} {
		for _, path := range []string{"/v1/identities", s.at("/spans"), s.at("/bundle"), s.at("/events"), s.at("/checkpoint")} {
			req, err := http.NewRequest(http.MethodPost, s.URL+path, bytes.NewReader(bomb(t)))
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+owner)
			req.Header.Set("Content-Encoding", encoding)
			req.Header.Set("Content-Type", "application/json")
			if strings.HasSuffix(path, "/bundle") {
				req.Header.Set("Content-Type", "application/x-ndjson")
			}
			resp, err := browser().Do(req)
			require.NoError(t, err)
			_ = resp.Body.Close()
			require.Contains(t, []int{http.StatusUnsupportedMediaType, http.StatusBadRequest, http.StatusForbidden}, resp.StatusCode, "%s %s", encoding, path)
		}
	}
	// A body without an announced end is read no further than its limit.
	var sent atomic.Int64
	endless := readerFunc(func(p []byte) (int, error) { sent.Add(int64(len(p))); return len(p), nil })
	req, err := http.NewRequest(http.MethodPost, s.URL+s.at("/spans"), endless)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	if resp, err := browser().Do(req); err == nil {
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		_ = resp.Body.Close()
	}
	require.Less(t, sent.Load(), int64(64<<20))
	s.get(owner, s.at("")).want(t, http.StatusOK)
	require.Less(t, s.resident(t)-before, int64(200<<20), "bytes of memory")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Gained would be: answers from the node's own network, or of the cloud's
// metadata, by a webhook to an address of the hostile tenant's choice.
func TestOWASPAPI7ServerSideRequestForgery(t *testing.T) {
	s := alone(t)
	evil := s.token(s.mallory)
	reached := make(chan string, 100)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.RequestURI }))
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(inside.URL, "http://"))
	require.NoError(t, err)
	addresses := []string{
		"http://127.0.0.1:PORT/", "https://127.0.0.1:PORT/", "https://localhost:PORT/", "https://LOCALHOST.:PORT/", "https://127.1:PORT/", "https://2130706433:PORT/",
		"https://0x7f000001:PORT/", "https://0x7f.0.0.1:PORT/", "https://0177.0.0.1:PORT/", "https://017700000001:PORT/", "https://0:PORT/", "https://0.0.0.0:PORT/",
		"https://[::1]:PORT/", "https://[::]:PORT/", "https://[::ffff:127.0.0.1]:PORT/", "https://[::ffff:7f00:1]:PORT/", "https://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
		"https://[::127.0.0.1]:PORT/", "https://[64:ff9b::127.0.0.1]:PORT/", "https://[64:ff9b:1::7f00:1]:PORT/", "https://[2002:7f00:1::]:PORT/", "https://[fe80::1%25lo]:PORT/", "https://[::1%25lo]:PORT/",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/latest/meta-data/", "https://metadata.google.internal/", "https://168.63.129.16/", "https://100.100.100.200/", "https://192.0.0.192/",
		"https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/", "https://[fc00::1]/", "https://224.0.0.1/", "https://255.255.255.255/",
		"https://example.org@127.0.0.1:PORT/", "https://user:password@127.0.0.1:PORT/", "https://127.0.0.1:PORT#@example.org/", "https://127.0.0.1:PORT\\@example.org/", "https://example.org:PORT@127.0.0.1/",
		"file:///etc/passwd", "gopher://127.0.0.1:PORT/_x", "ftp://127.0.0.1/", "unix:///var/run/docker.sock", "//127.0.0.1:PORT/", "javascript:alert(1)", "https:///", "https://:PORT/", "https://127.0.0.1:0/",
		"https://127.0.0.1:99999/", "https://127.0.0.1:PORT/\r\nHost: inside", "https://１２７.0.0.1:PORT/", "https://127。0。0。1:PORT/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/", "https://127.0.0.1%2f@example.org:PORT/", "",
	}
	for i, address := range addresses {
		address = strings.ReplaceAll(address, "PORT", port)
		path := fmt.Sprintf("/v1/tenants/%s/webhooks/hook%d", s.evil.Id, i%8)
		r := s.do(http.MethodPut, evil, path, "application/json", jsonOf(t, map[string]string{"url": address}))
		if r.status == http.StatusBadRequest {
			continue // seen at once
		}
		require.Contains(t, []int{http.StatusCreated, http.StatusOK}, r.status, "%s: %s", address, r.body)
		// By a name: what it stands for is looked at when it is called.
		var out struct{ Outcome, Code, Answer string }
		s.post(evil, path+"/test", []byte("")).want(t, http.StatusOK).decode(t, &out)
		require.NotEqual(t, "delivered", out.Outcome, address)
		require.Contains(t, []string{"webhook_address_refused", "webhook_name_unresolved", "webhook_url"}, out.Code, address)
		require.Empty(t, out.Answer, address)
	}
	select {
	case uri := <-reached:
		t.Fatalf("the inside was reached: %s", uri)
	default:
	}
}

// Gained would be: something from how the node is set up, rather than from what
// it does.
func TestOWASPAPI8SecurityMisconfiguration(t *testing.T) {
	s := alone(t)
	for _, path := range []string{"/livez", "/v1/node", s.at(""), "/nowhere", "/v1/identities/@nobody"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodHead} {
			r := s.ask(method, path, http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}})
			require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"), "%s %s", method, path)
			require.Equal(t, "no-store", r.header.Get("Cache-Control"), "%s %s", method, path)
			require.Empty(t, r.header.Get("Access-Control-Allow-Origin"), "%s %s", method, path)
			require.Empty(t, r.header.Get("Access-Control-Allow-Credentials"), "%s %s", method, path)
			require.Empty(t, r.header.Get("Server"), "%s %s", method, path)
			require.Empty(t, r.header.Get("X-Powered-By"), "%s %s", method, path)
			require.Empty(t, r.header.Get("Set-Cookie"), "%s %s", method, path)
		}
	}
	for _, method := range []string{"TRACE", "CONNECT", "TRACK", "DEBUG"} {
		r := s.ask(method, s.at(""), http.Header{"Cookie": {"a=" + secret}})
		require.GreaterOrEqual(t, r.status, 400, method)
		require.NotContains(t, string(r.body), secret, "%s shows what was sent", method)
	}
	// Errors tell of the request, and nothing of the inside.
	for _, path := range []string{
		"/v1/tenants/'%20OR%201=1--", "/v1/tenants/%00", "/v1/tenants/" + s.tenant.Id + "/spans/%ff", "/v1/identities/@'%3B--", "/v1/tenants/..%2f..%2fetc%2fpasswd",
		s.at("/spans?cursor=AAAA"), s.at("/spans?since=now"), s.at("/tile/9/999"), s.at("/tile/x/y"), s.at("/proofs/inclusion?index=a&size=b"), s.at("/spans?type=%00"),
	} {
		r := s.get(s.token(s.owner), path)
		require.Less(t, r.status, 500, "%s: %s", path, r.body)
		for _, inner := range []string{"goroutine", ".go:", "SELECT", "sqlite", "pgx", "SQLSTATE", s.Dir, "panic"} {
			require.NotContains(t, string(r.body), inner, path)
		}
	}
	// Keys and data are the operator's alone.
	require.NoError(t, filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // a file of the database's that came and went
		}
		require.Zero(t, info.Mode().Perm()&0o077, "%s is %s", strings.TrimPrefix(path, s.Dir), info.Mode())
		return nil
	}))
	require.NotContains(t, s.Log.String(), secret)
}

// Gained would be: a route that nobody looks after.
func TestOWASPAPI9ImproperInventoryManagement(t *testing.T) {
	s := alone(t)
	for _, path := range []string{
		"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/vars", "/debug/requests", "/openapi.json", "/openapi.yaml", "/v1/openapi.yaml", "/swagger", "/docs", "/graphql",
		"/admin", "/v1/admin", "/v1/debug", "/internal", "/status", "/healthz", "/health", "/info", "/env", "/actuator", "/server-status", "/.env", "/.git/config", "/config", "/v1/config", "/backup", "/v1/backup",
		"/v0/node", "/v2/node", "/v1beta/node", "/api/v1/node", "/V1/node", "/v1/node/", "/v1//node", "/v1/./node", "/v1/tenants/../node", "/v1/identities/", "/v1/keys", "/v1/session", "/logline.db", "/bootstrap-token", "/node.key", "/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := s.ask(method, path, http.Header{"Authorization": {"Bearer " + s.token(s.owner)}})
			require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusMovedPermanently, http.StatusBadRequest}, r.status, "%s %s is served: %.200s", method, path, r.body)
		}
	}
	// Every route of the document asks who is there, but for those that say they do not.
	open := strings.Fields("getLive getReady getMetrics getVersion getNode listOIDCProviders listTemplates getTemplate registerIdentity getDID listKeyEvents addKeyEvent verifySignatures verifySignatureStream " +
		"appendSpans simulateSpans getCheckpoint cosignCheckpoint getInclusion getConsistency getTile")
	spec, err := spectest.Load()
	require.NoError(t, err)
	asked := 0
	for path, item := range spec.Document.Paths.Map() {
		for method, op := range item.Operations() {
			if contains(open, op.OperationID) {
				continue
			}
			at := strings.NewReplacer("{tenant}", s.tenant.Id, "{span}", s.organization, "{identity}", bare(s.owner), "{index}", "000", "{level}", "0").Replace(path)
			for strings.Contains(at, "{") {
				at = at[:strings.Index(at, "{")] + "x" + at[strings.Index(at, "}")+1:]
			}
			r := s.do(method, "", at, "application/json", nil)
			if r.status == http.StatusBadRequest {
				continue // the form came first, and says nothing
			}
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnsupportedMediaType, http.StatusNotFound}, r.status, "%s %s answers anybody: %.200s", method, at, r.body)
			asked++
		}
	}
	require.Greater(t, asked, 30)
	// Metrics are open and name nobody.
	metrics := string(s.get("", "/metrics").want(t, http.StatusOK).body)
	for _, name := range []string{s.tenant.Id, s.tenant.Slug + `"`, s.evil.Id, bare(s.owner), s.organization} {
		require.NotContains(t, metrics, name)
	}
}

func contains(list []string, one string) bool {
	for _, s := range list {
		if s == one {
			return true
		}
	}
	return false
}

// Gained would be: harm by what the node itself calls: receivers of webhooks
// answer as they like.
func TestOWASPAPI10UnsafeConsumptionOfAPIs(t *testing.T) {
	s := alone(t, "--webhook-networks", "127.0.0.0/8", "--webhook-plain=true")
	evil := s.token(s.mallory)
	elsewhere := make(chan string, 10)
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.RequestURI }))
	t.Cleanup(trap.Close)
	behaviours := map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		codes  []string
	}{
		"redirects inside": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.URL+"/metadata", http.StatusTemporaryRedirect)
		}, []string{"webhook_redirected"}},
		"never ends": {func(w http.ResponseWriter, r *http.Request) { pour(w, r, []byte("x")) }, []string{""}},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb(t))
		}, []string{""}},
		"headers of 1 MiB": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 64 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 16<<10))
			}
		}, []string{"webhook_answer_headers"}},
		"escapes": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "\x1b]0;owned\x07\x1b[2J\u202e\x00\xff"+strings.Repeat("y", 10_000))
		}, []string{"webhook_failing"}},
		"wait for a year": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, []string{"webhook_failing"}},
		"switches protocols": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }, []string{"webhook_refused", "webhook_answer_malformed", "webhook_cut", "webhook_redirected", ""}},
		"sets cookies":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Set-Cookie", "a=b") }, []string{""}},
	}
	before := s.resident(t)
	n := 0
	for name, b := range behaviours {
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Empty(t, r.Header.Get("Authorization"), "the node's caller's credential was passed on")
			require.Empty(t, r.Header.Get("Cookie"))
			b.answer(w, r)
		}))
		t.Cleanup(receiver.Close)
		path := fmt.Sprintf("/v1/tenants/%s/webhooks/hook%d", s.evil.Id, n)
		n++
		s.do(http.MethodPut, evil, path, "application/json", jsonOf(t, map[string]string{"url": receiver.URL + "/"})).want(t, http.StatusCreated)
		began := time.Now()
		r := s.post(evil, path+"/test", []byte("")).want(t, http.StatusOK)
		var out struct{ Outcome, Code, Answer string }
		r.decode(t, &out)
		require.Contains(t, b.codes, out.Code, "%s: %s", name, r.body)
		require.LessOrEqual(t, len(out.Answer), 256, name)
		require.False(t, strings.ContainsAny(out.Answer, "\x1b\x00\x07\u202e"), "%s: %q", name, out.Answer)
		require.Less(t, time.Since(began), 40*time.Second, name)
	}
	select {
	case uri := <-elsewhere:
		t.Fatalf("a redirection was followed: %s", uri)
	default:
	}
	require.Less(t, s.resident(t)-before, int64(100<<20), "bytes of memory")
}

// pour sends without end, as long as somebody reads.
func pour(w http.ResponseWriter, r *http.Request, some []byte) {
	some = bytes.Repeat(some, 32<<10)
	for r.Context().Err() == nil {
		if _, err := w.Write(some); err != nil {
			return
		}
	}
}
