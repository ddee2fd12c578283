package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// example is a contract of examples/contracts, for the tenant acme.
func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/contracts/" + name)
	require.NoError(t, err)
	return strings.Replace(string(text), `tenant: "voulezvous"`, `tenant: "acme"`, 1)
}

// contractOf is the payload of a contract's span.
func contractOf(t testing.TB, source, action string) []byte {
	t.Helper()
	c, err := rules.Compile(source)
	require.NoError(t, err)
	payload, err := span.Canonical(span.Contract{Name: c.Name, Version: c.Version, Source: source, Hash: c.Hash.String(), Action: action})
	require.NoError(t, err)
	return payload
}

func (w *world) activate(source string) engine.Result {
	return w.submit(w.seal(w.owner, contractOf(w.t, source, span.ActionActivate), typed(span.TypeContract)))
}

func typed(typ string) func(*span.Header) { return func(h *span.Header) { h.Type = typ } }

// vote is a logline.approval of a span as it was sent.
func (w *world) vote(author *id.Keys, raw []byte, vote string) []byte {
	sp := spanOf(w.t, raw)
	payload, err := span.Canonical(span.Approval{Span: sp.ID, HeaderHash: sp.Hash().String(), Vote: vote})
	require.NoError(w.t, err)
	return w.seal(author, payload, typed(span.TypeApproval))
}

// payments is a world in which the example of payments is in force.
func payments(t *testing.T, s setup) (w *world, payer, ana, rui *id.Keys) {
	w = newWorld(t, s)
	payer, ana, rui = w.member(span.RoleMember), w.member("finance", span.RoleMember), w.member("finance", span.RoleMember)
	r := w.SubmitOwn(context.Background(), w.tenant.ID, span.TypeContract, contractOf(t, example(t, "identity_lifecycle.lll"), span.ActionActivate), engine.OwnOptions{})
	require.NoError(t, r.Err)
	require.NoError(t, w.activate(example(t, "payments_approval.lll")).Err)
	return w, payer, ana, rui
}

func (w *world) payment(author *id.Keys, payment string, amount float64) []byte {
	return w.seal(author, fmt.Appendf(nil, `{"amount":%g,"payment_id":%q}`, amount, payment), typed("payment.requested"))
}

func (w *world) status(raw []byte) string {
	w.t.Helper()
	rec, err := w.log.Get(context.Background(), w.tenant.ID, spanOf(w.t, raw).ID)
	require.NoError(w.t, err)
	return rec.Status
}

func TestContractDecides(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w, payer, ana, rui := payments(t, s)

		small := w.submit(w.payment(payer, "p1", 10))
		require.NoError(t, small.Err)
		require.Equal(t, span.OutcomeAllow, small.Decision.Outcome)
		require.Equal(t, []string{"auto"}, small.Decision.Tags)
		require.Equal(t, []span.Transition{{Workflow: "payments.approval/payment", Key: "p1", From: "draft", To: "submitted"}}, small.Decision.Transitions)

		raw := w.payment(payer, "p2", 60_000)
		refused := w.submit(raw)
		requireCode(t, rules.CodeRefused, refused.Err)
		require.Contains(t, refused.Err.Error(), "amount 60000 is outside 0..50000")
		last := w.entries(w.tenant.ID)[w.size()-1]
		require.Equal(t, span.TypeDecision, last.Span.Type)
		require.Equal(t, []string{"payments.approval/sane_amount"}, last.Decision.Rules)
		requireCode(t, rules.CodeRefused, w.submit(raw).Err)

		large := w.payment(payer, "p3", 1500)
		r := w.submit(large)
		require.NoError(t, r.Err)
		require.Equal(t, span.OutcomePending, r.Decision.Outcome)
		require.Equal(t, timeline.StatusPending, w.status(large))
		requireCode(t, "approval_own", w.submit(w.vote(payer, large, span.VoteApprove)).Err)
		require.NoError(t, w.submit(w.vote(ana, large, span.VoteApprove)).Err)
		requireCode(t, "approval_repeated", w.submit(w.vote(ana, large, span.VoteApprove)).Err)
		require.Equal(t, timeline.StatusPending, w.status(large))
		require.NoError(t, w.submit(w.vote(rui, large, span.VoteApprove)).Err)
		require.Equal(t, timeline.StatusExecuted, w.status(large))
		resolution := w.entries(w.tenant.ID)[w.size()-1]
		require.Equal(t, span.TypeResolution, resolution.Span.Type)
		require.Equal(t, []span.Transition{{Workflow: "payments.approval/payment", Key: "p3", From: "draft", To: "submitted"}}, resolution.Decision.Transitions)
		w.verify()
	})
}

