package rules

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Resolution is how a pending span is settled: the payload of its
// logline.resolution and that entry's decision.
type Resolution struct {
	Payload span.Resolution
	Outcome *Outcome
}

// Resolve settles a pending span whose votes or whose time decide it: executed
// once every approval has what it asks for, rejected by one vote against, and
// what on_timeout says when the time for votes is over. sp is the span as the
// timeline has it; only that of a contract needs its payload. What the span
// does happens at the resolution: where a workflow has moved meanwhile or a
// contract cannot be activated any more, it is rejected.
//
// Fails with not_pending where the span does not wait, and with
// resolution_early where nothing settles it yet.
func Resolve(ctx context.Context, w *World, sp *span.Span, at standing.Position) (*Resolution, error) {
	p, err := pendingOf(ctx, w, sp, at)
	if err != nil {
		return nil, err
	}
	switch {
	case p.row.against():
		return p.reject("a vote was cast against it", span.ResolutionRejected)
	case p.row.quorum(nil):
		return p.execute()
	}
	for i, q := range p.row.Asks {
		if q.Deadline != "" && q.Deadline <= at.RecordedAt && !p.row.satisfied(i, nil) {
			return p.timeout(q)
		}
	}
	return nil, fault.New(fault.Conflict, "resolution_early", "the span still waits for votes, and there is time for them")
}

// Abandon settles a pending span as rejected because what it asks for cannot be
// done any more for a reason that lies outside contracts.
func Abandon(ctx context.Context, w *World, sp *span.Span, at standing.Position, reason string) (*Resolution, error) {
	p, err := pendingOf(ctx, w, sp, at)
	if err != nil {
		return nil, err
	}
	return p.reject(reason, span.ResolutionRejected)
}

// pending is a span that waits, while it is settled.
type pending struct {
	*judge
	row  approvalRow
	sink *sink
}

func pendingOf(ctx context.Context, w *World, sp *span.Span, at standing.Position) (*pending, error) {
	p := &pending{judge: &judge{ctx: ctx, w: w, sp: sp, at: at, now: instant(at.RecordedAt)}, sink: &sink{}}
	ok, err := load(ctx, w.State, approvalKey(sp.ID), &p.row)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.Conflict, "not_pending", "the span waits for no vote").At("/span", "is not pending")
	}
	p.sink.contracts = slices.Clone(p.row.Contracts)
	p.supplier = &facts{ctx: ctx, w: w, at: at, now: p.now}
	p.judge.facts = expr.Facts{Tenant: &w.Tenant, Now: p.now, Supplier: p.supplier}
	for _, v := range p.row.Votes {
		total := 0.0
		for _, weight := range v.Weights {
			total = max(total, weight)
		}
		p.judge.facts.Approvals = append(p.judge.facts.Approvals, expr.Approval{By: v.By, Vote: v.Vote, Roles: v.Roles, At: instant(v.At), Weight: total})
	}
	p.input = expr.Bind(p.judge.facts)
	return p, nil
}

// settled closes the resolution.
func (p *pending) settled(outcome string, h *held) (*Resolution, error) {
	p.sink.rules = append(p.sink.rules, p.askedBy()...)
	o, err := p.sink.outcome(func(_ *held, e *effects) error {
		e.Settles = p.sp.ID
		if h == nil {
			return nil
		}
		for _, a := range h.Actions {
			a.Of = p.sp.ID
			e.Actions = append(e.Actions, a)
		}
		return p.effects(h, e)
	})
	if err != nil {
		return nil, err
	}
	if h != nil {
		o.Decision.Transitions = h.Transitions
		if err := setValues(&o.Decision, h.Values); err != nil {
			return nil, err
		}
		for _, a := range h.Actions {
			o.does(a)
		}
	}
	o.Decision.Outcome = span.OutcomeAllow // of the node's entry, which stands
	if err := o.Decision.CheckSize(); err != nil && outcome == span.ResolutionExecuted {
		p.sink = &sink{contracts: p.row.Contracts}
		return p.reject("what it does fits no line", span.ResolutionRejected)
	}
	return &Resolution{span.Resolution{Span: p.sp.ID, HeaderHash: p.row.HeaderHash, Outcome: outcome}, o}, nil
}

// askedBy are the rules that asked for votes.
func (p *pending) askedBy() []string {
	var out []string
	for _, q := range p.row.Asks {
		if !slices.Contains(out, q.Rule) && !slices.Contains(p.sink.rules, q.Rule) {
			out = append(out, q.Rule)
		}
	}
	return out
}

func (p *pending) reject(reason, outcome string) (*Resolution, error) {
	ref, rule := "", ""
	if len(p.row.Asks) > 0 {
		ref, rule = p.row.Asks[0].Contract, p.row.Asks[0].Rule
	}
	p.sink.reasons = append(p.sink.reasons, reason)
	p.sink.raise(Reject)
	p.sink.schedules = nil
	p.sink.refusal = &Refusal{Contract: ref, Rule: rule, Reason: reason}
	return p.settled(outcome, nil)
}

// execute does what the span does, if it still can.
func (p *pending) execute() (*Resolution, error) {
	if p.row.Activates != nil {
		c, action, err := judgeActivation(p.ctx, p.w, p.row.Author, p.sp.Payload)
		if err == nil {
			p.sink.schedules, err = planned(p.ctx, p.w, c, action, p.now)
		}
		if err != nil {
			if fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.Internal {
				return nil, err
			}
			return p.reject("the contract cannot be activated any more: "+fault.From(err).Detail, span.ResolutionRejected)
		}
	}
	h := p.row.Held
	if h == nil {
		h = &held{}
	}
	moved, err := p.movedOn(h)
	if err != nil {
		return nil, err
	}
	if moved != "" {
		return p.reject(moved+" has moved since the votes were asked for", span.ResolutionRejected)
	}
	return p.settled(span.ResolutionExecuted, h)
}

// movedOn is the workflow whose instance is no longer where the span found it.
func (p *pending) movedOn(h *held) (string, error) {
	seen := map[string]bool{}
	for _, t := range h.Transitions {
		key := workflowKey(t.Workflow, t.Key)
		if seen[key] {
			continue
		}
		seen[key] = true
		var r workflowRow
		exists, err := load(p.ctx, p.w.State, key, &r)
		if err != nil {
			return "", err
		}
		begins := slices.ContainsFunc(h.Starts, func(s instanceEffect) bool { return s.Workflow == t.Workflow && s.Key == t.Key })
		if exists == begins || exists && r.State != t.From {
			return t.Workflow, nil
		}
	}
	return "", nil
}

// timeout does what the approval says for when its time is over.
func (p *pending) timeout(q ask) (*Resolution, error) {
	c, err := p.w.version(p.ctx, q.Contract)
	if err != nil {
		return nil, err
	}
	if q.Index >= len(c.Approvals) {
		return nil, fault.Newf(fault.Internal, "contract_missing", "the contract %s asks for no approval of that number", q.Contract)
	}
	p.supplier.own = c
	list := c.Approvals[q.Index].OnTimeout
	allows := slices.ContainsFunc(list, func(a contract.Action) bool {
		_, allows := a.(*contract.AllowAction)
		return allows
	})
	if err := p.run(list, origin{contract: c, rule: q.Rule}, p.sink); err != nil {
		return nil, err
	}
	switch {
	case p.sink.rejected():
		return p.settled(span.ResolutionExpired, nil)
	case allows:
		return p.execute()
	}
	return p.reject("the time for votes is over", span.ResolutionExpired)
}
