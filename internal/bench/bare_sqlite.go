package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/storage"
)

// bareSQLite writes rows into a database with the schema and settings of the node's.
type bareSQLite struct {
	db      *storage.DB
	inserts []insert
	head    *sql.Stmt
	tenant  int64
	note    []byte // the last checkpoint, in the place of each batch's
	at      uint64
}

// insert adds rows to one table, chunk with one statement and the rest one by one.
type insert struct {
	rows      *rows
	one, many *sql.Stmt
}

// chunk is how many rows one statement takes where there are as many.
const chunk = 50

func newBareSQLite(ctx context.Context, n *node) (_ *bareSQLite, err error) {
	from, err := storage.Open(ctx, "sqlite:"+filepath.Join(n.Dir, "logline.db"))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	w := &bareSQLite{at: uint64(n.tenant.Size)}
	if w.db, err = storage.Open(ctx, "sqlite:"+filepath.Join(n.Dir, "bare.db")); err != nil {
		return nil, err
	}
	if err = w.begin(ctx, from); err != nil {
		_ = w.close()
		return nil, err
	}
	return w, nil
}

// begin copies the timeline's own rows and makes the others ready.
func (w *bareSQLite) begin(ctx context.Context, from *storage.DB) error {
	if err := w.db.Migrate(ctx); err != nil {
		return err
	}
	var names []string
	if err := eachRow(ctx, from, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'timeline\_%' ESCAPE '\'`,
		func(_ []string, values []any) { names = append(names, values[0].(string)) }); err != nil {
		return err
	}
	if err := knowTables(names); err != nil {
		return err
	}
	for _, name := range []string{"timeline_tenants", "timeline_heads"} {
		if err := w.copyAll(ctx, from, name); err != nil {
			return err
		}
	}
	for _, t := range written {
		r := &rows{table: t.name}
		err := eachRow(ctx, from, fmt.Sprintf(`SELECT %s AS wrote, * FROM %s WHERE wrote >= %d AND %s ORDER BY wrote`, t.sqlite, t.name, w.at, measured), r.add)
		if err != nil {
			return err
		}
		if len(r.values) > 0 {
			in, err := w.insert(ctx, r)
			if err != nil {
				return err
			}
			w.inserts = append(w.inserts, in)
		}
	}
	in, err := w.insert(ctx, &rows{table: checkpoints, columns: []string{"tenant", "size", "note"}})
	if err != nil {
		return err
	}
	w.inserts = append(w.inserts, in)
	if err := w.db.Read.QueryRowContext(ctx, `SELECT tenant, checkpoint FROM timeline_heads WHERE `+measured).Scan(&w.tenant, &w.note); err != nil {
		return err
	}
	w.head, err = w.db.Write.PrepareContext(ctx, `UPDATE timeline_heads SET size = ?, checkpoint = ? WHERE tenant = ?`)
	return err
}

// eachRow reads rows whole.
func eachRow(ctx context.Context, db *storage.DB, query string, each func(columns []string, values []any)) error {
	found, err := db.Read.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return err
	}
	for found.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			return err
		}
		each(columns, values)
	}
	return found.Err()
}

func (w *bareSQLite) copyAll(ctx context.Context, from *storage.DB, name string) error {
	r := &rows{table: name}
	if err := eachRow(ctx, from, `SELECT 0, * FROM `+name, r.add); err != nil {
		return err
	}
	in, err := w.insert(ctx, r)
	if err != nil {
		return err
	}
	return w.db.InTx(ctx, func(tx *sql.Tx) error { return runAll(ctx, tx, in.calls(r.values)) })
}

func (w *bareSQLite) insert(ctx context.Context, r *rows) (in insert, err error) {
	in.rows = r
	place := "(?" + strings.Repeat(",?", len(r.columns)-1) + ")"
	text := "INSERT INTO " + r.table + " (" + strings.Join(r.columns, ", ") + ") VALUES " + place
	if in.one, err = w.db.Write.PrepareContext(ctx, text); err != nil {
		return in, err
	}
	in.many, err = w.db.Write.PrepareContext(ctx, text+strings.Repeat(","+place, chunk-1))
	return in, err
}

// call is one statement to be run.
type call struct {
	statement *sql.Stmt
	args      []any
}

func (in insert) calls(values [][]any) (calls []call) {
	for len(values) > 0 {
		statement, take := in.one, 1
		if len(values) >= chunk {
			statement, take = in.many, chunk
		}
		args := make([]any, 0, take*len(in.rows.columns))
		for _, row := range values[:take] {
			args = append(args, row...)
		}
		calls, values = append(calls, call{statement, args}), values[take:]
	}
	return calls
}

func runAll(ctx context.Context, tx *sql.Tx, calls []call) error {
	for _, c := range calls {
		if _, err := tx.StmtContext(ctx, c.statement).ExecContext(ctx, c.args...); err != nil {
			return err
		}
	}
	return nil
}

// next implements bareWriter.
func (w *bareSQLite) next(n int) (func(context.Context) error, error) {
	w.at += uint64(n)
	var calls []call
	for _, in := range w.inserts {
		values, err := in.rows.below(w.at, n)
		if err != nil {
			return nil, err
		}
		if in.rows.table == checkpoints {
			values = [][]any{{w.tenant, int64(w.at), w.note}}
		}
		calls = append(calls, in.calls(values)...)
	}
	calls = append(calls, call{w.head, []any{int64(w.at), w.note, w.tenant}})
	return func(ctx context.Context) error {
		return w.db.InTx(ctx, func(tx *sql.Tx) error { return runAll(ctx, tx, calls) })
	}, nil
}

func (w *bareSQLite) close() error { return w.db.Close() }
