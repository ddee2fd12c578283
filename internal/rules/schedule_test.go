package rules_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

// late answers what is due at a time, as a node does that was away until then.
func (l *timeline) late(d time.Duration) (out []*rules.Outcome) {
	l.t.Helper()
	l.now = l.now.Add(d)
	return l.advance(0)
}

func (l *timeline) change(id, action string) {
	l.t.Helper()
	o, err := rules.ChangeSchedule(context.Background(), l.world(), id, action, l.at())
	require.NoError(l.t, err)
	l.record(l.span(l.people.node, "logline.task.schedule", object{"action": action}), o)
}

func (l *timeline) schedule(id string) rules.Scheduled {
	l.t.Helper()
	all, err := rules.Schedules(context.Background(), l.set, l.state, id)
	require.NoError(l.t, err)
	require.Len(l.t, all, 1)
	return all[0]
}

// served are the due times that runs were for, after the beginning.
func served(out []*rules.Outcome) (list []string) {
	for _, o := range out {
		said := o.Ran.Due.Sub(began).String()
		if o.Ran.Outcome != rules.RunDone {
			said += " " + o.Ran.Outcome
		}
		if o.Ran.Skipped > 0 {
			said += fmt.Sprintf(", %d skipped from %s", o.Ran.Skipped, o.Ran.From.Sub(began))
		}
		list = append(list, said)
	}
	return list
}

func TestSchedulesRun(t *testing.T) {
	t.Parallel()
	l := with(t,
		`trust { range: [0.0, 100.0]  add "work.done" 10.0 }`,
		`schedule decay { every: 1d  foreach: identities  where: it.trust > 5.0 && now - it.last_positive_at > 12h  then { trust it { add: -2.0 } } }`,
		`schedule tick { cron: "0 3 * * *"  timezone: "Europe/Lisbon"  then { emit "tick.tock" { data: { n: 1 } } } }`)
	by := l.member("member")
	trust := "trust/" + by.ID()[len(span.IdentityScheme):]
	l.submit(l.span(by, "work.done", object{}))
	done := l.advance(20 * time.Hour)
	require.Len(t, done, 1)
	assert.Equal(t, []string{"tick.tock"}, done[0].Emitted)
	assert.Contains(t, string(done[0].Decision.Effects), `"ran":"c/tick"`)
	assert.Equal(t, 10.0, l.row(trust)["score"])
	done = l.advance(4 * time.Hour)
	require.Len(t, done, 1)
	assert.Equal(t, 8.0, l.row(trust)["score"])
	require.Len(t, l.advance(9*24*time.Hour), 18)
	assert.Equal(t, 4.0, l.row(trust)["score"], "where it ends")
	sc := l.schedule("c/decay")
	assert.Equal(t, began.Add(10*24*time.Hour), sc.Last)
	assert.Equal(t, began.Add(10*24*time.Hour), sc.For)
	assert.Equal(t, began.Add(11*24*time.Hour), sc.Due)
	assert.Equal(t, rules.RunDone, sc.Outcome)
	assert.Equal(t, l.state, l.refolded())
}

