package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/migrations"
)

// SchemaVersion is the version that the database has, 0 for none, and the one
// that this build knows. It changes nothing.
func (d *DB) SchemaVersion(ctx context.Context) (current, known int64, err error) {
	files, err := fs.Glob(migrations.FS, d.Dialect+"/*.sql")
	if err != nil || len(files) == 0 {
		return 0, 0, fault.Newf(fault.Internal, "migrations_missing", "this build has no schema for %s", d.Dialect)
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(slices.Max(files), d.Dialect+"/"), "_")
	if known, err = strconv.ParseInt(number, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("number of migration %s: %w", number, err)
	}
	question, on := `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'goose_db_version')`, d.Read
	if d.pg != nil {
		// As the user of the URL: the role of the pool may not look at this table.
		question = `SELECT to_regclass('goose_db_version') IS NOT NULL`
		on = stdlib.OpenDB(*d.pg.admin.Copy())
		defer func() { err = errors.Join(err, on.Close()) }()
	}
	var there bool
	if err := on.QueryRowContext(ctx, question).Scan(&there); err != nil || !there {
		return 0, known, Classify(err)
	}
	err = on.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&current)
	return current, known, Classify(err)
}

// Reset undoes every migration, and with them everything that the database
// holds, and brings the schema up again.
func (d *DB) Reset(ctx context.Context) (err error) {
	files, err := fs.Sub(migrations.FS, d.Dialect)
	if err != nil {
		return fmt.Errorf("migrations for %s: %w", d.Dialect, err)
	}
	dialect, on := goose.DialectSQLite3, d.Write
	if d.pg != nil {
		dialect, on = goose.DialectPostgres, stdlib.OpenDB(*d.pg.admin.Copy())
		defer func() { err = errors.Join(err, on.Close()) }()
	}
	provider, err := goose.NewProvider(dialect, on, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.DownTo(ctx, 0); err != nil {
		return Classify(fmt.Errorf("empty the database: %w", err))
	}
	return d.Migrate(ctx)
}

// OtherSessions counts the connections of other LogLine processes to a database
// on a server. A SQLite file is kept by the lock of its data directory instead:
// always 0.
func (d *DB) OtherSessions(ctx context.Context) (n int, err error) {
	if d.pg == nil {
		return 0, nil
	}
	var own []int64
	for _, conn := range d.pg.pool.AcquireAllIdle(ctx) {
		own = append(own, int64(conn.Conn().PgConn().PID()))
		conn.Release()
	}
	// As the user of the URL, who sees what its own other sessions call themselves.
	on := stdlib.OpenDB(*d.pg.admin.Copy())
	defer func() { err = errors.Join(err, on.Close()) }()
	err = on.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL($1::bigint[])
		AND coalesce(application_name, 'logline') LIKE 'logline%'`, own).Scan(&n)
	return n, Classify(err)
}

// BeginSnapshot begins a transaction that reads the database as of one moment,
// however long it takes and whatever is written meanwhile. The caller rolls it
// back.
func (d *DB) BeginSnapshot(ctx context.Context) (*sql.Tx, error) {
	opt := &sql.TxOptions{ReadOnly: true}
	first := `SELECT count(*) FROM sqlite_schema`
	if d.pg != nil {
		opt.Isolation = sql.LevelRepeatableRead
		first = `SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)`
	}
	tx, err := d.Read.BeginTx(ctx, opt)
	if err != nil {
		return nil, Classify(fmt.Errorf("begin to read: %w", err))
	}
	// The moment is that of the first statement.
	rows, err := tx.QueryContext(ctx, first)
	if err == nil {
		for rows.Next() {
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err != nil {
		return nil, errors.Join(Classify(fmt.Errorf("begin to read: %w", err)), tx.Rollback())
	}
	return tx, nil
}

// Count counts the rows of a table, 0 where there is no such table. On
// PostgreSQL it does so as the user of the URL, whatever row-level security
// shows the pool.
func (d *DB) Count(ctx context.Context, table string) (n uint64, err error) {
	on, question := d.Read, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1)`
	if d.pg != nil {
		on, question = stdlib.OpenDB(*d.pg.admin.Copy()), `SELECT to_regclass($1) IS NOT NULL`
		defer func() { err = errors.Join(err, on.Close()) }()
	}
	var there bool
	if err := on.QueryRowContext(ctx, question, table).Scan(&there); err != nil || !there {
		return 0, Classify(err)
	}
	err = on.QueryRowContext(ctx, `SELECT count(*) FROM "`+table+`"`).Scan(&n)
	return n, Classify(err)
}
