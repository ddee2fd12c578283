package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/storage"
)

// bareResult is what writing the same rows with nothing around it took.
type bareResult struct {
	rows    int // entries
	batches int
	elapsed time.Duration
}

// table is one of the product's tables that an append writes, with the SQL
// expression for the seq of the entry that wrote a row.
type table struct {
	name string
	seq  string
}

var tables = []table{
	{"timeline_ids", "seq"},
	{"timeline_entries", "position & 1099511627775"},
	{"timeline_tags", "seq"},
	{"timeline_links", "seq"},
	{"timeline_hashes", "((idx + 1) << level) - 1"},
	{"timeline_checkpoints", "size - 1"},
}

// chunk is how many rows one insert statement takes where there are as many.
const chunk = 50

// insertBare reads what a node wrote from seq first on and inserts the same
// rows into a fresh database with the same schema, settings and durability, in
// the same transactions: one for each checkpoint.
func insertBare(ctx context.Context, from, to string, first uint64) (bareResult, error) {
	src, err := storage.Open(ctx, "sqlite:"+from)
	if err != nil {
		return bareResult{}, err
	}
	defer src.Close()
	dst, err := storage.Open(ctx, "sqlite:"+to)
	if err != nil {
		return bareResult{}, err
	}
	defer dst.Close()
	if err := dst.Migrate(ctx); err != nil {
		return bareResult{}, err
	}
	for _, t := range []string{"timeline_tenants", "timeline_heads"} {
		if err := copyAll(ctx, src, dst, t); err != nil {
			return bareResult{}, err
		}
	}
	ends, err := batchEnds(ctx, src, first)
	if err != nil {
		return bareResult{}, err
	}
	var w bareWriter
	for _, t := range tables {
		rows, err := readRows(ctx, src, t, first)
		if err != nil {
			return bareResult{}, err
		}
		in, err := newBareInserter(ctx, dst, t.name, rows)
		if err != nil {
			return bareResult{}, err
		}
		w.inserters = append(w.inserters, in)
	}
	if w.head, err = dst.Write.PrepareContext(ctx, `UPDATE timeline_heads SET size = ?, checkpoint = ? WHERE size < ?`); err != nil {
		return bareResult{}, err
	}
	begin := time.Now()
	for _, end := range ends {
		if err := dst.InTx(ctx, func(tx *sql.Tx) error { return w.write(ctx, tx, end) }); err != nil {
			return bareResult{}, err
		}
	}
	return bareResult{rows: int(ends[len(ends)-1] - first), batches: len(ends), elapsed: time.Since(begin)}, nil
}

// batchEnds are the sizes at which transactions ended.
func batchEnds(ctx context.Context, db *storage.DB, first uint64) (ends []uint64, err error) {
	rows, err := db.Read.QueryContext(ctx, `SELECT size FROM timeline_checkpoints WHERE size > ? ORDER BY size`, int64(first))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var end uint64
		if err := rows.Scan(&end); err != nil {
			return nil, err
		}
		ends = append(ends, end)
	}
	if len(ends) == 0 {
		return nil, errors.Join(errors.New("the node recorded nothing"), rows.Err())
	}
	return ends, rows.Err()
}

// stored is one row and the seq of the entry that wrote it.
type stored struct {
	seq    uint64
	values []any
}

func readRows(ctx context.Context, db *storage.DB, t table, first uint64) (out []stored, err error) {
	rows, err := db.Read.QueryContext(ctx, fmt.Sprintf(`SELECT %s AS wrote, * FROM %s WHERE wrote >= ? ORDER BY wrote`, t.seq, t.name), int64(first))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		s := stored{values: make([]any, len(columns)-1)}
		into := []any{&s.seq}
		for i := range s.values {
			into = append(into, &s.values[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

func copyAll(ctx context.Context, src, dst *storage.DB, name string) error {
	rows, err := readRows(ctx, src, table{name, "0"}, 0)
	if err != nil {
		return err
	}
	in, err := newBareInserter(ctx, dst, name, rows)
	if err != nil {
		return err
	}
	return dst.InTx(ctx, func(tx *sql.Tx) error { return in.insertBelow(ctx, tx, 1) })
}

// bareInserter writes a table's rows in order.
type bareInserter struct {
	rows      []stored
	one, many *sql.Stmt
}

func newBareInserter(ctx context.Context, db *storage.DB, name string, rows []stored) (*bareInserter, error) {
	in := &bareInserter{rows: rows}
	if len(rows) == 0 {
		return in, nil
	}
	place := "(?" + strings.Repeat(",?", len(rows[0].values)-1) + ")"
	var err error
	if in.one, err = db.Write.PrepareContext(ctx, `INSERT INTO `+name+` VALUES `+place); err != nil {
		return nil, err
	}
	in.many, err = db.Write.PrepareContext(ctx, `INSERT INTO `+name+` VALUES `+place+strings.Repeat(","+place, chunk-1))
	return in, err
}

// insertBelow writes the rows of entries with seq < end that are left.
func (in *bareInserter) insertBelow(ctx context.Context, tx *sql.Tx, end uint64) error {
	n := 0
	for n < len(in.rows) && in.rows[n].seq < end {
		n++
	}
	batch := in.rows[:n]
	in.rows = in.rows[n:]
	for len(batch) > 0 {
		st, take := in.one, 1
		if len(batch) >= chunk {
			st, take = in.many, chunk
		}
		args := make([]any, 0, take*len(batch[0].values))
		for _, r := range batch[:take] {
			args = append(args, r.values...)
		}
		if _, err := tx.StmtContext(ctx, st).ExecContext(ctx, args...); err != nil {
			return err
		}
		batch = batch[take:]
	}
	return nil
}

// bareWriter writes one batch: the rows of every table, and the head.
type bareWriter struct {
	inserters []*bareInserter
	head      *sql.Stmt
}

func (w *bareWriter) write(ctx context.Context, tx *sql.Tx, end uint64) error {
	for _, in := range w.inserters {
		if err := in.insertBelow(ctx, tx, end); err != nil {
			return err
		}
	}
	_, err := tx.StmtContext(ctx, w.head).ExecContext(ctx, int64(end), make([]byte, 300), int64(end))
	return err
}
