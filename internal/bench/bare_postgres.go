package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/danvoulez/logline/internal/storage"
)

// barePostgres writes rows into a database with the schema of the node's, under
// the role that the product works under. What belongs together is one message
// and one transaction.
type barePostgres struct {
	cluster  *cluster
	database string
	db       *storage.DB
	conn     *pgxpool.Conn

	tables  []*rows
	inserts []string // the statements of the tables
	tenant  int64
	note    []byte
	at      uint64
}

func newBarePostgres(ctx context.Context, n *node) (_ *barePostgres, err error) {
	w := &barePostgres{cluster: n.bench.pg, at: uint64(n.tenant.Size)}
	if w.database, err = w.cluster.create(ctx); err != nil {
		return nil, err
	}
	if err = w.open(ctx); err == nil {
		err = w.begin(ctx, n.database)
	}
	if err != nil {
		_ = w.close()
		return nil, err
	}
	return w, nil
}

func (w *barePostgres) open(ctx context.Context) (err error) {
	if w.db, err = storage.Open(ctx, w.database); err != nil {
		return err
	}
	if err := w.db.Migrate(ctx); err != nil {
		return err
	}
	w.conn, err = w.db.Acquire(ctx)
	return err
}

// begin copies the timeline's own rows and reads the others, as superusers, whom
// row-level security does not bind.
func (w *barePostgres) begin(ctx context.Context, from string) error {
	src, err := pgx.Connect(ctx, from)
	if err != nil {
		return err
	}
	defer src.Close(ctx)
	dst, err := pgx.Connect(ctx, w.database)
	if err != nil {
		return err
	}
	defer dst.Close(ctx)
	names, err := src.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'timeline\_%'`)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if err := knowTables(all); err != nil {
		return err
	}
	for _, name := range []string{"timeline_tenants", "timeline_heads"} {
		r, text, err := readTable(ctx, src, name, "0", "true")
		if err == nil {
			_, err = dst.Exec(ctx, text, columnsOf(r.values)...)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, t := range written {
		r, text, err := readTable(ctx, src, t.name, t.postgres, fmt.Sprintf("%s >= %d AND %s", t.postgres, w.at, measured))
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		w.tables, w.inserts = append(w.tables, r), append(w.inserts, text)
	}
	return dst.QueryRow(ctx, `SELECT tenant, checkpoint FROM timeline_heads WHERE `+measured).Scan(&w.tenant, &w.note)
}

// readTable reads those of the rows that a condition picks, and makes
// the statement that inserts such rows, given column by column.
func readTable(ctx context.Context, from *pgx.Conn, name, seq, which string) (*rows, string, error) {
	found, err := from.Query(ctx, `SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a
		WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, name)
	if err != nil {
		return nil, "", err
	}
	var columns, places []string
	var column, kind string
	if _, err := pgx.ForEachRow(found, []any{&column, &kind}, func() error {
		columns, places = append(columns, column), append(places, fmt.Sprintf("$%d::%s[]", len(places)+1, kind))
		return nil
	}); err != nil {
		return nil, "", err
	}
	list := strings.Join(columns, ", ")
	found, err = from.Query(ctx, fmt.Sprintf(`SELECT (%s)::bigint AS wrote, %s FROM %s WHERE %s ORDER BY wrote`, seq, list, name, which))
	if err != nil {
		return nil, "", err
	}
	defer found.Close()
	r := &rows{table: name}
	for found.Next() {
		values, err := found.Values()
		if err != nil {
			return nil, "", err
		}
		r.add(append([]string{"wrote"}, columns...), values)
	}
	return r, fmt.Sprintf(`INSERT INTO %s (%s) SELECT * FROM unnest(%s)`, name, list, strings.Join(places, ", ")), found.Err()
}

// columnsOf turns rows into typed columns, which the driver writes fastest.
func columnsOf(values [][]any) []any {
	out := make([]any, len(values[0]))
	for c := range out {
		switch kind(values, c).(type) {
		case int64:
			out[c] = columnOf[int64](values, c)
		case int16:
			out[c] = columnOf[int16](values, c)
		case bool:
			out[c] = columnOf[bool](values, c)
		case [16]byte:
			out[c] = columnOf[[16]byte](values, c)
		case []byte:
			column := make([][]byte, len(values))
			for i := range values {
				column[i], _ = values[i][c].([]byte) // nil for NULL
			}
			out[c] = column
		default: // text, or nothing but NULL
			out[c] = columnOf[string](values, c)
		}
	}
	return out
}

// kind is the first value of a column that is not NULL.
func kind(values [][]any, column int) any {
	for i := range values {
		if v := values[i][column]; v != nil {
			return v
		}
	}
	return nil
}

// columnOf is a column; of one with NULLs, pointers.
func columnOf[T any](values [][]any, c int) any {
	full, pointers, nulls := make([]T, len(values)), make([]*T, len(values)), false
	for i := range values {
		v, ok := values[i][c].(T)
		if !ok {
			nulls = true
			continue
		}
		full[i], pointers[i] = v, &v
	}
	if nulls {
		return pointers
	}
	return full
}

// next implements bareWriter.
func (w *barePostgres) next(n int) (func(context.Context) error, error) {
	w.at += uint64(n)
	message := &pgx.Batch{}
	message.Queue(storage.SetTenant, strconv.FormatInt(w.tenant, 10))
	message.Queue(`UPDATE timeline_heads SET size = $1, checkpoint = $2 WHERE tenant = $3`, int64(w.at), w.note, w.tenant)
	for i, t := range w.tables {
		values, err := t.below(w.at, n)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 {
			message.Queue(w.inserts[i], columnsOf(values)...)
		}
	}
	message.Queue(`INSERT INTO timeline_checkpoints (tenant, size, note) VALUES ($1, $2, $3)`, w.tenant, int64(w.at), w.note)
	return func(ctx context.Context) error { return w.conn.SendBatch(ctx, message).Close() }, nil
}

func (w *barePostgres) close() error {
	if w.conn != nil {
		w.conn.Release()
	}
	if w.db != nil {
		_ = w.db.Close() // the database goes next
	}
	return w.cluster.drop(context.Background(), w.database)
}
