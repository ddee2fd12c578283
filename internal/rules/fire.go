package rules

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Timer is something that the clock brings: the timeout of a workflow's state
// or of an approval, a task, the end of a payload's retention.
type Timer struct {
	Key  string // of its row
	Due  time.Time
	Kind string // workflow, approval, task or retain
	// Span is what it follows from: the span that waits, that scheduled the
	// task, whose payload is to be erased, or that moved the instance last.
	Span string
	// Workflow is contract/workflow and Instance its key, To the next state.
	Workflow, Instance, To string
	// Contract is name@version#hash and Task the task's name.
	Contract, Task string
	rule           string
}

// Kinds of timers.
const (
	TimerWorkflow = timerWorkflow
	TimerApproval = timerApproval
	TimerTask     = timerTask
	TimerRetain   = timerRetain
)

// Due are the timers that are due at a time, the oldest first, at most limit.
func Due(ctx context.Context, s State, now time.Time, limit int) ([]Timer, error) {
	rows, err := s.Range(ctx, timerPrefix, "", limit)
	if err != nil {
		return nil, unavailable(err)
	}
	var out []Timer
	for _, r := range rows {
		t, err := readTimer(ctx, s, r)
		if err != nil {
			return nil, err
		}
		if t.Due.After(now) {
			break
		}
		out = append(out, t)
	}
	return out, nil
}

// NextDue is when the next timer is due; false when there is none.
func NextDue(ctx context.Context, s State) (time.Time, bool, error) {
	rows, err := s.Range(ctx, timerPrefix, "", 1)
	if err != nil || len(rows) == 0 {
		if err != nil {
			err = unavailable(err)
		}
		return time.Time{}, false, err
	}
	due, _, _ := strings.Cut(strings.TrimPrefix(rows[0].Key, timerPrefix), "/")
	return instant(due), true, nil
}

func readTimer(ctx context.Context, s State, row standing.Row) (Timer, error) {
	due, rest, _ := strings.Cut(strings.TrimPrefix(row.Key, timerPrefix), "/")
	kind, rest, _ := strings.Cut(rest, "/")
	var r timerRow
	if err := decodeRow(row.Key, row.Value, &r); err != nil {
		return Timer{}, err
	}
	t := Timer{Key: row.Key, Due: instant(due), Kind: kind, Span: r.Span, To: r.To, Contract: r.Contract, Task: r.Task, rule: r.Rule}
	if kind != timerWorkflow {
		return t, nil
	}
	name, rest, _ := strings.Cut(rest, "/")
	flow, key, _ := strings.Cut(rest, "/")
	t.Workflow, t.Instance = name+"/"+flow, key
	var instance workflowRow
	ok, err := load(ctx, s, workflowKey(t.Workflow, key), &instance)
	if ok {
		t.Span, t.Contract = instance.Span, instance.Contract
	}
	return t, err
}

// Fire is the decision of the node's entry that answers a timer of kind
// workflow, task or retain; those of kind approval are answered by Resolve.
// causing is the timer's Span as the timeline has it, nil where there is none;
// where its payload was erased, what needs it is left undone and noted, never
// guessed. Folding the entry takes the timer away.
func Fire(ctx context.Context, w *World, t Timer, causing *span.Span, at standing.Position) (*Outcome, error) {
	j, err := aside(ctx, w, causing, at)
	if err != nil {
		return nil, err
	}
	s := &sink{}
	switch t.Kind {
	case timerWorkflow:
		err = j.elapse(t, s)
	case timerTask:
		err = j.perform(t, s)
	case timerRetain:
	default:
		err = fault.Newf(fault.Internal, "timer_kind", "a timer of kind %s is not fired", t.Kind)
	}
	if err != nil {
		return nil, err
	}
	return s.outcome(func(h *held, e *effects) error {
		e.Fired = t.Key
		return j.effects(h, e)
	})
}

// aside is a judge for what is done beside spans.
func aside(ctx context.Context, w *World, causing *span.Span, at standing.Position) (*judge, error) {
	j := &judge{ctx: ctx, w: w, sp: causing, at: at, now: instant(at.RecordedAt)}
	j.supplier = &facts{ctx: ctx, w: w, at: at, now: j.now}
	j.facts = expr.Facts{Tenant: &w.Tenant, Now: j.now, Supplier: j.supplier}
	if causing != nil {
		j.facts.Span = &causing.Header
		actor, err := j.supplier.Identity(causing.Author)
		if err != nil {
			return nil, err
		}
		j.facts.Actor = actor
		if causing.Payload != nil {
			if j.facts.Data, err = expr.ParseData(causing.Payload); err != nil {
				return nil, unavailable(err)
			}
		}
	}
	j.input = expr.Bind(j.facts)
	return j, nil
}

