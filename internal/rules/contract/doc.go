// Package contract is the meaning of a contract: a typed model out of the
// document tree, with every name resolved, every pattern checked and every
// expression compiled, and the index that finds what concerns a span.
//
// Compile gives a Contract or says what is wrong with it, where, and what to
// write instead. A Contract is immutable and safe for concurrent use, and so is
// a Set, the contracts that are in force together.
//
// Nothing here decides about a span, reads a clock or asks a timeline: that is
// internal/rules. How a file is read is internal/rules/lll, how an expression
// is typed internal/rules/expr.
//
// Where the language leaves room, this package decides:
//
//   - A source holds exactly one contract.
//   - A segment of a pattern may end in `*`: "identity.ghost_*".
//   - `permit` is judged contract by contract: each that names a type must be
//     satisfied, so that a tenant's cannot widen the node's.
//   - The attributes of `quota "name" {…}` at the top of a contract are the
//     defaults of each `consume quota "name" {…}` in it.
//   - Rules that can never run, rejects that another one shadows and states
//     that nothing reaches are warnings; names and types are errors.
package contract
