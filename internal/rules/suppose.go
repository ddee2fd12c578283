package rules

import (
	"context"
	"maps"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Supposition is what a test or a dry run takes for granted.
type Supposition struct {
	States []SupposedState
	Trust  map[string]float64 // scores by identity
	// Counted says that the span is one of those that expressions count and sum.
	Counted bool
	// InForce are contracts whose schedules run from now on.
	InForce []*contract.Contract
}

// SupposedState puts an instance of a workflow into a state.
type SupposedState struct{ Workflow, Key, State string }

// Suppose is the decision of an entry whose folding makes a supposition true:
// sp is of whomever, and nothing is judged. It is for tools that work in
// memory; no entry of a timeline is decided so.
func Suppose(ctx context.Context, w *World, sp *span.Span, g Supposition, at standing.Position) (*Outcome, error) {
	j, err := newJudge(ctx, w, sp, at, w.contracts().Match(sp.Type))
	if err != nil {
		return nil, err
	}
	s := &sink{}
	for _, state := range g.States {
		if err := j.suppose(state, s); err != nil {
			return nil, err
		}
	}
	for _, identity := range slices.Sorted(maps.Keys(g.Trust)) {
		score := g.Trust[identity]
		s.trust = append(s.trust, heldTrust{Identity: identity, Set: true, Amount: score, Min: score, Max: score})
	}
	if g.Counted {
		j.count(s)
	}
	for _, c := range g.InForce {
		schedules, err := plan(ctx, w, c, j.now)
		if err != nil {
			return nil, err
		}
		s.schedules = append(s.schedules, schedules...)
	}
	return s.outcome(j.effects)
}

func (j *judge) suppose(state SupposedState, s *sink) error {
	w := j.w.contracts().Workflow(state.Workflow)
	if w == nil {
		return fault.Newf(fault.Invalid, "workflow_unknown", "there is no workflow %s", state.Workflow)
	}
	if w.State(state.State) == nil {
		return fault.Newf(fault.Invalid, "state_unknown", "the workflow %s has no state %s", w.Name, state.State)
	}
	f, err := j.flow(w, state.Key)
	if err != nil {
		return err
	}
	if !f.exists {
		j.begin(f, s)
	}
	s.moves = append(s.moves, span.Transition{Workflow: f.ID(), Key: f.key, From: f.state, To: state.State})
	f.state, f.entered = state.State, j.now
	return nil
}

// StateOf is the state of a workflow's instance, "" where there is none. The
// workflow is named as it is or as contract/workflow.
func StateOf(ctx context.Context, w *World, workflow, key string) (string, error) {
	return (&facts{ctx: ctx, w: w}).State(workflow, key)
}

// TrustOf is the score of an identity.
func TrustOf(ctx context.Context, w *World, identity string) (float64, error) {
	var r trustRow
	_, err := load(ctx, w.State, trustKey(identity), &r)
	return r.Score, err
}

// KeyOf is the key of the instance of a workflow that a span concerns.
func KeyOf(ctx context.Context, w *World, flow *contract.Workflow, sp *span.Span, at standing.Position) (string, error) {
	j, err := newJudge(ctx, w, sp, at, w.contracts().Match(sp.Type))
	if err != nil {
		return "", err
	}
	return j.key(flow)
}
