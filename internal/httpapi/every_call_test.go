package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// failing is a node of whose stores every call can be made to fail.
type failing struct {
	*world
	faults *storetest.Faults
	keeper timeline.Keeper
	spans  []string // ids that were acknowledged
	notes  [][]byte // checkpoints that were given out
	hit    map[string]int
}

func newFailing(t *testing.T, kind string) *failing {
	f := &failing{faults: &storetest.Faults{}, hit: map[string]int{}}
	db, store := backend.Open(t, backend.URL(t, kind))
	f.keeper = store.(timeline.Keeper)
	f.world = newNodeOn(t, db, storetest.NewFaultyStore(store, f.faults),
		func(d *id.Directory) engine.Directory { return faultyDirectory{d, f.faults} }, nil,
		quick, func(d *httpapi.Deps) {
			d.Directory = faultyDirectory{d.Directory.(*id.Directory), f.faults}
			d.Custody = faultyCustody{d.Custody, f.faults}
			d.APIKeys = faultyAPIKeys{d.APIKeys, f.faults}
		})
	f.owner = f.identity()
	return f
}

// step is one request of a story. Ready makes it anew, with ids of its own; what
// it makes is sent again as it is after a failure.
type step struct {
	name  string
	ready func(f *failing) func() *http.Request
	done  func(f *failing, r reply) // looks at the answer of success; nil for nothing
	// there is the code that says that it was done already; "" where a repeat is
	// answered like the first.
	there string
}

func (f *failing) posting(path, token, contentType string, body []byte) func() *http.Request {
	return func() *http.Request {
		return f.request(http.MethodPost, path, token, contentType, bytes.NewReader(body))
	}
}

func (f *failing) getting(path func() string) func(*failing) func() *http.Request {
	return func(f *failing) func() *http.Request {
		at := path()
		return func() *http.Request { return f.request(http.MethodGet, at, f.token(f.owner), "", nil) }
	}
}

// took notes the span and the checkpoint of a receipt.
func (f *failing) took(spanID string, receipt *client.Receipt) {
	require.NotNil(f.t, receipt)
	f.spans = append(f.spans, spanID)
	f.notes = append(f.notes, []byte(receipt.Checkpoint))
}

// appending is a step that appends one span.
func appending(name string, seal func(f *failing) []byte) step {
	var raw []byte
	return step{name: name,
		ready: func(f *failing) func() *http.Request {
			raw = seal(f)
			return f.posting(f.at("/spans"), "", "application/json", raw)
		},
		done: func(f *failing, r reply) {
			var receipt client.Receipt
			r.decode(f.t, &receipt)
			f.checkReceipt(&receipt)
			f.took(spanID(f.t, raw), &receipt)
		},
	}
}

