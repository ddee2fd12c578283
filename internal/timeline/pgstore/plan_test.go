package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// bulk fills timelines by SQL as a superuser: five tenants, of whom the first
// has most entries. Values are skewed as real ones are: type t.1 is four in ten,
// author a1 every third, and a few subjects, tags and causes are everywhere.
const bulk = `
	INSERT INTO timeline_tenants (tenant, id, slug, name, node, owner, origin, log_key, public_reading, created_at)
		SELECT n, 'tenant-' || n, 'slug-' || n, 'n', 'n', 'o', 'o', 'k', false, '' FROM generate_series(1, 5) n;
	CREATE TEMP TABLE s AS SELECT n, CASE WHEN n %% 10 < 6 THEN 1 WHEN n %% 10 < 8 THEN 2 WHEN n %% 10 = 8 THEN 3 WHEN n %% 100 < 89 THEN 4 ELSE 5 END AS tenant
		FROM generate_series(0, %[1]d - 1) n;
	CREATE TEMP TABLE e AS SELECT tenant::bigint AS tenant, row_number() OVER (PARTITION BY tenant ORDER BY n) - 1 AS seq FROM s;
	INSERT INTO timeline_entries (tenant, seq, visibility, redacted, leaf, recorded_at, type, author, subject, status, line, payload)
		SELECT tenant, seq, CASE WHEN seq %% 10 = 0 THEN 0 ELSE 1 END, seq %% 2000 = 7, decode(lpad(to_hex(seq), 64, '0'), 'hex'),
			to_char(timestamp '2026-01-01' + seq * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"'),
			CASE WHEN seq %% 10 < 4 THEN 't.1' WHEN seq %% 10 < 9 THEN 't.' || 2 + seq %% 7 ELSE 'rare.' || seq %% 997 END,
			CASE WHEN seq %% 3 = 0 THEN 'a1' ELSE 'a' || seq %% 499 END,
			CASE WHEN seq %% 4 = 0 THEN 's' || seq %% 1001 END,
			CASE WHEN seq %% 500 = 3 THEN 'pending' WHEN seq %% 900 = 5 THEN 'reverted' ELSE 'executed' END,
			decode(repeat('7b', 200), 'hex'), decode(repeat('7d', 100), 'hex') FROM e;
	INSERT INTO timeline_ids SELECT tenant, md5(tenant || ' ' || seq)::uuid, seq, 0 FROM e WHERE seq %% 10 = 1;
	INSERT INTO timeline_tags SELECT tenant, CASE WHEN seq %% 2 = 0 THEN 'common' ELSE 'x' || seq %% 100 END, seq FROM e WHERE seq %% 10 < 2;
	INSERT INTO timeline_links SELECT tenant, 0, md5(tenant || ' ' || CASE WHEN seq %% 3 = 0 THEN 0 ELSE seq / 2 END)::uuid, seq FROM e WHERE seq %% 6 < 2;
	INSERT INTO timeline_checkpoints SELECT tenant, seq, '\x00' FROM e WHERE seq %% 9 = 1;
	INSERT INTO timeline_hashes SELECT tenant, 8, seq / 256, decode(repeat('00', 32), 'hex') FROM e WHERE seq %% 256 = 255;
	INSERT INTO timeline_state SELECT tenant, 'k' || seq, '\x00' FROM e WHERE seq < 5000;
	INSERT INTO timeline_state SELECT tenant, '~sum/' || seq %% 50 || '/' || lpad(seq::text, 8, '0'), '\x00' FROM e;
	INSERT INTO timeline_heads SELECT tenant, count(*), decode(repeat('00', 32), 'hex'), '', '\x00', '' FROM e GROUP BY tenant;
`

// large is a database of many entries that nobody signed.
func large(t *testing.T) (*storage.DB, *Store, int) {
	t.Helper()
	entries := 1_000_000
	if testing.Short() {
		entries = 200_000
	}
	d := pgtest.New(t)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	begun := time.Now()
	d.Exec(t, `ALTER TABLE timeline_entries SET UNLOGGED`, `ALTER TABLE timeline_ids SET UNLOGGED`, `ALTER TABLE timeline_links SET UNLOGGED`,
		`ALTER TABLE timeline_tags SET UNLOGGED`, `SET maintenance_work_mem = '256MB'`, `SET work_mem = '128MB'`,
		// Indexes are made after the rows, which is faster.
		`CREATE TABLE indexes AS SELECT indexdef FROM pg_indexes WHERE tablename = 'timeline_entries' AND indexname <> 'timeline_entries_pkey'`,
		`DO $$ DECLARE i text; BEGIN FOR i IN SELECT indexname FROM pg_indexes WHERE tablename = 'timeline_entries' AND indexname <> 'timeline_entries_pkey'
			LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$`,
		fmt.Sprintf(bulk, entries),
		`DO $$ DECLARE i text; BEGIN FOR i IN SELECT indexdef FROM indexes LOOP EXECUTE i; END LOOP; END $$`,
		`DROP TABLE indexes`)
	d.Exec(t, `VACUUM ANALYZE`)
	t.Logf("%d entries loaded in %s", entries, time.Since(begun).Round(time.Millisecond))
	return db, NewStore(db), entries
}

