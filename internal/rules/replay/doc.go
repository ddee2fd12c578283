// Package replay decides a range of a recorded timeline again, entry by entry, and
// says what comes out otherwise than what is recorded.
//
// It is pure: entries come in from the first of the timeline on, in order, and a
// report goes out. Decisions are made as a node makes them (rules.Decide, Resolve,
// Fire, Run), with the contracts that the record says were in force at each
// position, or with others in the place of those of the same name. What stands
// before the range is folded and not decided. There are three modes:
//
//   - Validate: each entry of the range is decided by the state that the record
//     gives at its position, and must come out the same byte for byte.
//   - Selective: the same of chosen entries alone.
//   - Full: from the first entry of the range on, what is decided now is what
//     follows rest on: what would have been.
//
// What is not on the record is not guessed:
//
//   - An entry whose payload is gone, of a type about which contracts have a say,
//     is named. In Full, what was decided about it then stands.
//   - Attempts that were refused then have left no content.
//   - Handles and names that texts show come from the node's directory, which is
//     not recorded: any will do in their places.
//   - Where the detail of a decision is erased, the rest is compared.
//
// It holds the state of the record, in Full a second one, the spans that a timer
// or a vote may ask for again, and the differences that are to be listed; entries
// it lets go.
package replay
