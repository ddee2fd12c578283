package rules

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Timer is something that the clock brings: the timeout of a workflow's state
// or of an approval, a task, the end of a payload's retention, a schedule.
type Timer struct {
	Key  string // of its row
	Due  time.Time
	Kind string // workflow, approval, task, retain or schedule
	// Span is what it follows from: the span that waits, that scheduled the
	// task, whose payload is to be erased, that moved the instance last, or that
	// asked for the run.
	Span string
	// Workflow is contract/workflow and Instance its key, To the next state.
	Workflow, Instance, To string
	// Contract is name@version#hash and Task the task's name.
	Contract, Task string
	rule           string
	// Schedule is contract/schedule, For the due time that its run is for, and
	// Asked says that somebody asked for the run.
	Schedule string
	For      time.Time
	Asked    bool
	progress
}

// of is the entry that asked for the run, "" for none.
func (t *Timer) of() string {
	if t.Asked {
		return t.Span
	}
	return ""
}

// Kinds of timers.
const (
	TimerWorkflow = timerWorkflow
	TimerApproval = timerApproval
	TimerTask     = timerTask
	TimerRetain   = timerRetain
	TimerSchedule = timerSchedule
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
	switch kind {
	case timerSchedule:
		return t, t.readRun(ctx, s, rest, r.Run)
	case timerWorkflow:
	default:
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

// readRun reads how far the run is that a timer of kind schedule is for: asked is
// that of one that somebody asked for.
func (t *Timer) readRun(ctx context.Context, s State, rest string, asked *progress) error {
	name, rest, _ := strings.Cut(rest, "/")
	of, _, _ := strings.Cut(rest, "/")
	t.Schedule = name + "/" + of
	if t.Asked = asked != nil; t.Asked {
		t.progress = *asked
	} else {
		var r scheduleRow
		if _, err := load(ctx, s, scheduleKey(t.Schedule), &r); err != nil {
			return err
		}
		t.progress = r.progress
	}
	t.For = instant(t.progress.Due)
	return nil
}

// Fire is the decision of the node's entry that answers a timer of kind
// workflow, task, retain or schedule; those of kind approval are answered by
// Resolve.
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
	case timerSchedule:
		return j.runs(&t, nil)
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
		if err := j.run(a.Then, o, s); err != nil {
			return err
		}
		return j.again(a, t, o, s)
	}
	return nil
}

// again lets a task with a cron line come back until what it says after unless
// holds; one that says nothing comes once.
func (j *judge) again(a *contract.TaskAction, t Timer, o origin, s *sink) error {
	if a.Cron == "" || a.Unless == nil {
		return nil
	}
	due, err := j.cron(a.Cron, a.Timezone)
	if err != nil {
		return j.failed(err, o, s)
	}
	_, index, _ := strings.Cut(t.Key[strings.LastIndex(t.Key, t.Span):], "/")
	n, err := strconv.Atoi(index)
	if err != nil {
		return fault.Newf(fault.Internal, "state_corrupt", "the timer %q names no task", t.Key)
	}
	if err := j.schedule(a.Name, due, o, s, false); err != nil {
		return j.failed(err, o, s)
	}
	last := &s.actions[len(s.actions)-1]
	last.Index, last.Of = n, t.Span // under which no other task of the span is
	return nil
}