// elapse takes the step that time takes, unless the instance has moved.
func (j *judge) elapse(t Timer, s *sink) error {
	_, name, _ := strings.Cut(t.Workflow, "/")
	w, err := j.workflowOf(t.Contract, name)
	if err != nil {
		return err
	}
	f, err := j.flow(w, t.Instance)
	if err != nil {
		return err
	}
	due := span.FormatTime(t.Due)
	if !slices.Contains(f.row.Timers, timerEffect{due, t.To}) {
		return nil
	}
	s.asked(w.Contract)
	return j.take(f, t.To, nil, origin{contract: w.Contract, rule: f.ID()}, s)
}

// perform does a task, or what a schedule does after a span.
func (j *judge) perform(t Timer, s *sink) error {
	c, err := j.w.version(j.ctx, t.Contract)
	if err != nil {
		return err
	}
	s.asked(c)
	j.supplier.own = c
	o := origin{contract: c, rule: t.rule}
	for _, sc := range c.Schedules {
		if sc.Name == t.Task {
			s.ran(o.rule, BranchThen)
			return j.run(sc.Then, o, s)
		}
	}
	for _, a := range c.Tasks {
		if a.Name != t.Task {
			continue
		}
		if a.Unless != nil {
			off, err := a.Unless.Bool(j.input)
			if err != nil {
				return j.failed(err, o, s)
			}
			if off {
				return nil
			}
		}
		s.ran(o.rule, BranchThen)
		return j.run(a.Then, o, s)
	}
	return nil
}

// membersARun bounds how many identities one entry of a run may change, so
// that it fits a line.
const membersARun = 64

// Run is one run of a schedule: the decisions of the node's entries, at least
// one. A schedule for each identity runs for those with a role.
func Run(ctx context.Context, w *World, sc *contract.Schedule, at standing.Position) ([]*Outcome, error) {
	j, err := aside(ctx, w, nil, at)
	if err != nil {
		return nil, err
	}
	j.supplier.own = sc.Contract
	o := origin{contract: sc.Contract, rule: sc.ID()}
	r := &running{judge: j, id: sc.ID()}
	r.next(sc.Contract)
	if sc.Foreach == "" {
		r.sink.ran(o.rule, BranchThen)
		if err := j.run(sc.Then, o, r.sink); err != nil {
			return nil, err
		}
		return r.end()
	}
	for _, m := range w.Standing.Members() {
		if j.facts.It, err = j.supplier.Identity(m.Identity); err != nil {
			return nil, err
		}
		j.input = expr.Bind(j.facts)
		if err := r.each(sc, o); err != nil {
			return nil, err
		}
	}
	return r.end()
}

// running collects the entries of one run.
type running struct {
	*judge
	id   string
	sink *sink
	n    int
	out  []*Outcome
}

func (r *running) next(c *contract.Contract) {
	r.sink, r.n = &sink{}, 0
	r.sink.asked(c)
}

func (r *running) each(sc *contract.Schedule, o origin) error {
	if sc.Where != nil {
		holds, err := sc.Where.Bool(r.input)
		if err != nil {
			return r.unmatched(err, o, r.sink)
		}
		if !holds {
			return nil
		}
	}
	r.sink.ran(o.rule, BranchThen)
	if err := r.run(sc.Then, o, r.sink); err != nil {
		return err
	}
	if r.n++; r.n < membersARun {
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	r.next(sc.Contract)
	return nil
}

func (r *running) close() error {
	o, err := r.sink.outcome(func(h *held, e *effects) error {
		e.Ran = r.id
		return r.effects(h, e)
	})
	r.out = append(r.out, o)
	return err
}

func (r *running) end() ([]*Outcome, error) {
	if r.n > 0 || len(r.out) == 0 {
		if err := r.close(); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

// LastRun is when a schedule, named contract/schedule, ran last; false for
// never.
func LastRun(ctx context.Context, s State, id string) (time.Time, bool, error) {
	var r scheduleRow
	ok, err := load(ctx, s, scheduleKey(id), &r)
	return instant(r.Last), ok, err
}
