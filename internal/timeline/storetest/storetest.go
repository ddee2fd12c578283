// Package storetest is the contract of timeline.Store as tests: Run is the
// conformance suite that every store passes, Faulty a wrapper that fails as
// media and networks do. The suite knows no store; a new method of the
// contract is tested here first.
package storetest

import (
	"testing"

	"github.com/danvoulez/logline/internal/timeline"
)

// Factory opens an empty store for one test and sees to its end.
type Factory func(t *testing.T) timeline.Store

// Run holds a store against every point of the contract, in parallel.
func Run(t *testing.T, open Factory) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, timeline.Store)
	}{
		{"AppendedIsReadBack", testReadBack},
		{"StaleAppendWritesNothing", testStale},
		{"OneOfManyAppendersWins", testConcurrent},
		{"HeldHeadKeepsOthersWaiting", testHold},
		{"HeldHeadIsGivenBack", testHoldEnds},
		{"HoldersTakeTurns", testHoldTurns},
		{"ReadersSeeWholeBatches", testReadersDuringAppends},
		{"SpentIDsAreUnique", testSpent},
		{"TenantsAreUniqueAndListed", testTenants},
		{"UnknownTenant", testUnknown},
		{"TenantsAreIsolated", testIsolation},
		{"StatusesChange", testStatuses},
		{"RedactionErases", testRedaction},
		{"StateRows", testState},
		{"RowsAreReadOneByOne", testRows},
		{"RowsAreOfOneHead", testRowsMoment},
		{"CheckpointsOfEverySize", testCheckpoints},
		{"TreeHashes", testHashes},
		{"EpochReplacesOrigin", testEpoch},
		{"QueryAgreesWithModel", testSelect},
		{"WordsAreTheSameEverywhere", testWords},
		{"WordsAgreeWithModelHoweverIndexed", testWordIndex},
		{"WordIndexKeepsUpWithErasures", testWordRaces},
		{"LongQueryStopsEarly", testSelectStops},
		{"PagesAreBoundedInBytes", testSelectBytes},
		{"LinksAndHolding", testLinks},
		{"Counts", testCounts},
		{"EarlierCheckpointsAreKept", testEarlier},
		{"SnapshotHoldsEverything", testSnapshot},
		{"SnapshotIsOfOneMoment", testSnapshotMoment},
		{"RebuildReplacesWhatIsDerived", testRebuild},
		{"InconsistentBatchIsRefused", testInconsistent},
		{"CancelledBeforeBegin", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}
