package rules

import "github.com/danvoulez/logline/internal/span"

// CodeRefused is the code of refusals by contracts (HTTP 422).
const CodeRefused = "refused_by_contract"

// Evidence is the decision of the node's entry that keeps a refused attempt
// (logline.decision): who refused, and beside it why. An entry of that type is
// never erased, so the reason shows what the contract says and nothing of the
// span, which is recorded nowhere; whoever sent it was told all of it.
func (o *Outcome) Evidence() *Outcome {
	e := &Outcome{Decision: span.Decision{
		Outcome: span.OutcomeAllow, Evaluator: Evaluator, Contracts: []string{o.Refusal.Contract}, Rules: []string{o.Refusal.Rule},
	}}
	if o.Refusal.kept != "" {
		e.Detail = &span.Detail{Reasons: []string{o.Refusal.kept}}
	}
	return e
}
