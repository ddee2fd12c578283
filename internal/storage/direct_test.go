package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// openDirect is a database with a table, and the number of its rows.
func openDirect(t *testing.T, url string) (db *DB, rows func() int) {
	db, err := Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.Write.ExecContext(t.Context(), `CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB, c TEXT) STRICT`)
	require.NoError(t, err)
	return db, func() (n int) {
		require.NoError(t, db.Read.QueryRowContext(t.Context(), `SELECT count(*) FROM t`).Scan(&n))
		return n
	}
}

const insertDirect = `INSERT INTO t VALUES (?, ?, ?)`

// Whatever fn comes to, the next transaction finds what it committed and nothing
// of what it did not.
func TestDirectIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"file": "sqlite:" + filepath.Join(t.TempDir(), "a.db"), "memory": "memory:"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, rows := openDirect(t, url)
			require.NoError(t, db.Direct(t.Context(), func(tx *DirectTx) error {
				for i := range 3 {
					n, err := tx.Exec(insertDirect, uint64(i), []byte{1}, nil)
					require.NoError(t, err)
					require.EqualValues(t, 1, n)
				}
				n, err := tx.Exec(`UPDATE t SET c = ? WHERE a > ?`, "x", 0)
				require.EqualValues(t, 2, n)
				return err
			}))
			require.Equal(t, 3, rows())

			odd := errors.New("odd")
			err := db.Direct(t.Context(), func(tx *DirectTx) error {
				_, err := tx.Exec(insertDirect, 7, nil, nil)
				require.NoError(t, err)
				return odd
			})
			require.ErrorIs(t, err, odd)
			require.Equal(t, 3, rows())

			err = db.Direct(t.Context(), func(tx *DirectTx) error {
				_, err := tx.Exec(insertDirect, 8, nil, nil)
				require.NoError(t, err)
				_, err = tx.Exec(insertDirect, 0, nil, nil)
				return err
			})
			require.Equal(t, "unique_violation", fault.CodeOf(err))
			require.Equal(t, 3, rows())

			require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(insertDirect, 9, nil, nil)
				return err
			}), "nothing is left open")
			require.Equal(t, 4, rows())
		})
	}
}

// A panic takes the transaction back and leaves nothing prepared behind, so that
// the last connection to close still folds the write-ahead log away.
func TestDirectSurvivesPanics(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, rows := openDirect(t, "sqlite:"+path)
	require.PanicsWithValue(t, "odd", func() {
		_ = db.Direct(t.Context(), func(tx *DirectTx) error {
			_, err := tx.Exec(insertDirect, 1, nil, nil)
			require.NoError(t, err)
			panic("odd")
		})
	})
	require.Zero(t, rows())
	require.NoError(t, db.Direct(t.Context(), func(tx *DirectTx) error {
		_, err := tx.Exec(insertDirect, 1, nil, nil)
		return err
	}))
	require.Equal(t, 1, rows())
	require.NoError(t, db.Close())
	_, err := os.Stat(path + "-wal")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, db.Direct(t.Context(), func(*DirectTx) error { return nil }), "it is closed")
}

// A connection that database/sql gives up, as it does with one whose statement
// was interrupted late, is closed whole: what follows works on a new one, and the
// last connection to close still folds the write-ahead log away.
func TestDirectSurvivesBadConnections(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, rows := openDirect(t, "sqlite:"+path)
	insert := func(n int) error {
		return db.Direct(t.Context(), func(tx *DirectTx) error {
			_, err := tx.Exec(insertDirect, n, nil, nil)
			return err
		})
	}
	spoil := func() {
		conn, err := db.Write.Conn(t.Context())
		require.NoError(t, err)
		require.ErrorIs(t, conn.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn)
		require.ErrorIs(t, conn.Close(), sql.ErrConnDone)
	}
	require.NoError(t, insert(1))
	spoil()
	require.NoError(t, insert(2))
	require.Equal(t, 2, rows())
	spoil()
	require.NoError(t, db.Close())
	_, err := os.Stat(path + "-wal")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Whoever closes waits for a transaction that is being taken back.
func TestCloseWaitsForTheWriter(t *testing.T) {
	t.Parallel()
	for range 10 {
		path := filepath.Join(t.TempDir(), "a.db")
		db, _ := openDirect(t, "sqlite:"+path)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		require.Error(t, db.InTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO t SELECT count(*), NULL, NULL FROM c`)
			return err
		}))
		cancel()
		require.NoError(t, db.Close())
		_, err := os.Stat(path + "-wal")
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestDirectReadsNumbers(t *testing.T) {
	t.Parallel()
	db, _ := openDirect(t, "memory:")
	require.NoError(t, db.Direct(t.Context(), func(tx *DirectTx) error {
		var n [2]int64
		require.NoError(t, tx.Numbers(n[:], `INSERT INTO t VALUES (?, ?, ?) RETURNING a, a + 1`, 41, nil, true))
		require.Equal(t, [2]int64{41, 42}, n)
		require.Error(t, tx.Numbers(n[:], `SELECT a, c FROM t WHERE a = ?`, 1), "no row")
		require.Error(t, tx.Numbers(n[:], `SELECT a, c FROM t`), "no number")
		require.Error(t, tx.Numbers(n[:], `SELECT 1, 2 UNION SELECT 3, 4`), "two rows")
		_, err := tx.Exec(insertDirect, 1, uint64(1<<63), nil)
		require.ErrorContains(t, err, "argument 2")
		_, err = tx.Exec(`INSERT INTO nothing VALUES (1)`)
		require.Error(t, err)
		return nil
	}))
}

// Transactions of both kinds come one after the other.
func TestDirectTakesTurns(t *testing.T) {
	t.Parallel()
	db, rows := openDirect(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 20 {
				err := db.Direct(t.Context(), func(tx *DirectTx) error {
					_, err := tx.Exec(`INSERT INTO t SELECT count(*), NULL, NULL FROM t`)
					return err
				})
				if i%2 == 1 {
					err = db.InTx(t.Context(), func(tx *sql.Tx) error {
						_, err := tx.Exec(insertDirect, 1_000*(i+1)+n, nil, nil)
						return err
					})
				}
				if err != nil && fault.CodeOf(err) != "unique_violation" {
					t.Errorf("transaction: %v", err)
				}
			}
		})
	}
	all.Wait()
	require.Greater(t, rows(), 40)
}