// What a node was away for is made up for as the schedule says.
func TestMissed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		when, missed string
		away         time.Duration
		want         []string
		next         time.Duration
	}{
		{"every: 1h", "", time.Hour, []string{"1h0m0s"}, 2 * time.Hour},
		{"every: 1h", "", 3*time.Hour + 20*time.Minute, []string{"3h0m0s, 2 skipped from 1h0m0s"}, 4 * time.Hour},
		{"every: 1h", "missed: skip", 3*time.Hour + 20*time.Minute, []string{"1h0m0s skipped, 3 skipped from 1h0m0s"}, 4 * time.Hour},
		{"every: 1h", "missed: skip", 3*time.Hour + 4*time.Minute, []string{"3h0m0s, 2 skipped from 1h0m0s"}, 4 * time.Hour},
		{"every: 1h", "missed: all", 3*time.Hour + 20*time.Minute, []string{"1h0m0s", "2h0m0s", "3h0m0s"}, 4 * time.Hour},
		{`cron: "0 * * * *"`, "missed: once", 3*time.Hour + 20*time.Minute, []string{"3h0m0s, 2 skipped from 1h0m0s"}, 4 * time.Hour},
		{`cron: "0 * * * *"`, "missed: skip", 3*time.Hour + 20*time.Minute, []string{"1h0m0s skipped, 3 skipped from 1h0m0s"}, 4 * time.Hour},
		{`cron: "0 * * * *"`, "missed: all", 2*time.Hour + 20*time.Minute, []string{"1h0m0s", "2h0m0s"}, 3 * time.Hour},
	} {
		l := with(t, `schedule s { `+test.when+"  "+test.missed+`  then { emit "x.y" { data: { a: 1 } } } }`)
		require.Equal(t, test.want, served(l.late(test.away)), "%+v", test)
		require.Equal(t, began.Add(test.next), l.schedule("c/s").Due, "%+v", test)
		require.Empty(t, l.advance(0))
		l.now = l.now.Add(-2 * time.Hour) // the clock jumps back
		require.Empty(t, l.advance(0))
		require.Equal(t, l.state, l.refolded())
	}
}

// A clock that jumps by a year brings so many runs and no more.
func TestMissedByYears(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"every: 1m", `cron: "* * * * *"`} {
		l := with(t, `schedule s { `+when+`  missed: all  then { note "x" } }`)
		before := len(l.entries)
		out := l.late(365 * 24 * time.Hour)
		require.Len(t, out, rules.MostMissed)
		require.Equal(t, 365*24*60-rules.MostMissed, out[0].Ran.Skipped)
		require.Equal(t, began.Add(time.Minute), out[0].Ran.From)
		require.Equal(t, l.now, out[len(out)-1].Ran.Due)
		require.Len(t, l.entries, before+rules.MostMissed)
	}
}

// A run for more identities than fit an entry goes on in others, where it was left,
// and each identity has its turn once.
func TestRunsForMany(t *testing.T) {
	t.Parallel()
	l := with(t, `trust { range: [0.0, 100.0] }`, `schedule s { every: 1d  foreach: identities  then { trust it { add: 1.0 } } }`)
	for range 150 {
		l.member("member")
	}
	out := l.late(25 * time.Hour)
	require.Len(t, out, 3)
	for i, o := range out {
		require.NoError(t, o.Decision.CheckSize())
		require.Equal(t, began.Add(24*time.Hour), o.Ran.Due)
		require.Equal(t, i == 2, o.Ran.Outcome == rules.RunDone)
	}
	scores := l.state.keys("trust/")
	require.Len(t, scores, 150)
	for _, key := range scores {
		require.Equal(t, 1.0, l.row(key)["score"])
	}
	require.Equal(t, l.state, l.refolded())
}

// A run that concerns few of very many asks about so many in one entry, and goes on.
func TestRunsForFewOfMany(t *testing.T) {
	t.Parallel()
	l := with(t, `trust { range: [0.0, 100.0] }`,
		`schedule s { every: 1d  foreach: identities  where: it.trust > 5.0  then { trust it { add: 1.0 } } }`)
	for range 1030 {
		l.member("member")
	}
	out := l.late(24 * time.Hour)
	require.Len(t, out, 2)
	require.Empty(t, out[0].Ran.Outcome, "it goes on")
	require.Equal(t, rules.RunDone, out[1].Ran.Outcome)
	require.Equal(t, began.Add(48*time.Hour), l.schedule("c/s").Due)
	require.Equal(t, l.state, l.refolded())
}

