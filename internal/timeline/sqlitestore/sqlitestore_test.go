package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// open opens a migrated database and a store on it until the test ends.
func open(t testing.TB, url string) (*storage.DB, *sqlitestore.Store) {
	t.Helper()
	db, err := storage.Open(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	s := sqlitestore.NewStore(db)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
	return db, s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) timeline.Store {
		_, s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
		return s
	})
}

func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) timeline.Store {
		_, s := open(t, "memory:")
		return s
	})
}