// What comes together is decided in its order: the pending span, the votes on
// it, and what they settle are one batch.
func TestContractDecidesWithinABatch(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w, payer, ana, rui := payments(t, s)
		large := w.payment(payer, "p1", 1500)
		lines := [][]byte{large, w.vote(ana, large, span.VoteApprove), w.payment(payer, "p2", 99_000), w.vote(rui, large, span.VoteApprove), w.payment(payer, "p3", 5)}
		before := w.size()
		results := w.SubmitMany(context.Background(), w.tenant.ID, lines)
		for i, r := range results {
			if i == 2 {
				requireCode(t, rules.CodeRefused, r.Err)
				continue
			}
			require.NoError(t, r.Err, i)
			requireReceipt(t, w, r, lines[i])
		}
		require.Equal(t, before+6, w.size(), "five spans, one of them as evidence, and a resolution")
		require.Equal(t, timeline.StatusExecuted, w.status(large))
		w.verify()
	})
}

// A contract holds from the very next span on, in the same batch too.
func TestContractHoldsAtOnce(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		const no = `contract never.tests version "1.0.0" { rule no { on: "test.**" then { reject "not today" } } }`
		activation := w.seal(w.owner, contractOf(t, no, span.ActionActivate), typed(span.TypeContract))
		retirement := w.seal(w.owner, contractOf(t, no, span.ActionRetire), typed(span.TypeContract))
		results := w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{w.note(w.owner, 1), activation, w.note(w.owner, 2), retirement, w.note(w.owner, 3)})
		for i, r := range results {
			if i == 2 {
				requireCode(t, rules.CodeRefused, r.Err)
				continue
			}
			require.NoError(t, r.Err, i)
		}
		// Another process that knows nothing of it decides the same.
		b := w.process()
		require.NoError(t, w.submit(w.seal(w.owner, contractOf(t, no, span.ActionActivate), typed(span.TypeContract))).Err)
		requireCode(t, rules.CodeRefused, b.submit(w.note(w.owner, 4)).Err)
		w.verify()
	})
}

// asks counts the questions for decision rows.
type asks struct {
	timeline.Store
	rows *atomic.Int32
}

func (s asks) Rows(ctx context.Context, tenant string, questions []timeline.Ask) (timeline.Asked, error) {
	s.rows.Add(1)
	return s.Store.Rows(ctx, tenant, questions)
}

// A timeline without contracts costs a process at most one question for them,
// and none where it was the last to append.
func TestNoContractsAreCheap(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		var rows atomic.Int32
		s.wrap = func(s timeline.Store) timeline.Store { return asks{s, &rows} }
		w := newWorld(t, s)
		b := w.process()
		asked := func() int32 {
			before := rows.Load()
			require.NoError(t, w.submit(w.note(w.owner, 1)).Err)
			return rows.Load() - before
		}
		asked()
		require.Zero(t, asked())
		for range 3 {
			require.NoError(t, b.submit(b.note(b.owner, 2)).Err)
			require.LessOrEqual(t, asked(), int32(2), "one for a head that was guessed, one at the head")
		}
	})
}

// Silence rejects once the time for votes is over, and the clock sees to it.
func TestApprovalEndsByItself(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w, payer, ana, _ := payments(t, s)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		t.Cleanup(func() { stop(); <-ended })
		large := w.payment(payer, "p1", 1500)
		require.NoError(t, w.submit(large).Err)
		w.clock.advance(49 * time.Hour)
		require.NoError(t, w.submit(w.note(w.owner, 1)).Err)
		require.Eventually(t, func() bool { return w.status(large) == timeline.StatusRejected }, 20*time.Second, 20*time.Millisecond)
		require.Equal(t, fault.Conflict, fault.KindOf(w.submit(w.vote(ana, large, span.VoteApprove)).Err))
		w.verify()
	})
}