// story is what clients do with a node. The first step makes the tenant.
func (f *failing) story(foreign []byte, foreignTenant string) []step {
	n, slug, handle := 0, 0, ""
	var lines [][]byte
	var rotating *id.Keys
	last := func() string { return f.spans[len(f.spans)-1] }
	return []step{
		{name: "register", ready: func(f *failing) func() *http.Request {
			var r client.Registration
			for _, e := range f.keys().Events() {
				r.Events = append(r.Events, json.RawMessage(e))
			}
			body, err := json.Marshal(r)
			require.NoError(f.t, err)
			return f.posting("/v1/identities", "", "application/json", body)
		}},
		{name: "make a tenant", ready: func(f *failing) func() *http.Request {
			slug++
			body, err := json.Marshal(client.NewTenant{Slug: fmt.Sprintf("acme-%d", slug), Name: "A tenant", Owner: f.owner.ID()})
			require.NoError(f.t, err)
			return f.posting("/v1/tenants", f.token(f.owner), "application/json", body)
		}, there: "tenant_taken"},
		appending("append", func(f *failing) []byte { n++; return f.note(f.owner, n) }),
		{name: "append lines", ready: func(f *failing) func() *http.Request {
			lines = nil
			for range 5 {
				n++
				lines = append(lines, f.note(f.owner, n))
			}
			return f.posting(f.at("/spans"), "", "application/x-ndjson", bytes.Join(lines, []byte("\n")))
		}, done: func(f *failing, r reply) {
			for i, l := range r.results(f.t) {
				require.Nil(f.t, l.Problem, "%+v", l.Problem)
				f.took(spanID(f.t, lines[i]), l.Receipt)
			}
		}},
		appending("grant", func(f *failing) []byte { return f.grant(f.identity().ID(), "member") }),
		appending("redact", func(f *failing) []byte {
			target := f.note(f.owner, 0)
			f.append(target).want(f.t, http.StatusCreated)
			sp, err := span.Parse(target, span.Limits{})
			require.NoError(f.t, err)
			return f.seal(f.owner, fmt.Appendf(nil, `{"reason":"asked","spans":[{"header_hash":%q,"span":%q}]}`, sp.Hash(), sp.ID),
				func(h *span.Header) { h.Type = span.TypeRedaction })
		}),
		{name: "rotate", ready: func(f *failing) func() *http.Request {
			rotating = f.member("member")
			event, err := rotating.Rotate(f.clock.now(), randReader)
			require.NoError(f.t, err)
			return f.posting(pathOf(rotating.ID(), "/events"), "", "application/json", event.Raw)
		}},
		appending("append by the new key", func(f *failing) []byte { n++; return f.note(rotating, n) }),
		{name: "hold an identity", ready: func(f *failing) func() *http.Request {
			return f.posting("/v1/identities", f.token(f.owner), "application/json", []byte(`{"custody":true,"subject":"service"}`))
		}},
		{name: "make an API key", ready: func(f *failing) func() *http.Request {
			held := f.held(f.owner, span.RoleAgent)
			return f.posting(pathOf(held.Id, "/keys"), f.token(f.owner), "application/json", []byte(`{"types":["shop.*"]}`))
		}},
		{name: "rotate what is held", ready: func(f *failing) func() *http.Request {
			held := f.held(f.owner, span.RoleAgent)
			return f.posting(pathOf(held.Id, "/rotate"), f.token(f.owner), "", nil)
		}},
		{name: "revoke what is held", ready: func(f *failing) func() *http.Request {
			held := f.held(f.owner, span.RoleAgent)
			return f.posting(pathOf(held.Id, "/revoke"), f.token(f.owner), "application/json", []byte(`{"reason":"over"}`))
		}, there: "identity_revoked"},
		{name: "revoke an API key", ready: func(f *failing) func() *http.Request {
			held := f.held(f.owner, span.RoleAgent)
			key := f.apiKey(f.owner, held.Id, map[string]any{"types": []string{"shop.*"}})
			return func() *http.Request {
				return f.request(http.MethodDelete, pathOf(held.Id, "/keys/"+key.Id), f.token(f.owner), "", nil)
			}
		}},
		{name: "replace an API key", ready: func(f *failing) func() *http.Request {
			key := f.apiKey(f.owner, f.owner.ID(), map[string]any{})
			return f.posting(pathOf(f.owner.ID(), "/keys/"+key.Id+"/rotate"), f.token(f.owner), "application/json", []byte(`{}`))
		}, there: "api_key_replaced"},
		{name: "an API key", ready: func(f *failing) func() *http.Request {
			return f.getting(func() string {
				return pathOf(f.owner.ID(), "/keys/"+f.apiKey(f.owner, f.owner.ID(), map[string]any{}).Id)
			})(f)
		}},
		{name: "list API keys", ready: f.getting(func() string { return pathOf(f.owner.ID(), "/keys") })},
		{name: "take a handle", ready: func(f *failing) func() *http.Request {
			n++
			body := fmt.Appendf(nil, `{"handle":"ana-%d"}`, n)
			return func() *http.Request {
				return f.request(http.MethodPatch, pathOf(f.owner.ID(), ""), f.token(f.owner), "application/json", bytes.NewReader(body))
			}
		}, done: func(f *failing, r reply) {
			var info client.Identity
			r.decode(f.t, &info)
			handle = info.Handle
		}},
		{name: "a handle", ready: f.getting(func() string { return "/v1/identities/@" + handle })},
		{name: "a tenant by its slug", ready: f.getting(func() string { return "/v1/tenants/acme" })},
		{name: "record an event", ready: func(f *failing) func() *http.Request {
			_, key := f.eventer(span.RoleAgent, "shop.*")
			n++
			return f.posting(f.at("/events"), key, structured, []byte(eventText(fmt.Sprint("e", n), "shop.sold", `{"a":1}`)))
		}},
		{name: "span", ready: f.getting(func() string { return f.at("/spans/" + last()) })},
		{name: "receipt", ready: f.getting(func() string { return f.at("/spans/" + last() + "/receipt") })},
		{name: "why", ready: f.getting(func() string { return f.at("/spans/" + last() + "/why") })},
		{name: "causes", ready: f.getting(func() string { return f.at("/spans/" + last() + "/causes") })},
		{name: "list", ready: f.getting(func() string { return f.at("/spans?limit=3") })},
		{name: "search", ready: f.getting(func() string { return f.at("/spans?q=happened") })},
		{name: "contracts", ready: f.getting(func() string { return f.at("/contracts") })},
		{name: "members", ready: f.getting(func() string { return f.at("/members") })},
		{name: "stats", ready: f.getting(func() string { return f.at("/stats") })},
		{name: "tenants", ready: f.getting(func() string { return "/v1/tenants" })},
		{name: "checkpoint", ready: f.getting(func() string { return f.at("/checkpoint") }), done: func(f *failing, r reply) { f.notes = append(f.notes, r.body) }},
		{name: "inclusion", ready: f.getting(func() string { return f.at("/proofs/inclusion?index=2") })},
		{name: "consistency", ready: f.getting(func() string { return f.at("/proofs/consistency?from=2") })},
		{name: "tile", ready: f.getting(func() string { return f.at("/tile/0/000.p/3") })},
		{name: "identity", ready: f.getting(func() string { return pathOf(f.owner.ID(), "") })},
		{name: "bundle", ready: f.getting(func() string { return f.at("/bundle") }), done: func(f *failing, r reply) {
			report, err := bundle.Verify(f.t.Context(), bytes.NewReader(r.body), bundle.Options{Node: f.node.ID()})
			require.NoError(f.t, err)
			require.True(f.t, report.OK && report.Authenticated, "an export that ended verifies: %v", report.Problems)
		}},
		{name: "import", ready: func(f *failing) func() *http.Request {
			return f.posting("/v1/tenants/"+foreignTenant+"/bundle?slug=foreign", f.token(f.owner), "application/x-ndjson", foreign)
		}},
	}
}

