package replay

import (
	"context"
	"math"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// carry decides an entry by the state that would have been, and goes on with what
// came out.
func (r *Replay) carry(ctx context.Context, e *span.Opened) error {
	if err := r.time(ctx, e); err != nil {
		return err
	}
	if done, err := r.foreseen(e); done || err != nil {
		return err
	}
	f, err := r.judge(ctx, r.would, e)
	if err != nil {
		return err
	}
	if f == nil { // what was decided then stands; an attempt left nothing
		return r.would.take(ctx, shifted(e, e.Decision), e.Payload, e.Withheld)
	}
	undecided := r.report.UndecidedCount
	if err := r.compare(e, f); err != nil {
		return err
	}
	switch {
	case r.report.UndecidedCount > undecided:
		return r.would.take(ctx, shifted(e, e.Decision), e.Payload, e.Withheld)
	case f.outcome == nil, f.outcome.Verdict > rules.Pending && f.outcome.Decision.Outcome != span.OutcomeAllow:
		return nil
	}
	if err := r.would.take(ctx, shifted(e, f.outcome.Decision), e.Payload, e.Withheld); err != nil {
		return err
	}
	for _, s := range f.outcome.Settle {
		if err := r.settleNow(ctx, e, s.Span); err != nil {
			return err
		}
	}
	return nil
}

// shifted is an entry with a decision, where it stands in a history that leaves room
// between entries for what the node adds.
func shifted(e *span.Opened, d span.Decision) *span.Entry {
	return &span.Entry{Seq: e.Seq<<20 | 1<<19, RecordedAt: e.RecordedAt, Span: e.Span, Decision: d}
}

// foreseen compares a resolution on the record with one that was made already.
func (r *Replay) foreseen(e *span.Opened) (done bool, err error) {
	if e.Span.Type != span.TypeResolution {
		return false, nil
	}
	a, err := rules.AnsweredBy(&e.Decision)
	if err != nil {
		return false, err
	}
	o, ok := r.made[a.Settles]
	if !ok {
		return false, nil
	}
	delete(r.made, a.Settles)
	return true, r.compare(e, &found{outcome: o})
}

// settleNow settles a span whose votes decide it. The record has its own resolution
// in the same batch, where it was settled then.
func (r *Replay) settleNow(ctx context.Context, e *span.Opened, spanID string) error {
	if err := r.contracts(ctx, r.would); err != nil {
		return err
	}
	sp, _ := r.would.cause(spanID)
	if sp == nil {
		return nil
	}
	res, err := rules.Resolve(ctx, &r.would.world, sp, standing.Position{Seq: e.Seq + 1, RecordedAt: e.RecordedAt})
	if err != nil {
		return unfailing(err)
	}
	r.made[spanID] = res.Outcome
	return r.takeOwn(ctx, e, span.TypeResolution, res)
}

// takeOwn puts an entry of the node's own that is not on the record into the state.
func (r *Replay) takeOwn(ctx context.Context, e *span.Opened, typ string, res *rules.Resolution) error {
	payload, err := span.Canonical(res.Payload)
	if err != nil {
		return err
	}
	r.added++
	return r.would.take(ctx, &span.Entry{
		Seq: e.Seq<<20 | 1<<19 | r.added%(1<<19), RecordedAt: e.RecordedAt,
		Span:     span.Header{Type: typ, Author: r.people.View().Node(), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization},
		Decision: res.Outcome.Decision,
	}, payload, "")
}

// time does what is due before an entry and has no place on the record: what the
// record knows too waits for the entry that answers it there.
func (r *Replay) time(ctx context.Context, e *span.Opened) error {
	for r.would.due != "" && r.would.due <= e.RecordedAt {
		until, err := span.ParseTime(e.RecordedAt)
		if err != nil {
			return err
		}
		due, err := rules.Due(ctx, r.would.rows, until, math.MaxInt)
		if err != nil {
			return err
		}
		t := r.unknown(ctx, due)
		if t == nil {
			return nil
		}
		if err := r.fireNow(ctx, e, *t); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the first of these timers that the record does not know.
func (r *Replay) unknown(ctx context.Context, due []rules.Timer) *rules.Timer {
	for i := range due {
		if _, there, _ := r.record.rows.Get(ctx, due[i].Key); !there { // memory does not fail
			return &due[i]
		}
	}
	return nil
}

// fireNow answers a timer that the record does not know.
func (r *Replay) fireNow(ctx context.Context, e *span.Opened, t rules.Timer) error {
	if err := r.contracts(ctx, r.would); err != nil {
		return err
	}
	at := standing.Position{Seq: e.Seq, RecordedAt: span.FormatTime(t.Due)}
	sp, _ := r.would.cause(t.Span)
	if t.Kind == rules.TimerApproval {
		if sp == nil {
			return fault.Newf(fault.Internal, "timer_lost", "the span %s waits and is not kept", t.Span)
		}
		res, err := rules.Resolve(ctx, &r.would.world, sp, at)
		if err != nil {
			return err
		}
		r.extra(Extra{e.Seq, "the span " + t.Span + " would be settled: " + res.Payload.Outcome})
		return r.takeOwn(ctx, e, span.TypeResolution, res)
	}
	o, err := rules.Fire(ctx, &r.would.world, t, sp, at)
	if err != nil {
		return err
	}
	r.extra(Extra{e.Seq, timerWords(t)})
	return r.takeOwn(ctx, e, "logline.task.fired", &rules.Resolution{Outcome: o})
}

func timerWords(t rules.Timer) string {
	switch t.Kind {
	case rules.TimerWorkflow:
		return t.Workflow + " " + t.Instance + " would go to " + t.To + " by time"
	case rules.TimerSchedule:
		return "the schedule " + t.Schedule + " would run"
	case rules.TimerTask:
		return "the task " + t.Task + " of " + t.Contract + " would be done"
	}
	return "the payload of " + t.Span + " would be erased"
}
