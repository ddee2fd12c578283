package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

// runs has processes answer timers until stop is called, which waits for them.
func runs(t *testing.T, processes ...*world) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range processes {
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// run is what the node's entry says of a schedule's run.
type run struct {
	Kind, Schedule, Contract, Due, Outcome, Again, Code string
	Attempt                                             int
	Skipped                                             *struct {
		Count int
		From  string
	}
	ran    bool // the line says so
	causes []string
}

// ofSchedules are the entries of schedules' runs.
func (w *world) ofSchedules() (out []run) {
	w.t.Helper()
	for _, e := range w.entries(w.tenant.ID) {
		if e.Span.Type != "logline.task.fired" {
			continue
		}
		rec, err := w.log.Get(context.Background(), w.tenant.ID, e.Span.ID)
		require.NoError(w.t, err)
		require.Equal(w.t, w.node.ID(), e.Span.Author)
		r := run{causes: e.Span.Causes}
		require.NoError(w.t, json.Unmarshal(rec.Payload, &r))
		r.ran = strings.Contains(string(e.Decision.Effects), `"ran":"`+r.Schedule+`"`)
		if r.Kind == rules.TimerSchedule {
			out = append(out, r)
		}
	}
	return out
}

// settled waits until no timer of any of these is due.
func settled(t *testing.T, all ...*world) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, w := range all {
			at, waits, err := rules.NextDue(context.Background(), w.log.Committed(w.tenant.ID))
			if err != nil || waits && !at.After(w.clock.now()) {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
}

const ticking = `contract ticks version "1.0.0" {
  schedule hourly { every: 1h  missed: all  then { emit "tick.hour" { data: { a: 1 } } } }
  schedule daily { cron: "30 3 * * *"  timezone: "Europe/Lisbon"  missed: all  then { tag "day" } }
}`

// Each due time of each schedule, the node's own contracts too, is on the record
// once, however many processes see that it is due, whichever of them ends.
func TestSchedulesFireOnce(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		a := node(t, s)
		beta := a.other("beta")
		require.NoError(t, a.activate(strings.Replace(strings.Replace(ticking, "ticks", "node.ticks", 1), "schedule hourly", `tenant: "*" schedule hourly`, 1)).Err)
		require.NoError(t, beta.activate(ticking).Err)
		began := a.clock.now()
		b, c := a.process(), a.process()
		a.clock.advance(30*time.Hour + 20*time.Minute)
		stop := runs(t, a, b, c)
		settled(t, a, beta)
		a.clock.advance(3 * time.Hour)
		settled(t, a, beta)
		stop()
		a.clock.advance(20 * time.Hour) // nobody is there
		d := a.process()
		runs(t, d, a.process())
		settled(t, a, beta)
		a.clock.advance(-10 * time.Hour) // a clock that jumps back
		require.NoError(t, d.submit(a.note(a.owner, 1)).Err)
		for _, w := range []*world{a, beta} {
			seen := map[string]int{}
			for _, r := range w.ofSchedules() {
				require.Equal(t, rules.RunDone, r.Outcome)
				require.True(t, r.ran)
				seen[r.Schedule+" "+r.Due]++
			}
			contracts := []string{"node.ticks"}
			if w == beta {
				contracts = append(contracts, "ticks")
			}
			want := map[string]int{}
			for _, name := range contracts {
				for n := range 53 {
					want[name+"/hourly "+span.FormatTime(began.Add(time.Duration(n+1)*time.Hour))] = 1
				}
				for n := range 2 {
					want[name+"/daily "+span.FormatTime(time.Date(2026, 3, 2+n, 3, 30, 0, 0, time.UTC))] = 1
				}
			}
			require.Equal(t, want, seen)
			w.verify()
			w.sound()
		}
	})
}

