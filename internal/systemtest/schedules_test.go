package systemtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
)

// clockwork runs every second: one schedule that emits, and one for more identities
// than an entry holds.
const clockwork = `contract clock.work version "1.0.0" {
	trust { range: [0.0, 1000.0] }
	schedule tick { every: 1s  missed: all  then { emit "tick.made" { data: { at: now } } } }
	schedule gift { every: 1s  missed: all  foreach: identities  then { trust it { add: 1.0 } } }
}`

// Of several processes one is killed at any moment, and at times all are gone for a
// while: each due time runs once, for each identity once, and what it asks for is
// done once.
func TestSchedulesOutliveKills(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		rounds := 4
		if testing.Short() {
			rounds = 2
		}
		f := newFleet(t, database)
		for range 66 {
			f.tenant.member(span.RoleMember)
		}
		dir := f.dir()
		victim := f.at(f.start(dir))
		payload, err := span.Canonical(span.Contract{Name: "clock.work", Version: "1.0.0", Source: clockwork, Hash: span.Sum([]byte(clockwork)).String(), Action: span.ActionActivate})
		require.NoError(t, err)
		y := f.tenant
		_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
		require.NoError(t, err)

		random := seed(t)
		for n := range rounds {
			wait(t.Context(), time.Duration(1000+random.IntN(1500))*time.Millisecond)
			victim.Kill()
			if n%2 == 1 { // nobody is there
				f.tenant.Kill()
				wait(t.Context(), time.Duration(2000+random.IntN(1000))*time.Millisecond)
				f.tenant.attach(started(t, f.tenant.Again()))
			}
			victim = f.at(f.start(dir))
		}
		last := time.Now()
		var all []clockRun
		require.Eventually(t, func() bool {
			all = y.clockRuns()
			return len(all) > 0 && all[len(all)-1].due.After(last)
		}, 2*time.Minute, 200*time.Millisecond, "log:\n%s", y.Log)
		for _, name := range []string{"clock.work/tick", "clock.work/gift"} {
			requireEachOnce(t, name, all)
		}
		paused, err := victim.api.PauseSchedule(background(), y.tenant.Id, "clock.work", "tick")
		require.NoError(t, err)
		require.True(t, paused.Paused)
		require.Eventually(t, func() bool {
			made, asked := map[string]int{}, 0
			for raw, err := range y.api.All(background(), y.tenant.Id, client.Filter{Types: []string{"tick.made"}}) {
				require.NoError(t, err)
				var e struct{ Span struct{ Causes []string } }
				require.NoError(t, json.Unmarshal(raw, &e))
				made[e.Span.Causes[0]]++
			}
			for _, r := range y.clockRuns() {
				if r.schedule == "clock.work/tick" {
					asked++
					require.LessOrEqual(t, made[r.span], 1)
				}
			}
			return len(made) == asked
		}, 2*time.Minute, 200*time.Millisecond)
		for _, p := range []*tenancy{y, victim} {
			require.Zero(t, p.terminate(), "log:\n%s", p.Log)
			require.NotContains(t, p.Log.String(), "panic")
		}
		f.tenant.attach(started(t, f.tenant.Again()))
		f.tenant.export() // and it verifies
		require.Zero(t, f.tenant.terminate())
	})
}

// clockRun is an entry of a schedule's run.
type clockRun struct {
	span, schedule, outcome string
	due                     time.Time
	whom                    []string // whose trust it moved
}

// clockRuns are the entries of schedules' runs, in order.
func (y *tenancy) clockRuns() (out []clockRun) {
	y.t.Helper()
	for raw, err := range y.api.All(background(), y.tenant.Id, client.Filter{Types: []string{"logline.task.fired"}}) {
		require.NoError(y.t, err)
		var e struct {
			Span struct {
				ID      string
				Payload struct {
					Schedule, Outcome string
					Due               time.Time
				}
			}
			Decision struct {
				Effects struct{ Trust []struct{ Identity string } }
			}
		}
		require.NoError(y.t, json.Unmarshal(raw, &e))
		r := clockRun{span: e.Span.ID, schedule: e.Span.Payload.Schedule, outcome: e.Span.Payload.Outcome, due: e.Span.Payload.Due}
		for _, t := range e.Decision.Effects.Trust {
			r.whom = append(r.whom, t.Identity)
		}
		out = append(out, r)
	}
	return out
}

// requireEachOnce holds the runs of one schedule to it that each second has one,
// in order, and each identity its turn in each.
func requireEachOnce(t *testing.T, name string, all []clockRun) {
	t.Helper()
	var before time.Time
	ended, runs := true, 0
	had := map[string]bool{}
	for _, r := range all {
		if r.schedule != name {
			continue
		}
		if ended {
			runs++
			require.True(t, before.IsZero() || r.due.Equal(before.Add(time.Second)), "%s runs for %s after %s", name, r.due, before)
			clear(had)
		}
		require.True(t, ended || r.due.Equal(before))
		for _, who := range r.whom {
			require.False(t, had[who], "%s has two turns at %s", who, r.due)
			had[who] = true
		}
		before, ended = r.due, r.outcome != ""
		if ended {
			require.Equal(t, "done", r.outcome)
			require.True(t, !strings.HasSuffix(name, "gift") || len(had) > 66, "%d had their turn at %s", len(had), r.due)
		}
	}
	require.Greater(t, runs, 5)
}