// A contract that came into force where no schedules ran has none due; who resumes
// them lets them run.
func TestSchedulesThatNeverBegan(t *testing.T) {
	t.Parallel()
	l := with(t, `schedule s { every: 1h  then { note "x" } }`)
	for _, key := range append(l.state.keys("schedule/"), l.state.keys("timer/")...) {
		delete(l.state, key)
	}
	require.Empty(t, l.late(3*time.Hour))
	require.True(t, l.schedule("c/s").Due.IsZero())
	l.change("c/s", rules.ScheduleResume)
	require.Equal(t, []string{"4h0m0s"}, served(l.advance(time.Hour)))
}

// An entry holds what fits a line, however much a schedule does for each.
func TestRunsThatSayMuch(t *testing.T) {
	t.Parallel()
	emits := strings.Repeat(`emit "some.type.with.a.long.name" { data: { a: 1 } } `, 20)
	l := with(t, `schedule s { every: 1d  foreach: identities  then { `+emits+` } }`)
	for range 40 {
		l.member("member")
	}
	out := l.late(24 * time.Hour)
	total := 0
	for _, o := range out {
		require.NoError(t, o.Decision.CheckSize())
		total += len(o.Emitted)
	}
	require.Equal(t, 800, total)

	l = with(t, `schedule s { every: 1d  then { `+strings.Repeat(emits, 40)+` } }`)
	due, err := rules.Due(t.Context(), l.state, began.Add(24*time.Hour), 1)
	require.NoError(t, err)
	_, err = rules.Fire(t.Context(), l.world(), due[0], nil, l.at())
	require.Equal(t, "run_too_large", fault.CodeOf(err))
}

// A run that fails does nothing and is tried again; the last try does what can be
// done, and says that it failed.
func TestRunsThatFail(t *testing.T) {
	t.Parallel()
	l := with(t, `trust { range: [0.0, 100.0] }`,
		`schedule s { every: 1d  foreach: identities  then { trust it { add: 1.0 / it.trust } }  retry { max: 2  backoff: 10m } }`,
		`schedule other { every: 1d  then { emit "x.y" { data: { a: 1 } } } }`)
	good, bad := l.member("member"), l.member("member")
	key := "trust/" + good.ID()[len(span.IdentityScheme):]
	l.state[key] = []byte(`{"score":4}`)
	at := func(d time.Duration) []string { return served(l.advance(d)) }
	require.Equal(t, []string{"24h0m0s", "24h0m0s retrying"}, at(24*time.Hour))
	require.Equal(t, 4.0, l.row(key)["score"])
	require.Equal(t, began.Add(24*time.Hour+10*time.Minute), l.schedule("c/s").At)
	require.Equal(t, 1, l.schedule("c/s").Tried)
	require.Equal(t, []string{"24h0m0s retrying"}, at(10*time.Minute))
	require.Empty(t, at(19*time.Minute), "it waits twice as long")
	require.Equal(t, []string{"24h0m0s failed"}, at(time.Minute))
	require.Equal(t, 4.25, l.row(key)["score"], "what could be done is done")
	require.Equal(t, rules.RunFailed, l.schedule("c/s").Outcome)
	require.Equal(t, began.Add(48*time.Hour), l.schedule("c/s").Due)
	l.state["trust/"+bad.ID()[len(span.IdentityScheme):]] = []byte(`{"score":2}`)
	require.Equal(t, []string{"48h0m0s", "48h0m0s"}, at(24*time.Hour), "and later ones run")

	// What could not be recorded has failed too.
	l.now = l.now.Add(24 * time.Hour)
	due, err := rules.Due(t.Context(), l.state, l.now, 2)
	require.NoError(t, err)
	o, err := rules.Fail(t.Context(), l.world(), due[1], l.at(), fault.New(fault.Internal, "x", "x"))
	require.NoError(t, err)
	require.Equal(t, rules.RunRetrying, o.Ran.Outcome)
	require.Contains(t, string(o.Decision.Effects), `"errors":["c/s `)
	due[1].Tried = 2
	o, err = rules.Fail(t.Context(), l.world(), due[1], l.at(), fault.New(fault.Internal, "x", "x"))
	require.NoError(t, err)
	require.Equal(t, rules.RunFailed, o.Ran.Outcome)
}

