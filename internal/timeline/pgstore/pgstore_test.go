package pgstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// open opens a migrated database and a store on it until the test ends.
func open(t testing.TB, url string) (*storage.DB, *pgstore.Store) {
	t.Helper()
	db, err := storage.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	return db, pgstore.NewStore(db)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]pgtest.Option{
		"role": nil, "owner": {pgtest.NoCreateRole}, "superuser": {pgtest.Superuser},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) timeline.Store {
				_, s := open(t, pgtest.New(t, options...).URL)
				return s
			})
		})
	}
}
