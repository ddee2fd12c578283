package rules

import (
	"errors"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// flow is one workflow instance during a decision.
type flow struct {
	*contract.Workflow
	key     string
	row     workflowRow // as it was, zero for none
	exists  bool        // it did, or was begun in this decision
	begun   bool        // in this decision
	state   string
	entered time.Time
}

// flow is the instance of a key, as this decision has it so far.
func (j *judge) flow(w *contract.Workflow, key string) (*flow, error) {
	id := workflowKey(w.ID(), key)
	if f := j.flows[id]; f != nil {
		return f, nil
	}
	f := &flow{Workflow: w, key: key}
	var err error
	if f.exists, err = load(j.ctx, j.w.State, id, &f.row); err != nil {
		return nil, err
	}
	if f.exists {
		f.state, f.entered = f.row.State, instant(f.row.EnteredAt)
		if f.Workflow, err = j.workflowOf(f.row.Contract, w.Name); err != nil {
			return nil, err
		}
	}
	if j.flows == nil {
		j.flows = map[string]*flow{}
	}
	j.flows[id] = f
	return f, nil
}

// workflowOf is the workflow of the version that an instance is pinned to.
func (j *judge) workflowOf(ref, name string) (*contract.Workflow, error) {
	c, err := j.w.version(j.ctx, ref)
	if err != nil {
		return nil, err
	}
	w := c.Workflow(name)
	if w == nil {
		return nil, fault.Newf(fault.Internal, "contract_missing", "the contract %s has no workflow %s, in which work is in flight", ref, name)
	}
	return w, nil
}

// over says that an instance has come to its end.
func (f *flow) over() bool {
	s := f.State(f.state)
	return s != nil && s.Final
}

// key evaluates the key of a workflow.
func (j *judge) key(w *contract.Workflow) (string, error) {
	v, err := w.Key.Eval(j.input)
	if err != nil {
		return "", err
	}
	return keyText(v)
}

// workflows moves the instances that the span concerns.
func (j *judge) workflows(list []contract.BoundWorkflow, s *sink) error {
	done := map[string]bool{}
	for _, w := range list {
		if w.In.Mode == contract.Shadowed || done[w.ID()] {
			continue // a shadow has no instances: it never moved one
		}
		handled, err := j.concern(w, s)
		if err != nil || s.rejected() {
			return err
		}
		done[w.ID()] = handled
	}
	return nil
}

// concern moves one workflow's instance. It says whether other versions of the
// workflow need no longer be asked.
func (j *judge) concern(w contract.BoundWorkflow, s *sink) (handled bool, err error) {
	o := origin{w.In.Contract, w.ID(), contract.Reject}
	j.supplier.own = w.Contract
	asks, starts := w.Asks(j.sp.Type), w.Starts(j.sp.Type)
	if !asks && !starts {
		return false, nil
	}
	key, err := j.key(w.Workflow)
	if err != nil {
		var e *expr.EvalError
		if !errors.As(err, &e) || w.In.Mode == contract.Enforced && asks {
			return true, j.failed(err, o, s)
		}
		return false, nil // the span is none of the workflow's
	}
	f, err := j.flow(w.Workflow, key)
	switch {
	case err != nil:
		return true, err
	case w.In.Mode == contract.Pinned && (!f.exists || f.over()):
		return false, nil // it ends what is in flight, and begins nothing any more
	case f.exists && f.Contract.Ref() != w.In.Ref() && f.Asks(j.sp.Type):
		o.contract, j.supplier.own = f.Contract, f.Contract
	}
	s.asked(o.contract)
	if !f.exists {
		if !starts {
			s.reject(o, "there is no "+f.Name+" with this key that "+j.sp.Type+" could move")
			return true, nil
		}
		j.begin(f, s)
	}
	if err := j.step(f, o, s); err != nil || s.rejected() {
		return true, err
	}
	return true, j.settleBegin(f, o, s)
}

// begin makes an instance in the initial state. What it enters is said once it
// is known whether the span moves it on.
func (j *judge) begin(f *flow, s *sink) {
	f.exists, f.begun = true, true
	f.state, f.entered = f.Initial, j.now
	s.starts = append(s.starts, instanceEffect{Workflow: f.ID(), Key: f.key, Contract: f.Contract.Ref()})
}

// settleBegin notes the beginning of an instance that went no further, as a
// step from the initial state to itself: a line has no empty members.
func (j *judge) settleBegin(f *flow, o origin, s *sink) error {
	if !f.begun || slices.ContainsFunc(s.moves, func(t span.Transition) bool { return t.Workflow == f.ID() && t.Key == f.key }) {
		return nil
	}
	s.moves = append(s.moves, span.Transition{Workflow: f.ID(), Key: f.key, From: f.state, To: f.state})
	s.ran(o.rule, f.state)
	return j.run(f.Enter[f.state], o, s)
}

// step takes the transition that the span asks for. One that is not there is
// refused.
func (j *judge) step(f *flow, o origin, s *sink) error {
	var refusal string
	for _, t := range f.Transitions {
		if t.From != f.state || !t.Names(j.sp.Type) {
			continue
		}
		if len(t.Roles) > 0 && !j.hasRole(t.Roles) {
			refusal = first(refusal, f.Name+" moves from "+t.From+" to "+t.To+" only by "+orList(t.Roles))
			continue
		}
		holds, err := j.guard(t, f)
		if err != nil {
			return j.failed(err, o, s)
		}
		if !holds {
			refusal = first(refusal, f.Name+" cannot move from "+t.From+" to "+t.To+" yet: its guard does not hold")
			continue
		}
		return j.take(f, t.To, t.Then, o, s)
	}
	if refusal != "" {
		s.reject(o, refusal)
		return nil
	}
	for _, t := range f.Transitions {
		if !t.Names(j.sp.Type) {
			continue
		}
		if why, forbidden := f.Forbids(f.state, t.To); forbidden && why != "" {
			s.reject(o, why)
		} else {
			s.reject(o, f.Name+" is "+f.state+", and "+j.sp.Type+" moves it only from "+orList(f.sources(j.sp.Type)))
		}
		return nil
	}
	return nil // the type begins instances and asks for nothing
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sources are the states that a span of this type moves the workflow from.
func (f *flow) sources(typ string) []string {
	var out []string
	for _, t := range f.Transitions {
		if t.Names(typ) && !slices.Contains(out, t.From) {
			out = append(out, t.From)
		}
	}
	return out
}

func orList(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " or "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

func (j *judge) hasRole(roles []string) bool {
	return slices.ContainsFunc(j.w.Standing.Roles(j.sp.Author), func(r string) bool { return slices.Contains(roles, r) })
}

// guard evaluates a guard with the time at which the state was entered.
func (j *judge) guard(t *contract.Transition, f *flow) (bool, error) {
	if t.Guard == nil {
		return true, nil
	}
	holds := false
	err := j.within(f, func() (err error) {
		holds, err = t.Guard.Bool(j.input)
		return err
	})
	return holds, err
}

// within evaluates something that knows when the instance entered its state.
func (j *judge) within(f *flow, do func() error) error {
	before := j.input
	facts := j.facts
	facts.EnteredAt = f.entered
	j.input = expr.Bind(facts)
	err := do()
	j.input = before
	return err
}

// take moves an instance: it leaves its state, does what the transition does,
// and enters the other.
func (j *judge) take(f *flow, to string, then []contract.Action, o origin, s *sink) error {
	from := f.state
	s.moves = append(s.moves, span.Transition{Workflow: f.ID(), Key: f.key, From: from, To: to})
	s.ran(o.rule, from+" -> "+to)
	o.contract, j.supplier.own = f.Contract, f.Contract
	return j.within(f, func() error {
		for _, list := range [][]contract.Action{f.Exit[from], then, nil} {
			if err := j.run(list, o, s); err != nil || s.rejected() {
				return err
			}
		}
		f.state, f.entered = to, j.now
		return j.run(f.Enter[to], o, s)
	})
}

// move is the action `transition workflow to state`.
func (j *judge) move(a *contract.TransitionAction, o origin, s *sink) error {
	w := o.contract.Workflow(a.Workflow)
	key, err := j.key(w)
	if err != nil {
		return err
	}
	f, err := j.flow(w, key)
	if err != nil {
		return err
	}
	if j.undoes {
		j.restore(f, a.To, o, s)
		return nil
	}
	if !f.exists {
		j.begin(f, s)
	}
	switch why, forbidden := f.Forbids(f.state, a.To); {
	case f.state == a.To:
		return j.settleBegin(f, o, s)
	case f.State(a.To) == nil:
		s.reject(o, f.Name+" of version "+f.Contract.Version+" has no state "+a.To)
	case forbidden && why != "":
		s.reject(o, why)
	case forbidden:
		s.reject(o, f.Name+" never moves from "+f.state+" to "+a.To)
	case f.over():
		s.reject(o, f.Name+" is "+f.state+", which is final")
	default:
		return j.take(f, a.To, nil, o, s)
	}
	return nil
}
