package ndjsonstore_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open opens a store until the test ends.
func open(t testing.TB, dir string, cfg ndjsonstore.Config) *ndjsonstore.Store {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	s, err := ndjsonstore.Open(t.Context(), dir, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) timeline.Store { return open(t, t.TempDir(), ndjsonstore.Config{}) })
}

// TestConformanceOfSmallFiles goes on in another file all the time and writes
// snapshots beside appends.
func TestConformanceOfSmallFiles(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) timeline.Store {
		return open(t, t.TempDir(), ndjsonstore.Config{Limits: segment.Limits{Bytes: 5000, Lines: 7}, SnapshotEvery: 10})
	})
}

// TestConformanceAfterReopening opens the store anew after every append: from
// the lines alone, and from a snapshot.
func TestConformanceAfterReopening(t *testing.T) {
	t.Parallel()
	for name, snapshots := range map[string]bool{"from lines": false, "from snapshots": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) timeline.Store {
				r := &reopening{t: t, dir: t.TempDir(), snapshots: snapshots}
				r.Store = r.open()
				t.Cleanup(func() { require.NoError(t, r.Store.Close()) })
				return r
			})
		})
	}
}

// reopening is a store that is closed and opened after each append.
type reopening struct {
	*ndjsonstore.Store
	t         *testing.T
	dir       string
	snapshots bool
	mu        sync.RWMutex // guards Store
}

func (r *reopening) open() *ndjsonstore.Store {
	s, err := ndjsonstore.Open(context.Background(), r.dir, ndjsonstore.Config{Log: quiet(), Limits: segment.Limits{Lines: 11}})
	require.NoError(r.t, err)
	return s
}

func (r *reopening) Append(ctx context.Context, b *timeline.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.Store.Append(ctx, b)
	require.NoError(r.t, r.Store.Close())
	if !r.snapshots {
		found, err := filepath.Glob(filepath.Join(r.dir, "*", "index"))
		require.NoError(r.t, err)
		for _, path := range found {
			require.NoError(r.t, os.Remove(path))
		}
	}
	r.Store = r.open()
	return err
}

func (r *reopening) now() *ndjsonstore.Store {
	r.mu.RLock()
	return r.Store
}

func (r *reopening) Head(ctx context.Context, tenant string) (timeline.Head, error) {
	defer r.mu.RUnlock()
	return r.now().Head(ctx, tenant)
}

func (r *reopening) Range(ctx context.Context, tenant string, from, to uint64) ([]timeline.Record, error) {
	defer r.mu.RUnlock()
	return r.now().Range(ctx, tenant, from, to)
}

func (r *reopening) State(ctx context.Context, tenant string) (timeline.Head, []standing.Row, error) {
	defer r.mu.RUnlock()
	return r.now().State(ctx, tenant)
}

func (r *reopening) Hashes(ctx context.Context, tenant string, level int, from, to uint64) ([]span.Hash, error) {
	defer r.mu.RUnlock()
	return r.now().Hashes(ctx, tenant, level, from, to)
}

func (r *reopening) Rows(ctx context.Context, tenant string, asks []timeline.Ask) (timeline.Asked, error) {
	defer r.mu.RUnlock()
	return r.now().Rows(ctx, tenant, asks)
}

var bg = context.Background()
