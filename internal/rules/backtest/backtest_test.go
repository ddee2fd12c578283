package backtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

var began = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// history is a made up timeline.
type history struct {
	t    testing.TB
	rand *rand.ChaCha8
	now  time.Time
	list []*span.Opened
}

func newHistory(t testing.TB) *history {
	return &history{t: t, rand: rand.NewChaCha8([32]byte{7}), now: began}
}

// add records a span of type typ that was allowed.
func (h *history) add(typ, author string, data map[string]any) *span.Opened {
	h.t.Helper()
	spanID, err := span.RandomID(h.now, h.rand)
	require.NoError(h.t, err)
	payload, err := span.Canonical(data)
	require.NoError(h.t, err)
	e := &span.Opened{Payload: payload}
	e.Seq, e.RecordedAt = uint64(len(h.list)), span.FormatTime(h.now)
	e.Span = span.Header{ID: spanID, Author: author, Type: typ, Time: e.RecordedAt, Status: span.StatusExecuted, Visibility: span.VisibilityOrganization}
	e.Decision = span.Decision{Outcome: span.OutcomeAllow}
	h.list = append(h.list, e)
	h.now = h.now.Add(time.Second)
	return e
}

const ana, rui = "logline-id://ana", "logline-id://rui"

func compiled(t testing.TB, source string) *contract.Contract {
	t.Helper()
	c, err := rules.Compile(source)
	require.NoError(t, err)
	return c
}

// again decides the history by a contract.
func (h *history) again(source string, o Options) *Report {
	h.t.Helper()
	b, err := New([]*contract.Contract{compiled(h.t, source)}, o)
	require.NoError(h.t, err)
	for _, e := range h.list {
		require.NoError(h.t, b.Add(context.Background(), e))
	}
	return b.Report()
}

const orders = `contract orders version "1.0.0" {
  rule small { on: "order.made"  when: data.amount > 100.0  then { reject "amount ${data.amount} is too large" } }
  rule marked { on: "order.made"  then { tag "order" } }
  rule often { on: "order.made"  priority: 200  when: spans("order.made").by(actor.id).within(10m).count() >= 2.0  then { tag "often" } }
  workflow order {
    key: data.id
    initial: open
    state open
    state made { after 1h -> forgotten }
    state paid
    state forgotten
    transition open -> made on "order.made"
    transition made -> paid on "order.paid"
  }
}`

func TestWhatWouldBeDecidedOtherwise(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.add("order.made", ana, map[string]any{"id": "a", "amount": 10})
	h.add("order.made", ana, map[string]any{"id": "b", "amount": 1000})
	h.add("order.paid", rui, map[string]any{"id": "a"})
	h.add("order.paid", rui, map[string]any{"id": "b"}) // was never made, by this contract
	h.add("note", rui, map[string]any{})
	r := h.again(orders, Options{Keep: 1})

	require.Equal(t, map[string]int{"allow": 3, "reject": 2}, r.Outcomes)
	require.Equal(t, []Change{{"allow", "reject", 2}}, r.Changes)
	require.Equal(t, 2, r.DifferenceCount)
	require.Equal(t, []Difference{{Seq: 1, Span: h.list[1].Span.ID, Type: "order.made", At: h.list[1].RecordedAt,
		Was: "allow", Now: "reject", Rule: "orders/small", Reason: "amount 1000 is too large"}}, r.Differences, "the first alone is kept")
	require.Equal(t, []RuleCount{{"orders/marked", 2, 0}, {"orders/often", 0, 0}, {"orders/order", 3, 1}, {"orders/small", 1, 1}}, sorted(r.Rules))
	require.Equal(t, []Count{{"order", 2}}, r.Tags)
	require.Equal(t, []WorkflowCount{{"orders/order", 1, []StateCount{{"open", 1, 0}, {"made", 1, 0}, {"paid", 1, 1}, {"forgotten", 0, 0}}}}, r.Workflows)
	require.Equal(t, 5, r.Entries)
	require.Equal(t, 5, r.Decided)
}

