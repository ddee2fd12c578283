package rules

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Fold gives the rows that an entry changes in the decision state before it, in
// order of their keys, those that go with a nil value. It needs the line, and
// the payload of spans that can never be redacted; of others nil will do. It
// compiles no contract and judges nothing, so that folding lines, at any time
// and after any erasure, gives the rows that deciding wrote.
//
// Fails with decision_unreadable for a line of another evaluator.
func Fold(ctx context.Context, s State, e *span.Entry, payload []byte) ([]standing.Row, error) {
	if leavesNothing(e) {
		return nil, nil
	}
	if v := e.Decision.Evaluator; v != "" && v != Evaluator {
		return nil, errLine
	}
	f := &folder{ctx: ctx, overlay: overlay{State: s}, e: e}
	eff, err := decodeEffects(e.Decision.Effects)
	if err != nil {
		return nil, err
	}
	values, err := decodeValues(e.Decision.Values)
	if err != nil {
		return nil, err
	}
	if e.Decision.Outcome == span.OutcomePending {
		err = f.wait(eff, payload)
	} else {
		err = f.executed(eff, values, payload)
	}
	if err != nil {
		return nil, err
	}
	return f.changed, nil
}

// leavesNothing says of an entry that no contract has said anything about it
// that is remembered, as of nearly all.
func leavesNothing(e *span.Entry) bool {
	d := &e.Decision
	return len(d.Effects) == 0 && len(d.Values) == 0 && len(d.Transitions) == 0 &&
		d.Outcome != span.OutcomePending && e.Span.Type != span.TypeContract
}

// folder folds one entry.
type folder struct {
	overlay
	ctx context.Context
	e   *span.Entry
}

// overlay is a state with the changes of one entry over it.
type overlay struct {
	State
	changed []standing.Row // in order of their keys; nil value: deleted
}

// Get sees the changes.
func (o *overlay) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if n, ok := o.find(key); ok {
		v := o.changed[n].Value
		return v, v != nil, nil
	}
	return o.State.Get(ctx, key)
}

func (o *overlay) find(key string) (int, bool) {
	return slices.BinarySearchFunc(o.changed, key, func(r standing.Row, key string) int { return strings.Compare(r.Key, key) })
}

func (o *overlay) put(r standing.Row) {
	n, ok := o.find(r.Key)
	if ok {
		o.changed[n].Value = r.Value
		return
	}
	o.changed = slices.Insert(o.changed, n, r)
}

func (o *overlay) delete(key string) { o.put(standing.Row{Key: key}) }

// executed folds what happened.
func (f *folder) executed(eff *effects, values map[string]float64, payload []byte) error {
	author, subject := f.e.Span.Author, f.e.Span.Subject
	if eff.Settles != "" {
		r, err := f.settle(eff.Settles)
		if err != nil {
			return err
		}
		author, subject = r.Author, r.Subject
		if r.Activates != nil && executes(payload) {
			if err := f.activate(*r.Activates, eff.Schedules); err != nil {
				return err
			}
		}
	}
	if f.e.Span.Type == span.TypeContract {
		if p, err := span.ParseContract(payload); err == nil {
			if err := f.activate(activation{p.Name, p.Version, p.Hash, p.Action, f.e.Seq, eff.Windows}, eff.Schedules); err != nil {
				return err
			}
		}
	}
	if eff.Fired != "" {
		if !strings.HasPrefix(eff.Fired, timerPrefix) {
			return errLine // it would take away something else
		}
		f.delete(eff.Fired)
	}
	if err := f.schedules(eff); err != nil {
		return err
	}
	if eff.Vote != nil {
		if err := f.vote(eff.Vote, payload); err != nil {
			return err
		}
	}
	if err := f.moves(eff); err != nil {
		return err
	}
	for _, q := range eff.Quotas {
		f.put(row(quotaKey(q.Contract, q.Name, q.Key), quotaRow{q.Window, q.Used}))
	}
	if err := f.trust(eff.Trust); err != nil {
		return err
	}
	f.tasks(eff)
	return f.sums(values, author, subject)
}

