package sqlitestore

import (
	"strings"

	"github.com/danvoulez/logline/internal/storage"
)

// insertRows is how many rows one statement inserts. Measured: row by row a
// batch takes twice as long; 64 rows are no faster than 16.
const insertRows = 16

// inserter adds rows of one table: many at a time and the rest one by one.
type inserter struct {
	columns   int
	one, many string
}

// The tables that appends and rebuilding add to.
var (
	intoEntries = newInserter("timeline_entries",
		"position, tenant, leaf, recorded_at, type, author, on_behalf_of, subject, visibility, status, redacted, line, salt, detail, payload", "")
	intoIDs         = newInserter("timeline_ids", "tenant, id, seq, spent", "")
	intoTags        = newInserter("timeline_tags", "tenant, tag, seq", "")
	intoLinks       = newInserter("timeline_links", "tenant, kind, id, seq", "")
	intoHashes      = newInserter("timeline_hashes", "tenant, level, idx, hash", "")
	intoState       = newInserter("timeline_state", "tenant, key, value", " ON CONFLICT DO UPDATE SET value = excluded.value")
	intoIdentities  = newInserter("timeline_identities", "identity, tenant", " ON CONFLICT DO NOTHING")
	intoCheckpoints = newInserter("timeline_checkpoints", "tenant, size, note", "")
)

// newInserter makes both statements, which end with the clause conflict.
func newInserter(table, columns, conflict string) inserter {
	n := strings.Count(columns, ",") + 1
	row := "(?" + strings.Repeat(", ?", n-1) + ")"
	// OR FAIL: whoever inserts rolls the transaction back after an error. Without
	// it SQLite copies every page before a statement of several rows changes it,
	// to be able to undo the statement alone.
	text := "INSERT OR FAIL INTO " + table + " (" + columns + ") VALUES " + row
	return inserter{columns: n, one: text + conflict, many: text + strings.Repeat(", "+row, insertRows-1) + conflict}
}

// insert adds the rows whose values stand one after the other in args.
func (in inserter) insert(tx *storage.DirectTx, args []any) error {
	for step := in.columns * insertRows; len(args) >= step; args = args[step:] {
		if _, err := tx.Exec(in.many, args[:step]...); err != nil {
			return err
		}
	}
	for ; len(args) > 0; args = args[in.columns:] {
		if _, err := tx.Exec(in.one, args[:in.columns]...); err != nil {
			return err
		}
	}
	return nil
}