func TestPeopleStepIn(t *testing.T) {
	t.Parallel()
	l := with(t, `schedule s { every: 1h  then { emit "x.y" { data: { a: 1 } } } }`)
	l.change("c/s", rules.SchedulePause)
	require.Empty(t, l.advance(150*time.Minute))
	require.True(t, l.schedule("c/s").Paused)
	l.change("c/s", rules.ScheduleRun)
	out := l.advance(0)
	require.Equal(t, []string{"2h30m0s"}, served(out), "also while it is paused")
	require.Equal(t, l.now, l.schedule("c/s").Last)
	require.Empty(t, l.advance(0), "once")
	l.change("c/s", rules.ScheduleResume)
	require.Empty(t, l.advance(29*time.Minute), "what came due meanwhile does not run")
	require.Equal(t, []string{"3h0m0s"}, served(l.advance(time.Minute)))
	l.change("c/s", rules.ScheduleRun)
	require.Equal(t, []string{"3h0m0s"}, served(l.advance(0)))
	require.Equal(t, began.Add(4*time.Hour), l.schedule("c/s").Due, "the next one is due as before")
	for id, action := range map[string]string{"c/s": rules.ScheduleResume, "c/t": rules.ScheduleRun, "d/s": rules.SchedulePause} {
		_, err := rules.ChangeSchedule(t.Context(), l.world(), id, action, l.at())
		require.Contains(t, []string{"schedule_not_paused", "schedule_unknown"}, fault.CodeOf(err))
	}
	require.Equal(t, l.state, l.refolded())
}

// Another version takes schedules over; without it they go.
func TestSchedulesOfVersions(t *testing.T) {
	t.Parallel()
	l := with(t, `schedule s { every: 1d  then { note "x" } }`, `schedule gone { every: 1d  then { note "x" } }`)
	l.advance(20 * time.Hour)
	next := strings.Replace(inContract("c", `schedule s { every: 1d  then { note "y" } }`, `schedule n { cron: "0 0 1 1 *"  then { note "z" } }`), "1.0.0", "1.1.0", 1)
	l.activate(next)
	require.Equal(t, began.Add(24*time.Hour), l.schedule("c/s").Due, "in its rhythm")
	require.Nil(t, l.row("schedule/c/gone"))
	require.Equal(t, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), l.schedule("c/n").Due)
	require.Equal(t, []string{"y"}, l.advance(4 * time.Hour)[0].Detail.Notes)
	l.change("c/s", rules.SchedulePause)
	l.activate(strings.Replace(next, "1.1.0", "1.2.0", 1))
	require.True(t, l.schedule("c/s").Paused)
	l.change("c/s", rules.ScheduleRun)
	retire := l.contractSpan(l.people.node, strings.Replace(next, "1.1.0", "1.2.0", 1), "retire")
	o, err := rules.Activate(t.Context(), l.world(), retire, l.at())
	require.NoError(t, err)
	l.record(retire, o)
	require.Empty(t, l.state.keys("schedule/"))
	require.Equal(t, []string{"24h0m0s gone"}, served(l.advance(time.Hour)), "the run that was asked for")
	require.Empty(t, l.state.keys("timer/"))

	l.shadow(next)
	require.Empty(t, l.state.keys("timer/"), "a shadow runs nothing")
	require.Equal(t, l.state, l.refolded())
}

// A contract that waits for votes runs its schedules from then on.
func TestSchedulesThatWaitForVotes(t *testing.T) {
	t.Parallel()
	l := with(t, `rule guarded { on: "logline.contract"  then { require approval { from: [owner]  within: 9d } } }`)
	admin, owner := l.member("admin"), l.member("owner")
	asked := l.contractSpan(admin, inContract("d", `schedule s { every: 1h  then { note "x" } }`), "activate")
	require.Equal(t, rules.Pending, l.submit(asked).Verdict)
	require.Empty(t, l.advance(3*time.Hour))
	l.submit(l.vote(owner, asked, "approve"))
	require.Equal(t, began.Add(4*time.Hour), l.schedule("d/s").Due)
	require.Equal(t, []string{"4h0m0s"}, served(l.advance(time.Hour)))
	require.Equal(t, l.state, l.refolded())
}

