package expr

import (
	"math"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// baseEnv declares what every expression has: operators, functions and macros,
// without variables. It is built once, since all of it is constant.
var baseEnv = sync.OnceValues(newBaseEnv)

func newBaseEnv() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{}),
		cel.CustomTypeProvider(provider{}),
		cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.MapMacro, cel.MapFilterMacro, cel.FilterMacro),
		cel.ParserExpressionSizeLimit(2 * MaxSource),
		cel.ParserRecursionLimit(MaxDepth),
		cel.ExpressionNodeLimit(MaxNodes),
		cel.ExpressionNestingDepthLimit(MaxDepth),
		cel.EnableHiddenAccumulatorName(true),
	}
	for _, group := range [][]cel.EnvOption{logic(), comparisons(), arithmetic(), containers(), conversions(), texts(), numbers(), clocks(), questions()} {
		options = append(options, group...)
	}
	return cel.NewCustomEnv(options...)
}

var (
	boolT   = cel.BoolType
	numT    = cel.DoubleType
	textT   = cel.StringType
	durT    = cel.DurationType
	timeT   = cel.TimestampType
	paramA  = cel.TypeParamType("A")
	paramB  = cel.TypeParamType("B")
	listOfA = cel.ListType(paramA)
	mapOfAB = cel.MapType(paramA, paramB)
)

func args(t ...*cel.Type) []*cel.Type { return t }

// logic has no code: CEL's interpreter runs it.
func logic() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function(operators.Conditional, cel.Overload(overloads.Conditional, args(boolT, paramA, paramA), paramA)),
		cel.Function(operators.LogicalAnd, cel.Overload(overloads.LogicalAnd, args(boolT, boolT), boolT)),
		cel.Function(operators.LogicalOr, cel.Overload(overloads.LogicalOr, args(boolT, boolT), boolT)),
		cel.Function(operators.Equals, cel.Overload(overloads.Equals, args(paramA, paramA), boolT)),
		cel.Function(operators.NotEquals, cel.Overload(overloads.NotEquals, args(paramA, paramA), boolT)),
		cel.Function(operators.LogicalNot,
			cel.Overload(overloads.LogicalNot, args(boolT), boolT), cel.SingletonUnaryBinding(func(v ref.Val) ref.Val {
				if b, ok := v.(types.Bool); ok {
					return !b
				}
				return mismatch(v)
			})),
		cel.Function(operators.NotStrictlyFalse, cel.Overload(overloads.NotStrictlyFalse, args(boolT), boolT,
			cel.OverloadIsNonStrict(), cel.UnaryBinding(func(v ref.Val) ref.Val { return types.Bool(v != types.False) }))),
	}
}

// comparisons of two numbers, texts, durations or times.
func comparisons() []cel.EnvOption {
	compare := func(operator, number, text, duration, instant string, holds func(order types.Int) bool) cel.EnvOption {
		return cel.Function(operator,
			cel.Overload(number, args(numT, numT), boolT),
			cel.Overload(text, args(textT, textT), boolT),
			cel.Overload(duration, args(durT, durT), boolT),
			cel.Overload(instant, args(timeT, timeT), boolT),
			cel.SingletonBinaryBinding(func(a, b ref.Val) ref.Val {
				order, ok := order(a, b)
				if !ok {
					return mismatch(a, b)
				}
				return types.Bool(holds(order))
			}))
	}
	return []cel.EnvOption{
		compare(operators.Less, overloads.LessDouble, overloads.LessString, overloads.LessDuration, overloads.LessTimestamp, func(o types.Int) bool { return o < 0 }),
		compare(operators.LessEquals, overloads.LessEqualsDouble, overloads.LessEqualsString, overloads.LessEqualsDuration, overloads.LessEqualsTimestamp, func(o types.Int) bool { return o <= 0 }),
		compare(operators.Greater, overloads.GreaterDouble, overloads.GreaterString, overloads.GreaterDuration, overloads.GreaterTimestamp, func(o types.Int) bool { return o > 0 }),
		compare(operators.GreaterEquals, overloads.GreaterEqualsDouble, overloads.GreaterEqualsString, overloads.GreaterEqualsDuration, overloads.GreaterEqualsTimestamp, func(o types.Int) bool { return o >= 0 }),
	}
}

// order compares two values of one type; false for values that have no order.
// No number is NaN: arithmetic refuses to make one.
func order(a, b ref.Val) (types.Int, bool) {
	switch a := a.(type) {
	case types.Double:
		if b, ok := b.(types.Double); ok {
			return sign(a < b, a > b), true
		}
	case types.String:
		if b, ok := b.(types.String); ok {
			return sign(a < b, a > b), true
		}
	case types.Duration:
		if b, ok := b.(types.Duration); ok {
			return sign(a.Duration < b.Duration, a.Duration > b.Duration), true
		}
	case types.Timestamp:
		if b, ok := b.(types.Timestamp); ok {
			return types.Int(a.Time.Compare(b.Time)), true
		}
	}
	return 0, false
}

func sign(less, more bool) types.Int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}

