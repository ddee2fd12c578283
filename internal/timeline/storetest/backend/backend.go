// Package backend opens every kind of store for the tests of what works on all
// of them. It is for tests alone.
package backend

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
)

// Kinds of databases.
const (
	Memory   = "memory"
	SQLite   = "sqlite"
	Postgres = "postgres"
	Files    = "ndjson" // timelines in NDJSON files, the rest in memory
)

const filesScheme = "ndjson:"

// Each runs a test once on each kind, or on some of them, in parallel. The URL
// is of an empty database that lives as long as the test.
func Each(t *testing.T, test func(t *testing.T, url string), kinds ...string) {
	t.Helper()
	if len(kinds) == 0 {
		kinds = []string{Memory, SQLite, Postgres}
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, URL(t, kind))
		})
	}
}

// URL names an empty database of a kind. Without a PostgreSQL cluster the test
// is skipped.
func URL(t testing.TB, kind string) string {
	t.Helper()
	switch kind {
	case Memory:
		return "memory:"
	case Files:
		return filesScheme + t.TempDir()
	case SQLite:
		return "sqlite:" + filepath.Join(t.TempDir(), "logline.db")
	default:
		return pgtest.New(t).URL
	}
}

// Open opens and migrates the database and a store on it, until the test ends.
func Open(t testing.TB, url string) (*storage.DB, timeline.Store) {
	t.Helper()
	db, store, end := OpenUntil(t, url)
	t.Cleanup(end)
	return db, store
}

// OpenUntil is Open until end is called.
func OpenUntil(t testing.TB, url string) (db *storage.DB, store timeline.Store, end func()) {
	t.Helper()
	files, inFiles := strings.CutPrefix(url, filesScheme)
	if inFiles {
		url = "memory:"
	}
	db, err := storage.Open(t.Context(), url)
	require.NoError(t, err)
	if err := db.Migrate(t.Context()); err != nil {
		require.NoError(t, db.Close())
		require.NoError(t, err)
	}
	switch {
	case inFiles:
		store, err = ndjsonstore.Open(t.Context(), files, ndjsonstore.Config{})
		require.NoError(t, err)
	case url == "memory:":
		store = memstore.New()
	case db.Dialect == storage.Postgres:
		store = pgstore.NewStore(db)
	default:
		store = sqlitestore.NewStore(db)
	}
	return db, store, func() {
		require.NoError(t, store.Close())
		require.NoError(t, db.Close())
	}
}
