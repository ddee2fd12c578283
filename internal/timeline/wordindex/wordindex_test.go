package wordindex_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/wordindex"
	"github.com/danvoulez/logline/internal/timeline/words"
)

type store interface {
	timeline.Keeper
	timeline.WordIndexer
}

func onBoth(t *testing.T, test func(t *testing.T, s store)) {
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := storage.Open(t.Context(), url(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, db.Migrate(t.Context()))
			if db.Dialect == storage.Postgres {
				test(t, pgstore.NewStore(db))
				return
			}
			s := sqlitestore.NewStore(db)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			test(t, s)
		})
	}
}

// grow appends n entries and wakes.
func grow(t *testing.T, s store, tl *storetest.Timeline, wakes *bus.Bus, n int) {
	t.Helper()
	specs := make([]storetest.Spec, n)
	for i := range specs {
		specs[i] = storetest.Spec{N: int(tl.Head.Size) + i, NoDetail: true}
	}
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	wakes.Publish(bus.Appended{Tenant: tl.Tenant.ID, Size: tl.Head.Size})
}

// follow runs an indexer until the returned function.
func follow(t *testing.T, s wordindex.Source, wakes *bus.Bus, cfg wordindex.Config) (x *wordindex.Indexer, stop func()) {
	t.Helper()
	cfg.Rest, cfg.Log = time.Millisecond, slog.New(slog.DiscardHandler)
	x = wordindex.New(s, wakes, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return x, stop
}

// indexed waits until that many blocks of a tenant are.
func indexed(t *testing.T, s store, tl *storetest.Timeline, blocks uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		var at timeline.Indexed
		require.NoError(t, s.Snapshot(t.Context(), func(snap timeline.Snapshot) (err error) {
			at, err = snap.(timeline.WordSnapshot).Indexed(t.Context(), tl.Tenant.ID)
			return err
		}))
		return at.Blocks == blocks
	}, time.Minute, 5*time.Millisecond)
}

func TestFollowsByWakesAndByPolling(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s store) {
		wakes, a, b := bus.New(), storetest.NewTimeline("a"), storetest.NewTimeline("b")
		grow(t, s, a, wakes, 2*words.Size+5)
		x, stop := follow(t, s, wakes, wordindex.Config{Poll: time.Hour}) // but for the first look
		indexed(t, s, a, 2)
		grow(t, s, b, wakes, words.Size-1)
		grow(t, s, a, wakes, words.Size)
		indexed(t, s, a, 3)
		grow(t, s, b, wakes, 1)
		indexed(t, s, b, 1)
		require.Eventually(t, func() bool { return x.Lag() == 0 }, time.Minute, time.Millisecond)
		stop()

		grow(t, s, a, bus.New(), 4*words.Size) // nobody follows
		_, stop = follow(t, s, bus.New(), wordindex.Config{Poll: time.Millisecond})
		indexed(t, s, a, 7)
		grow(t, s, a, bus.New(), words.Size) // nobody wakes
		indexed(t, s, a, 8)
		redaction := a.Batch(storetest.Spec{N: 1_000_000})
		redaction.Redacted = []uint64{words.Size + 1}
		require.NoError(t, s.Append(t.Context(), redaction))
		indexed(t, s, a, 8)
		stop()
	})
}

// failing is a store whose index cannot be written at first.
type failing struct {
	store
	left atomic.Int32
}

func (f *failing) IndexWords(ctx context.Context, tenant string) (uint64, bool, error) {
	if f.left.Add(-1) >= 0 {
		return 0, false, errors.New("the disk is full")
	}
	return f.store.IndexWords(ctx, tenant)
}

func TestGoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s store) {
		tl, broken := storetest.NewTimeline("a"), &failing{store: s}
		broken.left.Store(3)
		grow(t, s, tl, bus.New(), words.Size)
		_, stop := follow(t, broken, bus.New(), wordindex.Config{Poll: time.Millisecond})
		indexed(t, s, tl, 1)
		stop()
	})
}

// Several processes on one database share the work: none of it is done wrong or
// left out.
func TestSeveralFollowOneDatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s store) {
		tl := storetest.NewTimeline("a")
		var stops []func()
		for range 3 {
			if len(stops) == 1 {
				grow(t, s, tl, bus.New(), 3*words.Size)
			}
			_, stop := follow(t, s, bus.New(), wordindex.Config{Poll: time.Millisecond})
			stops = append(stops, stop)
		}
		grow(t, s, tl, bus.New(), 3*words.Size)
		indexed(t, s, tl, 6)
		for _, stop := range stops {
			stop()
		}
		blocks := map[uint64][]words.Page{}
		require.NoError(t, s.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
			return snap.(timeline.WordSnapshot).WordPages(t.Context(), tl.Tenant.ID, func(block uint64, p words.Page) error {
				blocks[block] = append(blocks[block], p)
				return nil
			})
		}))
		require.Len(t, blocks, 6)
		for block, got := range blocks {
			want, err := timeline.BlockPages(tl.Tenant.ID, block, func(from, to uint64) ([]timeline.Record, error) {
				return s.Range(t.Context(), tl.Tenant.ID, from, to)
			})
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}
