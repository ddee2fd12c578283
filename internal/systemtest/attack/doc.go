// Package attack does to the real program what somebody would who wants what is
// not theirs: a hostile tenant, with an identity, a tenant and keys of its own on
// the node of its victim, and a hostile member, with rights of its own in the
// victim's tenant. Each test says what would have been gained and shows that it
// is not; docs/threat-model.md names them all. It has no code outside its tests.
//
// Tests share one node for each database, which nothing here may break; what
// tries to exhaust something starts a node of its own.
package attack
