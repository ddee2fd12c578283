package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// open gives a database with one table, closed at the end of the test.
func open(t *testing.T, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	column := "BLOB"
	if db.Dialect == Postgres {
		column = "text"
	}
	_, err = db.Write.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v "+column+" UNIQUE)")
	require.NoError(t, err)
	return db
}

func count(t *testing.T, db *DB) int {
	t.Helper()
	var n int
	require.NoError(t, db.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n))
	return n
}

// urls is every kind of database the tests of common behaviour run on.
func urls() map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"memory":   func(*testing.T) string { return "memory:" },
		"file":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "odd name %41 #é", "x.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]Target{
		"memory:":            {Memory: true},
		"sqlite:a/b.db":      {Path: "a/b.db"},
		"sqlite:/a/b.db":     {Path: "/a/b.db"},
		"sqlite:///a/b.db":   {Path: "/a/b.db"},
		"sqlite://a/../b.db": {Path: "b.db"},
	} {
		got, err := Parse(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
	}
	for raw, code := range map[string]string{
		"":                                     "database_url_invalid",
		"/a/b.db":                              "database_url_invalid",
		"sqlite:":                              "database_url_invalid",
		"sqlite:a.db?_pragma=x":                "database_url_invalid",
		"mysql://u:secret@h/d":                 "database_url_invalid",
		"postgres://u:secret@h:x/d":            "database_url_invalid",
		"postgres:secret":                      "database_url_invalid",
		"postgres://h/d?pool_max_conns=secret": "database_url_invalid",
		"postgres://h/d?sslmode=secret":        "database_url_invalid",
		"postgresql://u:secret@h/d?sslrootcert=/missing": "database_url_invalid",
		"memory:x": "database_url_invalid",
	} {
		_, err := Parse(raw)
		require.Equal(t, code, fault.CodeOf(err), raw)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestPragmas(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	for name, pool := range map[string]*sql.DB{"write": db.Write, "read": db.Read} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "10000",
		} {
			var got string
			require.NoError(t, pool.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
			require.Equal(t, want, got, "%s %s", name, pragma)
		}
	}
	_, err := db.Read.ExecContext(t.Context(), "INSERT INTO t VALUES (1, x'00')")
	require.Equal(t, "database_readonly", fault.CodeOf(Classify(err)))
}

func TestDirectoryAndFilesArePrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	open(t, "sqlite:"+filepath.Join(dir, "x.db"))
	for name, mode := range map[string]os.FileMode{"": 0o700, "x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	for name, url := range urls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, url(t))
			ctx := t.Context()
			insert := func(k int) func(*sql.Tx) error {
				return func(tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO t VALUES ($1, $2)", k, fmt.Sprint(k))
					return err
				}
			}
			require.NoError(t, db.InTx(ctx, insert(1)))

			mine := errors.New("mine")
			err := db.InTx(ctx, func(tx *sql.Tx) error { return errors.Join(insert(2)(tx), mine) })
			require.ErrorIs(t, err, mine, "an error of the caller comes back as it is")

			require.PanicsWithValue(t, "boom", func() {
				_ = db.InTx(ctx, func(tx *sql.Tx) error {
					_ = insert(3)(tx)
					panic("boom")
				})
			})

			err = db.InTx(ctx, insert(1))
			require.Equal(t, "unique_violation", fault.CodeOf(err))
			require.Equal(t, fault.Conflict, fault.KindOf(err))

			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			require.Equal(t, "interrupted", fault.CodeOf(db.InTx(cancelled, insert(4))))

			require.Equal(t, 1, count(t, db))
			require.NoError(t, db.InTx(ctx, insert(5)), "the writer is free after every failure")
		})
	}
}

// Readers see whole transactions only, while a writer writes pairs.
func TestReadersSeeWholeTransactions(t *testing.T) {
	t.Parallel()
	for name, url := range urls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, url(t))
			const pairs = 100
			stop := make(chan struct{})
			var readers sync.WaitGroup
			for range 3 {
				readers.Go(func() {
					for {
						var n int
						if err := db.Read.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n%2 != 0 {
							t.Errorf("read %d rows, %v", n, err)
							return
						}
						select {
						case <-stop:
							return
						default:
						}
					}
				})
			}
			for i := range pairs {
				require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
					for j := range 2 {
						if _, err := tx.Exec("INSERT INTO t VALUES ($1, $2)", 2*i+j, fmt.Sprint(i, j)); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			close(stop)
			readers.Wait()
			require.Equal(t, 2*pairs, count(t, db))
		})
	}
}

func TestMemoryDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	a, b := open(t, "memory:"), open(t, "memory:")
	_, err := a.Write.Exec("INSERT INTO t VALUES (1, 'x')")
	require.NoError(t, err)
	require.Equal(t, 1, count(t, a))
	require.Equal(t, 0, count(t, b))
}

