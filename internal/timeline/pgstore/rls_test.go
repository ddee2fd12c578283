package pgstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// tenantTables are the tables whose rows belong to one tenant each, by its
// number. timeline_cosignatures and api_keys name tenants by id and are not
// among them: what they hold is not a tenant's own.
var tenantTables = []string{
	"timeline_checkpoints", "timeline_entries", "timeline_hashes", "timeline_heads", "timeline_identities",
	"timeline_ids", "timeline_indexed", "timeline_links", "timeline_state", "timeline_tags", "timeline_tenants", "timeline_words",
}

// Without the application's own conditions, row-level security alone keeps a
// transaction to the tenant that it has set.
func TestRowLevelSecurityHoldsAlone(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]pgtest.Option{
		"role": nil, "owner": {pgtest.NoCreateRole}, "superuser": {pgtest.Superuser},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t, options...)
			db, s := open(t, d.URL)
			fill(t, s, "a")
			fill(t, s, "bb")
			tables := names(t, d, `SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
				WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.atttypid = 'bigint'::regtype ORDER BY 1`)
			require.Equal(t, tenantTables, tables, "a table with a tenant has row-level security, and a line here")
			for _, table := range tables {
				t.Run(table, func(t *testing.T) { confined(t, d, db, table) })
			}
			inTenant(t, db, storage.DirectoryScope, func(tx pgx.Tx) {
				for _, table := range tables {
					seen := map[string]int{"timeline_tenants": 2, "timeline_heads": 2, "timeline_identities": 2}[table]
					require.Equal(t, seen, count(t, tx, table, "true"), table)
					require.Zero(t, affected(t, tx, `DELETE FROM `+table), "%s: the list of tenants is for reading", table)
				}
			})
		})
	}
}

// confined holds one table, which has rows of the tenants 1 and 2.
func confined(t *testing.T, d *pgtest.Database, db *storage.DB, table string) {
	t.Helper()
	before := names(t, d, `SELECT tenant || ' ' || count(*) FROM `+table+` GROUP BY tenant ORDER BY 1`)
	require.Len(t, before, 2)
	for _, nobody := range []string{"", "3"} {
		inTenant(t, db, nobody, func(tx pgx.Tx) {
			require.Zero(t, count(t, tx, table, "true"))
			require.Zero(t, affected(t, tx, `UPDATE `+table+` SET tenant = tenant`))
			require.Zero(t, affected(t, tx, `DELETE FROM `+table))
		})
	}
	inTenant(t, db, "1", func(tx pgx.Tx) {
		mine := count(t, tx, table, "true")
		require.Positive(t, mine, "else nothing is shown")
		require.Equal(t, mine, count(t, tx, table, "tenant = 1"))
		require.Equal(t, mine, affected(t, tx, `UPDATE `+table+` SET tenant = tenant`))
		require.Zero(t, affected(t, tx, `UPDATE `+table+` SET tenant = tenant WHERE tenant = 2`))
		require.Zero(t, affected(t, tx, `DELETE FROM `+table+` WHERE tenant <> 1`))
	})
	copied := `INSERT INTO ` + table + ` SELECT (jsonb_populate_record(r, '{"tenant": 2}')).* FROM ` + table + ` r`
	for _, statement := range []string{copied, `UPDATE ` + table + ` SET tenant = 2`} {
		inTenant(t, db, "1", func(tx pgx.Tx) {
			_, err := tx.Exec(t.Context(), statement)
			require.ErrorContains(t, err, "row-level security", "nothing becomes another tenant's")
		})
	}
	require.Equal(t, before, names(t, d, `SELECT tenant || ' ' || count(*) FROM `+table+` GROUP BY tenant ORDER BY 1`))
}

