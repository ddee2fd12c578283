package taskstore_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// queued fills tables with tasks of ten tenants that wait: some are due, some
// much later, in every priority.
const queued = `INSERT INTO tasks (tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, cancelling, worker,
		seq, asked_by, made_at, changed_at, code, error)
	SELECT '0a000000-0000-8000-8000-00000000000' || n %% 10, '019c0000-0000-7000-8000-' || %s, 0, 'emit', 'emit', 'a.b', n %% 4, 0, 0, 0, 3,
		%d + n + CASE WHEN n %% 3 = 0 THEN 1000000000 ELSE 0 END, %s, '', n, '', 0, 0, '', '' FROM %s`

const queuesOf = `INSERT INTO task_queues (tenant, queue, most, queued, running, completed, failed, cancelled, next_at)
	SELECT tenant, queue, 1000000, count(*), 0, 0, 0, 0, min(run_at) FROM tasks WHERE state = 0 GROUP BY tenant, queue`

func fillPostgres(t *testing.T, d *pgtest.Database, from, to int) {
	t.Helper()
	d.Exec(t, `TRUNCATE task_queues`, fmt.Sprintf(queued, "lpad(n::text, 12, '0')", t0.UnixMilli(), "false", fmt.Sprintf("generate_series(%d, %d) n", from, to-1)), queuesOf, `VACUUM ANALYZE`)
}

// touched is how many blocks a claim reads or writes, whatever it does inside,
// when it is planned for the first and for the tenth time.
func touched(t *testing.T, url string, most int) (blocks int) {
	t.Helper()
	db, err := storage.Open(t.Context(), url+"&pool_max_conns=1")
	require.NoError(t, err)
	defer db.Close()
	for range 10 {
		tx, err := db.Pool().Begin(t.Context())
		require.NoError(t, err)
		var raw []byte
		require.NoError(t, tx.QueryRow(t.Context(), fmt.Sprintf("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM logline_claim_tasks(%d, %d, %d, '', '{emit}', 'w')",
			t0.Add(time.Hour).UnixMilli(), t0.Add(2*time.Hour).UnixMilli(), most), pgx.QueryExecModeSimpleProtocol).Scan(&raw))
		require.NoError(t, tx.Rollback(t.Context()))
		var plans []struct {
			Plan struct {
				Rows float64 `json:"Actual Rows"`
				Hit  int     `json:"Shared Hit Blocks"`
				Read int     `json:"Shared Read Blocks"`
			}
		}
		require.NoError(t, json.Unmarshal(raw, &plans))
		require.EqualValues(t, most, plans[0].Plan.Rows)
		blocks = max(blocks, plans[0].Plan.Hit+plans[0].Plan.Read)
	}
	return blocks
}

// Very many queued tasks make a claim no dearer: it reads as many blocks, but
// for the levels by which indexes are higher.
func TestClaimReadsNoMoreOfAMillion(t *testing.T) {
	t.Parallel()
	count := 1_000_000
	if testing.Short() {
		count = 200_000
	}
	d := pgtest.New(t)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	d.Exec(t, `ALTER TABLE tasks SET UNLOGGED`)
	const most = 50
	fillPostgres(t, d, 0, 10_000)
	few := touched(t, d.URL, most)
	fillPostgres(t, d, 10_000, count)
	many := touched(t, d.URL, most)
	t.Logf("a claim of %d tasks touches %d blocks with 10,000 queued, %d with %d", most, few, many, count)
	require.LessOrEqual(t, many, few*11/10, "a changed task is put into an index that is a level higher, and no more")

	tx, err := db.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), storage.SetTasks, "*")
	require.NoError(t, err)
	for _, text := range []string{
		"SELECT * FROM tasks WHERE state = 1 AND lease_until < 5 ORDER BY lease_until LIMIT 100",
		"SELECT * FROM tasks WHERE tenant = '0a000000-0000-8000-8000-000000000001' AND state = 0 AND (origin, action) < ('019c0000-0000-7000-8000-000000000500', 0) ORDER BY origin DESC, action DESC LIMIT 50",
		"SELECT * FROM tasks WHERE tenant = '0a000000-0000-8000-8000-000000000001' ORDER BY origin DESC, action DESC LIMIT 50",
	} {
		var raw string
		require.NoError(t, tx.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+text).Scan(&raw))
		require.NotContains(t, raw, "Seq Scan", text)
	}
}