func TestZonesThatAreNone(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	by := l.member("owner")
	for line, code := range map[string]string{
		`cron: "0 3 * * *"  timezone: "Atlantis/Capital"`: "timezone_unknown",
		`cron: "0 3 30 2 *"`:                              "cron_never",
	} {
		for _, text := range []string{`schedule s { ` + line + `  then { note "x" } }`, `rule r { on: "a.b"  then { schedule task "t" { ` + line + `  then { note "x" } } } }`} {
			for _, action := range []string{"activate", "shadow"} {
				_, err := l.decide(l.contractSpan(by, inContract("c", text), action))
				require.Equal(t, code, fault.CodeOf(err), text)
				require.Equal(t, fault.Invalid, fault.KindOf(err))
			}
		}
	}
	require.Empty(t, l.state)
}

// A task with a cron line comes back until what it waits for has happened.
func TestTasksThatComeBack(t *testing.T) {
	t.Parallel()
	l := with(t, `rule r { on: "work.asked"  then {
  schedule task "remind" { cron: "0 9 * * *"  timezone: "Europe/Lisbon"  unless: spans("work.done").subject(span.subject).count() > 0  then { note "remind" } }
  schedule task "nag" { cron: "0 9 * * *"  timezone: "Europe/Lisbon"  unless: spans("work.done").subject(span.subject).count() > 0  then { note "nag" } }
  schedule task "once" { cron: "0 9 * * *"  then { note "once" } } } }`)
	by := l.member("member")
	subject := func(h *span.Header) { h.Subject = "job/1" }
	l.submit(l.span(by, "work.asked", object{}, subject))
	notes := func(out []*rules.Outcome) (all []string) {
		for _, o := range out {
			if o.Detail != nil {
				all = append(all, o.Detail.Notes...)
			}
		}
		return all
	}
	require.Equal(t, []string{"remind", "nag", "once"}, notes(l.advance(24*time.Hour)))
	require.Equal(t, []string{"remind", "nag"}, notes(l.advance(24*time.Hour)))
	require.Equal(t, []string{"remind", "nag"}, notes(l.advance(24*time.Hour)))
	l.submit(l.span(by, "work.done", object{}, subject))
	require.Empty(t, notes(l.advance(24*time.Hour)))
	require.Empty(t, l.state.keys("timer/"))
	require.Equal(t, l.state, l.refolded())
}

func TestWhatSchedulesSay(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`schedule s { every: 10ms  then { note "x" } }`:                                                      "a schedule runs every second at most",
		`schedule s { every: 1h  missed: twice  then { note "x" } }`:                                         "there is no policy twice",
		`schedule s { on: "a.b"  delay: 1h  missed: all  then { note "x" } }`:                                "late rather than missed",
		`schedule s { every: 1h  timezone: "Europe/Lisbon"  then { note "x" } }`:                             "for cron lines alone",
		`rule r { on: "a.b"  then { schedule task "t" { after: 1h  timezone: "UTC"  then { note "x" } } } }`: "for cron lines alone",
	} {
		_, err := rules.Compile(inContract("c", text))
		require.ErrorContains(t, err, says)
	}
	c, err := rules.Compile(inContract("c", `schedule s { every: 1h  then { note "x" } }`, `schedule t { every: 1h  missed: all  then { note "x" } }`))
	require.NoError(t, err)
	require.Equal(t, contract.MissedOnce, c.Schedules[0].Missed)
	require.Equal(t, contract.MissedAll, c.Schedules[1].Missed)
}