// A full disk, played by SQLite's page limit: a clear error, nothing half
// written, and service again once there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	ctx := t.Context()
	insert := func() error {
		return db.InTx(ctx, func(tx *sql.Tx) error {
			for range 20 {
				if _, err := tx.ExecContext(ctx, "INSERT INTO t (v) VALUES (randomblob(4000))"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, insert())
	_, err := db.Write.ExecContext(ctx, "PRAGMA max_page_count = 60")
	require.NoError(t, err)

	var full error
	for full == nil {
		full = insert()
	}
	require.Equal(t, "disk_full", fault.CodeOf(full))
	require.Equal(t, fault.Unavailable, fault.KindOf(full))
	require.Positive(t, fault.From(full).RetryAfter)
	require.Zero(t, count(t, db)%20, "no transaction is there by half")
	before := count(t, db)

	_, err = db.Write.ExecContext(ctx, "PRAGMA max_page_count = 100000")
	require.NoError(t, err)
	require.NoError(t, insert())
	require.Equal(t, before+20, count(t, db))
}

func TestDamagedAndForeignFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 500)), 0o600))
	_, err := Open(t.Context(), "sqlite:"+path)
	require.Equal(t, "database_not_sqlite", fault.CodeOf(err))
	require.ErrorContains(t, err, path)

	_, err = Open(t.Context(), "sqlite:"+t.TempDir())
	require.Equal(t, "database_open_failed", fault.CodeOf(err))
}

func TestTruncateWAL(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, "sqlite:"+path)
	_, err := db.Write.Exec("INSERT INTO t VALUES (1, 'a secret that must go')")
	require.NoError(t, err)
	_, err = db.Write.Exec("DELETE FROM t")
	require.NoError(t, err)
	require.NoError(t, db.TruncateWAL(t.Context()))
	for _, file := range []string{path, path + "-wal"} {
		bytes, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(bytes), "a secret that must go", file)
	}
	require.NoError(t, open(t, "memory:").TruncateWAL(t.Context()))
}

// A reader in the way of the erasure only delays it to the next commit after
// that reader's end.
func TestTruncateWALIsMadeUpFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, "sqlite:"+path)
	insert := func(k int, text string) {
		require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO t VALUES ($1, $2)", k, text)
			return err
		}))
	}
	insert(1, "a secret that must go")
	reader, err := db.Read.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var n int
	require.NoError(t, reader.QueryRow("SELECT count(*) FROM t").Scan(&n))

	_, err = db.Write.Exec("DELETE FROM t")
	require.NoError(t, err)
	require.Equal(t, "database_busy", fault.CodeOf(db.TruncateWAL(t.Context())))
	insert(2, "other")
	require.NoError(t, reader.Rollback())
	insert(3, "another")
	for _, file := range []string{path, path + "-wal"} {
		bytes, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(bytes), "a secret that must go", file)
	}
	var timeout string
	require.NoError(t, db.Write.QueryRow("PRAGMA busy_timeout").Scan(&timeout))
	require.Equal(t, "10000", timeout)
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	for name, url := range urls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(t.Context(), url(t))
			require.NoError(t, err)
			require.NoError(t, db.Close())
			require.NoError(t, db.Close())
			require.Equal(t, "database_closed", fault.CodeOf(db.InTx(t.Context(), func(*sql.Tx) error { return nil })))
		})
	}
}

func TestCorruptDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	for _, statement := range []string{
		"CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)",
		"WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT i, randomblob(1000) FROM n",
	} {
		_, err = db.Write.Exec(statement)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteAt([]byte(strings.Repeat("\xff", 20*4096)), 4096) // pages 2 to 21
	require.NoError(t, err)
	require.NoError(t, file.Close())

	db, err = Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var n int
	err = db.Read.QueryRowContext(t.Context(), "SELECT sum(length(v)) FROM t").Scan(&n)
	require.Equal(t, "database_corrupt", fault.CodeOf(Classify(err)))
}

func TestConstraintsOtherThanUnique(t *testing.T) {
	t.Parallel()
	db := open(t, "memory:")
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("CREATE TABLE s (v TEXT NOT NULL) STRICT; INSERT INTO s VALUES (NULL)")
		return err
	})
	require.Equal(t, "constraint_violation", fault.CodeOf(err))
	require.Equal(t, fault.Internal, fault.KindOf(err))
}

func TestBusyDatabase(t *testing.T) {
	t.Parallel()
	path := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	first, second := open(t, path), open(t, path)
	_, err := second.Write.Exec("PRAGMA busy_timeout = 1")
	require.NoError(t, err)
	err = first.InTx(t.Context(), func(*sql.Tx) error {
		return second.InTx(t.Context(), func(*sql.Tx) error { return nil })
	})
	require.Equal(t, "database_busy", fault.CodeOf(err))
	require.Positive(t, fault.From(err).RetryAfter)
}

func TestClassifyLeavesClassifiedErrors(t *testing.T) {
	t.Parallel()
	require.NoError(t, Classify(nil))
	mine := fault.New(fault.Gone, "mine", "x")
	require.Same(t, mine, Classify(mine))
	require.Equal(t, "internal", fault.CodeOf(Classify(errors.New("other"))))
	require.ErrorIs(t, Classify(sql.ErrNoRows), sql.ErrNoRows)
}
