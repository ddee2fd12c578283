package sqlitestore

import (
	"context"
	"database/sql"
	"strings"
)

// insertRows is how many rows one statement inserts. Measured: row by row a
// batch takes twice as long; 64 rows are no faster than 16.
const insertRows = 16

// inserter adds rows of one table: many at a time and the rest one by one.
type inserter struct {
	columns   int
	one, many *sql.Stmt
}

// inserter prepares both statements, which end with the clause conflict; outside any transaction, see statements.get.
func (s *Store) inserter(ctx context.Context, table, columns, conflict string) (inserter, error) {
	n := strings.Count(columns, ",") + 1
	row := "(?" + strings.Repeat(", ?", n-1) + ")"
	// OR FAIL: whoever inserts rolls the transaction back after an error. Without
	// it SQLite copies every page before a statement of several rows changes it,
	// to be able to undo the statement alone.
	text := "INSERT OR FAIL INTO " + table + " (" + columns + ") VALUES " + row
	one, err := s.write.get(ctx, text+conflict)
	if err != nil {
		return inserter{}, err
	}
	many, err := s.write.get(ctx, text+strings.Repeat(", "+row, insertRows-1)+conflict)
	if err != nil {
		return inserter{}, err
	}
	return inserter{columns: n, one: one, many: many}, nil
}

// insert adds the rows whose values stand one after the other in args.
func (in inserter) insert(ctx context.Context, tx *sql.Tx, args []any) error {
	if step := in.columns * insertRows; len(args) >= step {
		many := tx.StmtContext(ctx, in.many)
		for ; len(args) >= step; args = args[step:] {
			if _, err := many.ExecContext(ctx, args[:step]...); err != nil {
				return err
			}
		}
	}
	if len(args) == 0 {
		return nil
	}
	one := tx.StmtContext(ctx, in.one)
	for ; len(args) > 0; args = args[in.columns:] {
		if _, err := one.ExecContext(ctx, args[:in.columns]...); err != nil {
			return err
		}
	}
	return nil
}
