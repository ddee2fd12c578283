package expr

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Op is what an aggregate does with the spans it selects.
type Op uint8

const (
	// Count counts them.
	Count Op = iota
	// Sum adds the numbers that their payloads have in Field; a payload without
	// one adds nothing.
	Sum
)

// Aggregate is one spans(…).count() or spans(…).sum("…") of a program, found
// when it is compiled.
type Aggregate struct {
	Op      Op
	Pattern string // of the span's type: * one segment, ** the rest
	Field   string // of Sum: a member of the payload, or a path with dots
	// ByAuthor, BySubject and Windowed say which filters there are; their values
	// are in Args.
	ByAuthor, BySubject, Windowed bool
	// Within is the window where it is constant, else 0.
	Within time.Duration
	// Offset and End are where it stands in the `.lll` file.
	Offset, End int
}

// The names of what the planner calls in place of the questions. None can be
// written in an expression.
const (
	supplierName  = "@supplier"
	aggregateName = "@aggregate"
	identityName  = "@identity"
	stateName     = "@state"
	objectName    = "@object"
	equalName     = "@equal"
)

// questions are what an expression asks of the timeline. Those that can be
// written have no code: compiling puts the others in their place.
func questions() []cel.EnvOption {
	anyT := cel.DynType
	return []cel.EnvOption{
		cel.Function("spans", cel.Overload("spans_of", args(textT), spansType)),
		cel.Function("by", cel.MemberOverload("spans_by", args(spansType, textT), spansType)),
		cel.Function("subject", cel.MemberOverload("spans_subject", args(spansType, textT), spansType)),
		cel.Function("within", cel.MemberOverload("spans_within", args(spansType, durT), spansType)),
		cel.Function("count", cel.MemberOverload("spans_count", args(spansType), numT)),
		cel.Function("sum", cel.MemberOverload("spans_sum", args(spansType, textT), numT)),
		cel.Function("identity", cel.Overload("identity_of", args(textT), identityType)),
		cel.Function("state", cel.Overload("state_of", args(textT, textT), textT)),

		cel.Function(aggregateName, cel.Overload(aggregateName, args(supplierType, anyT, textT, textT, durT), numT, cel.FunctionBinding(askAggregate))),
		cel.Function(identityName, cel.Overload(identityName, args(supplierType, textT), identityType, cel.BinaryBinding(askIdentity))),
		cel.Function(objectName, cel.Overload(objectName, args(cel.ListType(anyT), cel.ListType(anyT)), cel.MapType(textT, anyT), cel.BinaryBinding(makeObject))),
		cel.Function(stateName, cel.Overload(stateName, args(supplierType, textT, textT), textT, cel.FunctionBinding(askState))),
	}
}

func supplierOf(v ref.Val) (Supplier, ref.Val) {
	s, ok := v.(*supplierVal)
	if !ok || s.Supplier == nil {
		return nil, types.WrapErr(&failure{Defect, "the facts have no supplier", nil})
	}
	return s.Supplier, nil
}

func unsupplied(err error) ref.Val {
	return types.WrapErr(&failure{Unsupplied, "the timeline could not be asked", err})
}

func askAggregate(v ...ref.Val) ref.Val {
	supplier, failed := supplierOf(v[0])
	if failed != nil {
		return failed
	}
	question, ok := v[1].(*aggregateVal)
	by, subject, ok2 := twoTexts(v[2], v[3])
	within, ok3 := v[4].(types.Duration)
	if !ok || !ok2 || !ok3 {
		return mismatch(v[2:]...)
	}
	if question.Windowed && within.Duration <= 0 {
		return undefined("a window is longer than nothing")
	}
	f, err := supplier.Aggregate(&question.Aggregate, Args{By: by, Subject: subject, Within: within.Duration})
	if err != nil {
		return unsupplied(err)
	}
	return finite(f)
}

func askIdentity(s, id ref.Val) ref.Val {
	supplier, failed := supplierOf(s)
	if failed != nil {
		return failed
	}
	name, ok := id.(types.String)
	if !ok {
		return mismatch(id)
	}
	found, err := supplier.Identity(string(name))
	if err != nil {
		return unsupplied(err)
	}
	if found == nil {
		return types.WrapErr(&failure{Missing, "the tenant has no identity of this id", nil})
	}
	return (*identityVal)(found)
}

func askState(v ...ref.Val) ref.Val {
	supplier, failed := supplierOf(v[0])
	if failed != nil {
		return failed
	}
	workflow, key, ok := twoTexts(v[1], v[2])
	if !ok {
		return mismatch(v[1:]...)
	}
	state, err := supplier.State(workflow, key)
	if err != nil {
		return unsupplied(err)
	}
	return types.String(state)
}

// aggregateVal carries an aggregate to the function that asks it.
type aggregateVal struct {
	supplierVal // it is no value that an expression sees
	Aggregate
}
