package quota

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/danvoulez/logline/internal/storage"
)

// open lets a transaction see a tenant's rows, where the database keeps them from
// those of all others.
func open(ctx context.Context, db *storage.DB, tx *sql.Tx, tenant string) error {
	if db.Dialect != storage.Postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, storage.SetTasks, tenant); err != nil {
		return fmt.Errorf("open a tenant's quotas: %w", err)
	}
	return nil
}

// view runs a transaction that reads a tenant's rows.
func view(ctx context.Context, db *storage.DB, tenant string, fn func(*sql.Tx) error) error {
	tx, err := db.Read.BeginTx(ctx, nil)
	if err != nil {
		return storage.Classify(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback()
	if err := open(ctx, db, tx, tenant); err != nil {
		return storage.Classify(err)
	}
	return storage.Classify(fn(tx))
}

// change runs a transaction that writes them.
func change(ctx context.Context, db *storage.DB, tenant string, fn func(*sql.Tx) error) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		if err := open(ctx, db, tx, tenant); err != nil {
			return storage.Classify(err)
		}
		return fn(tx)
	})
}
