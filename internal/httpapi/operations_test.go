package httpapi_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.get("/livez", "").want(t, http.StatusOK)
	w.get("/readyz", "").want(t, http.StatusOK)

	var v client.Version
	w.get("/v1/version", "").want(t, http.StatusOK).decode(t, &v)
	require.Equal(t, client.Version{Version: "0.1.0", Go: "go1.26", Protocol: 1}, v)

	var n client.Node
	w.get("/v1/node", "").want(t, http.StatusOK).decode(t, &n)
	require.Equal(t, w.node.ID(), n.Id)
	require.Len(t, n.Events, len(w.node.Events()))
	for i, e := range w.node.Events() {
		require.Equal(t, string(e), string(n.Events[i]), "events are given as they were signed")
	}
	require.EqualValues(t, "open", n.Registration)
	require.Equal(t, 1<<20, n.Limits.Payload)
	require.Equal(t, "2026-03-01T12:00:00.000Z", n.Time)

	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	w.append([]byte("{")).want(t, http.StatusBadRequest)
	w.get("/no/such/address", "")
	m := w.get("/metrics", "").want(t, http.StatusOK)
	text := string(m.body)
	require.Contains(t, text, `logline_appends_total{outcome="created"} 1`)
	require.Contains(t, text, `logline_appends_total{outcome="refused"} 1`)
	require.Contains(t, text, `logline_http_requests_total{method="POST",route="/v1/tenants/:tenant/spans",status="201"} 1`)
	require.NotContains(t, text, "no/such")
}

func TestMetricsAreNotForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, value := range map[string]string{"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"} {
		req := w.request(http.MethodGet, "/metrics", "", "", nil)
		req.Header.Set(name, value)
		w.do(req).problem(t, http.StatusUnauthorized, "credential_required")
		req.Header.Set("Authorization", "Bearer "+w.token(w.owner))
		w.do(req).want(t, http.StatusOK)
	}
	handler := httpapi.New(httpapi.Deps{}).Handler()
	for addr, status := range map[string]int{"192.0.2.7:80": 401, "127.0.0.1:80": 200, "[::1]:80": 200, "@": 401} {
		req, rec := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		req.RemoteAddr, req.Host = addr, "localhost:8080"
		handler.ServeHTTP(rec, req)
		require.Equal(t, status, rec.Code, addr)
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	for code, err := range map[string]error{
		"not_ready":       errors.New("something inside"),
		"engine_stopping": fault.New(fault.Unavailable, "engine_stopping", "stopping"),
	} {
		w := newNode(t, func(d *httpapi.Deps) { d.Ready = func(context.Context) error { return err } })
		r := w.get("/readyz", "")
		r.problem(t, http.StatusServiceUnavailable, code)
		require.NotEmpty(t, r.header.Get("Retry-After"))
		require.NotContains(t, string(r.body), "inside")
		w.get("/livez", "").want(t, http.StatusOK)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	direct, proxied := newNode(t), newNode(t, func(d *httpapi.Deps) {
		var err error
		d.Proxies, err = httpapi.ParseProxies("loopback", "")
		require.NoError(t, err)
	})
	for given, kept := range map[string]bool{
		"abc-123": true, "": false, "two words": false, "<script>": false, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		for _, w := range []*world{direct, proxied} {
			req := w.request(http.MethodGet, "/v1/nowhere", "", "", nil)
			req.Header.Set("X-Request-Id", given)
			r := w.do(req)
			p := r.problem(t, http.StatusNotFound, "route_unknown")
			require.Equal(t, kept && w == proxied, p.Instance == given, given)
			require.NotEmpty(t, p.Instance)
		}
	}
}

// Figures on load go to whoever is on this machine: not to its pages of other
// sites, and not through a proxy on it.
func TestMetricsForThisMachine(t *testing.T) {
	t.Parallel()
	handler := httpapi.New(httpapi.Deps{}).Handler()
	for name, c := range map[string]struct {
		host   string
		header http.Header
		status int
	}{
		"by name":               {"localhost", nil, 200},
		"by name and port":      {"LOCALHOST:8080", nil, 200},
		"by address":            {"127.0.0.1:8080", nil, 200},
		"by address of IPv6":    {"[::1]:8080", nil, 200},
		"a name pointed here":   {"evil.example:8080", nil, 401},
		"a page":                {"localhost:8080", http.Header{"Origin": {"http://localhost:8080"}}, 401},
		"through a proxy":       {"localhost:8080", http.Header{"X-Real-Ip": {"127.0.0.1"}}, 401},
		"through another proxy": {"localhost:8080", http.Header{"X-Forwarded-Proto": {"http"}}, 401},
	} {
		req, rec := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		req.RemoteAddr, req.Host = "127.0.0.1:4321", c.host
		maps.Copy(req.Header, c.header)
		handler.ServeHTTP(rec, req)
		require.Equal(t, c.status, rec.Code, name)
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.get("/", "").problem(t, http.StatusNotFound, "route_unknown")
	w.get("/v1", "").problem(t, http.StatusNotFound, "route_unknown")
	for _, absent := range []string{"/tiles/0/000", "/happenings"} {
		w.get(w.at(absent), "").problem(t, http.StatusNotFound, "route_unknown")
	}
	r := w.do(w.request(http.MethodDelete, w.at("/spans"), "", "", nil))
	r.problem(t, http.StatusMethodNotAllowed, "method_not_allowed")
	require.Contains(t, r.header.Get("Allow"), http.MethodPost)
}

func TestHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, status := range map[string]int{"/livez": 200, w.at("/checkpoint"): 200, "/nowhere": 404, w.at(""): 401} {
		resp, err := http.Head(w.url + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, path)
		require.Empty(t, body)
		require.Positive(t, resp.ContentLength)
	}
}

// broken is an engine and a log that panic, fail or block.
type broken struct {
	httpapi.Engine
	httpapi.Log
	submit func(context.Context) engine.Result
	many   func(lines [][]byte) []engine.Result
	tenant func() (timeline.Tenant, error)
	export func(io.Writer) error
}

func (b *broken) SubmitMany(_ context.Context, _ string, lines [][]byte) []engine.Result {
	return b.many(lines)
}

func (b *broken) Export(_ context.Context, w io.Writer, _ string, _, _ uint64, _ standing.Reader) error {
	return b.export(w)
}

func (b *broken) Submit(ctx context.Context, _ string, raw []byte, _ engine.Options) engine.Result {
	return b.submit(ctx)
}

func (b *broken) Tenant(context.Context, string) (timeline.Tenant, error) { return b.tenant() }

func TestKindsBecomeStatuses(t *testing.T) {
	t.Parallel()
	b := &broken{}
	w := newNode(t, func(d *httpapi.Deps) { b.Log = d.Log; d.Engine = b; d.Log = b })
	post := func(err error) reply {
		b.submit = func(context.Context) engine.Result { return engine.Result{Err: err} }
		return w.post("/v1/tenants/00000000-0000-8000-8000-000000000000/spans", "", []byte("{}"))
	}
	for kind, status := range map[fault.Kind]int{
		fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.Gone: 410, fault.Limited: 429, fault.Unavailable: 503, fault.Internal: 500,
	} {
		r := post(fault.New(kind, "some_code", "a detail").At("/a/b", "here").With("size", 7))
		p := r.problem(t, status, "some_code")
		require.Equal(t, "a detail", p.Detail)
		require.Equal(t, []client.Field{{Pointer: "/a/b", Detail: "here"}}, p.Fields)
		require.EqualValues(t, "7", p.Meta["size"])
		require.Equal(t, status == 429 || status == 503, r.header.Get("Retry-After") != "", status)
		require.Equal(t, status == 401, r.header.Get("WWW-Authenticate") != "", status)
	}
	post(fault.New(fault.Invalid, "payload_too_large", "d")).problem(t, http.StatusRequestEntityTooLarge, "payload_too_large")
	require.Equal(t, "3", post(fault.New(fault.Limited, "queue_full", "d").After(2500e6)).header.Get("Retry-After"))

	secret := post(errors.New("disk at /secret/path"))
	secret.problem(t, http.StatusInternalServerError, "internal")
	require.NotContains(t, string(secret.body), "secret")
	post(context.Canceled).problem(t, http.StatusServiceUnavailable, "request_cancelled")
	post(fault.New(fault.Conflict, "odd", "d").With("bad", func() {})).problem(t, http.StatusConflict, "odd")

	b.submit = func(context.Context) engine.Result { panic("boom") }
	w.post("/v1/tenants/00000000-0000-8000-8000-000000000000/spans", "", []byte("{}")).
		problem(t, http.StatusInternalServerError, "internal")

	b.tenant = func() (timeline.Tenant, error) { return timeline.Tenant{}, errors.New("no database") }
	w.get("/v1/tenants/00000000-0000-8000-8000-000000000000/checkpoint", "").problem(t, http.StatusInternalServerError, "internal")
}

func TestBusy(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	b := &broken{submit: func(context.Context) engine.Result {
		close(entered)
		<-leave
		return engine.Result{Err: fault.New(fault.Conflict, "done", "d")}
	}}
	w := newNode(t, func(d *httpapi.Deps) { b.Log = d.Log; d.Engine = b; d.Limits.Concurrent = 1 })
	answered := make(chan reply)
	go func() {
		resp, err := http.Post(w.url+"/v1/tenants/00000000-0000-8000-8000-000000000000/spans", "application/json", strings.NewReader("{}"))
		if err != nil {
			answered <- reply{}
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- reply{resp.StatusCode, resp.Header, body}
	}()
	<-entered
	r := w.get("/v1/version", "")
	r.problem(t, http.StatusServiceUnavailable, "server_busy")
	require.Equal(t, "1", r.header.Get("Retry-After"))
	w.get("/livez", "").want(t, http.StatusOK)
	w.get("/metrics", "").want(t, http.StatusOK)
	close(leave)
	require.Equal(t, http.StatusConflict, (<-answered).status)
	w.get("/v1/version", "").want(t, http.StatusOK)
}