// try sends a request. An answer that broke off is none.
func (f *failing) try(req *http.Request) (r reply, whole bool) {
	resp, err := f.http.Do(req)
	if err != nil {
		return reply{}, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body}, err == nil
}

// good says whether an answer is a success throughout; any other must be a
// problem that says what to do, and is no fault of the request's.
func (f *failing) good(r reply) bool {
	if r.status < 300 {
		if r.header.Get("Content-Type") != "application/x-ndjson" || !bytes.Contains(r.body, []byte(`"problem"`)) {
			return true
		}
		for _, l := range r.results(f.t) {
			if l.Problem != nil {
				f.unavailable(l.Status, l.Problem.Code, l.Problem.Detail)
			}
		}
		return false
	}
	require.Equal(f.t, "application/problem+json", r.header.Get("Content-Type"), "%s", r.body)
	var p client.Problem
	require.NoError(f.t, json.Unmarshal(r.body, &p))
	require.Equal(f.t, r.status, p.Status)
	f.unavailable(p.Status, p.Code, p.Detail)
	return false
}

func (f *failing) unavailable(status int, code, detail string) {
	require.Equal(f.t, http.StatusServiceUnavailable, status, "%s: %s", code, detail)
	require.NotEmpty(f.t, code)
	require.NotEmpty(f.t, detail)
}

// run tells one step again and again, with another of its calls failing each
// time, until none is left to fail; each time it is sent once more, as it was,
// and then succeeds.
func (f *failing) run(s step, what storetest.Fault) {
	t := f.t
	for n := 0; ; n++ {
		request := s.ready(f)
		f.faults.Arm(n, what)
		r, whole := f.try(request())
		befell := f.faults.Disarm()
		if befell != "" {
			f.hit[befell]++
		}
		ok := whole && f.good(r)
		if ok {
			f.accept(s, r)
		}
		again, whole := f.try(request())
		require.True(t, whole, "%s: after call %d (%s) %s, sent again, the answer breaks off", s.name, n, befell, what)
		if s.there == "" || again.status != http.StatusConflict {
			require.Less(t, again.status, 300, "%s: after call %d (%s) %s, sent again: %s", s.name, n, befell, what, again.body)
			require.True(t, f.good(again), "%s: after call %d (%s) %s, sent again: %s", s.name, n, befell, what, again.body)
			if !ok {
				f.accept(s, again)
			}
		} else {
			again.problem(t, http.StatusConflict, s.there)
		}
		if befell == "" {
			require.True(t, ok, "%s: nothing failed: %s", s.name, r.body)
			return
		}
	}
}

func (f *failing) accept(s step, r reply) {
	if s.done != nil {
		s.done(f, r)
	}
}

// follower reads the tenant's feed and comes back whenever it is closed.
type follower struct {
	mu   sync.Mutex // guards next
	next uint64
	grew chan struct{}
}

func (f *failing) follow() *follower {
	l := &follower{grew: make(chan struct{}, 1)}
	token := f.token(f.owner)
	go func() {
		for f.t.Context().Err() == nil {
			conn, _, err := f.dial(f.feedPath(fmt.Sprintf("from=%d", l.at())), token, nil)
			if err != nil {
				continue // a refusal is an answer: it comes again
			}
			tap := tapOf(f.t, conn)
			for {
				m, err := tap.read()
				if err != nil {
					break
				}
				l.take(m)
			}
			_ = conn.Close()
		}
	}()
	return l
}

func (l *follower) at() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

func (l *follower) take(m frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var e struct{ Seq uint64 }
	if m.Type == "entry" && json.Unmarshal(m.Entry, &e) == nil && e.Seq == l.next {
		l.next++
	}
	select {
	case l.grew <- struct{}{}:
	default:
	}
}

