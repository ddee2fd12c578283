package rules

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

const (
	// MissedAfter is how late a due time is served at which a schedule with
	// missed: skip does not run any more: a node that is started anew is as late.
	MissedAfter = 5 * time.Minute
	// MostMissed bounds how many due times a schedule with missed: all makes up
	// for: the last ones.
	MostMissed = 1000
	// standardBackoff is what a schedule with retry and without backoff waits, and
	// longestBackoff what none exceeds.
	standardBackoff, longestBackoff = time.Minute, 24 * time.Hour
)

// progress is how far a run is: the due time that it serves or will serve, the
// identity up to which it is done, how often it failed there, and whether anything
// of it failed for good.
type progress struct {
	Due    string `json:"due,omitempty"`
	After  string `json:"after,omitempty"`
	Tried  int    `json:"tried,omitzero"`
	Flawed bool   `json:"flawed,omitzero"`
}

// begun says that part of the run was done or tried.
func (p *progress) begun() bool { return p.After != "" || p.Tried > 0 }

// scheduleEffect is where a schedule stands after this entry, or, asked, a run of
// it that somebody asked for.
type scheduleEffect struct {
	Schedule string `json:"schedule"` // contract/schedule
	progress
	// At is when the clock brings it, where that is not its due time.
	At     string `json:"at,omitempty"`
	Paused bool   `json:"paused,omitzero"`
	Asked  bool   `json:"asked,omitzero"`
	Of     string `json:"of,omitempty"` // the entry that asked, where it is not this one
	// Outcome is what came of the run that this entry ends, or of due times that
	// were skipped: how many, and the first of them.
	Outcome string `json:"outcome,omitempty"`
	Serves  string `json:"serves,omitempty"` // the due time of that run
	Skipped int    `json:"skipped,omitzero"`
	From    string `json:"from,omitempty"`
}

// What came of a run.
const (
	RunDone     = "done"
	RunFailed   = "failed"   // something of it could not be done; the rest is
	RunRetrying = "retrying" // nothing of this part is done; it is tried again
	RunSkipped  = "skipped"  // it was missed, and none was made up for
	RunGone     = "gone"     // the schedule is in force no longer
)

// plan is when the schedules of a contract run that comes into force. What is owed
// by the version before is owed still, and every: goes on in its rhythm. It fails
// where a cron line names no time, or there is no such zone.
func plan(ctx context.Context, w *World, c *contract.Contract, now time.Time) (out []scheduleEffect, err error) {
	if c == nil {
		return nil, nil
	}
	for _, sc := range c.Schedules {
		if !sc.Clocked() {
			continue
		}
		var r scheduleRow
		if _, err := load(ctx, w.State, scheduleKey(sc.ID()), &r); err != nil {
			return nil, err
		}
		e := scheduleEffect{Schedule: sc.ID(), Paused: r.Paused}
		next, err := w.following(sc, now)
		if err != nil {
			return nil, err
		}
		if r.Due != "" && (r.begun() || r.Due <= span.FormatTime(now) || sc.Every > 0 && instant(r.Due).Before(next)) {
			e.progress, e.At = r.progress, r.At
		} else {
			e.Due = dueText(next)
		}
		out = append(out, e)
	}
	return out, nil
}

// planned is plan for what an activation asks: nothing for other actions.
func planned(ctx context.Context, w *World, c *contract.Contract, action string, now time.Time) ([]scheduleEffect, error) {
	out, err := plan(ctx, w, c, now)
	if err == nil && c != nil {
		err = w.tasksComeBack(c, now)
	}
	if action != span.ActionActivate {
		out = nil // a shadow does nothing, but what it says must be sound
	}
	return out, err
}

// tasksComeBack fails where the cron line of a task names no time, or its zone is
// none.
func (w *World) tasksComeBack(c *contract.Contract, now time.Time) error {
	for _, a := range c.Tasks {
		if a.Cron == "" || w.NextCron == nil {
			continue
		}
		if _, err := w.NextCron(a.Cron, a.Timezone, now); err != nil {
			return fault.From(err).At("/payload/source", "has the task "+a.Name)
		}
	}
	return nil
}

// dueText is a due time as rows have it, "" where none is to come.
func dueText(t time.Time) string {
	if t.IsZero() || t.Year() > 9999 {
		return ""
	}
	return span.FormatTime(t)
}

// following is the first due time after another; zero where cron lines are not
// read here.
func (w *World) following(sc *contract.Schedule, after time.Time) (time.Time, error) {
	switch {
	case sc.Every > 0:
		return after.Add(sc.Every), nil
	case w.NextCron == nil:
		return time.Time{}, nil
	}
	next, err := w.NextCron(sc.Cron, sc.Timezone, after)
	if err != nil {
		return next, fault.From(err).At("/payload/source", "has the schedule "+sc.Name)
	}
	return next, nil
}

