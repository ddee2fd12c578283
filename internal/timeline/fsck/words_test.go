package fsck_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// An index of words that is not that of the entries is named, dropped and made
// again; one that is behind is nothing wrong.
func TestDamagedIndexOfWords(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		db, store := open(t, filepath.Join(t.TempDir(), "logline.db"))
		damageWords(t, store, "zeroblob(9)", func(statement string) {
			res, err := db.Write.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
			n, err := res.RowsAffected()
			require.NoError(t, err)
			require.NotZero(t, n, statement)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		where := pgtest.New(t)
		db, err := storage.Open(t.Context(), where.URL)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		admin, err := pgx.Connect(t.Context(), where.AdminURL)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, admin.Close(t.Context())) })
		damageWords(t, pgstore.NewStore(db), `'\x01'`, func(statement string) {
			res, err := admin.Exec(t.Context(), statement)
			require.NoError(t, err, statement)
			require.NotZero(t, res.RowsAffected(), statement)
		})
	})
}

func damageWords(t *testing.T, k timeline.Keeper, blob string, exec func(string)) {
	s := storetest.NewStory(t, k, "acme", "")
	for s.Append(s.Plain(100)...); check(t, k, s.Tenant, fsck.Options{}).Entries < 2*words.Size+10; {
		s.Append(s.Plain(500)...)
	}
	sound := func() {
		t.Helper()
		require.Empty(t, told(check(t, k, s.Tenant, fsck.Options{})))
	}
	sound()
	storetest.IndexAll(t, k, s.Tenant)
	sound()
	const wrong, lacks = "is not that of the entries in 1 blocks", "and lacks 1 of them"
	for _, d := range []struct{ statement, says string }{
		{`UPDATE timeline_words SET page = ` + blob + ` WHERE block = 1 AND word = (SELECT max(word) FROM timeline_words)`, wrong},
		{`DELETE FROM timeline_words WHERE block = 0 AND word = (SELECT max(word) FROM timeline_words WHERE block = 0)`, wrong},
		{`UPDATE timeline_words SET word = 'zzz' WHERE block = 0 AND word = (SELECT max(word) FROM timeline_words WHERE block = 0)`, wrong},
		{`UPDATE timeline_words SET block = 7 WHERE block = 1`, wrong},
		{`DELETE FROM timeline_words WHERE block = 1`, lacks},
		{`UPDATE timeline_indexed SET blocks = 3`, lacks},
	} {
		exec(d.statement)
		res := check(t, k, s.Tenant, fsck.Options{})
		require.Contains(t, told(res), d.says, d.statement)
		require.True(t, res.CanRepair())
		require.NoError(t, fsck.Repair(t.Context(), k, res))
		sound()
		storetest.IndexAll(t, k, s.Tenant)
		require.NoError(t, k.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
			at, err := snap.(timeline.WordSnapshot).Indexed(t.Context(), s.Tenant)
			require.NoError(t, err)
			require.Equal(t, uint64(2), at.Blocks)
			return nil
		}))
		sound()
	}
	exec(fmt.Sprintf(`UPDATE timeline_indexed SET blocks = %d`, 1))
	sound() // a cursor that was taken back
	exec(`DELETE FROM timeline_words WHERE block = 1`)
	sound()
}
