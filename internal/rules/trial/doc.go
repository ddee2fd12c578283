// Package trial runs contracts in memory: their own test blocks, and single
// spans that somebody wants to see decided. It drives the same Decide, Fire,
// Resolve and Fold as a node, over rows in memory and on a clock of its own, so
// that a test of 49 hours takes milliseconds and gives the same each time.
//
// What it leaves out is what contracts have no say in: signatures, rights of
// appending, the form of spans on the wire. Emitted spans, webhooks and tasks
// are named, and never sent.
//
// Identities are symbolic. "rafa", "logline-id://rafa" and whatever stands in
// data as "logline-id://rafa" are one person; where something is told, they have
// these names again. Who is named and not introduced is a validated member.
package trial