// dues are the due times of a schedule from one on until now, the last of them, at
// most keep, and how many there are.
func (w *World) dues(sc *contract.Schedule, first, now time.Time, keep int) (last []time.Time, n int, err error) {
	switch {
	case !now.After(first):
		return []time.Time{first}, 1, nil
	case sc.Every > 0:
		n = int(now.Sub(first)/sc.Every) + 1
		for i := max(0, n-keep); i < n; i++ {
			last = append(last, first.Add(time.Duration(i)*sc.Every))
		}
		return last, n, nil
	case w.CronBetween == nil:
		return []time.Time{first}, 1, nil
	}
	if last, n, err = w.CronBetween(sc.Cron, sc.Timezone, first, now, keep); err != nil {
		return nil, 0, err
	}
	if len(last) < keep {
		last = append([]time.Time{first}, last...)
	}
	return last, n + 1, nil
}

// turn is which due time the clock's call is for, and which were missed.
type turn struct {
	serves  time.Time // zero: none
	next    time.Time // the due time after it
	skipped int
	from    time.Time
}

// turnOf applies the schedule's policy to what was missed.
func (w *World) turnOf(sc *contract.Schedule, t *Timer, now time.Time) (turn, error) {
	p := turn{serves: t.For}
	if !t.begun() && !t.Asked {
		keep := 1
		if sc.Missed == contract.MissedAll {
			keep = MostMissed
		}
		last, n, err := w.dues(sc, t.For, now, keep)
		if err != nil {
			return p, err
		}
		p.serves, p.skipped = last[0], n-len(last)
		if sc.Missed == contract.MissedSkip && now.Sub(last[0]) > MissedAfter {
			p.serves, p.skipped = time.Time{}, n
		}
		if p.skipped > 0 {
			p.from = t.For
		}
		p.next, err = w.following(sc, last[0])
		return p, err
	}
	var err error
	p.next, err = w.following(sc, t.For)
	return p, err
}

// backoff is how long the n-th failure waits.
func backoff(sc *contract.Schedule, n int) time.Duration {
	wait := cmp.Or(sc.Retry.Backoff, standardBackoff)
	for range n - 1 {
		if wait >= longestBackoff/2 {
			return longestBackoff
		}
		wait *= 2
	}
	return min(wait, longestBackoff)
}

// scheduled finds a schedule of a contract in force by contract/schedule, nil for
// none.
func (w *World) scheduled(id string) *contract.Schedule {
	name, of, _ := strings.Cut(id, "/")
	c, ok := w.contracts().ByName(name)
	if !ok || c.Mode != contract.Enforced {
		return nil
	}
	for _, sc := range c.Schedules {
		if sc.Name == of && sc.Clocked() {
			return sc
		}
	}
	return nil
}

// What people do to schedules.
const (
	SchedulePause  = "pause"
	ScheduleResume = "resume"
	ScheduleRun    = "run"
)

// TypeSchedule is the type of the node's entry of what somebody did to a schedule.
const TypeSchedule = "logline.task.schedule"

// ScheduleChange is the payload of that entry.
type ScheduleChange struct {
	Schedule string `json:"schedule"` // contract/schedule
	Action   string `json:"action"`
	By       string `json:"by"` // identity
}

// ErrNoSchedule is for a name that no schedule in force has.
var ErrNoSchedule = fault.New(fault.NotFound, "schedule_unknown", "no contract in force has such a schedule; logline schedules list shows those there are")

// ChangeSchedule is the decision of the node's entry that pauses a schedule,
// resumes it or lets it run now. What came due during a pause does not run; a run
// that was begun before goes on after it. Fails with schedule_unknown,
// schedule_paused and schedule_not_paused.
func ChangeSchedule(ctx context.Context, w *World, id, action string, at standing.Position) (*Outcome, error) {
	sc := w.scheduled(id)
	if sc == nil {
		return nil, ErrNoSchedule
	}
	var r scheduleRow
	known, err := load(ctx, w.State, scheduleKey(id), &r)
	if err != nil {
		return nil, err
	}
	now := instant(at.RecordedAt)
	e := scheduleEffect{Schedule: id, progress: r.progress, At: r.At}
	switch action {
	case SchedulePause:
		if r.Paused {
			return nil, fault.New(fault.Conflict, "schedule_paused", "the schedule is paused already")
		}
		e.Paused = true
	case ScheduleResume:
		if known && !r.Paused {
			return nil, fault.New(fault.Conflict, "schedule_not_paused", "the schedule is not paused")
		}
		e, err = w.resumed(sc, e, now)
	case ScheduleRun:
		e = scheduleEffect{Schedule: id, Asked: true, At: at.RecordedAt, progress: progress{Due: at.RecordedAt}}
	default:
		return nil, fault.Newf(fault.Invalid, "schedule_action", "schedules are paused, resumed and run; %q is neither", action)
	}
	if err != nil {
		return nil, err
	}
	s := &sink{schedules: []scheduleEffect{e}}
	s.asked(sc.Contract)
	return s.outcome(func(*held, *effects) error { return nil })
}

