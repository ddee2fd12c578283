package storetest

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// ErrInjected is what Faulty fails with.
var ErrInjected = fault.New(fault.Internal, "injected", "the test made the store fail")

// Faulty is a store that fails on demand. It is safe for concurrent use.
type Faulty struct {
	timeline.Store

	mu       sync.Mutex // guards the rest
	before   int
	after    int
	reads    int
	instead  func(*timeline.Batch) error
	Appended int // batches that reached the store
}

// NewFaulty wraps a store.
func NewFaulty(s timeline.Store) *Faulty { return &Faulty{Store: s} }

// FailBefore makes the next n appends fail without reaching the store.
func (f *Faulty) FailBefore(n int) { f.set(func() { f.before = n }) }

// FailAfter makes the next n appends commit and then fail: the acknowledgement
// is lost.
func (f *Faulty) FailAfter(n int) { f.set(func() { f.after = n }) }

// FailReads makes the next n reads of head, state, rows or checkpoint fail.
func (f *Faulty) FailReads(n int) { f.set(func() { f.reads = n }) }

// Before runs fn once, before the next append reaches the store: another
// process that comes first.
func (f *Faulty) Before(fn func(*timeline.Batch) error) { f.set(func() { f.instead = fn }) }

func (f *Faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *Faulty) fails(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n == 0 {
		return false
	}
	*n--
	return true
}

// Append implements timeline.Appender.
func (f *Faulty) Append(ctx context.Context, b *timeline.Batch) error {
	if f.fails(&f.before) {
		return ErrInjected
	}
	f.mu.Lock()
	first := f.instead
	f.instead = nil
	f.mu.Unlock()
	if first != nil {
		if err := first(b); err != nil {
			return err
		}
	}
	if err := f.Store.Append(ctx, b); err != nil {
		return err
	}
	f.set(func() { f.Appended++ })
	if f.fails(&f.after) {
		return ErrInjected
	}
	return nil
}

// Head implements timeline.HeadReader.
func (f *Faulty) Head(ctx context.Context, tenant string) (timeline.Head, error) {
	if f.fails(&f.reads) {
		return timeline.Head{}, ErrInjected
	}
	return f.Store.Head(ctx, tenant)
}

// State implements timeline.HeadReader.
func (f *Faulty) State(ctx context.Context, tenant string) (timeline.Head, []standing.Row, error) {
	if f.fails(&f.reads) {
		return timeline.Head{}, nil, ErrInjected
	}
	return f.Store.State(ctx, tenant)
}

// Rows implements timeline.RowReader.
func (f *Faulty) Rows(ctx context.Context, tenant string, asks []timeline.Ask) (timeline.Asked, error) {
	if f.fails(&f.reads) {
		return timeline.Asked{}, ErrInjected
	}
	return f.Store.Rows(ctx, tenant, asks)
}

// Checkpoint implements timeline.TreeReader.
func (f *Faulty) Checkpoint(ctx context.Context, tenant string, seq uint64) (uint64, []byte, error) {
	if f.fails(&f.reads) {
		return 0, nil, ErrInjected
	}
	return f.Store.Checkpoint(ctx, tenant, seq)
}

// Hashes implements timeline.TreeReader.
func (f *Faulty) Hashes(ctx context.Context, tenant string, level int, from, to uint64) ([]span.Hash, error) {
	if f.fails(&f.reads) {
		return nil, ErrInjected
	}
	return f.Store.Hashes(ctx, tenant, level, from, to)
}