// The decay of trust in the example runs by itself, day by day.
func TestTrustDecays(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		source := strings.Replace(example(t, "identity_lifecycle.lll"), `tenant: "*"`, `tenant: "acme"`, 1)
		ana, rui := w.member(span.RoleMember), w.member(span.RoleMember)
		require.NoError(t, w.activate(source).Err)
		c, err := rules.Compile(source)
		require.NoError(t, err)
		period, _ := c.Params["decay_period"].Duration()
		amount, _ := c.Params["decay_amount"].Number()
		require.NotZero(t, period)
		trust := func(k *id.Keys) (row struct{ Score float64 }) {
			b, ok, err := w.log.Committed(w.tenant.ID).Get(context.Background(), "trust/"+strings.TrimPrefix(k.ID(), span.IdentityScheme))
			require.NoError(t, err)
			if ok {
				require.NoError(t, json.Unmarshal(b, &row))
			}
			return row
		}
		send := func(k *id.Keys, typ, data string) {
			payload, err := span.Canonicalize(fmt.Appendf(nil, `{"id":%q%s}`, k.ID(), data))
			require.NoError(t, err)
			require.NoError(t, w.submit(w.seal(k, payload, typed(typ))).Err)
		}
		for _, k := range []*id.Keys{ana, rui} {
			send(k, "identity.ghost_created", `,"entropy":0.9,"handle":"@ghost_x"`)
			send(k, "identity.biometric_validated", `,"score":0.9`)
		}
		full := trust(ana).Score
		require.Equal(t, 80.0, full)
		stop := runs(t, w)
		for at := time.Duration(0); at < period-24*time.Hour; at += 24 * time.Hour {
			w.clock.advance(24 * time.Hour)
		}
		settled(t, w)
		require.Equal(t, full, trust(ana).Score, "not yet")
		send(rui, "contract.signed", "")
		stop()
		b := w.process()
		runs(t, b)
		falls := 0
		for trust(ana).Score > full-2*amount {
			w.clock.advance(24 * time.Hour)
			settled(t, w)
			require.Less(t, falls, 10)
			falls++
		}
		require.Equal(t, full-2*amount, trust(ana).Score)
		require.Greater(t, trust(rui).Score, full, "who did something keeps it")
		var told int
		for _, e := range w.entries(w.tenant.ID) {
			if strings.Contains(string(e.Decision.Effects), `"ran":"identity.lifecycle/trust_decay"`) && strings.Contains(string(e.Decision.Effects), ana.ID()) {
				told++
			}
		}
		require.Equal(t, 2, told)
		w.verify()
		w.sound()
	})
}

// Timeouts of states and of votes happen once, where two processes see them and
// where the one that would have has ended.
func TestTimeoutsHappenOnce(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		a, payer, _, _ := payments(t, s)
		b := a.process()
		first := a.payment(payer, "p1", 1500)
		require.NoError(t, a.submit(first).Err)
		require.NoError(t, a.submit(a.payment(payer, "p2", 10)).Err)
		a.clock.advance(31 * 24 * time.Hour)
		stop := runs(t, a, b)
		settled(t, a)
		stop()
		gone := a.process()
		second := gone.payment(payer, "p3", 1500)
		require.NoError(t, gone.submit(second).Err)
		require.NoError(t, gone.submit(gone.payment(payer, "p4", 10)).Err)
		a.clock.advance(31 * 24 * time.Hour)
		c := a.process()
		runs(t, c)
		settled(t, a)
		require.Equal(t, timeline.StatusRejected, a.status(first))
		require.Equal(t, timeline.StatusRejected, a.status(second))
		resolved, expired := 0, map[string]int{}
		for _, e := range a.entries(a.tenant.ID) {
			if e.Span.Type == span.TypeResolution {
				resolved++
			}
			for _, tr := range e.Decision.Transitions {
				if tr.To == "expired" {
					expired[tr.Key]++
				}
			}
		}
		require.Equal(t, 2, resolved)
		require.Equal(t, map[string]int{"p2": 1, "p4": 1}, expired)
		a.verify()
		a.sound()
	})
}

// What fails is tried again and told; it holds up neither other schedules nor
// other tenants.
func TestSchedulesThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	beta := w.other("beta")
	require.NoError(t, w.activate(`contract ails version "1.0.0" {
  schedule broken { every: 1h  foreach: identities  then { trust it { add: 1.0 / it.trust } }  retry { max: 2  backoff: 5m } }
  schedule large { every: 1h  then { `+strings.Repeat(`emit "some.type" { data: { a: 1 } } `, 900)+` } }
  schedule fine { every: 1h  then { tag "fine" } }
}`).Err)
	require.NoError(t, beta.activate(ticking).Err)
	runs(t, w)
	for _, d := range []time.Duration{time.Hour, 5 * time.Minute, 10 * time.Minute, 45 * time.Minute} {
		w.clock.advance(d)
		settled(t, w, beta)
	}
	var told []string
	for _, r := range w.ofSchedules() {
		told = append(told, fmt.Sprintf("%s %s %s %d%s", r.Schedule, r.Due[11:16], r.Outcome, r.Attempt, r.Code))
	}
	require.ElementsMatch(t, []string{
		"ails/broken 13:00 retrying 1", "ails/broken 13:00 retrying 2", "ails/broken 13:00 failed 2", "ails/broken 14:00 retrying 1",
		"ails/large 13:00 failed 0run_too_large", "ails/large 14:00 failed 0run_too_large", "ails/fine 13:00 done 0", "ails/fine 14:00 done 0",
	}, told)
	require.Len(t, beta.ofSchedules(), 2)
	w.verify()
}

