package rules

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// Approval is one approval that a span waits for.
type Approval struct {
	Contract string // name@version#hash
	Rule     string
	From     []string // roles and identities
	Count    float64  // weights that are needed
	Distinct bool     // each identity counts once
	Weights  map[string]float64
	Deadline string // "" for none
}

// Asked are the approvals that a recorded decision asks for.
func Asked(d *span.Decision) ([]Approval, error) {
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return nil, err
	}
	out := make([]Approval, len(eff.Asks))
	for i, q := range eff.Asks {
		out[i] = Approval{q.Contract, q.Rule, q.From, q.Count, q.Distinct, q.Weights, q.Deadline}
	}
	return out, nil
}

// ShadowSaid is what a shadow would have decided.
type ShadowSaid struct {
	Contract string // name@version#hash
	Outcome  string
	Rules    []string // that would have run
	Errors   []string // "contract/rule missing": those that could not be evaluated
}

// Noted are what a recorded decision says beside what it decided: which rules
// could not be evaluated, and what shadows would have decided.
func Noted(d *span.Decision) (errors []string, shadows []ShadowSaid, err error) {
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range eff.Shadow {
		shadows = append(shadows, ShadowSaid(s))
	}
	return eff.Errors, shadows, nil
}

// Score is an identity's trust after a decision.
type Score struct {
	Identity string
	Score    float64
}

// Scores are the scores that a recorded decision moved.
func Scores(d *span.Decision) ([]Score, error) {
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return nil, err
	}
	out := make([]Score, len(eff.Trust))
	for i, t := range eff.Trust {
		out[i] = Score{t.Identity, t.Score}
	}
	return out, nil
}

// Failures are what could not be evaluated when a decision was made, in words. A
// rule that refuses has refused then; another has left undone what it could not do.
func Failures(d *span.Decision) []string {
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(eff.Errors))
	for _, e := range eff.Errors {
		rule, reason, _ := strings.Cut(e, " ")
		words := failureWords[reason]
		if words == "" {
			words = reason
		}
		out = append(out, rule+" could not be evaluated: "+words)
	}
	return out
}

var failureWords = map[string]string{
	expr.Missing.String():   "the span has not what it asks for",
	expr.Mismatch.String():  "a value is of another kind than it needs",
	expr.Undefined.String(): "it has no value, as a division by zero has none",
	expr.TooCostly.String(): "it costs more than an expression may",
}

// Waiting is a span that waits for votes now.
type Waiting struct{ row approvalRow }

// WaitingFor says whether a span waits for votes, and for which.
func WaitingFor(ctx context.Context, s State, spanID string) (*Waiting, bool, error) {
	w := &Waiting{}
	ok, err := load(ctx, s, approvalKey(spanID), &w.row)
	return w, ok, err
}

// Has is what each approval that was asked for has by now, in their order.
func (w *Waiting) Has() []float64 {
	out := make([]float64, len(w.row.Asks))
	for i := range out {
		sum := decimalOf(0)
		for _, v := range w.row.Votes {
			if v.Vote == span.VoteApprove && i < len(v.Weights) {
				sum = sum.plus(decimalOf(v.Weights[i]))
			}
		}
		out[i] = sum.float()
	}
	return out
}

// May says whether the vote of an identity with these roles would count, at a
// time of the form of recorded_at.
func (w *Waiting) May(identity string, roles []string, now string) bool {
	if identity == w.row.Author {
		return false
	}
	voted := slices.ContainsFunc(w.row.Votes, func(v vote) bool { return v.By == identity })
	return slices.ContainsFunc(w.row.Asks, func(q ask) bool {
		_, may := q.weight(identity, roles)
		return may && (q.Deadline == "" || now < q.Deadline) && !(q.Distinct && voted)
	})
}

// Action is something that a recorded decision asks the engine to do.
type Action struct {
	Kind  string // ActionEmit, ActionCall or ActionSchedule
	Name  string // a type, a webhook, a task
	Rule  string // contract/rule
	Index int    // where the detail has the body
	Of    string // the span whose detail it is; "" for the entry's own
}

// Actions are what a recorded decision asks to be done now; what waits for
// votes is asked for by the resolution.
func Actions(d *span.Decision) ([]Action, error) {
	if d.Effects == nil {
		return nil, nil
	}
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return nil, err
	}
	out := make([]Action, len(eff.Actions))
	for i, a := range eff.Actions {
		out[i] = Action{a.Kind, a.Name, a.Rule, a.Index, a.Of}
	}
	return out, nil
}
