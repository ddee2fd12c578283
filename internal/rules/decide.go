package rules

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// judge decides about one span, timer or schedule. It serves one call.
type judge struct {
	facts expr.Facts
	input *expr.Input

	ctx   context.Context
	w     *World
	sp    *span.Span // nil where no span is decided
	at    standing.Position
	now   time.Time
	match *contract.Match
	// supplier answers the expressions of one contract at a time.
	supplier *facts
	flows    map[string]*flow
	shadows  []*shadow
	reverts  *undoing // what the span undoes; nil: nothing
	undoes   bool     // the facts are those of a span that is undone
}

// shadow is what a contract's shadows would decide. What they move is moved
// for them alone.
type shadow struct {
	ref   string
	sink  sink
	flows map[string]*flow
}

// Decide says what becomes of sp at a position: a span that form, keys and
// roles already permit, not authored by the node. It is a pure function of its
// arguments. An error means that nothing was decided (the state failed), or,
// of kind invalid, forbidden or conflict, that the span itself is wrong where
// the protocol and not a contract says so: a vote that nobody asked for, a
// contract that does not compile.
//
// Order: permits; rules by priority, contract and name, the node's contracts
// first, until one rejects; workflows; then what an executed span does by
// itself: trust, retention, schedules, values.
func Decide(ctx context.Context, w *World, sp *span.Span, at standing.Position) (*Outcome, error) {
	set := w.contracts()
	m := set.Match(sp.Type)
	s := &sink{}
	var reverts *undoing
	switch sp.Type {
	case span.TypeRevert:
		var err error
		if reverts, err = judgeRevert(ctx, w, sp); err != nil {
			return nil, err
		}
	case span.TypeContract:
		c, action, err := judgeActivation(ctx, w, sp.Author, sp.Payload)
		if err != nil {
			return nil, err
		}
		s.windows = windowsOf(c)
		if s.schedules, err = planned(ctx, w, c, action, instant(at.RecordedAt)); err != nil {
			return nil, err
		}
	case span.TypeApproval:
		if err := judgeVote(ctx, w, sp, at, s); err != nil {
			return nil, err
		}
	}
	if m.Empty() && sp.Type != span.TypeApproval && s.windows == nil && s.schedules == nil && reverts == nil {
		return unasked, nil
	}
	if m.Empty() && reverts == nil {
		return s.outcome(func(*held, *effects) error { return nil })
	}
	j, err := newJudge(ctx, w, sp, at, m)
	if err != nil {
		return nil, err
	}
	j.reverts = reverts
	if err := j.all(s); err != nil {
		return nil, err
	}
	return j.close(s)
}

// unasked is the outcome where no contract has a say.
var unasked = &Outcome{Decision: span.Decision{Outcome: span.OutcomeAllow}}

// newJudge binds the facts of a span.
func newJudge(ctx context.Context, w *World, sp *span.Span, at standing.Position, m *contract.Match) (*judge, error) {
	j := &judge{ctx: ctx, w: w, sp: sp, at: at, now: instant(at.RecordedAt), match: m}
	j.supplier = &facts{ctx: ctx, w: w, at: at, now: j.now}
	actor, err := j.supplier.identity(sp.Author, m.Trust, m.Status)
	if err != nil {
		return nil, err
	}
	if actor == nil {
		actor = &expr.Identity{ID: sp.Author}
	}
	j.facts = expr.Facts{Span: &sp.Header, Actor: actor, Tenant: &w.Tenant, Now: j.now, Supplier: j.supplier}
	if sp.Payload != nil {
		if j.facts.Data, err = expr.ParseData(sp.Payload); err != nil {
			return nil, unavailable(err)
		}
	}
	j.input = expr.Bind(j.facts)
	return j, nil
}

// all asks everything that concerns the span, and notes what shadows said.
func (j *judge) all(s *sink) error {
	err := j.ofContracts(s)
	for _, sh := range j.shadows {
		s.trace = append(s.trace, sh.sink.trace...)
		if len(sh.sink.rules)+len(sh.sink.errors) > 0 {
			s.shadows = append(s.shadows, shadowEffect{sh.ref, sh.sink.verdict.String(), sh.sink.rules, sh.sink.errors})
		}
	}
	return err
}

func (j *judge) ofContracts(s *sink) error {
	if j.permits(s); s.rejected() {
		return nil
	}
	if err := j.rules(s); err != nil || s.rejected() {
		return err
	}
	if err := j.workflows(j.match.Workflows, s); err != nil || s.rejected() {
		return err
	}
	if j.reverts != nil {
		if err := j.undo(j.reverts, s); err != nil || s.rejected() {
			return err
		}
	}
	return j.itself(s)
}

// shadow is the shadow of a contract.
func (j *judge) shadow(c contract.InForce) *shadow {
	for _, sh := range j.shadows {
		if sh.ref == c.Ref() {
			return sh
		}
	}
	sh := &shadow{ref: c.Ref(), sink: sink{shadow: true}}
	j.shadows = append(j.shadows, sh)
	return sh
}

