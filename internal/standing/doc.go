// Package standing folds the entries of one timeline into who may do what at
// a position: which keys are current, who holds which roles, which node
// writes, under which log key and epoch (PROTOCOL §2, §4, §5, §7).
//
// It is pure: no clock, no store, no network. Submit, every read and the
// offline verifier use this same fold, so an entry that one accepts no other
// refuses. It does not check the Ed25519 signature of a span, its time window,
// the uniqueness of ids, the order of positions or the tree: those belong to
// its callers.
//
// Where the protocol leaves room, this package decides:
//
//   - Roles outside the built-in six carry no right of their own; contracts
//     test them. Grant them beside a built-in role.
//   - A guest appends on its own behalf only.
//   - Granting a role that is held, or withdrawing one that is not, changes
//     nothing and is no error. A revoked or claimed identity gets no grant.
//   - Approvals and resolutions need a pending target, reverts an executed one
//     of a type that the fold does not depend on: a membership ends by
//     withdrawal, a contract by retirement.
//   - The effect of a pending span (a grant, a revert, a redaction) waits for
//     its resolution and is judged again then; where it no longer holds, only
//     a resolution that rejects it is accepted.
//   - After logline.handover nothing but the epoch of the node it names is
//     accepted. Any other change of node is refused.
//   - While a tenant is suspended or closed, key events, epochs, a handover and
//     redactions are accepted all the same; in a closed one also grants and
//     withdrawals. Nothing follows closing that would open it again.
//   - The epoch that logline.epoch opens is one more than that of prev_origin,
//     which may be above the fold's own (a restored backup), never below.
package standing