func arithmetic() []cel.EnvOption {
	number := func(operator, overload string) cel.EnvOption {
		f := binary[operator]
		return cel.Function(operator, cel.Overload(overload, args(numT, numT), numT),
			cel.SingletonBinaryBinding(func(a, b ref.Val) ref.Val { return onNumbers(a, b, f) }))
	}
	return []cel.EnvOption{
		cel.Function(operators.Add,
			cel.Overload(overloads.AddDouble, args(numT, numT), numT),
			cel.Overload(overloads.AddString, args(textT, textT), textT),
			cel.Overload(overloads.AddDurationDuration, args(durT, durT), durT),
			cel.Overload(overloads.AddDurationTimestamp, args(durT, timeT), timeT),
			cel.Overload(overloads.AddTimestampDuration, args(timeT, durT), timeT),
			cel.Overload(overloads.AddList, args(listOfA, listOfA), listOfA),
			cel.SingletonBinaryBinding(add)),
		cel.Function(operators.Subtract,
			cel.Overload(overloads.SubtractDouble, args(numT, numT), numT),
			cel.Overload(overloads.SubtractDurationDuration, args(durT, durT), durT),
			cel.Overload(overloads.SubtractTimestampDuration, args(timeT, durT), timeT),
			cel.Overload(overloads.SubtractTimestampTimestamp, args(timeT, timeT), durT),
			cel.SingletonBinaryBinding(subtract)),
		number(operators.Multiply, overloads.MultiplyDouble),
		number(operators.Divide, overloads.DivideDouble),
		number(operators.Modulo, "modulo_double"),
		cel.Function(operators.Negate,
			cel.Overload(overloads.NegateDouble, args(numT), numT),
			cel.Overload("negate_duration", args(durT), durT),
			cel.SingletonUnaryBinding(negate)),
	}
}

// binary are the operators that work on numbers alone.
var binary = map[string]func(a, b float64) float64{
	operators.Multiply: func(a, b float64) float64 { return a * b },
	operators.Divide:   func(a, b float64) float64 { return a / b },
	operators.Modulo:   math.Mod,
}

func negate(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Double:
		return -v
	case types.Duration:
		return fresh(v.Negate())
	}
	return mismatch(v)
}

func onNumbers(a, b ref.Val, f func(a, b float64) float64) ref.Val {
	x, ok := a.(types.Double)
	y, ok2 := b.(types.Double)
	if !ok || !ok2 {
		return mismatch(a, b)
	}
	return finite(f(float64(x), float64(y)))
}

// finite refuses NaN and the infinities, which JSON has not: a division by zero
// must not pass for a great number.
func finite(f float64) ref.Val {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return undefined("the result is no finite number")
	}
	return types.Double(f)
}

func add(a, b ref.Val) ref.Val {
	switch x := a.(type) {
	case types.Double:
		if y, ok := b.(types.Double); ok {
			return finite(float64(x + y))
		}
	case types.String:
		if y, ok := b.(types.String); ok {
			return x + y
		}
	case types.Duration, types.Timestamp:
		switch b.(type) {
		case types.Duration, types.Timestamp:
			return fresh(a.(traits.Adder).Add(b))
		}
	case traits.Lister:
		if y, ok := b.(traits.Lister); ok {
			return fresh(x.Add(y))
		}
	}
	return mismatch(a, b)
}

func subtract(a, b ref.Val) ref.Val {
	switch x := a.(type) {
	case types.Double:
		if y, ok := b.(types.Double); ok {
			return finite(float64(x - y))
		}
	case types.Duration, types.Timestamp:
		switch b.(type) {
		case types.Duration, types.Timestamp:
			return fresh(a.(traits.Subtractor).Subtract(b))
		}
	}
	return mismatch(a, b)
}

func containers() []cel.EnvOption {
	size := cel.SingletonUnaryBinding(func(v ref.Val) ref.Val {
		if s, ok := v.(traits.Sizer); ok {
			if n, ok := s.Size().(types.Int); ok {
				return types.Double(n)
			}
		}
		return mismatch(v)
	})
	return []cel.EnvOption{
		cel.Function(operators.Index,
			cel.Overload(overloads.IndexList, args(listOfA, numT), paramA),
			cel.Overload(overloads.IndexMap, args(mapOfAB, paramA), paramB)),
		cel.Function(equalName, cel.Overload(equalName, args(cel.DynType, cel.DynType), boolT, cel.BinaryBinding(equal))),
		cel.Function(operators.In,
			cel.Overload(overloads.InList, args(paramA, listOfA), boolT),
			cel.Overload(overloads.InMap, args(paramA, mapOfAB), boolT),
			cel.SingletonBinaryBinding(in)),
		cel.Function(overloads.Size,
			cel.Overload(overloads.SizeString, args(textT), numT),
			cel.MemberOverload(overloads.SizeStringInst, args(textT), numT),
			cel.Overload(overloads.SizeList, args(listOfA), numT),
			cel.MemberOverload(overloads.SizeListInst, args(listOfA), numT),
			cel.Overload(overloads.SizeMap, args(mapOfAB), numT),
			cel.MemberOverload(overloads.SizeMapInst, args(mapOfAB), numT),
			size),
	}
}

// Errors of functions are made anew each time: CEL writes an expression's id
// into them, so one that is shared would carry another's.

// mismatch is the error for values of a type that the function does not take.
// Names of types are not data.
func mismatch(values ...ref.Val) ref.Val {
	kinds := ""
	for i, v := range values {
		if err, ok := v.(*types.Err); ok {
			return err
		}
		if i > 0 {
			kinds += " and "
		}
		kinds += Value{v}.kindName()
	}
	return types.WrapErr(&failure{Mismatch, "this does not work on " + kinds, nil})
}

func undefined(message string) ref.Val { return types.WrapErr(&failure{Undefined, message, nil}) }

// fresh is v, or a new error for one of CEL's own.
func fresh(v ref.Val) ref.Val {
	err, ok := v.(*types.Err)
	if !ok {
		return v
	}
	if strings.Contains(err.Error(), "no such overload") {
		return types.WrapErr(&failure{Mismatch, "the values are not of the types that this needs", nil})
	}
	return types.WrapErr(&failure{Undefined, "the result is out of range", nil})
}

// failure is an error of a function of ours.
type failure struct {
	reason  Reason
	message string
	cause   error
}

func (f *failure) Error() string { return f.message }
