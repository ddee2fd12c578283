package expr

import (
	"errors"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	free       cel.Program // counts no cost
	counted    cel.Program // counts it; nil where free serves all data
	uncounted  int         // how heavy data may be for free
	want       Type
	aggregates []*Aggregate
	workflows  []string
	identities bool
	estimate   uint64
	at         map[int64]position
	whole      position
}

type position struct{ offset, end int }

// Aggregates are what the program may ask Supplier.Aggregate, in the order in
// which they stand. The supplier is given these very pointers.
func (p *Program) Aggregates() []*Aggregate { return p.aggregates }

// Workflows are the names that the program may ask Supplier.State for.
func (p *Program) Workflows() []string { return p.workflows }

// Identities says whether the program may ask Supplier.Identity.
func (p *Program) Identities() bool { return p.identities }

// Cost is what an evaluation is reckoned to cost at most, in CEL's units: see
// MaxStaticCost.
func (p *Program) Cost() uint64 { return p.estimate }

// Eval gives the value, which is of the type that was wanted and about MaxData
// bytes of JSON at most, or an *EvalError.
func (p *Program) Eval(in *Input) (Value, error) {
	if in.over() {
		return Value{}, p.late()
	}
	out, _, err := p.planned(in).Eval((*activation)(in))
	if err != nil {
		return Value{}, p.explain(err)
	}
	v := Value{out}
	if weigh(v.ref(), MaxData+1) > MaxData {
		return Value{}, &EvalError{Reason: TooCostly, Offset: p.whole.offset, End: p.whole.end, Message: "the value is greater than a payload may be"}
	}
	if p.want != Any && v.Type() != p.want {
		return Value{}, p.unwanted(v)
	}
	return v, nil
}

// planned is the program for such facts.
func (p *Program) planned(in *Input) cel.Program {
	if p.counted != nil && in.weight > p.uncounted {
		return p.counted
	}
	return p.free
}

// Bool is Eval for a program that was compiled to yield Bool.
func (p *Program) Bool(in *Input) (bool, error) {
	if in.over() {
		return false, p.late()
	}
	out, _, err := p.planned(in).Eval((*activation)(in))
	if err != nil {
		return false, p.explain(err)
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, p.unwanted(Value{out})
	}
	return bool(b), nil
}

// late is the error of an evaluation that is not begun any more.
func (p *Program) late() error {
	return &EvalError{Reason: TooCostly, Offset: p.whole.offset, End: p.whole.end, Message: "there is no time left for this"}
}

// unwanted is the error for a value of another type. A null is an absent value.
func (p *Program) unwanted(v Value) error {
	reason := Mismatch
	if v.Type() == Any {
		reason = Missing
	}
	return &EvalError{Reason: reason, Offset: p.whole.offset, End: p.whole.end,
		Message: p.want.String() + " is wanted here, and this is " + v.kindName()}
}

// explain makes an EvalError of CEL's error.
func (p *Program) explain(err error) error {
	out := &EvalError{Reason: Defect, Offset: p.whole.offset, End: p.whole.end}
	var cancelled interpreter.EvalCancelledError
	if errors.As(err, &cancelled) {
		out.Reason, out.Message = TooCostly, "the evaluation costs more than an expression may"
		return out
	}
	var labelled *types.Err
	if errors.As(err, &labelled) {
		if at, ok := p.at[labelled.NodeID()]; ok {
			out.Offset, out.End = at.offset, at.end
		}
	}
	var ours *failure
	if errors.As(err, &ours) {
		out.Reason, out.Message, out.cause = ours.reason, ours.message, ours.cause
		return out
	}
	out.Reason, out.Message = translate(err.Error())
	return out
}

// translate puts the errors of CEL's interpreter in our words.
func translate(message string) (Reason, string) {
	switch {
	case strings.HasPrefix(message, "no such key: "):
		return Missing, "there is no " + quote(strings.TrimPrefix(message, "no such key: "))
	case strings.HasPrefix(message, "index out of bounds"):
		return Missing, "the list is shorter"
	case strings.HasPrefix(message, "no such attribute"):
		return Missing, "the variable has no value"
	case strings.HasPrefix(message, "no such overload"), strings.HasPrefix(message, "unsupported index"), strings.HasPrefix(message, "got '"):
		return Mismatch, "the values are not of the types that this needs"
	}
	return Defect, "the expression could not be evaluated: " + message
}
