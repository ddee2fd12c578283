package storage

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/migrations"
)

// Migrate brings the schema to the version this build knows, each step in its
// own transaction; it is safe to run at every start. A database that a newer
// build has migrated is refused (schema_newer), because this build would not
// keep what that one relies on.
func (d *DB) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations.FS, d.Dialect)
	if err != nil {
		return fmt.Errorf("migrations for %s: %w", d.Dialect, err)
	}
	return d.migrate(ctx, files)
}

func (d *DB) migrate(ctx context.Context, files fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, d.Write, files,
		goose.WithDisableGlobalRegistry(true))
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
	if _, err := provider.Up(ctx); err != nil {
		if f := classify(err); f != nil {
			return f
		}
		return fault.Newf(fault.Unavailable, "migration_failed",
			"the database schema could not be brought from version %d to %d; the failed step was undone", current, known).Because(err)
	}
	return nil
}
