package backup

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// SQLTables are the tables of a node's database, in a transaction, whatever
// tables there are: a table that is added later is in the next backup. Left out
// are the timelines' own, which have the tenant's short key as their tenant and
// are in an archive as timelines, and those that hold no record of anything:
// the list of migrations, what a database makes of its own for an index, and what
// is over before an archive could be restored.
type SQLTables struct {
	Tx      *sql.Tx
	Dialect string // storage.SQLite or storage.Postgres
}

var _ Tables = SQLTables{}

// column is one column of a table.
type column struct {
	table, name, kind string
}

// columns are those of every table there is.
func (t SQLTables) columns(ctx context.Context) (map[string][]column, error) {
	text := `SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER' ORDER BY c.table_name, c.ordinal_position`
	if t.Dialect == storage.SQLite {
		text = `SELECT t.name, c.name, lower(c.type) FROM pragma_table_list t JOIN pragma_table_info(t.name) c
			WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid`
	}
	out := map[string][]column{}
	err := t.each(ctx, text, func(rows *sql.Rows) error {
		var c column
		if err := rows.Scan(&c.table, &c.name, &c.kind); err != nil {
			return err
		}
		out[c.table] = append(out[c.table], c)
		return nil
	})
	for name, columns := range out {
		if strings.HasPrefix(name, "goose_") || name == "feed_tickets" || slices.ContainsFunc(columns, ofTimelines) {
			delete(out, name)
		}
	}
	return out, err
}

// ofTimelines says that a table with this column belongs to the timelines.
func ofTimelines(c column) bool {
	return c.name == "tenant" && (c.kind == "integer" || c.kind == "bigint")
}

// open shows the transaction the tasks of every tenant, which on PostgreSQL are
// the rows beside the timelines' own that row-level security keeps apart.
func (t SQLTables) open(ctx context.Context) error {
	if t.Dialect != storage.Postgres {
		return nil
	}
	if _, err := t.Tx.ExecContext(ctx, storage.SetTasks, "*"); err != nil {
		return storage.Classify(fmt.Errorf("open tasks: %w", err))
	}
	return nil
}

// Names implements Tables.
func (t SQLTables) Names(ctx context.Context) ([]string, error) {
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	tables, err := t.columns(ctx)
	if err != nil {
		return nil, err
	}
	text := `SELECT r.relname, f.relname FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
		WHERE c.contype = 'f' AND r.relnamespace = current_schema()::regnamespace`
	if t.Dialect == storage.SQLite {
		text = `SELECT t.name, f."table" FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f WHERE t.schema = 'main' AND t.type = 'table'`
	}
	parents := map[string][]string{}
	if err := t.each(ctx, text, func(rows *sql.Rows) error {
		var from, to string
		if err := rows.Scan(&from, &to); err != nil {
			return err
		}
		parents[from] = append(parents[from], to)
		return nil
	}); err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if _, ok := tables[name]; !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, p := range parents[name] {
			add(p)
		}
		out = append(out, name)
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		add(name)
	}
	return out, nil
}

// Rows implements Tables.
func (t SQLTables) Rows(ctx context.Context, table string, columns func([]string) error, row func([]any) error) error {
	tables, err := t.columns(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(tables[table]))
	for i, c := range tables[table] {
		names[i] = c.name
	}
	if err := columns(names); err != nil {
		return err
	}
	return t.each(ctx, `SELECT "`+strings.Join(names, `", "`)+`" FROM "`+table+`" ORDER BY 1`, func(rows *sql.Rows) error {
		values := make([]any, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			switch v := v.(type) {
			case nil, int64, float64, string:
			case []byte:
				values[i] = slices.Clone(v)
			case bool:
				values[i] = int64(0)
				if v {
					values[i] = int64(1)
				}
			default:
				return fault.Newf(fault.Internal, "column_unknown", "column %s of table %s is of a kind that backups do not know", names[i], table)
			}
		}
		return row(values)
	})
}

// each runs a query and gives its rows to fn.
func (t SQLTables) each(ctx context.Context, text string, fn func(*sql.Rows) error) error {
	rows, err := t.Tx.QueryContext(ctx, text)
	if err != nil {
		return storage.Classify(fmt.Errorf("read tables: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return storage.Classify(fmt.Errorf("read tables: %w", err))
	}
	return nil
}

// Insert begins to fill a table, which must have these columns, and is empty
// before. It gives what inserts one row.
func (t SQLTables) Insert(ctx context.Context, table string, columns []string) (func([]any) error, error) {
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	tables, err := t.columns(ctx)
	if err != nil {
		return nil, err
	}
	kinds := make([]string, len(columns))
	for i, name := range columns {
		at := slices.IndexFunc(tables[table], func(c column) bool { return c.name == name })
		if at < 0 {
			return nil, fault.Newf(fault.Invalid, "archive_unfit",
				"the backup has a table %s with a column %s, which this program's database has not; restore it with the logline that made it", table, name)
		}
		kinds[i] = tables[table][at].kind
	}
	if _, err := t.Tx.ExecContext(ctx, `DELETE FROM "`+table+`"`); err != nil { // what a migration has put there
		return nil, storage.Classify(fmt.Errorf("empty %s: %w", table, err))
	}
	places := make([]string, len(columns))
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	text := `INSERT INTO "` + table + `" ("` + strings.Join(columns, `", "`) + `") VALUES (` + strings.Join(places, ", ") + `)`
	return func(values []any) error {
		for i, v := range values {
			if n, ok := v.(int64); ok && kinds[i] == "boolean" {
				values[i] = n != 0
			}
		}
		if _, err := t.Tx.ExecContext(ctx, text, values...); err != nil {
			return storage.Classify(fmt.Errorf("insert into %s: %w", table, err))
		}
		return nil
	}, nil
}