// resumed is where a schedule goes on after a pause.
func (w *World) resumed(sc *contract.Schedule, e scheduleEffect, now time.Time) (scheduleEffect, error) {
	switch due := instant(e.Due); {
	case e.begun():
		e.At = span.FormatTime(now)
	case e.Due != "" && sc.Every > 0 && !due.After(now):
		e.Due = dueText(due.Add((now.Sub(due)/sc.Every + 1) * sc.Every))
	case e.Due == "" || !due.After(now):
		next, err := w.following(sc, now)
		e.Due = dueText(next)
		return e, err
	}
	return e, nil
}

// Scheduled is how a schedule in force stands.
type Scheduled struct {
	*contract.Schedule
	Paused  bool
	Due     time.Time // the due time that it serves next or is at; zero for none
	At      time.Time // when the clock brings it
	Tried   int       // how often the run for Due failed
	Running bool      // part of that run is done
	Last    time.Time // when it ran last; zero for never
	For     time.Time // the due time that it served then
	Outcome string    // what came of it
	Span    string    // the entry that tells
}

// Schedules are those of the contracts in force, in order of their names; only is
// contract/schedule, or "" for all.
func Schedules(ctx context.Context, set *contract.Set, s State, only string) (out []Scheduled, err error) {
	for _, c := range set.Contracts() {
		if c.Mode != contract.Enforced {
			continue
		}
		for _, sc := range c.Schedules {
			if !sc.Clocked() || only != "" && sc.ID() != only {
				continue
			}
			var r scheduleRow
			if _, err := load(ctx, s, scheduleKey(sc.ID()), &r); err != nil {
				return nil, err
			}
			out = append(out, Scheduled{
				Schedule: sc, Paused: r.Paused, Due: instant(r.Due), At: instant(cmp.Or(r.At, r.Due)), Tried: r.Tried, Running: r.After != "",
				Last: instant(r.Last), For: instant(r.For), Outcome: r.Outcome, Span: r.Span,
			})
		}
	}
	return out, nil
}

// schedules puts schedules where their effects say, and their timers with them.
func (f *folder) schedules(eff *effects) error {
	for i := range eff.Schedules {
		e := &eff.Schedules[i]
		var r scheduleRow
		known, err := load(f.ctx, &f.overlay, scheduleKey(e.Schedule), &r)
		if err != nil {
			return err
		}
		if e.Asked {
			of := cmp.Or(e.Of, f.e.Span.ID)
			if e.At != "" {
				f.put(row(timerKey(e.At, timerSchedule, e.Schedule+"/"+of), timerRow{Span: of, Run: &e.progress}))
			}
		} else {
			f.unset(e.Schedule, &r)
			r.progress, r.At, r.Paused = e.progress, e.At, e.Paused
			if at := r.timer(); at != "" {
				f.put(row(timerKey(at, timerSchedule, e.Schedule), timerRow{}))
			}
		}
		if eff.Ran == e.Schedule {
			r.Last = f.e.RecordedAt
		}
		if e.Outcome != "" && e.Outcome != RunRetrying {
			r.Outcome, r.Span, r.For = e.Outcome, f.e.Span.ID, e.Serves
		}
		if known || !e.Asked {
			f.put(row(scheduleKey(e.Schedule), r))
		}
	}
	return nil
}

// timer is when the clock brings the schedule, "" for never.
func (r *scheduleRow) timer() string {
	if r.Paused {
		return ""
	}
	return cmp.Or(r.At, r.Due)
}

// unset takes the timer of a schedule away.
func (f *folder) unset(id string, r *scheduleRow) {
	if at := r.timer(); at != "" {
		f.delete(timerKey(at, timerSchedule, id))
	}
}

// unplan takes away the schedules of a contract, but for those that go on.
func (f *folder) unplan(name string, goOn []scheduleEffect) error {
	prefix := scheduleKey(name + "/")
	return each(f.ctx, f.State, prefix, func(key string, value []byte) error {
		id := strings.TrimPrefix(key, schedulePrefix)
		for i := range goOn {
			if goOn[i].Schedule == id {
				return nil
			}
		}
		var r scheduleRow
		if err := decodeRow(key, value, &r); err != nil {
			return err
		}
		f.unset(id, &r)
		f.delete(key)
		return nil
	})
}
