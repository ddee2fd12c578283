package storage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// foundIn is how often a text stands in the files of a folder.
func foundIn(t *testing.T, dir, text string) (n int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		n += bytes.Count(raw, []byte(text))
	}
	return n
}

// Pages that were split keep copies of what moved, in parts that nothing uses:
// to overwrite what is deleted (secure_delete) is not enough.
func TestCompactSQLite(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	db, err := Open(ctx, "sqlite:"+filepath.Join(dir, "it's.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	run := func(text string, args ...any) {
		t.Helper()
		_, err := db.Write.ExecContext(ctx, text, args...)
		require.NoError(t, err)
	}
	run(`CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)`)
	random := rand.New(rand.NewPCG(1, 2))
	for i, k := range random.Perm(2000) {
		run(`INSERT INTO t VALUES ($1, $2)`, k, fmt.Sprintf("xyzzy%d%s", i, strings.Repeat("-", random.IntN(700))))
	}
	run(`UPDATE t SET v = 'gone' WHERE k <> 7`)
	require.NoError(t, db.TruncateWAL(ctx))
	before := foundIn(t, dir, "xyzzy")
	require.Greater(t, before, 1, "the test shows nothing")

	plan, err := db.Compactable(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, before, foundIn(t, dir, "xyzzy"), "a look changes nothing")
	var told []string
	done, err := db.Compact(ctx, nil, func(part string) { told = append(told, part) })
	require.NoError(t, err)
	require.Equal(t, 1, foundIn(t, dir, "xyzzy"), "what is not deleted stays")
	require.Empty(t, done.Unreached)
	require.Len(t, done.Parts, 1)
	require.Equal(t, plan.Parts[0].Before, done.Parts[0].Before)
	require.Less(t, done.Parts[0].After, done.Parts[0].Before)
	require.Equal(t, []string{done.Parts[0].Name}, told)
	require.Equal(t, "it's.db", filepath.Base(done.Parts[0].Name))
	var mode int
	require.NoError(t, db.Write.QueryRowContext(ctx, `PRAGMA temp_store`).Scan(&mode))
	require.Equal(t, 2, mode, "no content in temporary files from here on")
}

// A read that began before keeps the old pages: then it is not done, and says so.
func TestCompactSQLiteBesideReaders(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	db, err := Open(ctx, "sqlite:"+filepath.Join(dir, "x.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.Write.ExecContext(ctx, `CREATE TABLE t AS SELECT 'xyzzy' AS v`)
	require.NoError(t, err)
	reader, err := db.BeginSnapshot(ctx)
	require.NoError(t, err)
	var n int
	require.NoError(t, reader.QueryRow(`SELECT count(*) FROM t`).Scan(&n))
	err = db.vacuum(ctx, dir, "50")
	require.Equal(t, "database_busy", fault.CodeOf(err), "%v", err)
	require.NoError(t, reader.Rollback())
	_, err = db.Compact(ctx, nil, nil)
	require.NoError(t, err)
}

func TestCompactMemory(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "memory:")
	require.NoError(t, err)
	defer db.Close()
	done, err := db.Compact(t.Context(), nil, nil)
	require.NoError(t, err)
	require.Empty(t, done.Parts)
	done, err = db.Compactable(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, done.Parts)
}

// The tables' owner rewrites them; what only others may is said.
func TestCompactPostgres(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := connect(t, d.URL)
	require.NoError(t, db.Migrate(t.Context()))
	tables := []string{"settings", "timeline_entries"}
	file := func(table string) string { return ask(t, db, "SELECT pg_relation_filenode('"+table+"')::text") }
	before := map[string]string{}
	for _, table := range append(tables, "identities", "pg_statistic") {
		before[table] = file(table)
	}
	plan, err := db.Compactable(t.Context(), tables)
	require.NoError(t, err)
	for table, was := range before {
		require.Equal(t, was, file(table), "a look changes nothing")
	}
	done, err := db.Compact(t.Context(), tables, nil)
	require.NoError(t, err)
	var names []string
	for _, p := range done.Parts {
		names = append(names, p.Name)
		require.NotEqual(t, before[p.Name], file(p.Name), p.Name)
	}
	require.Equal(t, []string{"settings", "timeline_entries", "pg_statistic"}, names)
	require.Len(t, plan.Parts, len(names))
	require.Equal(t, before["identities"], file("identities"), "not asked for")
	require.Contains(t, strings.Join(done.Unreached, "\n"), "pg_wal")
	require.Equal(t, plan.Unreached, done.Unreached)

	// With what it takes for the write-ahead log.
	d.Exec(t, "GRANT pg_checkpoint TO "+d.Owner, "GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO "+d.Owner)
	defer d.Exec(t, "REVOKE EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() FROM "+d.Owner)
	plan, err = db.Compactable(t.Context(), tables)
	require.NoError(t, err)
	require.NotContains(t, strings.Join(plan.Unreached, "\n"), "pg_wal")
}

// Where the server logs parameters it has payloads in its log, and that is said.
func TestCompactPostgresSeesLogs(t *testing.T) {
	t.Parallel()
	for setting, logs := range map[string]bool{
		"log_min_duration_statement = 0":         true,
		"log_statement = 'mod'":                  true,
		"log_statement = 'ddl'":                  false,
		"log_parameter_max_length_on_error = -1": true,
		"log_statement = 'all'; ALTER ROLE %[1]s SET log_parameter_max_length = 0": false,
	} {
		d := pgtest.New(t)
		db := connect(t, d.URL)
		require.NoError(t, db.Migrate(t.Context()))
		text := "ALTER ROLE %[1]s SET " + setting
		for _, s := range strings.Split(fmt.Sprintf(text, d.Owner), "; ") {
			d.Exec(t, s)
		}
		plan, err := db.Compactable(t.Context(), []string{"settings"})
		require.NoError(t, err)
		require.Equal(t, logs, strings.Contains(strings.Join(plan.Unreached, "\n"), "log_parameter_max_length = 0"), "%s: %q", setting, plan.Unreached)
	}
}

// Only the owner may.
func TestCompactPostgresOfOthers(t *testing.T) {
	t.Parallel()
	other, d := pgtest.New(t), pgtest.New(t) // in this order: d goes first, with what it grants
	require.NoError(t, connect(t, d.URL).Migrate(t.Context()))
	d.Exec(t, "GRANT SELECT ON goose_db_version TO "+other.Owner, "GRANT logline_app_"+d.Name+" TO "+other.Owner)
	guest := connect(t, as(t, d.URL, other.Owner))
	for _, compact := range []func() error{
		func() error { _, err := guest.Compact(t.Context(), []string{"settings"}, nil); return err },
		func() error { _, err := guest.Compactable(t.Context(), []string{"settings"}); return err },
	} {
		err := compact()
		require.Equal(t, "database_role_weak", fault.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "run this with the URL of "+d.Owner)
	}
}

// The planner keeps no values of what can be erased, not even those it had
// before this was so.
func TestNoStatisticsOfErasable(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := connect(t, d.URL)
	require.NoError(t, db.Migrate(t.Context()))
	d.Exec(t,
		`ALTER TABLE identities ALTER COLUMN name SET STATISTICS -1`, // as it was before
		`INSERT INTO identities (id, subject, handle, name, status, chain, size) SELECT 'id' || i, 's', 'xyzzyhandle' || i, 'xyzzyname' || i, 'a', '', 0 FROM generate_series(1, 300) i`,
		`INSERT INTO timeline_words (tenant, block, word, page) SELECT 1, i, 'xyzzyword' || i, 'xyzzypage' FROM generate_series(1, 300) i`,
		`INSERT INTO timeline_entries (tenant, seq, visibility, redacted, leaf, recorded_at, type, author, status, line, salt, detail, payload)
			SELECT 1, i, 1, false, '', '', 't', 'a', 's', '', 'xyzzysalt', 'xyzzydetail', 'xyzzypayload' FROM generate_series(1, 300) i`,
		`ANALYZE`)
	const sampled = `SELECT coalesce(string_agg(tablename || '.' || attname, ' ' ORDER BY 1), '') FROM pg_stats
		WHERE coalesce(histogram_bounds::text, '') || coalesce(most_common_vals::text, '') LIKE ANY (ARRAY['%xyzzy%', '%78797a7a79%'])`
	admin := connect(t, d.AdminURL)
	look := func() (found string) {
		t.Helper()
		conn, err := admin.Write.Conn(context.Background())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.ExecContext(context.Background(), `RESET ROLE`)
		require.NoError(t, err)
		require.NoError(t, conn.QueryRowContext(context.Background(), sampled).Scan(&found))
		return found
	}
	require.Equal(t, "identities.name", look(), "the one that was left as it was shows that this test can fail")
	d.Exec(t, `DELETE FROM goose_db_version WHERE version_id = 11`)
	require.NoError(t, db.Migrate(t.Context()))
	require.Empty(t, look())
	d.Exec(t, `ANALYZE`)
	require.Empty(t, look())
	require.Equal(t, "m", ask(t, admin, `SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'timeline_words'::regclass AND attname = 'page'`), "stored as before")
}
