package replay

import (
	"bytes"
	"context"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// found is what came out of deciding an entry again.
type found struct {
	outcome *rules.Outcome // nil: it was refused by the protocol, see err
	err     error
	// missing is why a payload is not there that may matter: where what comes out
	// is not what is recorded, nothing is said.
	missing string
}

// judge decides an entry by a ledger; nil where that cannot be done, which has been
// counted.
func (r *Replay) judge(ctx context.Context, l *ledger, e *span.Opened) (*found, error) {
	if e.Span.Type == span.TypeDecision {
		r.report.Attempts++
		return nil, nil
	}
	if err := r.contracts(ctx, l); err != nil {
		return nil, err
	}
	f, err := r.decide(ctx, l, e)
	if err != nil || f == nil {
		return f, err
	}
	return f, unfailing(f.err)
}

// unfailing is an error that says nothing of the entry.
func unfailing(err error) error {
	if fault.KindOf(err) == fault.Unavailable {
		return err
	}
	return nil
}

func (r *Replay) decide(ctx context.Context, l *ledger, e *span.Opened) (*found, error) {
	if own := e.Seq == 0 || e.Span.Author == r.people.View().Node(); own {
		return r.own(ctx, l, e)
	}
	if e.Payload == nil && !l.set.Match(e.Span.Type).Empty() {
		r.undecided(e, e.Withheld)
		return nil, nil
	}
	f := &found{}
	if p, err := span.ParseRevert(e.Payload); e.Span.Type == span.TypeRevert && err == nil {
		if past := l.past[p.Span]; past != nil {
			f.missing = past.withheld
		}
	}
	f.outcome, f.err = rules.Decide(ctx, &l.world, &span.Span{Header: e.Span, Payload: e.Payload}, at(e))
	return f, nil
}

// own makes an entry of the node's again: of what it answers, of a contract for
// every tenant. About others no contract has a say.
func (r *Replay) own(ctx context.Context, l *ledger, e *span.Opened) (*found, error) {
	answers, err := rules.AnsweredBy(&e.Decision)
	if err != nil {
		return nil, err
	}
	switch {
	case answers.Settles != "":
		return r.settle(ctx, l, e, answers.Settles), nil
	case answers.Timer != "":
		return r.fire(ctx, l, e, answers.Timer), nil
	case e.Span.Type == span.TypeContract:
		return r.activate(ctx, l, e), nil
	case e.Span.Type == rules.TypeSchedule:
		return r.changeSchedule(ctx, l, e), nil
	}
	return &found{outcome: allowed}, nil
}

// allowed is the outcome where no contract is asked.
var allowed = &rules.Outcome{Decision: span.Decision{Outcome: span.OutcomeAllow}}

func (r *Replay) activate(ctx context.Context, l *ledger, e *span.Opened) *found {
	p, err := span.ParseContract(e.Payload)
	if err != nil {
		return &found{err: err}
	}
	if p.Action == span.ActionRetire {
		return made(rules.Activation(ctx, &l.world, nil, p.Action, at(e)))
	}
	c, err := r.opt.Compile(p.Source)
	if err != nil {
		return &found{err: err}
	}
	return made(rules.Activation(ctx, &l.world, c, p.Action, at(e)))
}

// changeSchedule does to a schedule what somebody did then.
func (r *Replay) changeSchedule(ctx context.Context, l *ledger, e *span.Opened) *found {
	if e.Payload == nil {
		return &found{outcome: allowed, missing: e.Withheld}
	}
	var p rules.ScheduleChange
	if err := jsonv2.Unmarshal(e.Payload, &p); err != nil {
		return &found{outcome: allowed, err: err}
	}
	return made(rules.ChangeSchedule(ctx, &l.world, p.Schedule, p.Action, at(e)))
}

// couldNot says that a run of a schedule could not be decided or recorded then, for
// a reason that lies outside contracts.
func couldNot(e *span.Opened) bool {
	return bytes.Contains(e.Decision.Effects, []byte(" "+expr.Defect.String()+`"`))
}

var errNotRun = fault.New(fault.Unavailable, "run_failed", "the run could not be decided or recorded")

func made(o *rules.Outcome, err error) *found { return &found{outcome: o, err: err} }

// settle settles a pending span as the node did: by votes, by time, or because what
// it asks for could not be done any more.
func (r *Replay) settle(ctx context.Context, l *ledger, e *span.Opened, spanID string) *found {
	sp, withheld := l.cause(spanID)
	if sp == nil {
		return &found{err: fault.New(fault.Conflict, "not_pending", "the span waits for no vote")}
	}
	f := &found{missing: withheld}
	res, err := rules.Resolve(ctx, &l.world, sp, at(e))
	if err != nil {
		f.err = err
		return f
	}
	f.outcome = res.Outcome
	recorded, err := span.ParseResolution(e.Payload)
	if err != nil || recorded.Outcome == res.Payload.Outcome {
		return f
	}
	if recorded.Outcome == span.ResolutionRejected && res.Payload.Outcome == span.ResolutionExecuted && r.impossible(e, sp) {
		if res, err = rules.Abandon(ctx, &l.world, sp, at(e), firstReason(e)); err != nil {
			return &found{err: err}
		}
		f.outcome = res.Outcome
		return f
	}
	f.err = fault.Newf(fault.Conflict, "settled_otherwise", "the span would be settled as %s, not as %s", res.Payload.Outcome, recorded.Outcome)
	f.outcome = nil
	return f
}

// impossible says that keys and roles keep a pending span from being executed.
func (r *Replay) impossible(e *span.Opened, sp *span.Span) bool {
	payload, err := span.Canonical(span.Resolution{Span: sp.ID, HeaderHash: sp.Hash().String(), Outcome: span.ResolutionExecuted})
	if err != nil {
		return false
	}
	other := e.Entry
	return r.people.Objects(&other, payload)
}

// firstReason is what the record says of why something was given up.
func firstReason(e *span.Opened) string {
	d, _, err := span.ParseDetail(e.Detail)
	if err != nil || len(d.Reasons) == 0 {
		return ""
	}
	return d.Reasons[0]
}

func (r *Replay) fire(ctx context.Context, l *ledger, e *span.Opened, key string) *found {
	t, ok, err := rules.TimerOf(ctx, l.rows, key)
	if err != nil {
		return &found{err: err}
	}
	if !ok {
		return &found{err: fault.New(fault.Conflict, "timer_unknown", "nothing is due that this entry could answer")}
	}
	sp, withheld := l.cause(t.Span)
	f := &found{missing: withheld}
	f.outcome, f.err = rules.Fire(ctx, &l.world, t, sp, at(e))
	if t.Kind == rules.TimerSchedule && f.err == nil && couldNot(e) {
		f.outcome, f.err = rules.Fail(ctx, &l.world, t, at(e), errNotRun)
	}
	return f
}
