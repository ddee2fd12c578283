package engine_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// TestStoreFailsNowAndThen has callers retry, as clients do, while appends fail
// before and after the commit and reads fail too: every span is recorded once,
// and whoever was told so can prove it.
func TestStoreFailsNowAndThen(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		var faulty *storetest.Faulty
		s.wrap = func(inner timeline.Store) timeline.Store {
			faulty = storetest.NewFaulty(inner)
			return faulty
		}
		w := newWorld(t, s)
		const callers, spans = 6, 20
		var wg sync.WaitGroup
		for c := range callers {
			random := rand.New(rand.NewPCG(uint64(c), 7))
			var raws [][]byte
			for n := range spans {
				raws = append(raws, w.note(w.owner, n))
			}
			wg.Go(func() {
				for _, raw := range raws {
					for try := 0; ; try++ {
						switch random.IntN(8) {
						case 0:
							faulty.FailBefore(1)
						case 1:
							faulty.FailAfter(1)
						case 2:
							faulty.FailReads(1)
						}
						r := w.Submit(context.Background(), w.tenant.ID, raw, engine.Options{})
						if r.Err == nil {
							if r.Receipt == nil {
								t.Error("acknowledged without a receipt")
							}
							break
						}
						if fault.KindOf(r.Err) != fault.Unavailable || try > 200 {
							t.Errorf("try %d: %v", try, r.Err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		faulty.FailBefore(0)
		faulty.FailAfter(0)
		faulty.FailReads(0)
		seen := map[string]bool{}
		for _, e := range w.entries(w.tenant.ID) {
			require.False(t, seen[e.Span.ID], "twice")
			seen[e.Span.ID] = true
		}
		require.Equal(t, 5+callers*spans, len(seen))
	})
}
