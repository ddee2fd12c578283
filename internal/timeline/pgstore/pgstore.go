// Package pgstore keeps timelines in PostgreSQL (migrations/postgres). The
// database is opened, migrated and closed by its owner, internal/storage.
//
// What belongs together goes to the server in one message and, without BEGIN or
// COMMIT, is one transaction there: it first says whose rows it is about, which
// row-level security goes by, and every statement names the tenant as well. An
// append is one such message, in which the compare-and-set comes first and
// undoes the rest when it fails. A commit is on the server's disk when Append
// returns. Redacted content leaves the table with the commit and the disk when
// the server has cleaned up; see docs/postgresql.md.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

var _ timeline.Store = (*Store)(nil)

// maxSeq bounds the number of entries and maxTenants of tenants, as on SQLite,
// so that a record moves from one to the other.
const (
	maxSeq     = 1 << 40
	maxTenants = 1<<23 - 1
)

// Store keeps timelines in a database. Make one with NewStore.
type Store struct {
	db    *storage.DB
	holds chan struct{} // one for each head that is held or waited for

	mu   sync.RWMutex // guards the rest
	keys map[string]tenantKey
}

// tenantKey is the short key of a tenant; it never changes.
type tenantKey int64

// directory is the key under which the list of tenants may be read.
const directory tenantKey = 0

// NewStore keeps timelines in db, which is on PostgreSQL and whose migrations
// have run.
func NewStore(db *storage.DB) *Store {
	return &Store{db: db, holds: make(chan struct{}, maxHolds(db.Pool().Config().MaxConns)), keys: map[string]tenantKey{}}
}

// Close releases nothing; the database stays open.
func (s *Store) Close() error { return nil }

// key finds the short key of a tenant.
func (s *Store) key(ctx context.Context, id string) (tenantKey, error) {
	s.mu.RLock()
	k, ok := s.keys[id]
	s.mu.RUnlock()
	if ok {
		return k, nil
	}
	err := s.one(ctx, "find tenant", directory, []any{&k}, `SELECT tenant FROM timeline_tenants WHERE id = $1`, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, timeline.ErrTenantUnknown
	} else if err != nil {
		return 0, err
	}
	s.remember(id, k)
	return k, nil
}

func (s *Store) remember(id string, k tenantKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id] = k
}

// about begins a message about one tenant's rows.
func about(key tenantKey) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(storage.SetTenant, strconv.FormatInt(int64(key), 10))
	return b
}

// send sends a message as one transaction and runs what was queued with each
// statement on its answer.
func (s *Store) send(ctx context.Context, b *pgx.Batch) error {
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.SendBatch(ctx, b).Close()
}

// readTimeout bounds one read whatever becomes of the network to the server.
const readTimeout = 45 * time.Second

// read sends a message that changes nothing; its errors come back classified.
func (s *Store) read(ctx context.Context, operation string, b *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return readError(operation, s.send(ctx, b))
}

// one reads one row. pgx.ErrNoRows comes back as it is.
func (s *Store) one(ctx context.Context, operation string, key tenantKey, into []any, text string, args ...any) error {
	b := about(key)
	b.Queue(text, args...).QueryRow(func(row pgx.Row) error { return row.Scan(into...) })
	return s.read(ctx, operation, b)
}

// all reads rows, each through scan.
func (s *Store) all(ctx context.Context, operation string, key tenantKey, scan func(pgx.Rows) error, text string, args ...any) error {
	b := about(key)
	b.Queue(text, args...).Query(each(scan))
	return s.read(ctx, operation, b)
}

// each runs scan on every row.
func each(scan func(pgx.Rows) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func readError(operation string, err error) error {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	return storage.Classify(fmt.Errorf("timeline: %s: %w", operation, err))
}

// uuids are the span ids among ids in the form of a column; others no row has.
func uuids(ids []string) [][16]byte {
	out := make([][16]byte, 0, len(ids))
	for _, id := range ids {
		if b := timeline.IDBytes(id); b != nil {
			out = append(out, [16]byte(b))
		}
	}
	return out
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
