// Package expr compiles and evaluates the expressions of contracts: conditions,
// guards, keys, values and the ${…} holes of texts. An expression is CEL
// (cel.dev/cel-go) with the literals of LLL, checked against typed variables.
//
//	scope, errs := expr.NewScope(expr.ScopeConfig{Place: expr.Condition, Params: params})
//	program, errs := expr.Compile("data.amount > params.limit", offset, expr.Bool, scope)
//	matches, err := program.Bool(expr.Bind(facts))
//
// # Rules that differ from CEL
//
//   - There is one kind of number, the double of JSON. Every integer literal is
//     a double, and size(), count(), indexOf() and the parts of a time give
//     doubles, so data.amount * 2, list.size() > 2 and count() >= 3 type-check.
//     An integer that a double cannot hold exactly is refused, and so are
//     division by zero and every result that is not finite.
//   - 48h, 30d and 2w are durations, 80% is 0.8, 1_000 is 1000, and the words
//     and, or, not are operators; `not` binds weaker than comparisons.
//   - A null member of data reads as an absent one; x.y == null asks whether y
//     is absent.
//   - Times are in UTC or at a fixed offset ("+01:00"): named zones depend on
//     tables that differ between machines.
//   - Maps are walked in the order of their keys.
//
// The package reads no clock, no store and no network. What an expression asks
// of the timeline (spans(…).count(), identity(…), state(…)) is found when it is
// compiled, and answered by the Supplier of the facts. Programs, scopes and
// bound facts are immutable and safe for concurrent use.
package expr
