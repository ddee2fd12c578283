package storage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// nobodys are the tables that name tenants and are the node's own, each with why.
var nobodys = map[string]string{
	"api_keys":              "belong to identities, which have roles in many tenants",
	"timeline_cosignatures": "are open to all, like the checkpoints that they are of",
}

// column is what a row of a table needs.
type column struct{ Table, Name, Type string }

// TestEveryTableHasAWall finds every table with a column tenant in the database
// itself and holds, on a connection as the server has them and with no condition in
// any statement, that a transaction reaches the rows of the tenant that it has set
// and no others. A table without a policy fails here before anybody uses it.
func TestEveryTableHasAWall(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]pgtest.Option{"role": nil, "owner": {pgtest.NoCreateRole}, "superuser": {pgtest.Superuser}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t, options...)
			db := connect(t, d.URL)
			require.NoError(t, db.Migrate(t.Context()))
			admin, err := pgx.Connect(t.Context(), d.AdminURL)
			require.NoError(t, err)
			defer admin.Close(t.Context())
			for what, query := range map[string]string{
				"a function that runs as its owner goes round row-level security": `SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace`,
				"a view reads as its owner":                                       `SELECT relname::text FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace`,
			} {
				require.Empty(t, texts(t, admin, query), what)
			}
			tables := texts(t, admin, `SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
				WHERE c.column_name = 'tenant' AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1`)
			require.Greater(t, len(tables), 15)
			for _, table := range tables {
				if nobodys[table] == "" {
					walled(t, db, admin, table)
				}
			}
			for table, why := range nobodys {
				require.Contains(t, tables, table, "%s, it says here, %s; it is gone", table, why)
			}
		})
	}
}

// walled gives a table a row of each of two tenants and tries everything there is
// as the first.
func walled(t *testing.T, db *DB, admin *pgx.Conn, table string) {
	t.Helper()
	mine, theirs := "1", "2"
	if texts(t, admin, `SELECT data_type::text FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = 'public' AND table_name = $1`, table)[0] == "text" {
		mine, theirs = "0190a000-0000-8000-8000-000000000001", "0190a000-0000-8000-8000-000000000002"
	}
	names, values := filling(t, admin, table)
	for _, tenant := range []string{mine, theirs} {
		insert := fmt.Sprintf(`INSERT INTO %s (tenant%s) VALUES ('%s'%s)`, table, names, tenant, strings.ReplaceAll(values, "?", tenant[len(tenant)-1:]))
		_, err := admin.Exec(t.Context(), `SET session_replication_role = replica`) // no triggers, no foreign keys
		require.NoError(t, err)
		_, err = admin.Exec(t.Context(), insert)
		require.NoError(t, err, "say here how a row of %s is made: %s", table, insert)
	}
	as := func(scope string, try func(tx pgx.Tx)) {
		tx, err := db.Pool().Begin(t.Context())
		require.NoError(t, err)
		defer tx.Rollback(t.Context())
		if scope != "" {
			for _, set := range []string{SetTenant, SetTasks} {
				value := scope
				if set == SetTenant && len(scope) > 1 {
					value = DirectoryScope // whose tables these are takes the other setting
				}
				_, err = tx.Exec(t.Context(), set, value)
				require.NoError(t, err)
			}
		}
		try(tx)
	}
	changed := func(tx pgx.Tx, statement string, args ...any) int {
		tag, err := tx.Exec(t.Context(), statement, args...)
		require.NoError(t, err, statement)
		return int(tag.RowsAffected())
	}
	seen := `SELECT tenant::text FROM ` + table
	as("", func(tx pgx.Tx) {
		require.Empty(t, textsIn(t, tx, seen), "%s shows rows to who has said nothing", table)
		require.Zero(t, changed(tx, `UPDATE `+table+` SET tenant = tenant`), table)
		require.Zero(t, changed(tx, `DELETE FROM `+table), table)
	})
	as(mine, func(tx pgx.Tx) {
		require.Equal(t, []string{mine}, textsIn(t, tx, seen), "%s shows another tenant's rows", table)
		require.Equal(t, 1, changed(tx, `UPDATE `+table+` SET tenant = tenant`), "%s lets another tenant's rows be changed", table)
		require.Zero(t, changed(tx, `DELETE FROM `+table+` WHERE tenant::text <> $1`, mine), "%s lets another tenant's rows be deleted", table)
		if table != "timeline_tenants" { // on which others stand
			require.Equal(t, 1, changed(tx, `DELETE FROM `+table), "%s lets another tenant's rows be deleted", table)
		}
	})
	for _, statement := range []string{
		`UPDATE ` + table + ` SET tenant = '` + theirs + `'`,
		`INSERT INTO ` + table + ` SELECT (jsonb_populate_record(r, '{"tenant": "` + theirs + `"}')).* FROM ` + table + ` r`,
	} {
		as(mine, func(tx pgx.Tx) {
			_, err := tx.Exec(t.Context(), statement)
			require.ErrorContains(t, err, "row-level security", "%s takes rows for another tenant", table)
		})
	}
}

// filling are the other columns that a row of a table must have, and values; ? is
// other for each row.
func filling(t *testing.T, admin *pgx.Conn, table string) (names, values string) {
	t.Helper()
	rows, err := admin.Query(t.Context(), `SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name = $1 AND column_name <> 'tenant' AND is_nullable = 'NO' AND column_default IS NULL ORDER BY ordinal_position`, table)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	require.NoError(t, err)
	for _, c := range columns {
		value := map[string]string{
			"text": "'x?'", "bigint": "?", "integer": "?", "smallint": "1", "bytea": `'\x0?'`, "boolean": "false",
			"uuid": "'01900000-0000-7000-8000-00000000000?'", "double precision": "1",
		}[c.Type]
		require.NotEmpty(t, value, "say here what a %s may be, as %s of %s is", c.Type, c.Name, c.Table)
		names, values = names+", "+c.Name, values+", "+value
	}
	return names, values
}

func texts(t *testing.T, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

func textsIn(t *testing.T, tx pgx.Tx, query string) []string {
	t.Helper()
	rows, err := tx.Query(t.Context(), query)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}
