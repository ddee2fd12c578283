package fsck_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// Rows that decisions depend on are held against a fold of the lines, and made
// anew from them.
func TestDecisionRows(t *testing.T) {
	t.Parallel()
	db, store := open(t, filepath.Join(t.TempDir(), "logline.db"))
	s := storetest.NewFoldedStory(t, store, "acme", "")
	opt := fsck.Options{Folder: storetest.Folder{}}
	sound := check(t, store, s.Tenant, opt)
	require.Empty(t, sound.Findings)
	before := stateRows(t, store, s.Tenant)
	for statement, says := range map[string]string{
		`UPDATE timeline_state SET value = x'00' WHERE key LIKE '~last/logline.member'`:                                 `row "~last/logline.member" is not what`,
		`UPDATE timeline_state SET value = x'' WHERE key LIKE '~sum/note.taken/%'`:                                      `row "~sum/note.taken/`,
		`DELETE FROM timeline_state WHERE key LIKE '~step/%'`:                                                           `lacks the row "~step/`,
		`INSERT INTO timeline_state SELECT tenant, '~sum/note.taken/x', x'' FROM timeline_state WHERE key = 'founding'`: `a row "~sum/note.taken/x" that does not follow`,
	} {
		res, err := db.Write.ExecContext(t.Context(), statement)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.Positive(t, n, statement)
		found := check(t, store, s.Tenant, opt)
		require.Contains(t, told(found), says)
		require.True(t, found.CanRepair())
		require.NoError(t, fsck.Repair(t.Context(), store, found))
		require.Empty(t, check(t, store, s.Tenant, opt).Findings)
		require.Equal(t, before, stateRows(t, store, s.Tenant))
	}
	require.Contains(t, told(check(t, store, s.Tenant, fsck.Options{})), `a row "~sum/note.taken/`, "without a Folder nothing follows")
}

func stateRows(t *testing.T, k timeline.Keeper, tenant string) (rows any) {
	t.Helper()
	require.NoError(t, k.Snapshot(t.Context(), func(snap timeline.Snapshot) (err error) {
		_, rows, err = snap.State(t.Context(), tenant)
		return err
	}))
	return rows
}