// A payload goes when its time is over; one that somebody has erased before holds
// up nothing.
func TestRetentionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	require.NoError(t, w.activate(`contract notes version "1.0.0" { retain "test.**" 1h }`).Err)
	first, second := w.note(w.owner, 1), w.note(w.owner, 2)
	require.NoError(t, w.submit(first).Err)
	require.NoError(t, w.submit(second).Err)
	sp := spanOf(t, first)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Hash().String()}}, Reason: "asked"})
	require.NoError(t, err)
	require.NoError(t, w.submit(w.seal(w.owner, payload, typed(span.TypeRedaction))).Err)
	w.clock.advance(2 * time.Hour)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	require.Eventually(t, func() bool {
		rec, err := w.log.Get(ctx, w.tenant.ID, spanOf(t, second).ID)
		return err == nil && rec.Redacted
	}, 20*time.Second, 20*time.Millisecond)
	_, waits, err := rules.NextDue(ctx, w.log.Committed(w.tenant.ID))
	require.NoError(t, err)
	require.False(t, waits, "every timer is answered")
	w.verify()
}

// strays makes a timer of each span of type test.stray that nobody can answer.
type strays struct{ engine.Folder }

func (f strays) Fold(ctx context.Context, e *span.Entry, payload []byte, state timeline.DecisionState) ([]standing.Row, error) {
	if e.Span.Type == "test.stray" {
		return []standing.Row{{Key: "timer/2020-01-01T00:00:00.000Z/task/" + e.Span.ID, Value: []byte(`{"contract":"gone@1.0.0#x","task":"t"}`)}}, nil
	}
	return f.Folder.Fold(ctx, e, payload, state)
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// Timers that cannot be answered are tried again now and then, and hold up no other,
// however many they are.
func TestTimerThatFails(t *testing.T) {
	t.Parallel()
	var failed atomic.Int32
	said := slog.New(slog.NewTextHandler(writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte("timer not answered")) {
			failed.Add(1)
		}
	}), nil))
	w, payer, _, _ := payments(t, setup{folder: strays{}, cfg: engine.Config{Logger: said}})
	for range 150 {
		require.NoError(t, w.submit(w.seal(w.owner, []byte(`{}`), typed("test.stray"))).Err)
	}
	large := w.payment(payer, "p1", 1500)
	require.NoError(t, w.submit(large).Err)
	w.clock.advance(49 * time.Hour)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	require.Eventually(t, func() bool { return w.status(large) == timeline.StatusRejected }, 20*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	require.Positive(t, failed.Load())
	require.LessOrEqual(t, failed.Load(), int32(3*150), "tried over and over")
}

// Lines of cron name times in zones, here as in trials of contracts.
func TestTaskByCron(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	require.NoError(t, w.activate(`contract daily version "1.0.0" {
  rule r { on: "test.happened" then { schedule task "close" { cron: "0 9 * * *" then { tag "closed" } } } }
}`).Err)
	r := w.submit(w.note(w.owner, 1))
	require.NoError(t, r.Err)
	require.NotContains(t, string(r.Decision.Effects), "errors")
	at, ok, err := rules.NextDue(t.Context(), w.log.Committed(w.tenant.ID))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 9, at.UTC().Hour())
}

func TestDryRunSaysWhatWouldHappen(t *testing.T) {
	t.Parallel()
	w, payer, _, _ := payments(t, setup{})
	before := w.size()
	for amount, verdict := range map[float64]rules.Verdict{10: rules.Allow, 1500: rules.Pending, 99_000: rules.Reject} {
		r := w.Submit(context.Background(), w.tenant.ID, w.payment(payer, "p1", amount), engine.Options{DryRun: true})
		require.NoError(t, r.Err)
		require.Equal(t, engine.Simulated, r.Outcome)
		require.Equal(t, verdict, r.Foresight.Verdict)
	}
	require.Equal(t, before, w.size())
}

func TestRefusalsAreLimited(t *testing.T) {
	t.Parallel()
	w, payer, _, _ := payments(t, setup{cfg: engine.Config{RefusalQuota: 2}})
	before := w.size()
	for n := range 4 {
		err := w.submit(w.payment(payer, "p1", 99_000)).Err
		if n < 2 {
			requireCode(t, rules.CodeRefused, err)
			continue
		}
		requireCode(t, "refusal_quota", err)
		require.Positive(t, fault.From(err).RetryAfter)
	}
	require.Equal(t, before+2, w.size())
	require.NoError(t, w.submit(w.payment(payer, "p1", 1)).Err, "what is allowed goes on")
}
