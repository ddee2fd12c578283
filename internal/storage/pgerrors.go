package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/danvoulez/logline/internal/fault"
)

// again is when to come back to a database that is not there now.
const again = 2 * time.Second

var (
	errUnreachable = fault.New(fault.Unavailable, "database_unavailable",
		"the database cannot be reached; nothing that was acknowledged is lost; try again in a moment").After(again)
	errReadonlyServer = fault.New(fault.Unavailable, "database_readonly",
		"the database takes no writes because it is a standby or set to be read only; connect to the primary").After(again)
	errTimeout = fault.New(fault.Unavailable, "database_timeout",
		"the database did not answer in time; try again in a moment, nothing is recorded twice").After(again)
	errConnections = fault.New(fault.Unavailable, "database_connections",
		"the database takes no more connections; try again in a moment, or lower pool_max_conns in DATABASE_URL").After(again)
)

// classifyPostgres is nil for an error that is not PostgreSQL's nor of the way
// to it.
func classifyPostgres(err error) *fault.Error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return classifyState(e)
	}
	var closed net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return nil // the caller's own doing, wherever it struck
	case isConnectError(err):
		return errUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &closed),
		strings.HasSuffix(err.Error(), "conn closed"), strings.HasSuffix(err.Error(), "unexpected EOF"):
		return errUnreachable
	case strings.HasSuffix(err.Error(), "closed pool"):
		return errClosed
	}
	return nil
}

func isConnectError(err error) bool {
	var e *pgconn.ConnectError
	return errors.As(err, &e)
}

// classifyState goes by SQLSTATE (PostgreSQL's documentation, Appendix A).
func classifyState(e *pgconn.PgError) *fault.Error {
	switch e.Code {
	case "23505":
		return errUnique
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock timeout
		return fault.New(fault.Unavailable, "database_busy",
			"the database is locked by another writer; try again in a moment").After(time.Second)
	case "57014":
		return errTimeout
	case "25006":
		return errReadonlyServer
	case "53100":
		return errDiskFull
	case "53200":
		return errMemory
	case "53300":
		return errConnections
	case "58030":
		return errIO
	case "XX001", "XX002":
		return fault.New(fault.Unavailable, "database_corrupt",
			"the database is damaged; stop the server, keep a copy of the database and restore a backup")
	case "54000":
		return errTooBig
	case "3D000":
		return fault.New(fault.Unavailable, "database_missing", "there is no database of the name in DATABASE_URL; make it with CREATE DATABASE")
	case "42501":
		return fault.New(fault.Unavailable, "database_role_weak",
			"the database refuses this to the role in DATABASE_URL; run the server with a role that owns its tables, or see docs/postgresql.md for the GRANT to give").After(again)
	case "42P01":
		return fault.New(fault.Unavailable, "schema_missing", "the database has not the tables of this build; run logline migrate")
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "57", "25": // connection, operator intervention, a transaction the server ended
		return errUnreachable
	case "28":
		return fault.New(fault.Unavailable, "database_login_failed",
			"the database refuses the user or password in DATABASE_URL; check both, and pg_hba.conf of the server")
	case "23":
		return errConstraint
	}
	return nil
}
