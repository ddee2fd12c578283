package rules

import (
	"strconv"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// Verdict is what becomes of a span. A greater one wins.
type Verdict uint8

const (
	Allow Verdict = iota
	Pending
	Simulate
	Reject
)

var verdictNames = [...]string{Allow: "allow", Pending: "pending", Simulate: "simulate", Reject: "reject"}

// String is the verdict as contracts and answers write it.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "unknown"
}

// Outcome is a decision with all that it found. It is not changed once made.
type Outcome struct {
	Verdict Verdict
	// Decision is the one for the line, without detail_hash, where Verdict is
	// Allow or Pending; else what it would be, with the verdict as outcome.
	Decision span.Decision
	// Detail is the erasable part without its salt, nil where there is none.
	Detail *span.Detail
	// Ran says what this is of a schedule's run, nil where it is of none.
	Ran *Ran
	// Refusal says who refused and why, where Verdict is Reject.
	Refusal *Refusal
	// Settle are the spans that a vote settles. Their resolutions follow in the
	// same batch.
	Settle []Settlement
	// Emitted, Called and Scheduled name the actions, and Trace the branches
	// that ran, for tests and explanations.
	Emitted, Called, Scheduled []string
	Trace                      []Step
	Annotations                expr.Value
}

// does names an action that the decision asks for.
func (o *Outcome) does(a actionEffect) {
	switch a.Kind {
	case ActionEmit:
		o.Emitted = append(o.Emitted, a.Name)
	case ActionCall:
		o.Called = append(o.Called, a.Name)
	case ActionSchedule:
		o.Scheduled = append(o.Scheduled, a.Name)
	}
}

// Refusal is why a span was refused.
type Refusal struct {
	Contract string // name@version#hash
	Rule     string // contract/rule
	Reason   string
	kept     string // the reason as the record keeps it
}

// Settlement is a pending span that can be resolved now.
type Settlement struct {
	Span       string
	HeaderHash string
}

// Step is one branch that ran: of a rule then or else, of a workflow the step
// it took.
type Step struct {
	Rule   string
	Branch string
	Shadow bool
}

// Branches of rules. The last two are of conditions that gave no value.
const (
	BranchThen    = "then"
	BranchElse    = "else"
	BranchMissing = "missing" // a field was: the rule does nothing
	BranchError   = "error"   // the span was refused
)

// Fault is the refusal as the author is told it.
func (r *Refusal) Fault() *fault.Error {
	return fault.New(fault.Invalid, CodeRefused, r.Reason).With("contract", r.Contract).With("rule", r.Rule)
}

// Seal gives the decision with its detail_hash, and the detail in the form in
// which it is kept, under a salt of 16 random bytes. Without a detail it uses
// none of them.
func (o *Outcome) Seal(salt [16]byte) (span.Decision, []byte) {
	d := o.Decision
	if o.Detail == nil {
		return d, nil
	}
	detail := *o.Detail
	detail.Salt = span.B64(salt[:])
	d.DetailHash = detail.Hash().String()
	return d, detail.Canonical()
}

// maxDetail bounds the detail, which shares the payload's default limit.
const maxDetail = 1 << 20

// size is about how many bytes the decision has, without what escapes add.
func (o *Outcome) size() int {
	d := &o.Decision
	n := len(d.Effects) + len(d.Values) + 256
	for _, list := range [][]string{d.Contracts, d.Rules, d.Tags} {
		for _, s := range list {
			n += len(s) + 8
		}
	}
	return n + len(d.Transitions)*(maxUserKey+256)
}

// fits refuses decisions that are too large (PROTOCOL §4).
func (o *Outcome) fits() *Refusal {
	d := o.Decision
	if o.size() < span.MaxDecision/8 && o.Detail == nil {
		return nil // a character has at most six bytes of JSON
	}
	d.DetailHash = span.Hash{}.String()
	if err := d.CheckSize(); err != nil {
		return &Refusal{Reason: "the decision would exceed " + strconv.Itoa(span.MaxDecision) + " bytes; ask less at once"}
	}
	if o.Detail != nil && len(o.Detail.Canonical()) > maxDetail-64 {
		return &Refusal{Reason: "the notes and data of the decision would exceed 1 MiB; ask less at once"}
	}
	return nil
}