// A timer that goes because another one was answered in the same batch is not
// answered any more.
func TestTimersThatGoWithOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	admin := w.member(span.RoleAdmin)
	require.NoError(t, w.activate(`contract ticks version "1.0.0" {
  schedule hourly { every: 1h  then { tag "tick" } }
  rule guarded { on: "logline.contract"  then { require approval { from: [owner]  within: 1h  on_timeout { allow } } } }
}`).Err)
	next := w.seal(admin, contractOf(t, `contract ticks version "1.1.0" { rule r { on: "some.type"  then { tag "x" } } }`, span.ActionActivate), typed(span.TypeContract))
	require.NoError(t, w.submit(next).Err)
	w.clock.advance(time.Hour)
	runs(t, w)
	settled(t, w)
	require.Equal(t, timeline.StatusExecuted, w.status(next))
	require.Empty(t, w.ofSchedules(), "the schedule has gone with its version")
	w.verify()
}

// A run for very many identities takes several entries and batches, and each has
// its turn once.
func TestRunForManyIdentities(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		s.cfg.EventQuota = 1000
		w := newWorld(t, s)
		for range 150 {
			w.member(span.RoleMember)
		}
		require.NoError(t, w.activate(`contract gifts version "1.0.0" {
  trust { range: [0.0, 10.0] }
  schedule gift { every: 1d  foreach: identities  then { trust it { add: 1.0 } } }
}`).Err)
		w.clock.advance(25 * time.Hour)
		runs(t, w, w.process())
		settled(t, w)
		require.Len(t, w.ofSchedules(), 3)
		scores := w.rowsOf("trust/")
		require.Len(t, scores, 151)
		for _, key := range scores {
			b, _, err := w.log.Committed(w.tenant.ID).Get(context.Background(), key)
			require.NoError(t, err)
			require.Contains(t, string(b), `"score":1,`)
		}
		w.sound()
	})
}

// Clocks that jump by a year bring a bounded number of runs.
func TestSchedulesByYears(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	require.NoError(t, w.activate(`contract minutes version "1.0.0" { schedule minute { every: 1m  missed: all  then { tag "m" } } }`).Err)
	w.clock.advance(365 * 24 * time.Hour)
	runs(t, w)
	settled(t, w)
	all := w.ofSchedules()
	require.Len(t, all, rules.MostMissed)
	require.Equal(t, 365*24*60-rules.MostMissed, all[0].Skipped.Count)
	w.verify()
}

func TestPeopleChangeSchedules(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		require.NoError(t, w.activate(ticking).Err)
		b := w.process()
		ctx := context.Background()
		by := w.owner.ID()
		sc, err := b.ChangeSchedule(ctx, "acme", "ticks/hourly", rules.SchedulePause, by)
		require.NoError(t, err)
		require.True(t, sc.Paused)
		_, err = w.ChangeSchedule(ctx, "acme", "ticks/hourly", rules.SchedulePause, by)
		requireCode(t, "schedule_paused", err)
		_, err = w.ChangeSchedule(ctx, "acme", "ticks/none", rules.SchedulePause, by)
		require.Equal(t, fault.NotFound, fault.KindOf(err))
		last := w.entries(w.tenant.ID)[w.size()-1]
		require.Equal(t, rules.TypeSchedule, last.Span.Type)
		rec, err := w.log.Get(ctx, w.tenant.ID, last.Span.ID)
		require.NoError(t, err)
		require.JSONEq(t, `{"schedule":"ticks/hourly","action":"pause","by":"`+by+`"}`, string(rec.Payload))

		runs(t, w, b)
		w.clock.advance(3 * time.Hour)
		settled(t, w)
		require.Empty(t, w.ofSchedules())
		_, err = b.ChangeSchedule(ctx, "acme", "ticks/hourly", rules.ScheduleRun, by)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			w.clock.advance(100 * time.Millisecond) // a timer that the store was in the way of is tried again after seconds
			return len(w.ofSchedules()) == 1
		}, time.Minute, 10*time.Millisecond)
		asked := w.ofSchedules()[0]
		require.Len(t, asked.causes, 1)
		_, err = w.ChangeSchedule(ctx, "acme", "ticks/hourly", rules.ScheduleResume, by)
		require.NoError(t, err)
		all, err := w.Schedules(ctx, "acme", "")
		require.NoError(t, err)
		require.Len(t, all, 2)
		for _, sc := range all {
			next := engine.Upcoming(&sc, 3)
			require.Len(t, next, 3)
			require.True(t, next[0].After(w.clock.now()))
			if sc.Name == "hourly" {
				require.Equal(t, rules.RunDone, sc.Outcome)
				require.Equal(t, 2*time.Hour, next[2].Sub(next[0]))
			}
		}
		w.clock.advance(time.Hour)
		settled(t, w)
		require.Len(t, w.ofSchedules(), 2)
		w.verify()
		w.sound()
	})
}

