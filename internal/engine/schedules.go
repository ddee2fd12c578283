package engine

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/span"
)

// runPayload is what the node's entry says of a schedule's run, or of a part of it.
type runPayload struct {
	Kind     string          `json:"kind"` // schedule
	Schedule string          `json:"schedule"`
	Contract string          `json:"contract,omitempty"`
	Due      string          `json:"due"`
	Outcome  string          `json:"outcome,omitempty"` // none: it goes on in another entry
	Attempt  int             `json:"attempt,omitzero"`  // how often it failed
	Again    string          `json:"again,omitempty"`   // when it is tried again
	Code     string          `json:"code,omitempty"`
	Error    string          `json:"error,omitempty"`
	Skipped  *skippedPayload `json:"skipped,omitempty"`
}

// skippedPayload is the due times that were missed and are not made up for.
type skippedPayload struct {
	Count int    `json:"count"`
	From  string `json:"from"` // the first of them
}

// ChangeSchedule pauses a schedule (contract/schedule), resumes it or lets it run
// now, because somebody said so whose right to it was checked, and puts that on
// the record. tenant is an id or a slug.
func (e *Engine) ChangeSchedule(ctx context.Context, tenant, schedule, action, by string) (rules.Scheduled, error) {
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		return rules.Scheduled{}, err
	}
	errs := e.inEach(ctx, []string{tenant}, func() *item {
		return &item{schedule: &rules.ScheduleChange{Schedule: schedule, Action: action, By: by}}
	})
	if errs[0] != nil {
		return rules.Scheduled{}, errs[0]
	}
	all, err := e.schedules(ctx, tenant, schedule)
	if err == nil && len(all) == 0 {
		err = rules.ErrNoSchedule
	}
	if err != nil {
		return rules.Scheduled{}, err
	}
	return all[0], nil
}

// Schedules are those of a tenant's contracts in force; only is contract/schedule,
// or "" for all.
func (e *Engine) Schedules(ctx context.Context, tenant, only string) ([]rules.Scheduled, error) {
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return e.schedules(ctx, tenant, only)
}

func (e *Engine) schedules(ctx context.Context, tenant, only string) ([]rules.Scheduled, error) {
	set, err := e.committed(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return rules.Schedules(ctx, set, e.log.Committed(tenant), only)
}

// Upcoming are the next n due times of a schedule from where it stands.
func Upcoming(s *rules.Scheduled, n int) (out []time.Time) {
	for at := s.Due; len(out) < n && !at.IsZero() && !s.Paused; {
		out = append(out, at)
		if s.Every > 0 {
			at = at.Add(s.Every)
			continue
		}
		var err error
		if at, err = cron.NextIn(s.Cron, s.Timezone, at); err != nil {
			break
		}
	}
	return out
}

// changeSchedule decides what somebody does to a schedule.
func (r *round) changeSchedule(ctx context.Context, ch *rules.ScheduleChange) error {
	w, err := r.world(ctx)
	if err != nil {
		return err
	}
	o, err := rules.ChangeSchedule(ctx, w, ch.Schedule, ch.Action, r.position())
	if err != nil {
		return err
	}
	payload, err := span.Canonical(ch)
	if err != nil {
		return err
	}
	r.timed = true
	_, err = r.writeOwn(ctx, rules.TypeSchedule, payload, o)
	return err
}

// runSchedule answers a timer of a schedule. A run that cannot be decided or
// recorded has failed, and says so: it keeps neither its own next run nor any
// other waiting. next is when the clock brings the schedule again.
func (r *round) runSchedule(ctx context.Context, t rules.Timer) (next time.Time, err error) {
	w, err := r.world(ctx)
	if err != nil {
		return next, err
	}
	o, failure := r.fireSafely(ctx, w, t, nil)
	if failure == nil {
		failure = r.writeRun(ctx, o, &t, nil)
	}
	if failure == nil {
		return o.Ran.Next, nil
	}
	if r.session.Err() != nil || fault.KindOf(failure) == fault.Unavailable || closed(failure) {
		return next, failure
	}
	r.engine.cfg.Logger.WarnContext(ctx, "a schedule's run failed", slog.String("tenant", r.tenant), slog.String("schedule", t.Schedule), slog.Any("error", failure))
	if o, err = rules.Fail(ctx, w, t, r.position(), failure); err != nil {
		return next, err
	}
	return o.Ran.Next, r.writeRun(ctx, o, &t, failure)
}

// fireSafely decides the answer to a timer; one that panics has failed, and costs the
// others of its batch nothing.
func (r *round) fireSafely(ctx context.Context, w *rules.World, t rules.Timer, causing *span.Span) (o *rules.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.engine.cfg.Logger.ErrorContext(ctx, "answering a timer panicked", slog.String("tenant", r.tenant), slog.String("timer", t.Key),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fault.New(fault.Internal, "run_panicked", "the run panicked; the node's log says where")
		}
	}()
	return r.engine.inTime(ctx, func(ctx context.Context) (*rules.Outcome, error) {
		return rules.Fire(ctx, w, t, causing, r.position())
	})
}

func (r *round) writeRun(ctx context.Context, o *rules.Outcome, t *rules.Timer, failure error) error {
	ran := o.Ran
	p := runPayload{Kind: t.Kind, Schedule: ran.Schedule, Contract: ran.Contract, Due: span.FormatTime(ran.Due), Outcome: ran.Outcome, Attempt: ran.Tried}
	if !ran.Again.IsZero() {
		p.Again = span.FormatTime(ran.Again)
	}
	if failure != nil {
		f := fault.From(failure)
		p.Code, p.Error = f.Code, f.Detail
	}
	if ran.Skipped > 0 {
		p.Skipped = &skippedPayload{ran.Skipped, span.FormatTime(ran.From)}
	}
	payload, err := span.Canonical(p)
	if err != nil {
		return err
	}
	var causes []string
	if t.Asked {
		causes = []string{t.Span}
	}
	_, err = r.writeOwn(ctx, typeFired, payload, o, causes...)
	return err
}
