// Package backtest lets contracts decide a past timeline again, entry by entry,
// and says what they would have decided otherwise.
//
// It is pure: entries come in, in the order in which they stand, and a report
// goes out. Decisions and their state are made as a node makes them (rules.Decide,
// rules.Fold), with a state of its own that begins empty. Where room is left:
//
//   - Only the contracts given decide. Those that were in force then do not, and
//     logline.contract entries activate nothing.
//   - Who held which role is taken from the record.
//   - What the contracts refuse leaves no trace in the state, as it would not have
//     been recorded; what waits for votes is settled by the votes on the record,
//     or by time.
//   - The node's own entries are not decided. What the contracts would have it
//     emit, call or schedule is counted and not recorded.
//   - An entry whose payload is erased or withheld, of a type about which the
//     contracts have a say, is named and not decided. Its state stays as it was:
//     nothing is guessed.
//   - How many workflow instances are in flight is not kept: no decision asks for it.
//
// Run takes the pages of a bundle (bundle.Reader.Pages) or of a store
// (timeline.Log.Opened), tells how many entries are done, and ends with its
// context. It holds the decision state and what waits or has a timer; entries it
// lets go.
package backtest