// The schedules of a timeline that another node writes are that node's to run.
func TestSchedulesOfAnotherNode(t *testing.T) {
	t.Parallel()
	var warned atomic.Int64
	said := slog.New(slog.NewTextHandler(writerFunc(func([]byte) { warned.Add(1) }), &slog.HandlerOptions{Level: slog.LevelWarn}))
	w, there := newWorld(t, setup{}), newWorld(t, setup{cfg: engine.Config{Logger: said}})
	require.NoError(t, w.activate(ticking).Err)
	require.NoError(t, there.activate(ticking).Err)
	var bundle bytes.Buffer
	require.NoError(t, w.log.Export(t.Context(), &bundle, w.tenant.ID, 0, 0, standing.Everything()))
	_, err := there.Import(t.Context(), &bundle, timeline.ImportOptions{Slug: "acme-west", Dir: t.TempDir()})
	require.NoError(t, err)
	runs(t, there)
	for n := range 3 {
		there.clock.advance(time.Hour)
		require.Eventually(t, func() bool { return len(there.ofSchedules()) == n+1 }, time.Minute, 10*time.Millisecond)
	}
	imported := *there
	imported.tenant = w.tenant
	require.Empty(t, imported.ofSchedules())
	require.Zero(t, warned.Load())
	for _, action := range []string{rules.SchedulePause, rules.ScheduleRun} {
		_, err := there.ChangeSchedule(t.Context(), w.tenant.ID, "ticks/hourly", action, w.owner.ID())
		requireCode(t, timeline.CodeReadOnly, err)
	}
}

// others counts what is asked of the rows of all tenants but one.
type others struct {
	timeline.Store
	but   *atomic.Pointer[string]
	asked *atomic.Int64
}

func (o others) Rows(ctx context.Context, tenant string, questions []timeline.Ask) (timeline.Asked, error) {
	if but := o.but.Load(); but == nil || *but != tenant {
		o.asked.Add(1)
	}
	return o.Store.Rows(ctx, tenant, questions)
}

// A node with many tenants asks none of them anything until something is due: the
// clock looks at what it knows.
func TestManyTenantsAreNotPolled(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var but atomic.Pointer[string]
	w := newWorld(t, setup{wrap: func(s timeline.Store) timeline.Store { return others{s, &but, &asked} }})
	but.Store(&w.tenant.ID)
	var all []*world
	for n := range 1000 {
		o := w.other(fmt.Sprintf("t%d", n))
		require.NoError(t, o.activate(ticking).Err)
		all = append(all, o)
	}
	require.NoError(t, w.activate(`contract often version "1.0.0" { schedule often { every: 10s  then { tag "x" } } }`).Err)
	runs(t, w)
	w.clock.advance(time.Hour)
	settled(t, append(all, w)...)
	require.Positive(t, asked.Load())
	looks := len(w.ofSchedules())
	before := int64(-1)
	require.Eventually(t, func() bool { // the last of them have looked for what is due next
		last := before
		before = asked.Load()
		return last == before
	}, time.Minute, time.Second)
	for range 3 {
		w.clock.advance(10 * time.Second)
		require.Eventually(t, func() bool { return len(w.ofSchedules()) > looks }, time.Minute, 10*time.Millisecond)
		looks++
	}
	require.Equal(t, before, asked.Load(), "asked though nothing was due")
	for _, o := range all {
		require.Len(t, o.ofSchedules(), 1)
	}
}
