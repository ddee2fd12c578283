// Package sqlitestore keeps timelines in SQLite (migrations/sqlite). The
// database is opened, migrated and closed by its owner, internal/storage.
//
// Appends go through the one writing connection, in one transaction each;
// reads see a snapshot and never wait for an append (WAL). A commit is on the
// disk when Append returns. Redacted content is overwritten with zeros in the
// same transaction (secure_delete), and the write-ahead log, which still has
// the pages of before, is emptied right after it.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

var _ timeline.Store = (*Store)(nil)

// seqBits is how many bits of a position are the seq; the rest is the tenant.
const (
	seqBits    = 40
	maxTenants = 1<<(63-seqBits) - 1
)

// Store keeps timelines in a database. Make one with NewStore.
type Store struct {
	db    *storage.DB
	read  *statements
	erase atomic.Bool // the write-ahead log may hold erased content

	mu   sync.RWMutex // guards the rest
	keys map[string]tenantKey
}

// tenantKey is the short key of a tenant; it never changes.
type tenantKey int64

// position is the key of an entry's row.
func (k tenantKey) position(seq uint64) int64 { return int64(k)<<seqBits | int64(seq) }

// seqOf is the seq in a position.
func seqOf(position int64) uint64 { return uint64(position) & (1<<seqBits - 1) }

// NewStore keeps timelines in db, whose migrations have run.
func NewStore(db *storage.DB) *Store {
	s := &Store{db: db, read: newStatements(db.Read), keys: map[string]tenantKey{}}
	s.erase.Store(true)
	return s
}

// Close releases prepared statements; the database stays open.
func (s *Store) Close() error { return s.read.close() }

// key finds the short key of a tenant.
func (s *Store) key(ctx context.Context, id string) (tenantKey, error) {
	s.mu.RLock()
	k, ok := s.keys[id]
	s.mu.RUnlock()
	if ok {
		return k, nil
	}
	row, err := s.read.queryRow(ctx, `SELECT tenant FROM timeline_tenants WHERE id = ?`, id)
	if err != nil {
		return 0, err
	}
	if err := row.Scan(&k); errors.Is(err, sql.ErrNoRows) {
		return 0, timeline.ErrTenantUnknown
	} else if err != nil {
		return 0, readError("find tenant", err)
	}
	s.mu.Lock()
	s.keys[id] = k
	s.mu.Unlock()
	return k, nil
}

// statements prepares each text once on a pool.
type statements struct {
	pool *sql.DB

	mu     sync.Mutex // guards the rest
	byText map[string]*sql.Stmt
	closed bool
}

func newStatements(pool *sql.DB) *statements {
	return &statements{pool: pool, byText: map[string]*sql.Stmt{}}
}

// get prepares a statement.
func (p *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if st := p.byText[text]; st != nil {
		return st, nil
	}
	if p.closed {
		return nil, fault.New(fault.Unavailable, "database_closed", "the store is closed because the server is stopping")
	}
	st, err := p.pool.PrepareContext(ctx, text)
	if err != nil {
		return nil, readError("prepare", err)
	}
	p.byText[text] = st
	return st, nil
}

func (p *statements) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := p.get(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return nil, readError("query", err)
	}
	return rows, nil
}

func (p *statements) queryRow(ctx context.Context, text string, args ...any) (*sql.Row, error) {
	st, err := p.get(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryRowContext(ctx, args...), nil
}

func (p *statements) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for text, st := range p.byText {
		errs = append(errs, st.Close())
		delete(p.byText, text)
	}
	return errors.Join(errs...)
}

func readError(operation string, err error) error {
	return storage.Classify(fmt.Errorf("timeline: %s: %w", operation, err))
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orNullBytes(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