// permits refuses types that a contract gives to roles which the author has
// not. Each contract that names the type must be satisfied.
func (j *judge) permits(s *sink) {
	for i, p := range j.match.Permits {
		if i > 0 && j.match.Permits[i-1].In.Contract == p.In.Contract {
			continue // judged with the one before
		}
		var roles []string
		for _, q := range j.match.Permits[i:] {
			if q.In.Contract != p.In.Contract {
				break
			}
			roles = append(roles, q.Roles...)
		}
		allowed := j.hasRole(roles)
		if p.In.Mode == contract.Shadowed {
			if !allowed {
				sh := &j.shadow(p.In).sink
				sh.rules = []string{p.In.Name + "/permit"}
				sh.raise(Reject)
			}
			continue
		}
		s.asked(p.In.Contract)
		if !allowed {
			s.reject(origin{contract: p.In.Contract, rule: p.In.Name + "/permit"}, j.sp.Type+" is only for "+orList(roles))
			return
		}
	}
}

// rules asks the rules in order.
func (j *judge) rules(s *sink) error {
	for _, r := range j.match.Rules {
		if r.Shadow || r.In.Mode == contract.Shadowed {
			if err := j.asShadow(r, j.shadow(r.In)); err != nil {
				return err
			}
			continue
		}
		if s.rejected() {
			continue // shadows are asked all the same
		}
		s.asked(r.In.Contract)
		if err := j.rule(r.Rule, s); err != nil {
			return err
		}
	}
	return nil
}

// asShadow asks a rule of a shadow.
func (j *judge) asShadow(r contract.BoundRule, sh *shadow) error {
	if sh.sink.rejected() {
		return nil
	}
	j.flows, sh.flows = sh.flows, j.flows
	err := j.rule(r.Rule, &sh.sink)
	j.flows, sh.flows = sh.flows, j.flows
	return err
}

// rule asks one rule and does what it says.
func (j *judge) rule(r *contract.Rule, s *sink) error {
	o := origin{r.Contract, r.ID(), r.OnError}
	j.supplier.own = r.Contract
	holds := true
	if r.When != nil {
		var err error
		if holds, err = r.When.Bool(j.input); err != nil {
			return j.unmatched(err, o, s)
		}
	}
	branch, list := BranchThen, r.Then
	if !holds {
		branch, list = BranchElse, r.Else
	}
	if len(list) == 0 {
		j.passed(o.rule, branch, s)
		return nil
	}
	s.ran(o.rule, branch)
	return j.run(list, o, s)
}

// unmatched judges a condition that gave no value: a missing field does not
// match, and nothing else passes in silence.
func (j *judge) unmatched(err error, o origin, s *sink) error {
	if e, ok := err.(*expr.EvalError); ok && e.Reason == expr.Missing && o.onError == contract.Skip {
		j.passed(o.rule, BranchMissing, s)
		return nil
	}
	if o.onError == contract.Reject {
		s.ran(o.rule, BranchError)
	}
	return j.failed(err, o, s)
}

// passed notes a rule that was asked and does nothing, where somebody wants to
// know.
func (j *judge) passed(rule, branch string, s *sink) {
	if j.w.Explain {
		s.trace = append(s.trace, Step{rule, branch, s.shadow})
	}
}

// itself is what an executed span does without any rule.
func (j *judge) itself(s *sink) error {
	for _, add := range j.match.Adds {
		s.asked(add.In.Contract)
		least, most := j.trustRange(add.In.Contract)
		s.trust = append(s.trust, heldTrust{Identity: j.sp.Author, Amount: add.Amount, Min: least, Max: most})
	}
	if r := j.match.Retain; r != nil && !r.Forever && span.Redactable(j.sp.Type) {
		if due := j.now.Add(r.For); due.Year() <= 9999 {
			s.retain = span.FormatTime(due)
		}
	}
	for _, c := range j.match.Undoes {
		s.asked(c.Contract) // the record says who undoes it
	}
	for _, sc := range j.match.Schedules {
		s.asked(sc.Contract)
		if err := j.schedule(sc.Name, j.now.Add(sc.Delay), origin{contract: sc.Contract, rule: sc.ID()}, s, false); err != nil {
			return err
		}
	}
	j.count(s)
	return nil
}

// count is what the span adds to what expressions count and sum.
func (j *judge) count(s *sink) {
	for _, a := range j.match.Aggregates {
		v, ok := j.measure(a)
		if !ok {
			continue
		}
		if s.values == nil {
			s.values = map[string]float64{}
		}
		s.values[contract.AggregateID(a)] = v
	}
}

// measure is what the span adds to an aggregate; false for nothing.
func (j *judge) measure(a *expr.Aggregate) (float64, bool) {
	if a.Op == expr.Count {
		return 1, true
	}
	v := j.facts.Data
	for rest, name, more := a.Field, "", true; more; {
		name, rest, more = cut(rest)
		var ok bool
		if v, ok = v.Member(name); !ok {
			return 0, false
		}
	}
	return v.Number()
}

// close makes the outcome, with effects as of now, and holds it to its limits.
func (j *judge) close(s *sink) (*Outcome, error) {
	if s.rejected() { // it does nothing
		*s = sink{verdict: s.verdict, refusal: s.refusal, contracts: s.contracts, rules: s.rules, trace: s.trace, tags: s.tags,
			notes: s.notes, reasons: s.reasons, annotations: s.annotations, errors: s.errors, shadows: s.shadows}
	}
	o, err := s.outcome(j.effects)
	if err != nil {
		return nil, err
	}
	if r := o.fits(); r != nil && o.Verdict != Reject {
		if len(s.contracts) > 0 {
			r.Contract = s.contracts[len(s.contracts)-1]
		}
		r.Rule = "decision_too_large"
		return &Outcome{Verdict: Reject, Refusal: r, Decision: span.Decision{Outcome: Reject.String(), Evaluator: Evaluator}}, nil
	}
	return o, nil
}