// wait waits until all entries have come, in order.
func (l *follower) wait(t testing.TB, size uint64) {
	limit := time.NewTimer(feedPatience)
	defer limit.Stop()
	for l.at() < size {
		select {
		case <-l.grew:
		case <-limit.C:
			require.Equal(t, size, l.at(), "the feed is stuck")
		}
	}
}

// feed follows the timeline while one call after the other fails under feeds and
// appends: every entry comes, in order.
func (f *failing) feed(what storetest.Fault) {
	follower := f.follow()
	for n := range 12 {
		raw := f.note(f.owner, n)
		f.faults.Arm(n, what)
		_, _ = f.try(f.posting(f.at("/spans"), "", "application/json", raw)())
		f.append(raw)
		f.faults.Disarm()
		require.Less(f.t, f.append(raw).status, 300)
		follower.wait(f.t, f.size())
	}
}

// requireSound looks at everything that is stored.
func (f *failing) requireSound(t *testing.T) {
	ctx := t.Context()
	require.NoError(t, f.keeper.Snapshot(ctx, func(snap timeline.Snapshot) error {
		tenants, err := snap.Tenants(ctx)
		require.NoError(t, err)
		require.NotEmpty(t, tenants)
		for _, tenant := range tenants {
			result, err := fsck.Check(ctx, snap, tenant, fsck.Options{Verifier: id.DefaultVerifier(), Node: f.node.ID()})
			require.NoError(t, err)
			require.Empty(t, result.Findings, "%s", tenant.Slug)
		}
		return nil
	}))
	times := map[string]int{}
	roots := map[uint64]span.Hash{}
	grown := &tree.Range{}
	for from := uint64(0); ; {
		records, err := f.keeper.Range(ctx, f.tenant.Id, from, 1<<40)
		require.NoError(t, err)
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			e, err := span.ParseLine(r.Line)
			require.NoError(t, err)
			times[e.Span.ID]++
			grown.Append(span.LeafHash(r.Line), nil)
			roots[grown.End()] = grown.Root()
		}
		from += uint64(len(records))
	}
	for _, spanID := range f.spans {
		require.Equal(t, 1, times[spanID], "span %s was acknowledged", spanID)
	}
	for spanID, n := range times {
		require.Equal(t, 1, n, "span %s", spanID)
	}
	for _, raw := range f.notes {
		note, err := tree.OpenNote(raw, f.tenant.LogKey)
		require.NoError(t, err)
		require.Equal(t, roots[note.Size], note.Root, "the checkpoint of size %d contradicts the timeline", note.Size)
	}
}

// asked are the calls that requests make: all but those of the keeper's, of
// followers, of witnesses, of heads that are held after a lost race, and State,
// which a process reads once (the engine's tests make it fail).
var asked = []string{
	"Append", "TenantByID", "TenantBySlug", "Tenants", "Head", "Range", "At", "Spent", "Select", "Count", "Linked", "Holding", "Hashes", "Checkpoint",
	"Directory.Register", "Directory.Get", "Directory.ByHandle", "Directory.Chain", "Directory.SetLabels", "Directory.Check", "Directory.Add",
	"Custody.Create", "Custody.Maker", "Custody.Rotation", "Custody.Revocation", "Custody.Keep",
	"APIKeys.Create", "APIKeys.List", "APIKeys.Get", "APIKeys.Rotate", "APIKeys.Revoke", "APIKeys.Authenticate",
}

// TestEveryCallOfAStore makes each call of every store fail, in each way, in a
// story of everything that clients do: every answer is a success or says that it
// is not available now, what was sent again succeeds and is recorded once, and
// what is stored then is sound.
func TestEveryCallOfAStore(t *testing.T) {
	t.Parallel()
	other := newWorld(t)
	for n := range 3 {
		other.append(other.note(other.owner, n)).want(t, http.StatusCreated)
	}
	foreign := other.get(other.at("/bundle"), other.token(other.owner)).want(t, http.StatusOK).body
	kinds := []string{backend.Memory, backend.SQLite, backend.Postgres}
	for _, kind := range kinds {
		for _, what := range storetest.AllFaults {
			t.Run(kind+"/"+string(what), func(t *testing.T) {
				t.Parallel()
				f := newFailing(t, kind)
				f.tenant = f.newTenant(bootstrapToken, "acme", false)
				for _, s := range f.story(foreign, other.tenant.Id) {
					f.run(s, what)
				}
				f.feed(what)
				f.requireSound(t)
				total := 0
				for _, n := range f.hit {
					total += n
				}
				t.Logf("%d calls of %d methods, %d spans acknowledged", total, len(f.hit), len(f.spans))
				for _, name := range asked {
					require.Contains(t, f.hit, name, "no step of the story makes this call")
				}
			})
		}
	}
}