// fill makes a tenant that has rows in every table.
func fill(t *testing.T, s timeline.Store, name string) {
	t.Helper()
	tl := storetest.NewTimeline(name)
	var specs []storetest.Spec
	for n := range words.Size { // a complete block of words, and complete subtrees
		specs = append(specs, storetest.Spec{N: n, Tags: []string{"x"}, Causes: []string{storetest.ID(1000 + n)}, Subject: "s"})
	}
	b := tl.Batch(specs...)
	b.State = []standing.Row{{Key: "k", Value: []byte("v")}}
	b.Embedded = []string{storetest.Identity("x")}
	require.NoError(t, s.Append(t.Context(), b))
	storetest.IndexAll(t, s, tl.Tenant.ID)
}

// inTenant runs fn in a transaction of the pool that is undone.
func inTenant(t *testing.T, db *storage.DB, tenant string, fn func(tx pgx.Tx)) {
	t.Helper()
	tx, err := db.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	if tenant != "" {
		_, err = tx.Exec(t.Context(), storage.SetTenant, tenant)
		require.NoError(t, err)
	}
	fn(tx)
}

func count(t *testing.T, tx pgx.Tx, table, where string) (n int) {
	t.Helper()
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FROM `+table+` WHERE `+where).Scan(&n))
	return n
}

func affected(t *testing.T, tx pgx.Tx, statement string) int {
	t.Helper()
	tag, err := tx.Exec(t.Context(), statement)
	require.NoError(t, err, statement)
	return int(tag.RowsAffected())
}

// names is what the superuser, whom nothing confines, reads.
func names(t *testing.T, d *pgtest.Database, query string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), query)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// What was set for one transaction is gone in the next one of the connection.
func TestTenantEndsWithTheTransaction(t *testing.T) {
	t.Parallel()
	db, s := open(t, pgtest.New(t).URL+"&pool_max_conns=1")
	fill(t, s, "a")
	id := storetest.NewTimeline("a").Tenant.ID
	_, err := s.Head(t.Context(), id)
	require.NoError(t, err)
	_, err = s.Count(t.Context(), id)
	require.NoError(t, err)
	inTenant(t, db, "", func(tx pgx.Tx) { require.Zero(t, count(t, tx, "timeline_entries", "true")) })
	var seqscan string
	require.NoError(t, db.Pool().QueryRow(t.Context(), "SHOW enable_seqscan").Scan(&seqscan))
	require.Equal(t, "on", seqscan)
}

// An append that the server refuses at its very end, when everything has been
// sent and answered, is no commit.
func TestCommitThatFailsIsNoCommit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	_, s := open(t, d.URL)
	tl := storetest.NewTimeline("a")
	b := tl.Batch(storetest.Spec{N: 1})
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	d.Exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON timeline_checkpoints DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	b = tl.Batch(storetest.Spec{N: 2})
	err := s.Append(t.Context(), b)
	require.ErrorContains(t, err, "disk_full")
	h, err := s.Head(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, tl.Head, h)
	d.Exec(t, `DROP TRIGGER refuse ON timeline_checkpoints`)
	require.NoError(t, s.Append(t.Context(), b), "the connection is as good as before")
}

// Batches larger than what one statement carries, and entries of every size.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	_, s := open(t, pgtest.New(t).URL)
	tl := storetest.NewTimeline("a")
	var specs []storetest.Spec
	for n := range 70 {
		specs = append(specs, storetest.Spec{N: n, Payload: fmt.Sprintf(`{"n":%d,"x":"%s"}`, n, strings.Repeat("x", 1<<20-100))})
	}
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	edge := &tree.Range{}
	for from := uint64(0); from < 70; {
		records, err := s.Range(t.Context(), tl.Tenant.ID, from, 70)
		require.NoError(t, err)
		require.NotEmpty(t, records)
		for _, r := range records {
			require.Equal(t, b.Rows[r.Seq].Payload, r.Payload)
			edge.Append(span.LeafHash(r.Line), nil)
		}
		from += uint64(len(records))
	}
	require.Equal(t, b.Head.Root, edge.Root())
}
