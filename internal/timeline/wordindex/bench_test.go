package wordindex_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/wordindex"
)

// stretch is how many batches are appended before the indexer is stopped or
// started: both ways of appending meet the same noise.
const stretch = 250

// BenchmarkAppend appends batches of 64 entries with half a kilobyte of text,
// by turns with nobody indexing and with an indexer, as a server has it, that
// has always something to do.
func BenchmarkAppend(b *testing.B) {
	for _, dialect := range []string{storage.SQLite, storage.Postgres} {
		b.Run(dialect, func(b *testing.B) { appends(b, dialect) })
	}
}

func appends(b *testing.B, dialect string) {
	url := "sqlite:" + filepath.Join(b.TempDir(), "logline.db")
	if dialect == storage.Postgres {
		url = pgtest.New(b).URL
	}
	db, err := storage.Open(b.Context(), url)
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(b.Context()))
	var s store
	if dialect == storage.Postgres {
		s = pgstore.NewStore(db)
	} else {
		s = sqlitestore.NewStore(db)
	}
	defer s.Close()
	const size = 64
	random := rand.New(rand.NewPCG(1, 2))
	backlog := storetest.NewTimeline("backlog")
	for range 60 * 16 { // 60 blocks that wait for the indexer
		batch := backlog.Batch(texts(random, int(backlog.Head.Size), size)...)
		require.NoError(b, s.Append(b.Context(), batch))
		backlog.Done(batch)
	}
	tl, all := storetest.NewTimeline("a"), make([]func() error, b.N)
	for i := range all {
		batch := tl.Batch(texts(random, i*size, size)...)
		tl.Done(batch)
		all[i] = func() error { return s.Append(b.Context(), batch) }
	}
	wakes := bus.New()
	var took [2][]time.Duration // alone, beside an indexer
	b.ResetTimer()
	for i := 0; i < len(all); i += stretch {
		beside := i / stretch % 2
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if beside == 1 {
				wordindex.New(s, wakes, wordindex.Config{}).Run(ctx)
			}
		}()
		for k, call := range all[i:min(i+stretch, len(all))] {
			begun := time.Now()
			require.NoError(b, call())
			wakes.Publish(bus.Appended{Tenant: tl.Tenant.ID, Size: uint64((i + k + 1) * size)})
			took[beside] = append(took[beside], time.Since(begun))
		}
		cancel()
		<-ended
	}
	for beside, name := range []string{"alone", "indexing"} {
		slices.Sort(took[beside])
		sum := time.Duration(0)
		for _, d := range took[beside] {
			sum += d
		}
		n := len(took[beside])
		if n == 0 {
			continue // the first run is of one batch
		}
		b.ReportMetric(float64(n*size)/sum.Seconds(), name+"-entries/s")
		b.ReportMetric(float64(took[beside][n/2].Microseconds())/1000, name+"-p50-ms")
	}
}

// texts are entries with words as texts have them: some everywhere, most rare.
func texts(random *rand.Rand, first, n int) []storetest.Spec {
	out := make([]storetest.Spec, n)
	for i := range out {
		var text strings.Builder
		for text.Len() < 500 {
			fmt.Fprintf(&text, "word%d ", int(1/(0.0001+random.Float64())))
		}
		out[i] = storetest.Spec{N: first + i, NoDetail: true, Payload: fmt.Sprintf(`{"text":%q}`, text.String())}
	}
	return out
}