func sorted(list []RuleCount) []RuleCount {
	slices.SortFunc(list, func(a, b RuleCount) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func TestErasedEntriesAreNamedAndNotGuessed(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	made := h.add("order.made", ana, map[string]any{"id": "a", "amount": 1000})
	made.Payload, made.Withheld = nil, span.WithheldRedacted
	note := h.add("note", ana, map[string]any{})
	note.Payload, note.Withheld = nil, span.WithheldRedacted // no rule asks for it
	h.add("order.paid", rui, map[string]any{"id": "a"})
	r := h.again(orders, Options{Keep: 10})

	require.Equal(t, []Undecided{{Seq: 0, Span: made.Span.ID, Type: "order.made", Why: "redacted"}}, r.Undecided)
	require.Equal(t, 1, r.UndecidedCount)
	require.Equal(t, map[string]int{"allow": 1, "reject": 1}, r.Outcomes)
	require.Equal(t, 2, r.Decided)
}

// The clock of spans brings what is due between them, and never goes back.
func TestClocks(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i, at := range []time.Duration{0, 20 * time.Minute, 5 * time.Minute, 2 * time.Hour} {
		e := h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i), "amount": 1})
		e.Span.OccurredAt = span.FormatTime(began.AddDate(-1, 0, 0).Add(at))
	}
	h.add("order.paid", ana, map[string]any{"id": "0"}) // says not when: now is still two hours after

	r := h.again(orders, Options{Clock: Recorded, Keep: 10})
	require.Equal(t, []Count{{"order", 4}, {"often", 2}}, r.Tags)
	require.Equal(t, map[string]int{"allow": 5}, r.Outcomes)
	require.Zero(t, r.Fired)

	r = h.again(orders, Options{Clock: Span, Keep: 10})
	require.Equal(t, []Count{{"order", 4}}, r.Tags, "never three within ten minutes")
	require.Equal(t, 1, r.Backwards)
	require.Equal(t, 3, r.Fired)
	require.Equal(t, map[string]int{"allow": 4, "reject": 1}, r.Outcomes)
	require.Equal(t, "order is forgotten, and order.paid moves it only from made", r.Differences[0].Reason)
	require.Equal(t, span.FormatTime(began.AddDate(-1, 0, 0).Add(2*time.Hour)), r.Differences[0].At)
}

// What is simulated is not recorded, and moves nothing.
func TestSimulatedSpansLeaveNoTrace(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.add("order.made", ana, map[string]any{"id": "a"})
	h.add("order.paid", ana, map[string]any{"id": "a"})
	r := h.again(`contract dry version "1.0.0" {
  rule dry { on: "order.made"  then { simulate } }
  workflow order {
    key: data.id
    initial: open
    state open
    state made
    state paid
    transition open -> made on "order.made"
    transition made -> paid on "order.paid"
  }
}`, Options{Keep: 10})
	require.Equal(t, map[string]int{"simulate": 1, "reject": 1}, r.Outcomes)
	require.Zero(t, r.Workflows[0].Instances)
}

const approvals = `contract big version "1.0.0" {
  role boss
  rule ask { on: "order.made"  then { require approval { from: [boss]  count: 1  within: 1h  on_timeout { reject "nobody said yes" } } } }
}`

// What waits for votes waits, until time settles it.
func TestWhatWaits(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.add("order.made", ana, map[string]any{"id": "a"})
	h.now = h.now.Add(2 * time.Hour)
	h.add("order.made", ana, map[string]any{"id": "b"})
	r := h.again(approvals, Options{Keep: 10})
	require.Equal(t, map[string]int{"pending": 2}, r.Outcomes)
	require.Equal(t, []Change{{"allow", "pending", 2}}, r.Changes)
	require.Equal(t, map[string]int{"expired": 1}, r.Settled)
	require.Equal(t, 1, r.Waiting)
}

func TestEntriesMustBeWhole(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.add("note", ana, map[string]any{})
	e := h.add("note", ana, map[string]any{})
	b, err := New(nil, Options{})
	require.NoError(t, err)
	require.Equal(t, "entries_missing", fault.From(b.Add(t.Context(), e)).Code)
	_, err = New(nil, Options{Clock: "sun"})
	require.Equal(t, "clock_unknown", fault.From(err).Code)
}

// The report is the same JSON each time.
func TestReportsAreTheSame(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 50 {
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i), "amount": i * 10})
	}
	first, err := json.Marshal(h.again(orders, Options{Keep: 100}))
	require.NoError(t, err)
	second, err := json.Marshal(h.again(orders, Options{Keep: 100}))
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
}

func BenchmarkAdd(b *testing.B) {
	h := newHistory(b)
	for i := range 1000 {
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i), "amount": 10})
	}
	c := compiled(b, orders)
	b.ReportAllocs()
	for b.Loop() {
		again, err := New([]*contract.Contract{c}, Options{})
		require.NoError(b, err)
		for _, e := range h.list {
			require.NoError(b, again.Add(context.Background(), e))
		}
	}
}