// executes says that a resolution does what its span asked for.
func executes(payload []byte) bool {
	p, err := span.ParseResolution(payload)
	return err == nil && p.Outcome == span.ResolutionExecuted
}

// activate puts a version into force or beside it, or takes it away. A shadow
// leaves the version in force where it is, unless it is the same one.
func (f *folder) activate(a activation, schedules []scheduleEffect) error {
	key, other := contractKey(a.Name), shadowKey(a.Name)
	if a.Action == span.ActionShadow {
		key, other = other, key
	}
	if err := f.withdraw(other, a); err != nil {
		return err
	}
	if a.Action == span.ActionRetire {
		return f.withdraw(key, a)
	}
	if a.Action == span.ActionActivate {
		if err := f.unplan(a.Name, schedules); err != nil {
			return err
		}
	}
	f.put(row(key, contractRow{a.Version, a.Hash, a.Seq}))
	f.put(row(versionKey(a.Name+"@"+a.Version+"#"+a.Hash), versionRow{a.Seq}))
	return f.widen(a.Windows)
}

// withdraw takes a row away if it is of this version.
func (f *folder) withdraw(key string, a activation) error {
	var r contractRow
	ok, err := load(f.ctx, &f.overlay, key, &r)
	if err != nil || !ok || r.Version != a.Version || r.Hash != a.Hash {
		return err
	}
	f.delete(key)
	if key == contractKey(a.Name) {
		return f.unplan(a.Name, nil)
	}
	return nil
}

// wait keeps a span that is pending.
func (f *folder) wait(eff *effects, payload []byte) error {
	h := f.e.Span
	r := approvalRow{
		Type: h.Type, Author: h.Author, Subject: h.Subject, HeaderHash: h.Hash().String(), Since: f.e.RecordedAt,
		Contracts: f.e.Decision.Contracts, Rules: f.e.Decision.Rules, Asks: eff.Asks, Held: eff.Held,
	}
	if h.Type == span.TypeContract {
		if p, err := span.ParseContract(payload); err == nil {
			r.Activates = &activation{p.Name, p.Version, p.Hash, p.Action, f.e.Seq, eff.Windows}
		}
	}
	f.put(row(approvalKey(h.ID), r))
	for _, q := range eff.Asks {
		if q.Deadline != "" {
			f.put(row(timerKey(q.Deadline, timerApproval, h.ID), timerRow{Span: h.ID}))
		}
	}
	f.tasks(eff)
	return nil
}

// settle takes a pending span and its timers away.
func (f *folder) settle(spanID string) (*approvalRow, error) {
	r := &approvalRow{}
	ok, err := load(f.ctx, &f.overlay, approvalKey(spanID), r)
	if err != nil || !ok {
		return r, err
	}
	f.delete(approvalKey(spanID))
	for _, q := range r.Asks {
		if q.Deadline != "" {
			f.delete(timerKey(q.Deadline, timerApproval, spanID))
		}
	}
	return r, nil
}

func (f *folder) vote(v *voteEffect, payload []byte) error {
	p, err := span.ParseApproval(payload)
	if err != nil {
		return errLine.Because(err)
	}
	r := &approvalRow{}
	ok, err := load(f.ctx, &f.overlay, approvalKey(v.Span), r)
	if err != nil || !ok {
		return err
	}
	r.Votes = append(r.Votes, vote{By: f.e.Span.Author, Vote: p.Vote, At: f.e.RecordedAt, Roles: v.Roles, Weights: v.Weights})
	f.put(row(approvalKey(v.Span), r))
	f.satisfied(v.Span, r)
	return nil
}

// satisfied takes away the deadlines of approvals that have what they ask for,
// while the span waits for others.
func (f *folder) satisfied(spanID string, r *approvalRow) {
	open := map[string]bool{}
	for i, q := range r.Asks {
		open[q.Deadline] = open[q.Deadline] || !r.satisfied(i, nil)
	}
	for deadline, waits := range open {
		if deadline != "" && !waits && !r.quorum(nil) {
			f.delete(timerKey(deadline, timerApproval, spanID))
		}
	}
}

