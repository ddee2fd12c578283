package systemtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// A payment of examples/contracts goes all its way: it waits for two people,
// their votes execute it, a till that was down at first hears of it by a webhook
// and pays, and the node issues the receipt. The engine is killed with -9 while
// the till pays: it has the message, and the node has no answer. Each step stands
// on the timeline, once.
func TestAPaymentGoesThrough(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		p := &payment{t: t, api: start(t, t.TempDir(), paymentFlags...)}
		p.setUp()
		p.engine = p.api
		p.reattach = func() {
			p.api = started(t, p.engine.Again())
			p.engine = p.api
			p.y.attach(p.api)
		}
		p.run()
	})
	// One process takes spans in, another is the engine.
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f := &fleet{t: t, database: pgtest.New(t).URL, master: newMaster(), flags: paymentFlags}
		dir := f.dir()
		p := &payment{t: t, api: f.start(dir)}
		p.setUp()
		require.Zero(t, p.api.terminate(), "log:\n%s", p.api.Log)
		p.api = f.start(dir, "--modules=httpapi,id,timeline,rules")
		p.y.attach(p.api)
		alone := func(s *server) *server {
			t.Cleanup(s.Kill)
			require.NoError(t, s.StartSilent())
			return s
		}
		p.engine = alone(&server{f.prepare(f.dir(), "--modules=engine"), t})
		p.reattach = func() { p.engine = alone(&server{p.engine.Again(), t}) }
		p.run()
		require.Zero(t, p.engine.terminate(), "log:\n%s", p.engine.Log)
		require.Zero(t, p.api.terminate(), "log:\n%s", p.api.Log)
		p.api = f.start(dir) // and what serves the engine's routes says the same
		p.y.attach(p.api)
		p.requireTasks()
	})
}

var paymentFlags = []string{"--webhook-plain=true", "--webhook-networks=127.0.0.0/8", "--tasks-lease=2s"}

// payment is the scene: who takes part, and what they did.
type payment struct {
	t           *testing.T
	api, engine *server // the same one, or two
	reattach    func()  // starts the engine again after it was killed
	y           *tenancy

	rafa, ana, rui *id.Keys
	request        string            // id of the span payment.requested
	paid           []byte            // the span payment.executed
	address        string            // of the till
	secrets        map[string]string // of webhooks, by path

	mu       sync.Mutex // guards the rest
	messages map[string]int
	bad      []error
	pays     chan struct{} // the till has paid, for the first time
	killed   chan struct{} // closed once the engine is gone
}

// setUp makes the tenant, its people, its contracts, and says where the till is.
func (p *payment) setUp() {
	t := p.t
	p.y = &tenancy{owner: newKeys(t)}
	var err error
	p.y.tenant, err = p.api.FirstTenant(background(), p.api.client(), p.y.owner, "voulezvous", "Voulezvous")
	require.NoError(t, err, "log:\n%s", p.api.Log)
	p.y.attach(p.api)
	p.rafa, p.ana, p.rui = p.y.member(span.RoleMember), p.y.member(span.RoleMember, "finance"), p.y.member(span.RoleMember, "finance")
	p.activate("identity_lifecycle.lll", "identity.lifecycle", "1.0.0")
	p.activate("payments_approval.lll", "payments.approval", "1.3.0")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.address = free.Addr().String()
	require.NoError(t, free.Close()) // the till is down
	p.secrets = map[string]string{}
	for _, name := range []string{"finance-inbox", "till"} {
		made, err := p.y.api.SetWebhook(background(), p.y.tenant.Id, name, "http://"+p.address+"/"+name)
		require.NoError(t, err)
		p.secrets["/"+name] = made.Secret
	}
}

