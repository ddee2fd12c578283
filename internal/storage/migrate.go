package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/migrations"
)

// Migrate brings the schema to the version this build knows, each step in its
// own transaction; it is safe to run at every start, and by several processes
// at once. A database that a newer build has migrated is refused
// (schema_newer), because this build would not keep what that one relies on.
//
// On PostgreSQL it runs as the user of the URL, makes the role that the pool
// works under where it may, gives that role what it needs of the tables, and
// refuses a database in which row-level security would not bind the pool
// (database_role_strong) or where privileges are missing (database_role_weak).
func (d *DB) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations.FS, d.Dialect)
	if err != nil {
		return fmt.Errorf("migrations for %s: %w", d.Dialect, err)
	}
	return d.migrate(ctx, files)
}

func (d *DB) migrate(ctx context.Context, files fs.FS) error {
	if d.pg != nil {
		return d.pg.migrate(ctx, files)
	}
	// Several processes may find the same step missing. The later one fails, its
	// step undone, and then finds it done: as long as there is progress, whoever
	// made it, go on.
	for last := int64(-1); ; {
		err := up(ctx, goose.DialectSQLite3, d.Write, files, nil)
		if err == nil || fault.CodeOf(err) == "schema_newer" || ctx.Err() != nil {
			return err
		}
		var version sql.NullInt64
		if asked := d.Write.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version); asked != nil || version.Int64 <= last {
			return err
		}
		last = version.Int64
	}
}

// up runs what is missing, also a step whose number is lower than one that was
// run already: numbers are given out before steps are finished. before is asked
// for leave when the version rises.
func up(ctx context.Context, dialect goose.Dialect, on *sql.DB, files fs.FS, before func(current, known int64) error) error {
	provider, err := goose.NewProvider(dialect, on, files, goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return Classify(fmt.Errorf("read schema version: %w", err))
	}
	if current > known {
		return fault.Newf(fault.Unavailable, "schema_newer",
			"the database has schema version %d and this build knows only %d; run the newer logline that wrote it, or restore a backup", current, known)
	}
	if current < known && before != nil {
		if err := before(current, known); err != nil {
			return err
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		if f := classify(err); f != nil {
			return f
		}
		return fault.Newf(fault.Unavailable, "migration_failed",
			"the database schema could not be brought from version %d to %d; the failed step was undone", current, known).Because(err)
	}
	return nil
}

// migrate does it all on connections of its own, as the URL's user, one
// process at a time.
func (p *postgres) migrate(ctx context.Context, files fs.FS) (err error) {
	config := p.admin.Copy()
	for _, limit := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		config.RuntimeParams[limit] = "0" // ctx is the limit
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return Classify(fmt.Errorf("connect: %w", err))
	}
	defer func() { // which gives up the lock too
		if closed := conn.Close(context.WithoutCancel(ctx)); err == nil && closed != nil {
			err = Classify(fmt.Errorf("close: %w", closed))
		}
	}()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return Classify(fmt.Errorf("lock migrations: %w", err))
	}
	if p.found, err = look(ctx, conn, p.asked); err != nil {
		return Classify(err)
	}
	if err := p.found.check(); err != nil {
		return err
	}
	on := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, on.Close()) }()
	if err := p.schema(ctx, conn, on, files); err != nil {
		return err
	}
	if p.found.roleUsable {
		p.role.Store(&p.found.role)
	}
	p.pool.Reset() // connections made before work as whom they connected
	return p.verify(ctx)
}

// schema brings tables and privileges up to date, as far as the user may.
func (p *postgres) schema(ctx context.Context, conn *pgx.Conn, on *sql.DB, files fs.FS) error {
	s := &p.found
	var exists, readable, mine bool
	err := conn.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL,
		coalesce((SELECT has_table_privilege(oid, 'SELECT') FROM pg_class WHERE oid = to_regclass('goose_db_version')), false),
		coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('goose_db_version')), true)`).Scan(&exists, &readable, &mine)
	if err != nil {
		return Classify(fmt.Errorf("look at the schema: %w", err))
	}
	schema, user := pgx.Identifier{s.schema}.Sanitize(), pgx.Identifier{s.user}.Sanitize()
	if !exists && !s.mayMakeTables {
		return fault.Newf(fault.Unavailable, "database_role_weak",
			"the role %s may not create tables in schema %s of the database %s; as its owner run: GRANT USAGE, CREATE ON SCHEMA %s TO %s",
			s.user, s.schema, s.database, schema, user)
	}
	if exists && !readable {
		return fault.Newf(fault.Unavailable, "database_role_weak",
			"the role %s may not read the tables of schema %s of the database %s; as their owner run: GRANT SELECT ON %s.goose_db_version TO %s; GRANT %s TO %[5]s",
			s.user, s.schema, s.database, schema, user, pgx.Identifier{s.role}.Sanitize())
	}
	if mine {
		if err := s.ensureRole(ctx, conn); err != nil {
			return Classify(err)
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	err = up(ctx, goose.DialectPostgres, on, files, func(current, known int64) error {
		if mine && s.mayMakeTables {
			return nil
		}
		return fault.Newf(fault.Unavailable, "schema_older",
			"the database has schema version %d, this build needs %d, and the role %s does not own its tables; run logline migrate with the URL of their owner", current, known, s.user)
	})
	if err != nil || !mine {
		return err
	}
	return Classify(s.grant(ctx, conn))
}