// moves puts workflow instances into their states and renews their timers.
func (f *folder) moves(eff *effects) error {
	by := f.e.Span.ID
	if eff.Settles != "" {
		by = eff.Settles
	}
	if eff.Undoes != "" {
		by = eff.Undoes
	}
	for _, t := range f.e.Decision.Transitions {
		key := workflowKey(t.Workflow, t.Key)
		var r workflowRow
		if _, err := load(f.ctx, &f.overlay, key, &r); err != nil {
			return err
		}
		for _, timer := range r.Timers {
			f.delete(timerKey(timer.Due, timerWorkflow, t.Workflow+"/"+t.Key))
		}
		flew := r.pinned()
		r.State, r.EnteredAt, r.Timers, r.Over = t.To, f.e.RecordedAt, nil, false
		if eff.Fired == "" {
			r.Span = by // what time moves is still what that span began
		}
		for _, in := range eff.Instances {
			if in.Workflow != t.Workflow || in.Key != t.Key {
				continue
			}
			r.Timers, r.Over = in.Timers, in.Over
			if in.Contract != "" {
				r.Contract = in.Contract
			}
		}
		f.put(row(key, r))
		if err := f.fly(flew, r.pinned()); err != nil {
			return err
		}
	}
	for _, in := range eff.Instances {
		for _, timer := range in.Timers {
			f.put(row(timerKey(timer.Due, timerWorkflow, in.Workflow+"/"+in.Key), timerRow{To: timer.To}))
		}
	}
	return nil
}

func (f *folder) trust(list []trustEffect) error {
	for _, t := range list {
		var r trustRow
		if _, err := load(f.ctx, &f.overlay, trustKey(t.Identity), &r); err != nil {
			return err
		}
		r.Score = t.Score
		if t.Rose {
			r.Rose = f.e.RecordedAt
		}
		f.put(row(trustKey(t.Identity), r))
	}
	return nil
}

// tasks sets the timers of tasks and of retention.
func (f *folder) tasks(eff *effects) {
	for _, a := range eff.Actions {
		if a.Kind != ActionSchedule {
			continue
		}
		of := f.e.Span.ID
		if a.Of != "" {
			of = a.Of
		}
		f.put(row(timerKey(a.Due, timerTask, of+"/"+strconv.Itoa(a.Index)), timerRow{Contract: a.Contract, Task: a.Name, Rule: a.Rule, Span: of}))
	}
	if eff.Retain != "" {
		f.put(row(timerKey(eff.Retain, timerRetain, f.e.Span.ID), timerRow{Span: f.e.Span.ID}))
	}
}

// pinned is the version that an instance keeps in flight, "" for none.
func (r *workflowRow) pinned() string {
	if r.Over {
		return ""
	}
	return r.Contract
}

// fly counts an instance that one version kept in flight and another keeps now.
func (f *folder) fly(was, is string) error {
	if was == is {
		return nil
	}
	if err := f.flies(was, -1); err != nil {
		return err
	}
	return f.flies(is, 1)
}

// flies counts so many instances more that a version keeps in flight.
func (f *folder) flies(ref string, more int64) error {
	if ref == "" {
		return nil
	}
	key := flightKey(ref)
	var r flightRow
	if _, err := load(f.ctx, &f.overlay, key, &r); err != nil {
		return err
	}
	if r.Instances += more; r.Instances > 0 {
		f.put(row(key, r))
	} else {
		f.delete(key)
	}
	return nil
}

// InFlight says of a row that it counts the instances that a version keeps in
// flight. Fold changes it for whoever keeps versions; no decision reads it.
func InFlight(key string) bool { return strings.HasPrefix(key, flightPrefix) }

// Timed says of what Fold gave that it sets or takes away timers: what NextDue
// says may be another now, and a span of the entry may be asked for again.
func Timed(changes []standing.Row) bool {
	return slices.ContainsFunc(changes, func(r standing.Row) bool {
		return strings.HasPrefix(r.Key, timerPrefix) || strings.HasPrefix(r.Key, approvalPrefix)
	})
}
