package rules

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// Past is a span on the record, with what was decided about it. Its payload is nil
// where that was erased.
type Past struct {
	span.Span
	Decision span.Decision
}

// undoing is a revert at work: the span that it undoes, and the contracts that had a
// say about that one, in the versions that had it.
type undoing struct {
	past Past
	by   []*contract.Compensation
}

// judgeRevert finds what a logline.revert span asks to be undone; nil where no
// contract says how. Who may revert at all, and what, standing has judged before.
func judgeRevert(ctx context.Context, w *World, sp *span.Span) (*undoing, error) {
	if w.Past == nil {
		return nil, nil
	}
	p, err := span.ParseRevert(sp.Payload)
	if err != nil {
		return nil, err
	}
	past, err := w.Past(ctx, p.Span)
	if err != nil || past == nil {
		return nil, err
	}
	u := &undoing{past: *past}
	for _, ref := range past.Decision.Contracts {
		c, err := w.version(ctx, ref)
		if err != nil {
			return nil, err
		}
		for _, comp := range c.Compensations {
			if comp.Undoes(past.Type) {
				u.by = append(u.by, comp)
			}
		}
	}
	if len(u.by) == 0 {
		return nil, nil
	}
	return u, nil
}

// undo does what contracts say for the case that the span is undone, with the facts
// of that span: whatever they do not say stays as it is.
func (j *judge) undo(u *undoing, s *sink) error {
	if j.flows == nil {
		j.flows = map[string]*flow{}
	}
	sub := &judge{ctx: j.ctx, w: j.w, sp: &u.past.Span, at: j.at, now: j.now, match: j.match, flows: j.flows, undoes: true}
	sub.supplier = &facts{ctx: j.ctx, w: j.w, at: j.at, now: j.now}
	actor, err := sub.supplier.identity(u.past.Author, true, true)
	if err != nil {
		return err
	}
	if actor == nil {
		actor = &expr.Identity{ID: u.past.Author}
	}
	sub.facts = expr.Facts{Span: &u.past.Header, Actor: actor, Tenant: &j.w.Tenant, Now: j.now, Supplier: sub.supplier}
	if u.past.Payload != nil {
		if sub.facts.Data, err = expr.ParseData(u.past.Payload); err != nil {
			return unavailable(err)
		}
	}
	sub.input = expr.Bind(sub.facts)
	for _, c := range u.by {
		s.asked(c.Contract)
		if len(c.Roles) > 0 && !j.hasRole(c.Roles) && !(slices.Contains(c.Roles, contract.RoleAuthor) && j.sp.Author == u.past.Author) {
			s.reject(origin{contract: c.Contract, rule: c.ID()}, u.past.Type+" is undone only by "+orList(c.Roles))
			return nil
		}
		failures := len(s.errors)
		if err := sub.rule(&c.Rule, s); err != nil {
			return err
		}
		if s.rejected() {
			if u.past.Payload == nil && len(s.errors) > failures {
				s.refusal.Reason = "what undoes the span needs its payload, which is erased"
				s.refusal.kept, s.reasons = s.refusal.Reason, []string{s.refusal.Reason}
			}
			return nil
		}
	}
	s.undoes = u.past.ID
	return nil
}

// restore moves an instance back because what moved it is undone: no hook runs, and
// a final state is left.
func (j *judge) restore(f *flow, to string, o origin, s *sink) {
	switch {
	case !f.exists:
		s.reject(o, "there is no "+f.Name+" with this key that could go back to "+to)
	case f.State(to) == nil:
		s.reject(o, f.Name+" of version "+f.Contract.Version+" has no state "+to)
	case f.state != to:
		s.moves = append(s.moves, span.Transition{Workflow: f.ID(), Key: f.key, From: f.state, To: to})
		s.ran(o.rule, f.state+" -> "+to)
		f.state, f.entered = to, j.now
	}
}