// node is a step of a plan as EXPLAIN gives it.
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
	Hit      int     `json:"Shared Hit Blocks"`  // of it and all below
	Read     int     `json:"Shared Read Blocks"` // likewise
	Plans    []node  `json:"Plans"`
}

// walk visits a step and all below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for i := range n.Plans {
		n.Plans[i].walk(visit)
	}
}

// read is how many rows of the timelines' tables a plan looked at, and what it
// scanned from end to end.
func (n *node) read() (rows int, scanned []string) {
	n.walk(func(n *node) {
		if !strings.HasPrefix(n.Relation, "timeline_") || n.Relation == "timeline_tenants" || n.Relation == "timeline_heads" {
			return
		}
		rows += int((n.Rows + n.Removed + n.Recheck) * n.Loops)
		if n.Type == "Seq Scan" {
			scanned = append(scanned, n.Relation)
		}
	})
	return rows, scanned
}

// explain runs a statement as the store would, in the tenant, under the role
// that row-level security binds, planned for its arguments or for any.
func explain(t *testing.T, db *storage.DB, key tenantKey, generic bool, text string, args ...any) *node {
	t.Helper()
	ctx := t.Context()
	tx, err := db.Pool().Begin(ctx)
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(ctx))
	_, err = tx.Exec(ctx, storage.SetTenant, strconv.FormatInt(int64(key), 10))
	require.NoError(t, err)
	if slices.Contains([]string{typesText, privateText, authorsText, erasedText, statusText}, text) {
		_, err = tx.Exec(ctx, indexesOnly)
		require.NoError(t, err)
	}
	switch {
	case strings.Contains(text, "LATERAL (SELECT * FROM timeline_entries") && strings.Contains(text, " c (seq)"), text == pagesText, text == unindexedText:
		_, err = tx.Exec(ctx, oneByOne)
		require.NoError(t, err)
	case text == distinctText, text == bisectText:
		_, err = tx.Exec(ctx, stepwise)
		require.NoError(t, err)
	case strings.Contains(text, ".tenant"):
		_, err = tx.Exec(ctx, inOrder)
		require.NoError(t, err)
	}
	mode := "force_custom_plan"
	if generic {
		mode = "force_generic_plan"
	}
	values := make([]string, len(args))
	for i, a := range args {
		values[i] = literal(t, a)
	}
	var raw []byte
	for _, statement := range []string{"SET LOCAL plan_cache_mode = " + mode, "PREPARE explained AS " + text} {
		_, err = tx.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, text)
	}
	call := "EXECUTE explained"
	if len(values) > 0 {
		call += "(" + strings.Join(values, ", ") + ")"
	}
	require.NoError(t, tx.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "+call, pgx.QueryExecModeSimpleProtocol).Scan(&raw), text)
	_, err = tx.Exec(ctx, "DEALLOCATE explained")
	require.NoError(t, err)
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(raw, &plans))
	return &plans[0].Plan
}

func literal(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []string:
		return "'{" + strings.Join(v, ",") + "}'"
	case []int64:
		return "'{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]") + "}'"
	case [16]byte:
		return "'" + timeline.IDString(v[:]) + "'"
	case [][16]byte:
		var ids []string
		for _, id := range v {
			ids = append(ids, timeline.IDString(id[:]))
		}
		return "'{" + strings.Join(ids, ",") + "}'"
	default:
		return fmt.Sprint(v)
	}
}

