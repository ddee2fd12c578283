package rules

import (
	"cmp"
	"context"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// membersARun bounds how many identities one entry of a run may change, and half a
// decision what it says of them, so that it fits a line; membersSeen how many it may
// ask about, so that a batch ends in time where most are not concerned.
const (
	membersARun = 64
	membersSeen = 1024
	roomARun    = span.MaxDecision / 2
)

// Ran says of an outcome what it is of a schedule's run.
type Ran struct {
	Schedule string // contract/schedule
	Contract string // name@version#hash, "" where it is gone
	Due      time.Time
	Outcome  string // "" where the run goes on in another entry
	Tried    int    // how often this part of it failed
	Again    time.Time
	Next     time.Time // when the clock brings the schedule again; zero: it does not
	Skipped  int       // due times that were missed and are not made up for
	From     time.Time
}

// runs is one entry of a schedule's run: the answer to a timer of kind schedule. A
// run for each identity goes on in the next one, which the clock brings at once,
// where there are more than fit. failure is why there is no other answer; nil at
// first.
func (j *judge) runs(t *Timer, failure error) (*Outcome, error) {
	sc := j.w.scheduled(t.Schedule)
	if sc == nil {
		s := &sink{}
		return j.ran(s, t, Ran{Schedule: t.Schedule, Due: t.For, Outcome: RunGone}, nil)
	}
	p, err := j.w.turnOf(sc, t, j.now)
	if err != nil {
		return nil, err
	}
	ran := Ran{Schedule: t.Schedule, Contract: sc.Contract.Ref(), Due: p.serves, Skipped: p.skipped, From: p.from, Tried: t.Tried}
	e := &scheduleEffect{Schedule: t.Schedule, Asked: t.Asked, Of: t.of(), Skipped: p.skipped, From: dueText(p.from), Serves: dueText(p.serves)}
	s := &sink{}
	s.asked(sc.Contract)
	if p.serves.IsZero() {
		ran.Due, ran.Outcome = t.For, RunSkipped
		e.Due = dueText(p.next)
		return j.ran(s, t, ran, e)
	}
	more := ""
	if failure == nil {
		if more, err = j.part(sc, t.After, s); err != nil {
			return nil, err
		}
	} else {
		s.flawed, s.errors = true, []string{sc.ID() + " " + expr.Defect.String()}
	}
	if s.flawed && t.Tried < sc.Retry.Max {
		failed := &sink{contracts: s.contracts, errors: s.errors}
		ran.Outcome, ran.Tried = RunRetrying, t.Tried+1
		ran.Again = j.now.Add(backoff(sc, ran.Tried))
		e.progress = progress{Due: e.Serves, After: t.After, Tried: ran.Tried, Flawed: t.Flawed}
		e.At = dueText(ran.Again)
		return j.ran(failed, t, ran, e)
	}
	flawed := t.Flawed || s.flawed
	switch {
	case more != "":
		e.progress, e.At = progress{Due: e.Serves, After: more, Flawed: flawed}, span.FormatTime(j.now)
	case flawed:
		ran.Outcome = RunFailed
	default:
		ran.Outcome = RunDone
	}
	if more == "" && !t.Asked {
		e.Due = dueText(p.next)
	}
	s.run = sc.ID()
	return j.ran(s, t, ran, e)
}

// ran closes an entry of a run.
func (j *judge) ran(s *sink, t *Timer, ran Ran, e *scheduleEffect) (*Outcome, error) {
	if e != nil {
		e.Outcome, ran.Next = ran.Outcome, instant(cmp.Or(e.At, e.Due))
		s.schedules = append(s.schedules, *e)
	}
	o, err := s.outcome(func(h *held, e *effects) error {
		e.Fired, e.Ran = t.Key, s.run
		return j.effects(h, e)
	})
	if err != nil {
		return nil, err
	}
	o.Ran = &ran
	if err := o.Decision.CheckSize(); err != nil {
		return nil, fault.New(fault.Invalid, "run_too_large", "what the schedule does for one identity fits no line; ask less at once").Because(err)
	}
	return o, nil
}

// part does what a schedule does, for those after an identity. more is the identity
// up to which it is done where there are others.
func (j *judge) part(sc *contract.Schedule, after string, s *sink) (more string, err error) {
	j.supplier.own = sc.Contract
	o := origin{contract: sc.Contract, rule: sc.ID()}
	if sc.Foreach == "" {
		s.ran(o.rule, BranchThen)
		return "", j.run(sc.Then, o, s)
	}
	n, seen := 0, 0
	for _, m := range j.w.Standing.Members() {
		if m.Identity <= after {
			continue
		}
		if n == membersARun || seen == membersSeen || s.bulk() > roomARun {
			return after, nil
		}
		after = m.Identity
		seen++
		if j.facts.It, err = j.supplier.Identity(m.Identity); err != nil {
			return "", err
		}
		j.input = expr.Bind(j.facts)
		did, err := j.each(sc, o, s)
		if err != nil {
			return "", err
		}
		if did {
			n++
		}
	}
	return "", nil
}

// each does what a schedule does for one identity, if it is for that one.
func (j *judge) each(sc *contract.Schedule, o origin, s *sink) (bool, error) {
	if sc.Where != nil {
		holds, err := sc.Where.Bool(j.input)
		if err != nil {
			return false, j.unmatched(err, o, s)
		}
		if !holds {
			return false, nil
		}
	}
	s.ran(o.rule, BranchThen)
	return true, j.run(sc.Then, o, s)
}

// bulk is about how many bytes of a line say what was found so far.
func (s *sink) bulk() int {
	n := 200 * (len(s.trust) + len(s.quotas))
	for i := range s.actions {
		a := &s.actions[i]
		n += 100 + len(a.Kind) + len(a.Name) + len(a.Rule) + len(a.Contract) + len(a.body)*roomARun/(maxDetail/2)
	}
	for _, list := range [][]string{s.notes, s.reasons} {
		for _, text := range list {
			n += len(text) * roomARun / (maxDetail / 2)
		}
	}
	return n
}

// Fail is the decision of the node's entry that answers a timer of kind schedule
// whose run could not be decided or recorded: it is tried again, or has failed.
func Fail(ctx context.Context, w *World, t Timer, at standing.Position, why error) (*Outcome, error) {
	j, err := aside(ctx, w, nil, at)
	if err != nil {
		return nil, err
	}
	return j.runs(&t, why)
}
