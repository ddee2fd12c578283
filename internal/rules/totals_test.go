package rules_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// counting is a contract that tells the numbers of the last hours, and of all
// time.
func counting(version string, hours int) string {
	return fmt.Sprintf(`contract counting version %q {
  params { window: %dh }
  rule tell { on: "ask.*" then { annotate {
    count: spans("pay.*").by(actor.id).within(params.window).count()
    sum: spans("pay.*").by(actor.id).within(%dh).sum("n")
    all: spans("pay.*").count()
  } } }
}`, version, hours, hours)
}

type numbers struct{ Count, Sum, All float64 }

// ask is what the contract in force tells.
func (l *timeline) ask(by string) (n numbers) {
	l.t.Helper()
	o, err := l.decide(l.span(l.people.keys[by], "ask.now", object{}))
	require.NoError(l.t, err)
	require.NotNil(l.t, o.Detail)
	require.NoError(l.t, json.Unmarshal(o.Detail.Annotations, &n))
	return n
}

// Rows of totals that no window reaches any more go, and no answer changes with
// them; folding the lines again gives the same rows.
func TestTotalsThatNoWindowReachesGo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l := newTimeline(t)
		l.activate(counting("1.0.0", 1))
		who := l.member("member")
		var at []time.Time
		for range rapid.IntRange(2, 4).Draw(r, "bursts") {
			step := time.Duration(rapid.IntRange(0, 600).Draw(r, "seconds")) * time.Second
			for range rapid.IntRange(1, 60).Draw(r, "spans") {
				l.submit(l.span(who, "pay.done", object{"n": 0.1}))
				at = append(at, l.now)
				l.now = l.now.Add(step)
			}
			within := 0
			for _, when := range at {
				if l.now.Sub(when) < time.Hour {
					within++
				}
			}
			got := l.ask(who.ID())
			require.Equal(r, numbers{float64(within), float64(within) / 10, float64(len(at))}, got)
			l.now = l.now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(r, "rest")) * time.Second)
		}
		require.Equal(r, l.state, l.refolded())
	})
}

func TestTotalsStayFew(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	l.activate(counting("1.0.0", 1))
	who := l.member("member")
	for range 600 {
		l.submit(l.span(who, "pay.done", object{"n": 1}))
		l.now = l.now.Add(time.Minute)
	}
	for prefix, most := range map[string]int{"sum/pay.* by author count/": 60 + 33, "sum/pay.* by author sum n/": 60 + 33, "sum/pay.* count/": 33} {
		assert.LessOrEqual(t, len(l.state.keys(prefix)), most, prefix)
	}
	require.Equal(t, numbers{59, 59, 600}, l.ask(who.ID()))
	require.Equal(t, l.state, l.refolded())
}

// A longer window of a later version begins with what is left: never less than the
// shorter one saw, never what it should not see; and it is whole once it has gone
// by.
func TestALongerWindowBeginsWithWhatIsLeft(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	l.activate(counting("1.0.0", 1))
	who := l.member("member")
	pay := func(n int) {
		for range n {
			l.submit(l.span(who, "pay.done", object{"n": 1}))
			l.now = l.now.Add(time.Minute)
		}
	}
	pay(600)
	l.activate(counting("1.1.0", 5))
	got := l.ask(who.ID())
	require.Equal(t, float64(600), got.All)
	require.GreaterOrEqual(t, got.Count, float64(59))
	require.LessOrEqual(t, got.Count, float64(59+33), "nothing that was deleted is counted")
	pay(400)
	require.Equal(t, numbers{299, 299, 1000}, l.ask(who.ID()))
	l.activate(counting("1.2.0", 1))
	pay(100)
	require.GreaterOrEqual(t, len(l.state.keys("sum/pay.* by author count/")), 299, "what a version looked at once is kept for as long")
	require.Equal(t, l.state, l.refolded())
}

// A window that is reckoned when it is asked may be of any length.
func TestAWindowWithoutEndKeepsAll(t *testing.T) {
	t.Parallel()
	l := with(t, `rule r { on: "ask.*" when: spans("pay.*").within(duration(data.window)).count() > 2.0 then { tag "some" } }`)
	who := l.member("member")
	for range 200 {
		l.submit(l.span(who, "pay.done", object{}))
		l.now = l.now.Add(time.Hour)
	}
	require.Len(t, l.state.keys("sum/pay.* count/"), 200)
}

// What an activation tells of windows counts once its votes are there.
func TestWindowsOfAnActivationThatWaits(t *testing.T) {
	t.Parallel()
	l := with(t, `rule guarded { on: "logline.contract"  then { require approval { from: [owner]  within: 1d } } }`)
	admin, owner := l.member("admin"), l.member("owner")
	sp := l.contractSpan(admin, counting("1.0.0", 1), span.ActionActivate)
	require.Equal(t, rules.Pending, l.submit(sp).Verdict)
	require.Empty(t, l.state.keys("window/"))
	l.submit(l.vote(owner, sp, "approve"))
	require.Equal(t, object{"longest": 3_600_000.0}, l.row("window/pay.* by author sum n"))
	require.Equal(t, object{"longest": 3_600_000.0}, l.row("window/pay.* by author count"), "parameters are constants")
	require.Equal(t, object{"longest": 0.0}, l.row("window/pay.* count"))
	require.Equal(t, l.state, l.refolded())
}