// Every question that the store asks of a large database reads an index, and no
// more rows than one answer may look at.
func TestEveryQueryUsesAnIndex(t *testing.T) {
	t.Parallel()
	db, s, entries := large(t)
	t.Run("select", func(t *testing.T) { selectPlans(t, db, s) })
	t.Run("pages", func(t *testing.T) { selectPages(t, s, entries) })
	t.Run("deep", func(t *testing.T) { deepPlans(t, db, s, uint64(entries)*6/10) })
	for text, c := range map[string]struct {
		args []any
		most int
	}{
		rangeText:      {[]any{tenantKey(1), 100, entries, maxRange, timeline.MaxPageBytes}, maxRange},
		atText:         {[]any{tenantKey(1), []int64{5, 70000, 9}}, 3},
		headersAtText:  {[]any{tenantKey(1), []int64{5, 70000, 9}}, 3},
		spentText:      {[]any{tenantKey(1), uuids([]string{storetest.ID(1), storetest.ID(2)})}, 2},
		leavesText:     {[]any{tenantKey(1), 5000, 5256}, 256},
		hashesText:     {[]any{tenantKey(1), 8, 10, 20}, 10},
		checkpointText: {[]any{tenantKey(1), 70000}, 1},
		linkedText:     {[]any{tenantKey(1), 0, uuids([]string{storetest.ID(1)}), 10}, 20},
		bisectText:     {[]any{tenantKey(1), 0, entries, "2026-01-01T10:00:00.000Z"}, 2 * 21},
		distinctText:   {[]any{tenantKey(1)}, 1100},
		stateText:      {[]any{tenantKey(1)}, 5000},
		asksText: {[]any{tenantKey(1), []int64{0, 2}, []string{"~sum/7/", "~sum/9/00000059"}, []string{"~sum/70", "~sum/9/0000006"}, []int64{30, 1},
			[]int64{1, 3}, []string{"~sum/8/", "~x"}, []string{"~sum/8/00060000", "~z"}, []int64{1, 5}}, 32},
		firstText:  {[]any{tenantKey(1)}, 1},
		erasedText: {[]any{tenantKey(2)}, entries / 2000},
		statusText: {[]any{tenantKey(2)}, entries / 100},
		// These count every entry of the timeline, in an index alone.
		typesText:   {[]any{tenantKey(2)}, entries / 5},
		authorsText: {[]any{tenantKey(2)}, entries / 5},
		privateText: {[]any{tenantKey(2)}, entries / 50},
	} {
		for _, generic := range []bool{false, true} {
			plan := explain(t, db, c.args[0].(tenantKey), generic, text, c.args...)
			rows, scanned := plan.read()
			require.Empty(t, scanned, text)
			require.LessOrEqual(t, rows, c.most+10, text) // what several workers read is rounded
		}
	}
}

