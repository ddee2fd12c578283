package storetest_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// Every method of every interface of a store can be made to fail, so that a new
// one is not left out.
func TestEveryMethodCanFail(t *testing.T) {
	t.Parallel()
	faults := &storetest.Faults{}
	store := storetest.NewFaultyStore(memstore.New(), faults)
	for _, kind := range []reflect.Type{
		reflect.TypeFor[timeline.Store](), reflect.TypeFor[timeline.Keeper](), reflect.TypeFor[timeline.Holder](), reflect.TypeFor[timeline.WordIndexer](),
	} {
		storetest.RequireFaulty(t, kind, store, faults)
	}
	tl := storetest.NewTimeline("a")
	require.NoError(t, store.Append(t.Context(), tl.Batch(storetest.Spec{N: 1})))
	held, err := store.Hold(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)
	storetest.RequireFaulty(t, reflect.TypeFor[timeline.Appender](), held, faults)
}
