package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// cold is the same process after a restart: it knows nothing of the timeline.
func (w *world) cold(s setup) *world {
	p := *w
	p.log = p.newLog()
	p.Engine = p.newEngine(s, p.log)
	return &p
}

const orders = `contract orders version "1.0.0" {
  rule much { on: "order.made"  when: spans("order.made").subject(span.subject).within(1h).sum("amount") + data.amount > 100.0  then { reject "too much" } }
  rule eats { on: "order.made"  then { consume quota "q" { limit: 3  per: 1h  key: span.subject  exceeded { tag "over" } } } }
  workflow order {
    key: span.subject
    initial: open
    state open
    state made
    state paid
    transition open -> made on "order.made"
    transition made -> made on "order.made"
    transition made -> paid on "order.paid"
  }
}`

// What a batch asks of the store about subjects that are new to this process is a
// few questions, not some for each span.
func TestRowsOfABatchAreReadTogether(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		var questions atomic.Int32
		s.wrap = func(s timeline.Store) timeline.Store { return asks{s, &questions} }
		w := newWorld(t, s)
		require.NoError(t, w.activate(orders).Err)
		batch := func(typ string) {
			var lines [][]byte
			for i := range 200 {
				lines = append(lines, w.seal(w.owner, []byte(`{"amount":1}`), typed(typ), func(h *span.Header) { h.Subject = fmt.Sprint("s-", i) }))
			}
			p := w.cold(s)
			before := questions.Load()
			for _, r := range p.SubmitMany(context.Background(), w.tenant.ID, lines) {
				require.NoError(t, r.Err)
			}
			require.Less(t, questions.Load()-before, int32(20), typ)
		}
		batch("order.made")
		batch("order.made") // there are rows now
		batch("order.paid")
		w.verify()
	})
}

// randomContract has some of everything that makes rows and asks for them.
func randomContract(r *rand.Rand) string {
	all := []string{
		`rule cap { on: "a.*"  when: spans("a.*").by(actor.id).within(2h).sum("n") > %d.0  then { reject "over" } }`,
		`rule seen { on: "**"  when: spans("a.x").subject(span.subject).count() >= %d.0  then { tag "seen" } }`,
		`rule eats { on: "a.*"  then { consume quota "q" { limit: %d  per: 1h  key: data.id  exceeded { reject "used up" } } } }`,
		`rule moves { on: "b.x"  when: state("flow", data.id) == "mid"  then { trust actor { add: 0.%d } } }`,
		`rule knows { on: "b.*"  when: actor.trust > 0.%d  then { tag "known"  consume quota "trusted" { limit: 2  per: 1h  key: actor.id  exceeded { tag "often" } } } }`,
		`rule asks { on: "b.y"  when: data.n > %d.0  then { require approval { from: [owner]  count: 1  within: 1h } } }`,
		`rule plans { on: "a.y"  then { schedule task "later" { after: %dm  then { tag "late" } } } }`,
	}
	var b strings.Builder
	b.WriteString("contract random version \"1.0.0\" {\n  trust { range: [-5.0, 5.0]  add \"a.*\" 0.1 }\n")
	for _, i := range r.Perm(len(all))[:1+r.IntN(len(all))] {
		fmt.Fprintf(&b, "  "+all[i]+"\n", 1+r.IntN(4))
	}
	if !strings.Contains(b.String(), `state("flow"`) && r.IntN(2) == 0 {
		return b.String() + "}\n"
	}
	return b.String() + `  workflow flow {
    key: data.id
    initial: new
    state new
    state mid { after 50m -> done }
    state done
    transition new -> mid on "a.x"
    transition mid -> done on "b.x"
    transition done -> mid on "a.y"
  }
}
`
}

// A batch's entries and rows are the same bytes whether its spans come together
// to a process that knows nothing, or one after the other.
func TestTogetherIsAsOneByOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		stores(t, func(t *testing.T, s setup) { togetherIsAsOneByOne(t, s, seed) })
	}
}

