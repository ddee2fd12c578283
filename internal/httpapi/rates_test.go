package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
)

// movingGate is a gate whose limits a test changes; without any it lets all through.
type movingGate struct{ now atomic.Pointer[quota.Gate] }

func (g *movingGate) Address(ctx context.Context, from netip.Addr, n int) (quota.Level, error) {
	return g.now.Load().Address(ctx, from, n)
}

func (g *movingGate) Caller(ctx context.Context, identity, key string, n int) (quota.Level, error) {
	return g.now.Load().Caller(ctx, identity, key, n)
}

func (g *movingGate) Author(ctx context.Context, author, key string, spans int) error {
	return g.now.Load().Author(ctx, author, key, spans)
}

func (g *movingGate) Tenant(ctx context.Context, tenant string, n int) (quota.Level, error) {
	return g.now.Load().Tenant(ctx, tenant, n)
}

func (g *movingGate) Try(ctx context.Context, from netip.Addr) (quota.Level, error) {
	return g.now.Load().Try(ctx, from)
}

func (g *movingGate) Alone() bool { return g.now.Load().Alone() }

func (g *movingGate) Refused(tell func(by string, n int64)) { g.now.Load().Refused(tell) }

// limit sets the node's rates, by the world's clock.
func (w *world) limit(r quota.Rates) { w.limitBy(w.clock.now, r) }

func (w *world) limitBy(now func() time.Time, r quota.Rates) {
	w.gate.now.Store(quota.NewGate(ratelimit.NewMemory(now, 1000), r))
}

// rated is a node that limits rates by the clock of its world.
func rated(t *testing.T, rates quota.Rates) *world {
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Stall = 100 * time.Millisecond })
	w.limit(rates)
	return w
}

// from sends a request as if it came from an address.
func (w *world) from(address string, req *http.Request) reply {
	req.RemoteAddr = address
	res := httptest.NewRecorder()
	w.server.ServeHTTP(res, req)
	return reply{res.Code, res.Header(), res.Body.Bytes()}
}

// TestAddressComesFirst: what an address sends is refused before anything of it
// is judged, and other addresses go on.
func TestAddressComesFirst(t *testing.T) {
	t.Parallel()
	w := rated(t, quota.Rates{Address: ratelimit.Limit{Rate: 2, Burst: 4}})
	bad := func() *http.Request { return w.request(http.MethodGet, w.at("/spans"), "nonsense", "", nil) }
	for left := 3; left >= 0; left-- {
		r := w.from("192.0.2.1:1000", bad())
		r.problem(t, http.StatusUnauthorized, "token_malformed")
		require.Equal(t, `"address";q=4;w=2`, r.header.Get("RateLimit-Policy"))
		require.True(t, strings.HasPrefix(r.header.Get("RateLimit"), fmt.Sprintf(`"address";r=%d;t=`, left)), r.header.Get("RateLimit"))
	}
	for _, path := range []string{w.at("/spans"), "/v1/node", "/nothing", "/v1/tenants/\x00"} {
		req := w.request(http.MethodGet, "/", "nonsense", "", nil)
		req.URL.Path = path
		r := w.from("192.0.2.1:1001", req)
		r.problem(t, http.StatusTooManyRequests, "rate_address")
		require.Equal(t, "1", r.header.Get("Retry-After"))
		require.Equal(t, `"address";r=0;t=1`, r.header.Get("RateLimit"))
		require.Contains(t, string(r.body), `"limit":"address"`)
	}
	w.from("192.0.2.1:1", w.request(http.MethodGet, "/livez", "", "", nil)).want(t, http.StatusOK)
	w.from("192.0.2.2:1", bad()).want(t, http.StatusUnauthorized)
	w.get("/v1/node", "").want(t, http.StatusOK) // this machine
	w.clock.advance(time.Second)
	w.from("192.0.2.1:1", bad()).want(t, http.StatusUnauthorized)
}

