package fsck_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// TestDamageOnPostgreSQL: the same damages, one after the other; each is named,
// and mended where it is derived. What is not derived is put back by hand.
func TestDamageOnPostgreSQL(t *testing.T) {
	t.Parallel()
	where := pgtest.New(t)
	db, err := storage.Open(t.Context(), where.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	store := pgstore.NewStore(db)
	s := storetest.NewStory(t, store, "acme", "")
	storetest.NewStory(t, store, "other", "")
	admin, err := pgx.Connect(t.Context(), where.AdminURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close(t.Context())) })
	var key int64
	require.NoError(t, admin.QueryRow(t.Context(), `SELECT tenant FROM timeline_tenants WHERE slug = 'acme'`).Scan(&key))
	require.Empty(t, told(check(t, store, s.Tenant, fsck.Options{})))
	before, notes := lines(t, store, s.Tenant)
	tested := 0
	for _, d := range damages {
		statement, ok := postgresStatement(d, key)
		if !ok {
			continue
		}
		tested++
		tx, err := admin.Begin(t.Context())
		require.NoError(t, err)
		result, err := tx.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
		require.NotZero(t, result.RowsAffected(), "%s damages nothing", d.name)
		require.NoError(t, tx.Commit(t.Context()))
		res := check(t, store, s.Tenant, fsck.Options{})
		require.True(t, hasFinding(res, d), "%s: found only:\n%s", d.name, told(res))
		require.True(t, res.CanRepair(), d.name)
		require.NoError(t, fsck.Repair(t.Context(), store, res), d.name)
		require.Empty(t, told(check(t, store, s.Tenant, fsck.Options{})), d.name)
	}
	require.Greater(t, tested, 35)
	after, notesAfter := lines(t, store, s.Tenant)
	require.Equal(t, before, after)
	require.Equal(t, notes, notesAfter)

	s.Reopen(store, "") // as a server would start
	s.Append(s.Plain(2)...)
	require.Empty(t, told(check(t, store, s.Tenant, fsck.Options{})))

	_, err = admin.Exec(t.Context(), fmt.Sprintf(`UPDATE timeline_entries SET line = convert_to(replace(convert_from(line, 'UTF8'), 'note.taken', 'note.faked'), 'UTF8')
		WHERE tenant = %d AND seq = 20`, key))
	require.NoError(t, err)
	res := check(t, store, s.Tenant, fsck.Options{})
	require.Contains(t, told(res), "entry 20: line: the line was altered")
	require.False(t, res.CanRepair())
}

// postgresStatement is a damage as PostgreSQL has it, for those of what is
// derived; false for the others.
func postgresStatement(d damage, key int64) (string, bool) {
	if d.lasting || strings.Contains(d.statement, "timeline_ids SET id") { // which is a uuid
		return "", false
	}
	k := fmt.Sprint(key)
	return strings.NewReplacer(
		"position = P + 20", "tenant = "+k+" AND seq = 20", "= T", "= "+k, "(T,", "("+k+",", ", T)", ", "+k+")",
		"zeroblob(32)", `decode(repeat('00', 32), 'hex')`, "x'00'", `'\x00'::bytea`, "x'7b7d'", `'\x7b7d'::bytea`,
		"redacted = 1", "redacted", "SET redacted = 0", "SET redacted = false", "SET redacted = 1", "SET redacted = true",
		"INSERT INTO timeline_tags VALUES ("+"T, 'green', ", "INSERT INTO timeline_tags VALUES ("+k+", 'green', ",
	).Replace(d.statement), true
}