// activate brings an example into force. Of what it says only the wait before a
// failed call is made again is another: a test has no 30 seconds.
func (p *payment) activate(file, name, version string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples/contracts", file))
	require.NoError(p.t, err)
	source := strings.ReplaceAll(string(text), "backoff: 30s", "backoff: 300ms")
	payload, err := span.Canonical(span.Contract{Name: name, Version: version, Source: source, Hash: span.Sum([]byte(source)).String(), Action: span.ActionActivate})
	require.NoError(p.t, err)
	_, err = p.y.api.Append(background(), p.y.tenant.Id, p.y.seal(p.y.owner.Signer(), p.y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(p.t, err)
}

// ServeHTTP is the till. It pays once for each message, however often it comes,
// and its first answer never arrives.
func (p *payment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	message, err := webhook.Verify(p.secrets[r.URL.Path], r.Header, body)
	var said struct {
		Type, Tenant, Span string
		Data               struct {
			ID     string
			Amount float64
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.bad = append(p.bad, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.messages[message]++
	if said.Type == "finance_inbox" || p.messages[message] > 1 {
		w.WriteHeader(http.StatusNoContent) // to know is enough, or done before
		return
	}
	if said.Type != "till" || said.Span != p.request || said.Data.ID != "p-1" || said.Data.Amount != 1500 {
		p.t.Errorf("the message is another: %s", body)
	}
	if _, err := p.y.api.Append(r.Context(), p.y.tenant.Id, p.paid); err != nil {
		p.t.Errorf("the payment is not recorded: %v", err)
	}
	close(p.pays)
	<-p.killed
	panic(http.ErrAbortHandler)
}

// open lets the till serve.
func (p *payment) open() {
	l, err := net.Listen("tcp", p.address)
	require.NoError(p.t, err)
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	p.t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
}

func (p *payment) run() {
	t, y := p.t, p.y
	p.messages, p.pays, p.killed = map[string]int{}, make(chan struct{}), make(chan struct{})
	by := func(who *id.Keys, typ string, payload []byte) []byte {
		return y.seal(who.Signer(), who.ID(), payload, func(h *span.Header) { h.Type = typ })
	}
	asked := by(p.rafa, "payment.requested", []byte(`{"amount":1500,"payment_id":"p-1"}`))
	p.request = spanID(asked)
	p.paid = by(p.rafa, "payment.executed", []byte(`{"amount":1500,"payment_id":"p-1"}`))
	for range 2 { // whoever has no answer sends it again
		_, err := y.api.Append(background(), y.tenant.Id, asked)
		require.NoError(t, err)
	}
	require.Equal(t, "pending", p.status())
	p.y.checkRefused(p.paid, p.rafa)
	sp, err := span.Parse(asked, span.Limits{})
	require.NoError(t, err)
	vote, err := span.Canonical(span.Approval{Span: sp.ID, HeaderHash: sp.Hash().String(), Vote: span.VoteApprove})
	require.NoError(t, err)
	for _, who := range []*id.Keys{p.ana, p.rui} {
		require.Equal(t, "pending", p.status())
		raw := by(who, span.TypeApproval, vote)
		for range 2 {
			_, err := y.api.Append(background(), y.tenant.Id, raw)
			require.NoError(t, err)
		}
	}
	require.Equal(t, "executed", p.status())
	p.until("the till is down", func() bool { return p.unreachable(p.request + ".0") })

	p.open()
	select {
	case <-p.pays:
	case <-time.After(time.Minute):
		t.Fatalf("the till heard of nothing; log:\n%s", p.engine.Log)
	}
	p.engine.Kill() // the till has paid, and the engine does not know
	close(p.killed)
	p.reattach()

	p.until("the call is done", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.messages[p.request+"_0"] >= 2
	})
	p.until("everything is told", func() bool { return p.steps("completed") == 3 })
	p.mu.Lock()
	require.Empty(t, p.bad)
	require.Len(t, p.messages, 2, "one for finance, one for the till, however often")
	p.mu.Unlock()
	p.requireSteps()
}

// checkRefused: the contract knows the steps of a payment.
func (y *tenancy) checkRefused(raw []byte, who *id.Keys) {
	y.t.Helper()
	again := y.seal(who.Signer(), who.ID(), []byte(`{"amount":1500,"payment_id":"p-1"}`), func(h *span.Header) { h.Type = "payment.executed" })
	_, err := y.api.Append(background(), y.tenant.Id, again)
	require.Equal(y.t, client.CodeRefused, client.CodeOf(err), "it must be requested, and agreed to, first: %v", err)
	require.NotEqual(y.t, spanID(raw), spanID(again))
}

func (p *payment) until(what string, so func() bool) {
	p.t.Helper()
	require.Eventually(p.t, so, 2*time.Minute, 50*time.Millisecond, "%s; log:\n%s", what, p.engine.Log)
}

func (p *payment) status() string {
	p.t.Helper()
	e, err := p.y.api.Entry(background(), p.y.tenant.Id, p.request)
	require.NoError(p.t, err)
	return string(e.Status)
}

// steps counts the tasks of which the timeline tells that they came to this.
func (p *payment) steps(what string) (n int) {
	for raw, err := range p.y.api.All(background(), p.y.tenant.Id, client.Filter{Types: []string{"logline.task." + what}}) {
		if err != nil {
			return 0
		}
		n += len(readStep(p.t, raw).Span.Payload.Tasks)
	}
	return n
}

// unreachable says whether the timeline tells that a call found nobody.
func (p *payment) unreachable(task string) bool {
	for raw, err := range p.y.api.All(background(), p.y.tenant.Id, client.Filter{Types: []string{"logline.task.retrying"}}) {
		if err != nil {
			return false
		}
		for _, told := range readStep(p.t, raw).Span.Payload.Tasks {
			if told.Task == task && told.Code == "webhook_unreachable" {
				return true
			}
		}
	}
	return false
}

// step is what is looked at of an entry.
type step struct {
	Seq  int
	Span struct {
		ID, Type, Author string
		Causes           []string
		Payload          struct {
			Tasks []struct {
				Task, Code    string
				Attempt, Step int
				Result        struct{ Outcome, Span string }
			}
			Payment string `json:"payment_id"`
		}
	}
	Decision struct {
		Outcome     string
		Transitions []struct{ Workflow, Key, From, To string }
		Effects     struct {
			Actions []struct{ Kind, Name string }
			Trust   []struct {
				Identity string
				Score    float64
			}
		}
	}
}

func readStep(t *testing.T, raw []byte) (s step) {
	t.Helper()
	require.NoError(t, json.Unmarshal(raw, &s), "%s", raw)
	return s
}

// requireSteps reads the exported timeline, which verifies, and finds each step
// once and in its place.
func (p *payment) requireSteps() {
	t, y := p.t, p.y
	t.Helper()
	var all []step
	for line := range bytes.Lines(y.export().Bytes()) {
		var kind struct {
			Span json.RawMessage
		}
		require.NoError(t, json.Unmarshal(line, &kind))
		if kind.Span != nil {
			all = append(all, readStep(t, line))
		}
	}
	find := func(what string, is func(*step) bool) (found []*step) {
		for i := range all {
			if is(&all[i]) {
				found = append(found, &all[i])
			}
		}
		require.NotEmpty(t, found, what)
		return found
	}
	once := func(what string, is func(*step) bool) *step {
		found := find(what, is)
		require.Len(t, found, 1, what)
		return found[0]
	}
	typed := func(typ string) func(*step) bool { return func(s *step) bool { return s.Span.Type == typ } }
	// tells is an entry that tells of a task, and the task's place in it.
	tells := func(what, task string, is func(code, outcome string) bool) func(*step) bool {
		return func(s *step) bool {
			if s.Span.Type != "logline.task."+what {
				return false
			}
			for _, told := range s.Span.Payload.Tasks {
				if told.Task == task && is(told.Code, told.Result.Outcome) {
					return true
				}
			}
			return false
		}
	}

	request := once("the request", typed("payment.requested"))
	require.Equal(t, "pending", request.Decision.Outcome)
	votes := find("the votes", typed("logline.approval"))
	require.Len(t, votes, 2, "a vote that is sent twice counts once")
	resolution := once("the execution", typed("logline.resolution"))
	require.Equal(t, y.node, resolution.Span.Author)
	require.Contains(t, resolution.Span.Causes, p.request)
	require.Len(t, resolution.Decision.Transitions, 1)
	require.Equal(t, "submitted", resolution.Decision.Transitions[0].To)
	require.Len(t, resolution.Decision.Effects.Actions, 1, "the till is called")

	require.Len(t, request.Decision.Effects.Actions, 1, "finance hears that it waits")
	call, finance := p.request+".0", p.request+".1" // rules are asked by name
	once("finance has heard of it", tells("completed", finance, func(_, outcome string) bool { return outcome == "delivered" }))
	down := find("the till is down", tells("retrying", call, func(code, _ string) bool { return code == "webhook_unreachable" }))
	killed := once("the engine was killed", tells("retrying", call, func(code, _ string) bool { return code == "lease_lapsed" }))
	paid := once("the payment", typed("payment.executed"))
	require.Equal(t, p.rafa.ID(), paid.Span.Author)
	require.Equal(t, "paid", paid.Decision.Transitions[0].To)
	require.Len(t, paid.Decision.Effects.Trust, 1)
	require.Equal(t, p.rafa.ID(), paid.Decision.Effects.Trust[0].Identity)
	delivered := once("the call is done", tells("completed", call, func(_, outcome string) bool { return outcome == "delivered" }))

	receipt := once("the receipt", typed("receipt.issued"))
	require.Equal(t, y.node, receipt.Span.Author)
	require.Equal(t, []string{paid.Span.ID}, receipt.Span.Causes)
	require.Equal(t, "p-1", receipt.Span.Payload.Payment)
	issued := once("the receipt's task", tells("completed", paid.Span.ID+".0", func(string, string) bool { return true }))
	for _, told := range issued.Span.Payload.Tasks {
		if told.Task == paid.Span.ID+".0" {
			require.Equal(t, receipt.Span.ID, told.Result.Span)
		}
	}
	order := []int{request.Seq, votes[0].Seq, votes[1].Seq, resolution.Seq, down[0].Seq, paid.Seq, killed.Seq, delivered.Seq}
	require.IsIncreasing(t, order)
	require.IsIncreasing(t, []int{paid.Seq, receipt.Seq, issued.Seq})
	p.requireTrust(paid.Decision.Effects.Trust[0].Score)
	if p.api == p.engine {
		p.requireTasks()
	}
}

// requireTrust: what the payment did to its author's score counts from then on.
func (p *payment) requireTrust(score float64) {
	p.t.Helper()
	require.InDelta(p.t, 1.2, score, 1e-9)
	probe := `contract trust.probe version "1.0.0" { rule probe { on: "trust.asked"  when: actor.trust > 1.1 && actor.trust < 1.3  then { tag "trusted" } } }`
	payload, err := span.Canonical(span.Contract{Name: "trust.probe", Version: "1.0.0", Source: probe, Hash: span.Sum([]byte(probe)).String(), Action: span.ActionActivate})
	require.NoError(p.t, err)
	y := p.y
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(p.t, err)
	for who, tags := range map[*id.Keys]int{p.rafa: 1, p.ana: 0} {
		a, err := y.api.Append(background(), y.tenant.Id, y.seal(who.Signer(), who.ID(), []byte(`{}`), func(h *span.Header) { h.Type = "trust.asked" }))
		require.NoError(p.t, err)
		var e struct{ Decision struct{ Tags []string } }
		require.NoError(p.t, json.Unmarshal(a.Receipt.Entry, &e))
		require.Len(p.t, e.Decision.Tags, tags)
	}
}

// requireTasks: the store of tasks says what the timeline says.
func (p *payment) requireTasks() {
	p.t.Helper()
	for _, task := range []string{p.request + ".0", p.request + ".1", spanID(p.paid) + ".0"} {
		got, err := p.y.api.Task(background(), p.y.tenant.Id, task)
		require.NoError(p.t, err)
		require.EqualValues(p.t, "completed", got.State)
	}
}
