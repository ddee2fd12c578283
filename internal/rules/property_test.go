package rules_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// busy uses everything that makes rows.
const busy = `role finance
webhook inbox { endpoint: "x" }
trust { range: [-5.0, 5.0]
  add "order.*" 0.1
  add "cart.*" -0.7 }
retain "cart.*" 3d
rule cap { on: "order.**"  when: spans("order.*").by(actor.id).within(6h).sum("n") > 3.5  then { reject "over" } }
rule asks { on: ["cart.filled", "order.sent"]  when: data.n > 0.6
  then { require approval { from: [finance, admin]  count: 2  weights: { admin: 2 }  within: 5h  on_timeout { tag "late" } }
    call webhook "inbox" { body: { id: data.id } } } }
rule eats { on: "**"  priority: 7  then { consume quota "q" { limit: 6  per: 4h  key: actor.id  warn_at: [50%]  exceeded { tag "over" } } } }
rule tells { on: "order.*"  when: actor.trust > 0.2 or state("order", data.id) == "sent"  then { tag "known"  emit "seen.it" { data: { n: data.n } } }  else { note "${data.n}" } }
rule plans { on: "cart.*"  then { schedule task "later" { after: 90m  unless: data.n < 0.2  then { trust actor { add: 0.3 }  note "late" } } } }
rule counts { on: "other.*"  when: spans("**").subject(span.subject).count() > 4  then { simulate "busy" } }
policy noted { on: "**"  shadow: true  when data.n > 0.5 { reject "no" } }
schedule after { on: "order.paid"  delay: 45m  then { emit "paid.long.ago" { data: { a: 1 } } } }
schedule decay { every: 5h  missed: all  foreach: identities  where: it.trust > 0.1  then { trust it { add: -0.05 } } }
schedule nightly { cron: "*/50 1-6 * * *"  timezone: "Europe/Lisbon"  missed: skip  then { emit "night.fell" { data: { a: 1 } } } }
`

// step does one random thing to a timeline, as its engine would.
func step(t *rapid.T, l *timeline, who []*id.Keys) {
	l.now = l.now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "minutes")) * time.Minute)
	by := rapid.SampledFrom(who).Draw(t, "who")
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0: // a vote, wanted or not
		waits := l.state.keys("approval/")
		if len(waits) == 0 {
			return
		}
		spanID := strings.TrimPrefix(rapid.SampledFrom(waits).Draw(t, "waits"), "approval/")
		word := rapid.SampledFrom([]string{"approve", "approve", "approve", "reject"}).Draw(t, "vote")
		vote := l.vote(by, l.spans[spanID], word)
		if _, err := l.decide(vote); err == nil {
			l.submit(vote)
		} else {
			require.NotEqual(t, fault.Internal, fault.KindOf(err))
		}
	case 1: // what is due
		until := l.now
		l.now = until.Add(-time.Minute)
		l.advance(time.Minute)
		l.now = until
	case 2: // somebody does something to a schedule
		action := rapid.SampledFrom([]string{rules.SchedulePause, rules.ScheduleResume, rules.ScheduleRun}).Draw(t, "action")
		o, err := rules.ChangeSchedule(context.Background(), l.world(), rapid.SampledFrom([]string{"c/decay", "c/nightly"}).Draw(t, "schedule"), action, l.at())
		if err == nil {
			l.record(l.span(l.people.node, "logline.task.schedule", object{"action": action}), o)
		} else {
			require.Equal(t, fault.Conflict, fault.KindOf(err))
		}
	case 3: // another version, back and forth
		l.activate(strings.Replace(inContract("c", busy, order), "1.0.0", rapid.SampledFrom([]string{"1.0.0", "1.1.0"}).Draw(t, "version"), 1))
	default:
		typ := rapid.SampledFrom([]string{"cart.filled", "cart.renewed", "order.sent", "order.paid", "order.asked", "other.thing"}).Draw(t, "type")
		data := object{"id": rapid.SampledFrom([]string{"a", "b", "c/d"}).Draw(t, "key"), "weight": 1}
		if n := rapid.IntRange(0, 10).Draw(t, "n"); n > 0 {
			data["n"] = float64(n) / 10
		}
		sp := l.span(by, typ, data, func(h *span.Header) { h.Subject = rapid.SampledFrom([]string{"", "s/1", "s%2F1"}).Draw(t, "subject") })
		first, err := l.decide(sp)
		require.NoError(t, err)
		again, err := l.decide(sp)
		require.NoError(t, err)
		require.Equal(t, first.Decision, again.Decision, "deciding is a function")
		require.Equal(t, first.Detail, again.Detail)
		l.submit(sp)
	}
}

// Whatever happened, lines alone give the rows that deciding wrote, though all
// payloads that may be erased are gone, and decisions after it are the same.
func TestLinesGiveTheRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l := newTimeline(t)
		l.activate(inContract("c", busy, order))
		who := []*id.Keys{l.member("member"), l.member("admin"), l.member("finance", "member"), l.member("finance", "member")}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			step(r, l, who)
		}
		again := l.refolded()
		require.Equal(r, l.state, again)
		for key, value := range l.state {
			require.LessOrEqual(r, len(key), rules.MaxKey)
			require.NotEmpty(r, value)
			require.True(r, slices.ContainsFunc(rules.RowPrefixes(), func(p string) bool { return strings.HasPrefix(key, p) }), key)
		}
		sp := l.span(who[0], "order.sent", object{"id": "a", "weight": 1, "n": 0.4})
		before, err := l.decide(sp)
		require.NoError(r, err)
		l.state = again
		after, err := l.decide(sp)
		require.NoError(r, err)
		require.Equal(r, before.Decision, after.Decision)
	})
}

// Running totals are exact: any order, any window, the number that rational
// arithmetic gives, rounded once.
func TestTotalsAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l := with(t, `rule r { on: "ask"  then { annotate { sum: spans("x").sum("n")  late: spans("x").within(60m).sum("n")  count: spans("x").within(60m).count() } } }`)
		by := l.member("member")
		want, late, count := new(big.Rat), new(big.Rat), 0
		minutes := rapid.SliceOfN(rapid.IntRange(0, 30), 0, 8).Draw(r, "minutes")
		total := 0
		for _, m := range minutes {
			total += m
		}
		at := 0
		for _, m := range minutes {
			at += m
			l.now = l.now.Add(time.Duration(m) * time.Minute)
			n := rapid.Float64Range(-1e6, 1e6).Draw(r, "n")
			if rapid.Bool().Draw(r, "cents") {
				n = float64(int64(n)) / 100
			}
			l.submit(l.span(by, "x", object{"n": n}))
			exact, ok := new(big.Rat).SetString(fmt.Sprintf("%v", n))
			require.True(r, ok)
			want.Add(want, exact)
			if total-at < 60 {
				late.Add(late, exact)
				count++
			}
		}
		o, err := l.decide(l.span(by, "ask", object{}))
		require.NoError(r, err)
		for name, exact := range map[string]*big.Rat{"sum": want, "late": late, "count": big.NewRat(int64(count), 1)} {
			v, ok := o.Annotations.Member(name)
			require.True(r, ok)
			got, _ := v.Number()
			nearest, _ := exact.Float64()
			require.Equal(r, nearest, got, name) //nolint:testifylint // exactness is the point
		}
	})
}
