package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/storage"
)

// bareRows reads a node's rows from its own database by prepared statements.
type bareRows interface {
	// point reads the row of one entry.
	point(ctx context.Context, seq uint64) error
	// scan reads the rows of a range and counts them, and the bytes of their
	// lines and payloads.
	scan(ctx context.Context, from, to uint64) (rows int, bytes int64, err error)
	close() error
}

// content are the columns that an entry is answered from.
const content = "line, salt, detail, payload, status, redacted, leaf"

// row is where they are read to.
type row struct {
	line, detail, payload, leaf []byte
	salt                        sql.NullString
	status                      string
	redacted                    bool
}

func (r *row) fields() []any {
	return []any{&r.line, &r.salt, &r.detail, &r.payload, &r.status, &r.redacted, &r.leaf}
}

// count reads rows to their end: how many there are, and the bytes of their
// lines and payloads.
func count(rows interface {
	Next() bool
	Scan(...any) error
	Err() error
}) (n int, bytes int64, err error) {
	for ; rows.Next(); n++ {
		var to row
		if err := rows.Scan(to.fields()...); err != nil {
			return n, bytes, err
		}
		bytes += int64(len(to.line) + len(to.payload))
	}
	return n, bytes, rows.Err()
}

func (b *bench) openRows(ctx context.Context, n *node) (bareRows, error) {
	if n.store == postgres {
		return openPostgresRows(ctx, n.database, n.tenant.Id)
	}
	return openSQLiteRows(ctx, "sqlite:"+filepath.Join(n.Dir, "logline.db"), n.tenant.Id)
}

// sqliteRows reads by the driver that the product uses.
type sqliteRows struct {
	db       *storage.DB
	one, all *sql.Stmt
	first    int64 // position of the timeline's first entry
}

func openSQLiteRows(ctx context.Context, database, tenant string) (_ bareRows, err error) {
	r := &sqliteRows{}
	if r.db, err = storage.Open(ctx, database); err != nil {
		return nil, err
	}
	var key int64
	err = r.db.Read.QueryRowContext(ctx, `SELECT tenant FROM timeline_tenants WHERE id = ?`, tenant).Scan(&key)
	r.first = key << 40
	if err == nil {
		r.one, err = r.db.Read.PrepareContext(ctx, `SELECT `+content+` FROM timeline_entries WHERE position = ?`)
	}
	if err == nil {
		r.all, err = r.db.Read.PrepareContext(ctx, `SELECT `+content+` FROM timeline_entries WHERE position >= ? AND position < ? ORDER BY position`)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *sqliteRows) point(ctx context.Context, seq uint64) error {
	var to row
	return r.one.QueryRowContext(ctx, r.first+int64(seq)).Scan(to.fields()...)
}

func (r *sqliteRows) scan(ctx context.Context, from, to uint64) (n int, bytes int64, err error) {
	rows, err := r.all.QueryContext(ctx, r.first+int64(from), r.first+int64(to))
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	return count(rows)
}

func (r *sqliteRows) close() error { return r.db.Close() }

// postgresRows reads over one connection, which row-level security does not bind.
type postgresRows struct {
	conn *pgx.Conn
	key  int64
}

func openPostgresRows(ctx context.Context, database, tenant string) (bareRows, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	r := &postgresRows{conn: conn}
	err = conn.QueryRow(ctx, `SELECT tenant FROM timeline_tenants WHERE id = $1`, tenant).Scan(&r.key)
	for name, statement := range map[string]string{
		"one": `SELECT ` + content + ` FROM timeline_entries WHERE tenant = $1 AND seq = $2`,
		"all": `SELECT ` + content + ` FROM timeline_entries WHERE tenant = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`,
	} {
		if err == nil {
			_, err = conn.Prepare(ctx, name, statement)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *postgresRows) point(ctx context.Context, seq uint64) error {
	var to row
	return r.conn.QueryRow(ctx, "one", r.key, int64(seq)).Scan(to.fields()...)
}

func (r *postgresRows) scan(ctx context.Context, from, to uint64) (n int, bytes int64, err error) {
	rows, err := r.conn.Query(ctx, "all", r.key, int64(from), int64(to))
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	return count(rows)
}

func (r *postgresRows) close() error { return r.conn.Close(context.Background()) }
