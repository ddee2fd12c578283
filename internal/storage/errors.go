package storage

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/danvoulez/logline/internal/fault"
)

// Classify turns what the driver or database/sql returned into a *fault.Error
// that wraps it: disk_full, database_busy, database_readonly,
// database_corrupt, database_io, database_open_failed, unique_violation,
// constraint_violation, value_too_large, database_closed, interrupted; on
// PostgreSQL also database_unavailable, database_timeout,
// database_connections, database_missing, database_login_failed,
// database_role_weak and schema_missing. A classified error is returned as it is, nil as nil, anything else as
// internal. sql.ErrNoRows is the caller's to interpret and becomes internal.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if known := classify(err); known != nil {
		return known
	}
	return fault.From(err)
}

// What both databases fail with.
var (
	errClosed     = fault.New(fault.Unavailable, "database_closed", "the database is closed because the server is stopping")
	errMemory     = fault.New(fault.Unavailable, "out_of_memory", "the database ran out of memory; try again").After(time.Second)
	errTooBig     = fault.New(fault.Invalid, "value_too_large", "a value is larger than the database can hold")
	errUnique     = fault.New(fault.Conflict, "unique_violation", "it exists already")
	errConstraint = fault.New(fault.Internal, "constraint_violation", "the database refused an inconsistent write; the log has the details")
)

// classify is nil for an error that is not the database's.
func classify(err error) error {
	var done *fault.Error
	if errors.As(err, &done) {
		return err
	}
	if f := classifySQL(err); f != nil {
		return f.Because(err)
	}
	return nil
}

func classifySQL(err error) *fault.Error {
	if f := classifyPostgres(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "interrupted",
			"the operation was interrupted before it finished; send it again, nothing is recorded twice")
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone), strings.HasSuffix(err.Error(), "sql: database is closed"):
		return errClosed
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff { // the primary result code
	case sqlite3.SQLITE_FULL:
		return errDiskFull
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errBusy
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return fault.New(fault.Unavailable, "database_readonly",
			"the database cannot be written; check the owner and permissions of the data directory and its file system")
	case sqlite3.SQLITE_CANTOPEN:
		return fault.New(fault.Unavailable, "database_open_failed",
			"the database file cannot be opened; check that its path exists and is readable and writable by this user")
	case sqlite3.SQLITE_IOERR:
		return errIO
	case sqlite3.SQLITE_CORRUPT:
		return fault.New(fault.Unavailable, "database_corrupt",
			"the database file is damaged; stop the server, keep a copy of the file and restore a backup")
	case sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Unavailable, "database_not_sqlite",
			"the file is not a SQLite database; check the path in the database URL")
	case sqlite3.SQLITE_NOMEM:
		return errMemory
	case sqlite3.SQLITE_TOOBIG:
		return errTooBig
	case sqlite3.SQLITE_INTERRUPT:
		return fault.New(fault.Unavailable, "interrupted",
			"the operation was interrupted before it finished; send it again, nothing is recorded twice")
	case sqlite3.SQLITE_CONSTRAINT:
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
			return errUnique
		default:
			return errConstraint
		}
	default:
		return nil
	}
}