// TestWhatHasManyPartsCostsMany: lines, events and checks count one by one.
func TestWhatHasManyPartsCostsMany(t *testing.T) {
	t.Parallel()
	w := rated(t, quota.Rates{Address: ratelimit.Limit{Rate: 1, Burst: 50}})
	left := func(address string) string {
		r := w.from(address, w.request(http.MethodGet, "/v1/node", "", "", nil))
		return strings.Split(r.header.Get("RateLimit"), ";")[1]
	}
	check := map[string]string{"message": "x", "signature": strings.Repeat("A", 86), "key": strings.Repeat("A", 43)}
	body, err := json.Marshal(map[string]any{"items": []any{check, check, check, check, check}})
	require.NoError(t, err)
	w.from("192.0.2.3:1", w.request(http.MethodPost, "/v1/signatures/verify", "", "application/json", bytes.NewReader(body)))
	require.Equal(t, "r=44", left("192.0.2.3:1"))

	var lines [][]byte
	for n := range 20 {
		lines = append(lines, w.note(w.owner, n))
	}
	w.from("192.0.2.4:1", w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", bytes.NewReader(bytes.Join(lines, []byte("\n"))))).want(t, http.StatusOK)
	require.Equal(t, "r=28", left("192.0.2.4:1"))

	_, key := w.eventer(span.RoleAgent, "orders.*")
	batch := "[" + eventText("1", "orders.paid", "1") + "," + eventText("2", "orders.paid", "2") + "," + eventText("3", "orders.paid", "3") + "]"
	w.from("192.0.2.5:1", w.request(http.MethodPost, w.at("/events"), key, "application/cloudevents-batch+json", strings.NewReader(batch))).want(t, http.StatusOK)
	require.Equal(t, "r=46", left("192.0.2.5:1"))

	// Nobody gets more lines through than that, and is told at each.
	var many [][]byte
	for n := range 60 {
		many = append(many, w.note(w.owner, 100+n))
	}
	w.from("192.0.2.6:1", w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", bytes.NewReader(bytes.Join(many[:49], []byte("\n"))))).want(t, http.StatusOK)
	size := w.size()
	r := w.from("192.0.2.6:1", w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", bytes.NewReader(many[50])))
	r.problem(t, http.StatusTooManyRequests, "rate_address")
	require.Equal(t, size, w.size())
}

// TestIdentityAndKey: who is proven is counted by who it is and by which key, and
// a span is counted although it comes without a credential.
func TestIdentityAndKey(t *testing.T) {
	t.Parallel()
	w := rated(t, quota.Rates{})
	own, other := w.member(span.RoleMember), w.member(span.RoleMember)
	first, second := w.apiKey(own, own.ID(), map[string]any{}), w.apiKey(own, own.ID(), map[string]any{})
	token := w.token(own)

	w.limit(quota.Rates{Key: ratelimit.Limit{Rate: 1, Burst: 2}})
	for range 2 {
		w.get(w.at(""), first.Key).want(t, http.StatusOK)
	}
	w.get(w.at(""), first.Key).problem(t, http.StatusTooManyRequests, "rate_key")
	w.get(w.at(""), second.Key).want(t, http.StatusOK)
	w.get(w.at(""), token).want(t, http.StatusOK)

	w.limit(quota.Rates{Identity: ratelimit.Limit{Rate: 1, Burst: 2}})
	w.get(w.at(""), first.Key).want(t, http.StatusOK)
	w.get(w.at(""), token).want(t, http.StatusOK)
	for _, credential := range []string{first.Key, second.Key, token} {
		w.get(w.at(""), credential).problem(t, http.StatusTooManyRequests, "rate_identity")
	}
	w.get(w.at(""), "llk_x").problem(t, http.StatusUnauthorized, "api_key_malformed") // not counted against anybody
	w.get(w.at(""), w.token(other)).want(t, http.StatusOK)
	_, res, err := w.dial(w.feedPath(""), token, nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	w.clock.advance(2 * time.Second)

	w.append(w.note(own, 1)).want(t, http.StatusCreated)
	w.append(w.note(own, 2)).want(t, http.StatusCreated)
	size := w.size()
	r := w.append(w.note(own, 3))
	r.problem(t, http.StatusTooManyRequests, "rate_identity")
	require.Equal(t, `"identity";r=0;t=1`, r.header.Get("RateLimit"))
	var lines [][]byte
	for n := range 3 {
		lines = append(lines, w.note(own, 10+n))
	}
	for _, l := range w.appendLines(lines...).results(t) {
		require.Equal(t, http.StatusTooManyRequests, l.Status)
		require.Equal(t, "rate_identity", l.Problem.Code)
	}
	require.Equal(t, size, w.size())
	w.append(w.note(other, 4)).want(t, http.StatusCreated)
	forged := w.note(own, 5)
	forged = bytes.Replace(forged, []byte(`"payload":{`), []byte(`"payload":{"x":1,`), 1)
	w.append(forged).want(t, http.StatusBadRequest) // what nobody signed is nobody's
}

// TestTenantsAreCountedByTheirMembers: nobody else uses up what they may.
func TestTenantsAreCountedByTheirMembers(t *testing.T) {
	t.Parallel()
	w := rated(t, quota.Rates{})
	member, stranger := w.token(w.member(span.RoleMember)), w.token(w.identity())
	w.tenant = w.newTenant(w.token(w.owner), "shown", true)
	w.limit(quota.Rates{Tenant: ratelimit.Limit{Rate: 1, Burst: 2}})
	for range 5 {
		w.get(w.at("/spans"), stranger).want(t, http.StatusOK)
		w.get(w.at("/spans"), "").want(t, http.StatusOK)
		w.get(w.at("/spans"), member).want(t, http.StatusOK) // of another tenant
	}
	for range 2 {
		w.get(w.at("/spans"), w.token(w.owner)).want(t, http.StatusOK)
	}
	w.get(w.at("/spans"), w.token(w.owner)).problem(t, http.StatusTooManyRequests, "rate_tenant")
	w.get(w.at("/spans"), stranger).want(t, http.StatusOK)
}

// TestAStreamSlowsDown: what comes faster than its author may is taken as soon as
// it may be, while the client waits.
func TestAStreamSlowsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limitBy(time.Now, quota.Rates{Identity: ratelimit.Limit{Rate: 1000, Burst: 10}})
	var lines [][]byte
	for n := range 300 {
		lines = append(lines, w.note(w.owner, n))
	}
	began := time.Now()
	for _, l := range w.appendLines(lines...).results(t) {
		require.Nil(t, l.Problem)
	}
	var again [][]byte
	for n := range 20 {
		again = append(again, w.note(w.owner, 1000+n))
	}
	for _, l := range w.appendLines(again...).results(t) {
		require.Nil(t, l.Problem)
	}
	require.Greater(t, time.Since(began), 250*time.Millisecond)
}
