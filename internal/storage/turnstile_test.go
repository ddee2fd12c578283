package storage

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// Whoever waits for the write lock has it next, however much another handle
// writes, with its transactions of either kind.
func TestWritersTakeTurns(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*DB) error{
		"direct": func(db *DB) error {
			return db.Direct(t.Context(), func(tx *DirectTx) error { _, err := tx.Exec(`UPDATE t SET a = a + 1`); return err })
		},
		"in tx": func(db *DB) error {
			return db.InTx(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec(`UPDATE t SET a = a + 1`); return err })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			greedy, rows := openDirect(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
			path, _, err := greedy.file(t.Context())
			require.NoError(t, err)
			// By way of another name, as a link to the data directory makes one.
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(filepath.Dir(path), link))
			patient, err := Open(t.Context(), "sqlite:"+filepath.Join(link, "a.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, patient.Close()) })
			require.NoError(t, greedy.Direct(t.Context(), func(tx *DirectTx) error { _, err := tx.Exec(insertDirect, 0, nil, nil); return err }))
			require.Equal(t, 1, rows())

			ctx, enough := context.WithCancel(t.Context())
			var commits atomic.Int64
			var writers sync.WaitGroup
			for range 4 {
				writers.Go(func() {
					for ctx.Err() == nil {
						if err := write(greedy); err != nil {
							t.Errorf("the greedy one: %v", err)
							return
						}
						commits.Add(1)
					}
				})
			}
			// One that had the lock, one that was in the turnstile; and those that
			// got in before this goroutine came to look, or after it was done.
			const usual, tolerated = 12, 3
			late, passed := 0, []int64(nil)
			for len(passed) < 30 && late <= tolerated {
				for before := commits.Load(); commits.Load() == before && !t.Failed(); { // it is at work
					runtime.Gosched()
				}
				before := commits.Load()
				require.NoError(t, write(patient))
				n := commits.Load() - before
				if passed = append(passed, n); n > usual {
					late++
				}
			}
			enough()
			writers.Wait()
			require.LessOrEqual(t, late, tolerated, "commits of the other while one waited: %v", passed)
		})
	}
}

// Who waits in the turnstile can be called off, and lets nobody wait who comes
// after the one in front.
func TestTurnstileIsLeft(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	first, second, third := open(t, url), open(t, url), open(t, url)
	_, err := second.Write.Exec("PRAGMA busy_timeout = 60000")
	require.NoError(t, err)
	nothing := func(*sql.Tx) error { return nil }
	front := make(chan error, 1)
	require.NoError(t, first.InTx(t.Context(), func(*sql.Tx) error {
		go func() { front <- second.InTx(t.Context(), nothing) }()
		for third.turns.lock.Try() == nil { // until the second one is in the turnstile
			require.NoError(t, third.turns.lock.Unlock())
			runtime.Gosched()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, "interrupted", fault.CodeOf(third.InTx(ctx, nothing)))
		require.Equal(t, "interrupted", fault.CodeOf(third.Direct(ctx, func(*DirectTx) error { return nil })))
		return nil
	}))
	require.NoError(t, <-front)
	require.NoError(t, third.InTx(t.Context(), nothing))
	require.NoError(t, first.InTx(t.Context(), nothing))
}

// Where there can be no turnstile, one writes without.
func TestWithoutTurnstile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	require.NoError(t, os.Mkdir(path+turnSuffix, 0o700))
	db := open(t, "sqlite:"+path)
	require.Nil(t, db.turns.lock)
	require.NoError(t, db.InTx(t.Context(), func(*sql.Tx) error { return nil }))
	require.NoError(t, db.Direct(t.Context(), func(*DirectTx) error { return nil }))

	other := open(t, "sqlite:"+filepath.Join(t.TempDir(), "b.db"))
	require.NoError(t, other.turns.lock.Close()) // as of a file system that keeps no locks
	require.NoError(t, other.InTx(t.Context(), func(*sql.Tx) error { return nil }))
	require.NoError(t, other.Direct(t.Context(), func(*DirectTx) error { return nil }))
	other.turns.lock = nil
}