// Whoever ends a run, or keeps its lease, looks for its task and not at all that
// run, however few the planner believes there are.
func TestRunsAreFoundByTheirKeys(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	fillPostgres(t, d, 0, 10_000)
	tx, err := db.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), storage.SetTasks, "*")
	require.NoError(t, err)
	list, numbers, many := []string{"x"}, []int32{1}, []int64{1}
	for text, args := range map[string][]any{
		taskstore.SettleText:    {list, list, numbers, numbers, list, numbers, many, numbers, list, list, [][]byte{nil}, list, [][]byte{nil}, int64(1), false},
		taskstore.HeartbeatText: {list, list, numbers, numbers, list, int64(1)},
	} {
		var plan string
		require.NoError(t, tx.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+text, args...).Scan(&plan))
		require.Contains(t, plan, "tasks_pkey")
		require.NotContains(t, plan, "tasks_leases")
	}
}

// Tellers read nothing of what waits at a tenant where the teller is held, however
// much it is.
func TestHeldTellerCostsNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	d.Exec(t, `INSERT INTO task_events (tenant, origin, action, caused, step, what, attempt, at, code, error, taken_until)
			SELECT CASE WHEN n = 50000 THEN '0b' ELSE '0a' END, n::text, 0, true, 1, 'started', 1, n, '', '', 0 FROM generate_series(1, 50000) n`,
		`INSERT INTO followers (tenant, name, state, step, cursor, tries, code, error, changed_by, seen_at) VALUES ('0a', 'teller', 1, 1, 0, 0, '', '', '', 0)`, `VACUUM ANALYZE`)
	tx, err := db.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), storage.SetTasks, "*")
	require.NoError(t, err)
	var raw []byte
	require.NoError(t, tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "+taskstore.UntoldText, int64(1), int64(2), int64(512)).Scan(&raw))
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Actual Rows"`
			Hit  int     `json:"Shared Hit Blocks"`
			Read int     `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal(raw, &plans))
	require.EqualValues(t, 1, plans[0].Plan.Rows, "the other tenant's")
	blocks := plans[0].Plan.Hit + plans[0].Plan.Read
	t.Logf("a look touches %d blocks beside 50,000 events that are held", blocks)
	require.Less(t, blocks, 100)
}

// What SQLite is asked for goes by an index too.
func TestSQLitePlans(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	_, err = db.Write.ExecContext(t.Context(), fmt.Sprintf(queued, "printf('%012d', n)", t0.UnixMilli(), "0",
		"(WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s)"))
	require.NoError(t, err)
	_, err = db.Write.ExecContext(t.Context(), queuesOf)
	require.NoError(t, err)
	for text, want := range map[string]string{
		taskstore.LevelText:   "SEARCH tasks USING COVERING INDEX tasks_ready (tenant=? AND queue=? AND priority=? AND run_at<?)",
		taskstore.LapsedText:  "SEARCH tasks USING INDEX tasks_leases (lease_until<?)",
		taskstore.NextText:    "SEARCH t USING COVERING INDEX tasks_ready (tenant=? AND queue=? AND priority=?)",
		taskstore.BeginText:   "SEARCH tasks USING PRIMARY KEY (tenant=? AND origin=? AND action=?)",
		taskstore.StartedText: "SEARCH t USING PRIMARY KEY (tenant=? AND origin=? AND action=?)",
		taskstore.SettleLite:  "SEARCH tasks USING PRIMARY KEY (tenant=? AND origin=? AND action=?)",
		taskstore.UntoldLite:  "SEARCH task_events USING PRIMARY KEY (tenant=?)",
		taskstore.BacklogText: "SEARCH task_events USING PRIMARY KEY (tenant=?)",
		taskstore.EndedText:   "SEARCH t USING PRIMARY KEY (tenant=? AND origin=? AND action=?)",
	} {
		rows, err := db.Read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, []any{1, 2, 3, 4, 5, 6, 7, 8}[:arguments(text)]...)
		require.NoError(t, err)
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan.WriteString(detail + "\n")
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Contains(t, plan.String(), want)
		require.NotContains(t, plan.String(), "TEMP B-TREE")
	}
}

// arguments is how many a statement has.
func arguments(text string) (n int) {
	for strings.Contains(text, "$"+strconv.Itoa(n+1)) {
		n++
	}
	return n
}

// Row-level security alone keeps a tenant's tasks from others; workers, who say
// so, see all; who says nothing sees none.
func TestRowLevelSecurityOfTasks(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]pgtest.Option{"role": nil, "owner": {pgtest.NoCreateRole}, "superuser": {pgtest.Superuser}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t, options...)
			db, err := storage.Open(t.Context(), d.URL)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, db.Migrate(t.Context()))
			b := &bench{taskstore.New(db), t, db, d.URL}
			b.put(tenantA, 1, 1)
			b.put(tenantB, 1, 1)
			require.Len(t, b.claim(t0, 10, ""), 2) // which leaves events
			for _, table := range []string{"tasks", "task_queues", "task_cursors", "task_events"} {
				for scope, want := range map[string][]string{"": nil, tenantA: {tenantA}, tenantC: nil, "*": {tenantA, tenantB}} {
					tx, err := db.Pool().Begin(t.Context())
					require.NoError(t, err)
					_, err = tx.Exec(t.Context(), storage.SetTasks, scope)
					require.NoError(t, err)
					rows, err := tx.Query(t.Context(), `SELECT tenant FROM `+table+` ORDER BY 1`)
					require.NoError(t, err)
					seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
					require.NoError(t, err)
					require.Equal(t, append([]string{}, want...), append([]string{}, seen...), "%s as %q", table, scope)
					if scope == tenantA {
						_, err = tx.Exec(t.Context(), `UPDATE `+table+` SET tenant = $1`, tenantB)
						require.ErrorContains(t, err, "row-level security")
					}
					require.NoError(t, tx.Rollback(t.Context()))
				}
			}
		})
	}
}

// BenchmarkClaimAndSettle runs tasks through, by turns with a bare loop that
// does no more than mark rows by SKIP LOCKED.
func BenchmarkClaimAndSettle(b *testing.B) {
	d := pgtest.New(b)
	db, err := storage.Open(b.Context(), d.URL+"&pool_max_conns=2")
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(b.Context()))
	d.Exec(b, `CREATE TABLE bare (id bigint PRIMARY KEY, state smallint NOT NULL, attempt int NOT NULL, run_at bigint NOT NULL, name text NOT NULL)`,
		`CREATE INDEX bare_ready ON bare (run_at, id) WHERE state = 0`, `GRANT ALL ON bare TO PUBLIC`)
	store := taskstore.New(db)
	const batch, rounds = 50, 20
	var took [2]time.Duration
	n := 0
	for b.Loop() {
		var list []tasks.Draft
		for i := range batch * rounds {
			list = append(list, draft(n+i))
		}
		_, err := store.Advance(b.Context(), t0, tenantA, uint64(n), uint64(n+batch*rounds), list)
		require.NoError(b, err)
		_, err = db.Pool().Exec(b.Context(), `INSERT INTO bare SELECT g, 0, 0, 1, 'a.b' FROM generate_series($1::bigint, $2) g`, n, n+batch*rounds-1)
		require.NoError(b, err)
		n += batch * rounds
		for range rounds {
			begun := time.Now()
			claimed, err := store.Claim(b.Context(), tasks.Claim{Now: t0, Until: t0.Add(time.Minute), Most: batch, Queues: []string{"emit"}, Worker: "w"})
			require.NoError(b, err)
			require.Len(b, claimed, batch)
			ends := make([]tasks.Settlement, batch)
			for i := range claimed {
				ends[i] = tasks.Settlement{Lease: claimed[i].Lease(), State: tasks.Completed}
			}
			_, err = store.Settle(b.Context(), t0, false, ends)
			require.NoError(b, err)
			took[0] += time.Since(begun)

			begun = time.Now()
			rows, err := db.Pool().Query(b.Context(), `UPDATE bare SET state = 1, attempt = attempt + 1 WHERE id IN (
				SELECT id FROM bare WHERE state = 0 AND run_at <= 5 ORDER BY run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id`, batch)
			require.NoError(b, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			require.NoError(b, err)
			require.Len(b, ids, batch)
			_, err = db.Pool().Exec(b.Context(), `UPDATE bare SET state = 2 WHERE id = ANY ($1)`, ids)
			require.NoError(b, err)
			took[1] += time.Since(begun)
		}
	}
	b.ReportMetric(float64(n)/took[0].Seconds(), "tasks/s")
	b.ReportMetric(float64(n)/took[1].Seconds(), "bare/s")
	b.ReportMetric(float64(took[1])/float64(took[0]), "of-bare")
}
