package storage

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

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
	var there bool
	question := `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'goose_db_version')`
	if d.Dialect != "sqlite" {
		question = `SELECT to_regclass('goose_db_version') IS NOT NULL`
	}
	if err := d.Read.QueryRowContext(ctx, question).Scan(&there); err != nil || !there {
		return 0, known, Classify(err)
	}
	err = d.Read.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&current)
	return current, known, Classify(err)
}

// OtherSessions counts the connections of others to a database on a server. A
// SQLite file is kept by the lock of its data directory instead: always 0.
func (d *DB) OtherSessions(ctx context.Context) (n int, err error) {
	if d.Dialect == "sqlite" {
		return 0, nil
	}
	// This process has one pool; what else it has open bears its address.
	err = d.Read.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND application_name LIKE 'logline%'
		AND (client_addr, client_port) IS DISTINCT FROM (inet_client_addr(), inet_client_port())`).Scan(&n)
	return n, Classify(err)
}
