// Package storage opens the node's SQL database by URL, SQLite or PostgreSQL,
// runs transactions and migrations on it, and turns driver errors into
// classified ones. It knows no table of any module.
//
// SQLite is used with one writing connection, whose transactions take the
// write lock when they begin, and several reading ones, which see a snapshot
// and never wait for the writer (WAL). A commit is on the disk when it returns
// (synchronous=FULL). Deleted content is overwritten with zeros
// (secure_delete); see [DB.TruncateWAL] for the copies in the write-ahead log.
//
// PostgreSQL is used through one pool, whose connections work under a role
// that owns nothing and is bound by row-level security; see [DB.Migrate].
package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"github.com/danvoulez/logline/internal/fault"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	// Read has several connections that refuse to write. Rows held open on it
	// do not block writers, except in a memory: database, where a commit waits
	// until they are closed: never start a transaction while reading rows.
	// Those of PostgreSQL could write; use them for reading all the same.
	Read *sql.DB
	// Write has one connection; its transactions begin with the write lock
	// held. Use InTx rather than Write itself.
	Write *sql.DB
	// Dialect is SQLite or Postgres.
	Dialect string

	pg     *postgres // nil on SQLite
	turns  turnstile // for those who have the connection of Write
	memory bool
	anchor *sql.Conn   // keeps a memory: database alive while no pool holds a connection
	owed   atomic.Bool // a TruncateWAL found a reader in its way

	closeOnce sync.Once
	closeErr  error
}

// Open opens the database that url names, and creates it when it is missing:
// "sqlite:<path>" or "memory:", a private database that ends with Close. A
// missing parent directory is created for the owner alone (0700). A database of
// a PostgreSQL server, "postgres://…", must exist, in UTF8 and on version 15 or
// newer. It does not migrate.
func Open(ctx context.Context, url string) (*DB, error) {
	target, err := Parse(url)
	if err != nil {
		return nil, err
	}
	if target.Server != "" {
		return openPostgres(ctx, target)
	}
	write, read, err := target.dsn()
	if err != nil {
		return nil, err
	}
	db := &DB{Dialect: SQLite, memory: target.Memory}
	connector, err := sqlite.NewConnector(write)
	if err != nil {
		return nil, openError(target, err)
	}
	if !target.Memory {
		db.turns = openTurnstile(target.Path)
	}
	db.Write = sql.OpenDB(directConnector{connector, &db.turns})
	db.Write.SetMaxOpenConns(1)
	db.Write.SetMaxIdleConns(1)
	// The writer opens first: it creates the file and switches it to WAL,
	// which the readers then find.
	if err := db.Write.PingContext(ctx); err != nil {
		return nil, errors.Join(openError(target, err), db.Close())
	}
	if db.Read, err = sql.Open("sqlite", read); err != nil {
		return nil, errors.Join(openError(target, err), db.Close())
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	db.Read.SetMaxOpenConns(readers)
	db.Read.SetMaxIdleConns(readers)
	if target.Memory {
		db.Read.SetMaxOpenConns(readers + 1)
		if db.anchor, err = db.Read.Conn(ctx); err != nil {
			return nil, errors.Join(openError(target, err), db.Close())
		}
	}
	if err := db.Read.PingContext(ctx); err != nil {
		return nil, errors.Join(openError(target, err), db.Close())
	}
	// What a killed process may have left of erased content in the log.
	db.owed.Store(!target.Memory)
	return db, nil
}

// InTx runs fn in a write transaction and commits it. It is rolled back when
// fn returns an error or panics. Driver errors come back classified, any other
// error of fn as it is. After an error of kind Unavailable from the commit
// itself the transaction did not take effect on SQLite; on PostgreSQL it may
// have.
//
// Write transactions run one after the other, in all processes: what fn reads
// in tx stays true until the commit. Processes that write at the same time take
// turns; who has waited 10 s for SQLite's lock gets database_busy. On PostgreSQL an advisory lock does that,
// which timelines, whose appends compare and set their own head, do without.
func (d *DB) InTx(ctx context.Context, fn func(*sql.Tx) error) (err error) {
	tx, err := d.Write.BeginTx(ctx, nil)
	if err != nil {
		return Classify(fmt.Errorf("begin: %w", err))
	}
	done := false
	defer func() {
		if !done { // an error or a panic of fn; the outcome of a rollback changes nothing
			_ = tx.Rollback()
		}
	}()
	if d.pg != nil {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", writersLock); err != nil {
			return Classify(fmt.Errorf("wait for other writers: %w", err))
		}
	}
	if err := fn(tx); err != nil {
		if known := classify(err); known != nil {
			return known
		}
		return err
	}
	done = true
	if err := tx.Commit(); err != nil {
		return Classify(fmt.Errorf("commit: %w", err))
	}
	if d.owed.Load() {
		_ = d.truncateWAL(ctx, "0") // the transaction stands either way; still owed after an error
	}
	return nil
}

// Close waits for running statements and closes every connection; closing
// twice is harmless. A PostgreSQL server that does not answer is waited for no
// longer than closeTimeout.
func (d *DB) Close() error {
	d.closeOnce.Do(func() {
		if d.anchor != nil {
			d.closeErr = d.anchor.Close()
		}
		if d.Read != nil {
			d.closeErr = errors.Join(d.closeErr, d.Read.Close())
		}
		// The writer closes last: the last connection folds the WAL away. Who has
		// it, be it for a rollback, is waited for, which sql.DB does not do.
		if d.Write != nil {
			if d.Dialect == SQLite {
				if conn, err := d.Write.Conn(context.Background()); err == nil {
					d.closeErr = errors.Join(d.closeErr, conn.Close())
				}
			}
			d.closeErr = errors.Join(d.closeErr, d.Write.Close(), d.turns.close())
		}
		if d.pg != nil && d.pg.pool != nil {
			d.pg.close()
		}
	})
	return d.closeErr
}

func openError(t Target, err error) error {
	f := fault.From(Classify(err))
	if f.Code == "internal" {
		f = fault.New(fault.Unavailable, "database_open_failed", "the database cannot be opened").Because(err)
	}
	return f.At("", t.String())
}
