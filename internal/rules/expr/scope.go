package expr

import (
	"fmt"
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Place is where an expression stands in a contract. It says which variables
// and functions there are.
type Place uint8

const (
	// Condition: the `when` of a rule or policy.
	Condition Place = iota
	// Guard: of a workflow's transition; a condition that also knows
	// entered_at and approvals.
	Guard
	// Key: of a workflow's instance or of a quota. It asks nothing of the
	// timeline and not the time, so that a key can always be found again.
	Key
	// Computed: a value that has effects: trust added, a limit, a delay, the
	// payload of an emitted span.
	Computed
	// Text: what people read: reasons, notes, annotations. Only here may
	// directory data be shown.
	Text
	// Each: the `where` and the actions of a schedule's foreach. It knows `it`.
	Each
	// Constant: the value of a parameter: parameters before it and nothing else.
	Constant
)

var placeNames = [...]string{Condition: "a condition", Guard: "a guard", Key: "a key", Computed: "a computed value", Text: "a text", Each: "a foreach", Constant: "a parameter's value"}

// String names the place as messages do: "a condition".
func (p Place) String() string {
	if int(p) < len(placeNames) {
		return placeNames[p]
	}
	return "an expression"
}

// Vars is a set of variables.
type Vars uint16

// The variables. Params are always there.
const (
	VarSpan Vars = 1 << iota
	VarData
	VarActor
	VarTenant
	VarApprovals
	VarNow
	VarEnteredAt
	VarIt
)

const ofSpanVars = VarSpan | VarData | VarActor | VarTenant

// vars are the variables of a place where a span is decided.
func (p Place) vars() Vars {
	switch p {
	case Condition:
		return ofSpanVars | VarNow
	case Guard:
		return ofSpanVars | VarNow | VarEnteredAt | VarApprovals
	case Key:
		return ofSpanVars | VarIt
	case Computed, Text:
		return ofSpanVars | VarNow | VarEnteredAt | VarApprovals | VarIt
	case Each:
		return VarTenant | VarNow | VarIt
	}
	return 0
}

// asks says whether an expression there may ask the timeline.
func (p Place) asks() bool { return p != Key && p != Constant }

// variables are those of Vars, in its order, with their types.
var variables = [...]struct {
	name string
	kind *types.Type
}{
	{"span", spanType}, {"data", dataType}, {"actor", identityType}, {"tenant", tenantType},
	{"approvals", types.NewListType(approvalType)}, {"now", types.TimestampType},
	{"entered_at", types.TimestampType}, {"it", identityType},
}

// ScopeConfig describes a Scope.
type ScopeConfig struct {
	Place Place
	// Vars are the variables; zero takes those of the place where a span is
	// decided.
	Vars Vars
	// Params are the contract's parameters with their values, which are
	// constants to the expressions.
	Params map[string]Value
}

// Scope is what an expression may name. It is immutable; one serves all
// expressions of a contract that stand in the same kind of place.
type Scope struct {
	config ScopeConfig
	env    *cel.Env
}

// NewScope makes a scope. It fails for a parameter whose value is null or an
// identity.
func NewScope(config ScopeConfig) (*Scope, error) {
	if config.Vars == 0 {
		config.Vars = config.Place.vars()
	}
	config.Params = maps.Clone(config.Params)
	base, err := baseEnv()
	if err != nil {
		return nil, fmt.Errorf("declare the functions of expressions: %w", err)
	}
	options := []cel.EnvOption{cel.Variable(supplierName, supplierType)}
	for i, v := range variables {
		if config.Vars&(1<<i) != 0 {
			options = append(options, cel.Variable(v.name, v.kind))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(config.Params)) {
		v := config.Params[name]
		kind := typeOf(v.ref())
		if kind == nil {
			return nil, fmt.Errorf("the parameter %s has no value that a parameter may have", name)
		}
		options = append(options, cel.Constant(paramPrefix+name, kind, v.ref()))
	}
	env, err := base.Extend(options...)
	if err != nil {
		return nil, fmt.Errorf("declare the variables of expressions: %w", err)
	}
	return &Scope{config, env}, nil
}

// paramPrefix begins the name of the constant that stands for a parameter. No
// name in an expression can begin so.
const paramPrefix = "@params."

// typeOf is the CEL type of a value of a parameter, nil for others.
func typeOf(v ref.Val) *types.Type {
	switch v.(type) {
	case types.Bool:
		return types.BoolType
	case types.Double:
		return types.DoubleType
	case types.String:
		return types.StringType
	case types.Duration:
		return types.DurationType
	case types.Timestamp:
		return types.TimestampType
	case *object:
		return dataType
	}
	items := Value{v}.List()
	if items == nil {
		return nil
	}
	return types.NewListType(commonType(items))
}

// commonType is the type of all items, dyn where they differ.
func commonType(items []Value) *types.Type {
	var common *types.Type
	for _, item := range items {
		kind := typeOf(item.ref())
		if kind == nil || common != nil && !common.IsExactType(kind) {
			return types.DynType
		}
		common = kind
	}
	if common == nil {
		return types.DynType
	}
	return common
}