func togetherIsAsOneByOne(t *testing.T, s setup, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	random := func() engine.Config {
		return engine.Config{Rand: rand.NewChaCha8([32]byte{byte(seed)}), RefusalQuota: 1000}
	}
	s.nodeDir = t.TempDir()
	one := newWorld(t, setup{nodeDir: s.nodeDir, cfg: random()})
	s.owner, s.cfg = one.owner, random()
	many := newWorld(t, s)
	require.Equal(t, one.tenant.ID, many.tenant.ID, "both are the same timeline")

	submit := func(lines [][]byte) {
		t.Helper()
		p := many.cold(s) // with the randomness where it is
		together := p.SubmitMany(context.Background(), many.tenant.ID, lines)
		for i, line := range lines {
			alone := one.submit(line)
			require.Equal(t, fault.CodeOf(alone.Err), fault.CodeOf(together[i].Err), "span %d: %v, %v", i, alone.Err, together[i].Err)
			require.Equal(t, alone.Decision, together[i].Decision)
		}
	}
	submit([][]byte{one.seal(one.owner, contractOf(t, randomContract(r), span.ActionActivate), typed(span.TypeContract))})
	people := []*id.Keys{one.owner}
	for range 3 {
		k := one.identity()
		many.register(k)
		people = append(people, k)
		submit([][]byte{one.member_(one.owner, k.ID(), span.ActionGrant, span.RoleMember)})
	}
	var pending [][]byte
	for range 4 {
		var lines [][]byte
		for range 1 + r.IntN(60) {
			by, typ := people[r.IntN(len(people))], []string{"a.x", "a.y", "b.x", "b.y", "c.z"}[r.IntN(5)]
			if len(pending) > 0 && r.IntN(8) == 0 {
				lines = append(lines, one.vote(one.owner, pending[r.IntN(len(pending))], span.VoteApprove))
				continue
			}
			raw := one.seal(by, fmt.Appendf(nil, `{"id":"k%d","n":%d}`, r.IntN(12), r.IntN(5)), typed(typ), func(h *span.Header) { h.Subject = fmt.Sprint("s/", r.IntN(6)) })
			if lines = append(lines, raw); typ == "b.y" && by != one.owner {
				pending = append(pending, raw)
			}
		}
		submit(lines)
		one.clock.advance(20 * time.Minute)
		many.clock.advance(20 * time.Minute)
	}
	require.Equal(t, one.lines(), many.lines())
	require.Equal(t, one.decisionRows(), many.decisionRows())
}

// lines are those of the timeline.
func (w *world) lines() (out []string) {
	for _, e := range w.entries(w.tenant.ID) {
		out = append(out, string(e.AppendLine(nil)))
	}
	return out
}

func (w *world) decisionRows() (out []standing.Row) {
	w.t.Helper()
	state := w.log.Committed(w.tenant.ID)
	for _, prefix := range rules.RowPrefixes() {
		for after := ""; ; {
			rows, err := state.Range(context.Background(), prefix, after, 1000)
			require.NoError(w.t, err)
			if len(rows) == 0 {
				break
			}
			out, after = append(out, rows...), rows[len(rows)-1].Key
		}
	}
	return out
}

// A span that makes the decider fail before its turn fails at its turn, alone.
func TestForesightKeepsPanicsToTheirSpan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{decider: func(ctx context.Context, w *rules.World, sp *span.Span, at standing.Position) (*rules.Outcome, error) {
		if sp.Title == "bad" {
			panic("bad span")
		}
		return rules.Decide(ctx, w, sp, at)
	}})
	require.NoError(t, w.activate(orders).Err)
	var lines [][]byte
	for i := range 20 {
		lines = append(lines, w.seal(w.owner, []byte(`{"amount":1}`), typed("order.made"), func(h *span.Header) {
			h.Subject = fmt.Sprint("s-", i)
			if i == 9 {
				h.Title = "bad"
			}
		}))
	}
	for i, r := range w.SubmitMany(context.Background(), w.tenant.ID, lines) {
		if i == 9 {
			requireCode(t, "internal", r.Err)
			continue
		}
		require.NoError(t, r.Err, i)
	}
	w.verify()
}
