package storage

import (
	"context"
	"database/sql"
	"fmt"
)

// Optional is text for a column that is NULL where there is none.
func Optional(text string) sql.NullString {
	return sql.NullString{String: text, Valid: text != ""}
}

// Failed is the error of an operation of a database: classified, and with what was
// being done.
func Failed(operation string, err error) error {
	return Classify(fmt.Errorf("%s: %w", operation, err))
}

// Changed runs a statement that changes rows, and counts these.
func Changed(ctx context.Context, tx *sql.Tx, operation, query string, args ...any) (int, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, Failed(operation, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}
