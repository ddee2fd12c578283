package rules

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// judgeVote judges a logline.approval at its position. The author of a span
// does not vote on it; a vote counts for every approval that asks one of the
// voter's roles, with the greatest weight among them; one vote against refuses.
func judgeVote(ctx context.Context, w *World, sp *span.Span, at standing.Position, s *sink) error {
	p, err := span.ParseApproval(sp.Payload)
	if err != nil {
		return err
	}
	var r approvalRow
	ok, err := load(ctx, w.State, approvalKey(p.Span), &r)
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.New(fault.Conflict, "approval_not_asked",
			"the span waits for no votes: no contract asks for them, or it was settled already (logline why says which)").At("/payload/span", "waits for none")
	case r.Author == sp.Author:
		return fault.New(fault.Forbidden, "approval_own", "the author of a span does not vote on it").At("/author", "authored the span")
	}
	roles := w.Standing.Roles(sp.Author)
	v := &voteEffect{Span: p.Span, Roles: roles, Weights: make([]float64, len(r.Asks))}
	var weight float64
	asked, late, repeated := false, false, false
	for i, q := range r.Asks {
		wt, may := q.weight(sp.Author, roles)
		switch {
		case !may:
		case q.Deadline != "" && at.RecordedAt >= q.Deadline:
			late = true
		case q.Distinct && slices.ContainsFunc(r.Votes, func(v vote) bool { return v.By == sp.Author }):
			repeated = true
		default:
			asked = true
			v.Weights[i] = wt
			weight += wt
		}
	}
	switch {
	case asked:
	case late:
		return fault.New(fault.Conflict, "approval_late", "the time for votes on this span is over").At("/payload/span", "waits no longer")
	case repeated:
		return fault.New(fault.Conflict, "approval_repeated", "the identity has voted on this span already; each counts once").At("/author", "has voted")
	default:
		return fault.New(fault.Forbidden, "approval_role", "the span waits for votes of other roles").At("/author", "holds none of the roles asked for")
	}
	for _, ref := range r.Contracts {
		if !slices.Contains(s.contracts, ref) {
			s.contracts = append(s.contracts, ref)
		}
	}
	s.vote = v
	if p.Vote == span.VoteReject || r.quorum(v.Weights) {
		s.settle = []Settlement{{Span: p.Span, HeaderHash: p.HeaderHash}}
	}
	return nil
}

// weight is what a vote counts for an approval; false where it is not asked.
func (q *ask) weight(voter string, roles []string) (weight float64, may bool) {
	for _, from := range q.From {
		if from != voter && !slices.Contains(roles, from) {
			continue
		}
		one, said := q.Weights[from]
		if !said {
			one = 1
		}
		weight, may = max(weight, one), true
	}
	return weight, may
}

// quorum says that every approval has what it asks for, with one more vote of
// these weights.
func (r *approvalRow) quorum(more []float64) bool {
	for i := range r.Asks {
		if !r.satisfied(i, more) {
			return false
		}
	}
	return true
}

// satisfied says that one approval has what it asks for.
func (r *approvalRow) satisfied(i int, more []float64) bool {
	sum := decimalOf(0)
	for _, v := range r.Votes {
		if v.Vote == span.VoteApprove && i < len(v.Weights) {
			sum = sum.plus(decimalOf(v.Weights[i]))
		}
	}
	if i < len(more) {
		sum = sum.plus(decimalOf(more[i]))
	}
	return sum.float() >= r.Asks[i].Count
}

// against says that somebody whose vote counts voted against.
func (r *approvalRow) against() bool {
	return slices.ContainsFunc(r.Votes, func(v vote) bool { return v.Vote == span.VoteReject })
}
