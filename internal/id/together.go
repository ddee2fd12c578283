package id

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	// maxTogether bounds the registrations of one transaction.
	maxTogether = 64
	// togetherTimeout bounds a transaction that is no single caller's to end.
	togetherTimeout = 30 * time.Second
)

var errNotEnlisted = fault.New(fault.Internal, "registration_failed", "the identity was not registered")

// registration is an identity on its way into the directory.
type registration struct {
	events       []*Event
	chain        *Chain // of the events before claim
	claim        *Event // the last event, where it is one
	handle, name string

	// What became of it, once done is closed.
	info    Info
	created bool
	err     error

	done chan struct{} // closed when it is answered
	turn chan struct{} // closed when it is the caller's turn to see to what waits
}

// together has registrations that come at the same time taken in one
// transaction: each would wait for the disk alone, and all others for it. What
// arrives while one commits goes together into the next, which one of those who
// wait makes: nothing runs when nobody registers.
type together struct {
	mu      sync.Mutex // guards the rest
	waiting []*registration
	busy    bool // somebody sees to what waits
}

// do has all enlist r, with what waits beside it, and is r's error. A caller whose
// ctx ends takes back what no transaction has begun with.
func (t *together) do(ctx context.Context, r *registration, all func(context.Context, []*registration)) error {
	r.done, r.turn, r.err = make(chan struct{}), make(chan struct{}), errNotEnlisted
	if !t.enter(r) {
		select {
		case <-r.done:
			return r.err
		case <-r.turn:
		case <-ctx.Done():
			if t.leave(r) {
				return storage.Failed("wait for other registrations", ctx.Err())
			}
			select {
			case <-r.done:
				return r.err
			case <-r.turn:
			}
		}
	}
	batch := t.take()
	defer t.finish(batch) // also of a panic, which the others must not wait for
	all(ctx, batch)
	return r.err
}

// enter queues r and says whether the caller is to see to it now.
func (t *together) enter(r *registration) (leads bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, r)
	leads, t.busy = !t.busy, true
	return leads
}

// leave takes r back; false when it is too late for that.
func (t *together) leave(r *registration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.waiting, r)
	select {
	case <-r.turn:
		return false
	default:
	}
	if at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	return at >= 0
}

// take is what waits, the caller's own first.
func (t *together) take() []*registration {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxTogether)
	batch := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	return batch
}

// finish answers a batch and gives the turn to the next, if somebody waits.
func (t *together) finish(batch []*registration) {
	for _, r := range batch {
		close(r.done)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy = len(t.waiting) > 0; t.busy {
		close(t.waiting[0].turn)
	}
}

// enlistAll takes registrations in one transaction. Where it fails for what one
// of them asks, each has one of its own: the others must not pay.
func (d *Directory) enlistAll(ctx context.Context, batch []*registration) {
	if len(batch) == 1 {
		batch[0].err = d.db.InTx(ctx, func(tx *sql.Tx) error { return d.enlist(ctx, tx, batch[0]) })
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), togetherTimeout)
	defer cancel()
	err := d.db.InTx(ctx, func(tx *sql.Tx) error {
		for _, r := range batch {
			if err := d.enlist(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	for _, r := range batch {
		if r.err = err; err != nil && fault.KindOf(err) != fault.Unavailable {
			r.err = d.db.InTx(ctx, func(tx *sql.Tx) error { return d.enlist(ctx, tx, r) })
		}
	}
}
