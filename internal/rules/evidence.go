package rules

import "github.com/danvoulez/logline/internal/span"

// CodeRefused is the code of refusals by contracts (HTTP 422).
const CodeRefused = "refused_by_contract"

// Evidence is the decision of the node's entry that keeps a refused attempt
// (logline.decision): who refused, and beside it, erasable, why.
func (o *Outcome) Evidence() *Outcome {
	e := &Outcome{Decision: span.Decision{
		Outcome: span.OutcomeAllow, Evaluator: Evaluator, Contracts: []string{o.Refusal.Contract}, Rules: []string{o.Refusal.Rule},
	}}
	if o.Refusal.Reason != "" {
		e.Detail = &span.Detail{Reasons: []string{o.Refusal.Reason}}
	}
	return e
}