// selectPlans asks combinations of conditions: each alone, and every seventh of
// the others, which makes all of them occur with one another.
func selectPlans(t *testing.T, db *storage.DB, s *Store) {
	id := "tenant-1"
	cause := timeline.IDString(md5ID(t, db, "1 0"))
	sight := []timeline.Access{{Visibility: span.VisibilityPrivate, Author: "nobody"}, {Visibility: span.VisibilityOrganization, All: true}}
	blind := []timeline.Access{{Visibility: span.VisibilityPrivate, Author: "nobody", OnBehalfOf: "nobody"}}
	asked, all := 0, 0
	for _, types := range [][]string{nil, {"t.1"}, {"rare.*"}, {"t.*"}, {"none"}} {
		for _, author := range []string{"", "a1", "a7"} {
			for _, more := range []timeline.Filter{
				{}, {Subject: "s8"}, {Tag: "common"}, {Status: "pending"}, {Status: "executed"}, {Cause: cause},
				{Subject: "s8", Tag: "x7", Status: "executed"}, {Cause: cause, Tag: "common", Status: "pending"},
			} {
				for _, seen := range [][]timeline.Access{nil, sight, blind} {
					for _, times := range [][2]string{{}, {"2026-01-01T02:00:00.000Z", "2026-01-01T20:00:00.000Z"}} {
						f := more
						f.Types, f.Author, f.Sight, f.Since, f.Until = types, author, seen, times[0], times[1]
						single := types == nil && author == "" && seen == nil && times[0] == ""
						if all++; !single && all%7 != 0 {
							continue
						}
						f.To, f.Limit, f.Descending = maxSeq, 50, asked%2 == 0
						asked++
						p := &plan{key: 1, filter: &f, to: f.To}
						require.NoError(t, p.bound(t.Context(), s))
						if p.from >= p.to {
							continue
						}
						require.NoError(t, p.build(t.Context(), s))
						for _, text := range []string{p.text, p.end} {
							if text == "" {
								continue
							}
							args := p.args
							if text == p.end {
								args = p.endArgs
							}
							tree := explain(t, db, 1, asked%3 == 0, text, args...)
							rows, scanned := tree.read()
							require.Empty(t, scanned, "%s %+v\n%s", id, f, text)
							// An entry counts where an index names it and where it is read, and again for its tag.
							require.LessOrEqual(t, rows, 3*scanBudget+100, "%+v\n%s", f, text)
							if f.Sight == nil && f.Types == nil && f.Author == "" && more.Status != "executed" && more.Tag == "" {
								require.LessOrEqual(t, rows, 2*51, "one condition, and nothing but its rows: %+v", f)
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d of %d filters explained", asked, all)
}

// deepPlans asks for pages far into a timeline: an index is entered where the
// page begins, and nothing before that is read.
func deepPlans(t *testing.T, db *storage.DB, s *Store, size uint64) {
	for _, f := range []timeline.Filter{{}, {Author: "a1"}, {Types: []string{"t.1"}}, {Types: []string{"t.1", "t.2"}}, {Subject: "s8"}, {Tag: "common"}} {
		for _, descending := range []bool{false, true} {
			f.From, f.To, f.Limit, f.Descending = size*9/10, maxSeq, 50, descending
			if descending {
				f.From, f.To = 0, size/10
			}
			p := &plan{key: 1, filter: &f, from: f.From, to: f.To}
			require.NoError(t, p.bound(t.Context(), s))
			require.NoError(t, p.build(t.Context(), s))
			for _, generic := range []bool{false, true} {
				tree := explain(t, db, 1, generic, p.text, p.args...)
				// A tag's entries are looked up one by one, at four blocks each.
				require.LessOrEqual(t, tree.Hit+tree.Read, 51*5, "%+v\n%s", f, p.text)
			}
		}
	}
}

func md5ID(t *testing.T, db *storage.DB, text string) []byte {
	t.Helper()
	var id [16]byte
	require.NoError(t, db.Pool().QueryRow(t.Context(), `SELECT md5($1)::uuid`, text).Scan(&id))
	return id[:]
}

// selectPages follows filters that hardly anything meets to their end: however
// often a page stops early, nothing is left out and nothing comes twice.
func selectPages(t *testing.T, s *Store, entries int) {
	mine := []timeline.Access{{Visibility: span.VisibilityPrivate, Author: "a5"}}
	size := entries / 5
	for name, c := range map[string]struct {
		filter timeline.Filter
		meets  func(seq int) bool
	}{
		"type":   {timeline.Filter{Types: []string{"t.1"}, Sight: mine}, func(seq int) bool { return seq%10 < 4 }},
		"types":  {timeline.Filter{Types: []string{"t.*"}, Sight: mine}, func(seq int) bool { return seq%10 < 9 }},
		"tag":    {timeline.Filter{Tag: "common", Sight: mine}, func(seq int) bool { return seq%10 == 0 }},
		"author": {timeline.Filter{Author: "a5", Types: []string{"t.1"}, Sight: mine}, func(seq int) bool { return seq%10 < 4 }},
		"all":    {timeline.Filter{Sight: mine}, func(int) bool { return true }},
	} {
		var want []uint64
		for seq := range size {
			if seq%10 == 0 && seq%3 != 0 && seq%499 == 5 && c.meets(seq) {
				want = append(want, uint64(seq))
			}
		}
		require.NotEmpty(t, want)
		for _, descending := range []bool{false, true} {
			f := c.filter
			f.To, f.Limit, f.Descending = maxSeq, 7, descending
			var got []uint64
			for {
				page, err := s.Select(t.Context(), "tenant-2", &f)
				require.NoError(t, err)
				for _, r := range page.Records {
					got = append(got, r.Seq)
				}
				if !page.More {
					break
				}
				if descending {
					f.To = page.Resume + 1
				} else {
					f.From = page.Resume
				}
			}
			if descending {
				slices.Reverse(got)
			}
			require.Equal(t, want, got, name)
		}
	}
}

// State rows are looked up in their index from the first on: a plan is made once
// for a connection, when the table may be empty, and lives on as it grows.
func TestRowsAreLookedUpInAnEmptyTable(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	d.Exec(t, `INSERT INTO timeline_tenants (tenant, id, slug, name, node, owner, origin, log_key, public_reading, created_at)
		VALUES (1, 'a', 'a', 'n', 'n', 'o', 'o', 'k', false, '')`)
	for _, rows := range []int{0, 3, 500} {
		d.Exec(t, fmt.Sprintf(`INSERT INTO timeline_state SELECT 1, '~' || %d + n, '\x00' FROM generate_series(1, %d) n`, 1000*rows, rows))
		for _, generic := range []bool{false, true} {
			plan := explain(t, db, 1, generic, asksText, tenantKey(1), []int64{0}, []string{"~1"}, []string{"~9"}, []int64{1}, []int64{1}, []string{"~1"}, []string{"~9"}, []int64{1})
			looked, scanned := plan.read()
			require.Empty(t, scanned, "%d rows, generic %v", rows, generic)
			require.LessOrEqual(t, looked, 2)
		}
	}
}
