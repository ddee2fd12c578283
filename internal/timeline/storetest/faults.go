package storetest

import (
	"context"
	"io"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Fault is what befalls one call of a store.
type Fault string

// The faults.
const (
	FailsBefore Fault = "fails before" // the call does nothing and fails
	FailsAfter  Fault = "fails after"  // it does its work, and the answer is lost
	TimesOut    Fault = "times out"    // its context has ended
	IsSlow      Fault = "is slow"      // it answers late
)

// AllFaults are all of them.
var AllFaults = []Fault{FailsBefore, FailsAfter, TimesOut, IsSlow}

// slow is how late a slow call answers.
const slow = 5 * time.Millisecond

// ErrLost is what a call fails with.
var ErrLost = fault.New(fault.Unavailable, "store_lost", "the test made this call of a store fail").After(time.Second)

// Faults decides what befalls the calls that go through it: those of any number
// of stores, counted together. It is safe for concurrent use; zero is ready.
type Faults struct {
	mu    sync.Mutex // guards the rest
	armed bool
	only  string // name of the calls that count; "" for all
	left  int    // calls until it happens
	fault Fault
	hit   string // the call that it befell
	calls []string
}

// Calls are the names of the calls since it was asked last, in order.
func (f *Faults) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// Arm makes the call after n others suffer from a fault.
func (f *Faults) Arm(n int, what Fault) { f.ArmCall("", n, what) }

// ArmCall is Arm for calls of one name.
func (f *Faults) ArmCall(name string, n int, what Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.only, f.left, f.fault, f.hit = true, name, n, what, ""
}

// Disarm ends that, and says which call it befell, "" for none.
func (f *Faults) Disarm() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.hit
}

func (f *Faults) next(name string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	if !f.armed || f.only != "" && f.only != name {
		return ""
	}
	if f.left > 0 {
		f.left--
		return ""
	}
	f.armed, f.hit = false, name
	return f.fault
}

// Call is a call of that name, or what befalls it.
func (f *Faults) Call(ctx context.Context, name string, do func(context.Context) error) error {
	switch f.next(name) {
	case FailsBefore:
		return ErrLost
	case FailsAfter:
		if err := do(ctx); err != nil {
			return err
		}
		return ErrLost
	case TimesOut:
		ended, cancel := context.WithTimeoutCause(ctx, 0, context.DeadlineExceeded)
		defer cancel()
		<-ended.Done()
		if err := do(ended); err != nil {
			return err
		}
		return ErrLost // it was done too late for anybody to hear of it
	case IsSlow:
		late := time.NewTimer(slow)
		defer late.Stop()
		select {
		case <-late.C:
		case <-ctx.Done():
		}
	}
	return do(ctx)
}

// CallFor is Faults.Call with a result, which a failed call has not.
func CallFor[T any](ctx context.Context, f *Faults, name string, do func(context.Context) (T, error)) (out T, err error) {
	err = f.Call(ctx, name, func(ctx context.Context) (err error) {
		out, err = do(ctx)
		return err
	})
	if err != nil {
		var none T
		out = none
	}
	return out, err
}

var (
	_ timeline.Keeper      = (*FaultyStore)(nil)
	_ timeline.Holder      = (*FaultyStore)(nil)
	_ timeline.WordIndexer = (*FaultyStore)(nil)
	_ timeline.Held        = (*faultyHeld)(nil)
)

// FaultyStore is a store each of whose calls goes through Faults. It embeds
// nothing, so that a new method is not forgotten.
type FaultyStore struct {
	inner  timeline.Store
	faults *Faults
}

// NewFaultyStore wraps a store.
func NewFaultyStore(s timeline.Store, f *Faults) *FaultyStore { return &FaultyStore{s, f} }

// Append implements timeline.Appender.
func (s *FaultyStore) Append(ctx context.Context, b *timeline.Batch) error {
	return s.faults.Call(ctx, "Append", func(ctx context.Context) error { return s.inner.Append(ctx, b) })
}

// Hold implements timeline.Holder; on a store that holds nothing there is never
// a head left.
func (s *FaultyStore) Hold(ctx context.Context, tenant string) (timeline.Held, error) {
	held, err := CallFor(ctx, s.faults, "Hold", func(ctx context.Context) (timeline.Held, error) {
		h, ok := s.inner.(timeline.Holder)
		if !ok {
			return nil, nil
		}
		return h.Hold(ctx, tenant)
	})
	if err != nil || held == nil {
		return nil, err
	}
	return &faultyHeld{held, s.faults}, nil
}

type faultyHeld struct {
	inner  timeline.Held
	faults *Faults
}

// Append implements timeline.Held. A fault before it gives the head back too.
func (h *faultyHeld) Append(ctx context.Context, b *timeline.Batch) error {
	defer h.inner.Close()
	return h.faults.Call(ctx, "Held.Append", func(ctx context.Context) error { return h.inner.Append(ctx, b) })
}

// Close implements timeline.Held.
func (h *faultyHeld) Close() { h.inner.Close() }

// TenantByID implements timeline.HeadReader, as those below do.
func (s *FaultyStore) TenantByID(ctx context.Context, id string) (timeline.Tenant, error) {
	return CallFor(ctx, s.faults, "TenantByID", func(ctx context.Context) (timeline.Tenant, error) { return s.inner.TenantByID(ctx, id) })
}

// TenantBySlug finds a tenant.
func (s *FaultyStore) TenantBySlug(ctx context.Context, slug string) (timeline.Tenant, error) {
	return CallFor(ctx, s.faults, "TenantBySlug", func(ctx context.Context) (timeline.Tenant, error) { return s.inner.TenantBySlug(ctx, slug) })
}

// Tenants lists tenants.
func (s *FaultyStore) Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error) {
	return CallFor(ctx, s.faults, "Tenants", func(ctx context.Context) ([]timeline.Tenant, error) { return s.inner.Tenants(ctx, after, limit) })
}

// Head is the committed head.
func (s *FaultyStore) Head(ctx context.Context, tenant string) (timeline.Head, error) {
	return CallFor(ctx, s.faults, "Head", func(ctx context.Context) (timeline.Head, error) { return s.inner.Head(ctx, tenant) })
}

// State is the head and the state rows.
func (s *FaultyStore) State(ctx context.Context, tenant string) (head timeline.Head, rows []standing.Row, err error) {
	err = s.faults.Call(ctx, "State", func(ctx context.Context) (err error) {
		head, rows, err = s.inner.State(ctx, tenant)
		return err
	})
	if err != nil {
		return timeline.Head{}, nil, err
	}
	return head, rows, nil
}

// Rows implements timeline.RowReader.
func (s *FaultyStore) Rows(ctx context.Context, tenant string, asks []timeline.Ask) (timeline.Asked, error) {
	return CallFor(ctx, s.faults, "Rows", func(ctx context.Context) (timeline.Asked, error) { return s.inner.Rows(ctx, tenant, asks) })
}

// Range implements timeline.EntryReader, as those below do.
func (s *FaultyStore) Range(ctx context.Context, tenant string, from, to uint64) ([]timeline.Record, error) {
	return CallFor(ctx, s.faults, "Range", func(ctx context.Context) ([]timeline.Record, error) { return s.inner.Range(ctx, tenant, from, to) })
}

// At is some entries.
func (s *FaultyStore) At(ctx context.Context, tenant string, seqs []uint64, full bool) ([]timeline.Record, error) {
	return CallFor(ctx, s.faults, "At", func(ctx context.Context) ([]timeline.Record, error) { return s.inner.At(ctx, tenant, seqs, full) })
}

// Spent says which ids are spent.
func (s *FaultyStore) Spent(ctx context.Context, tenant string, ids []string) (map[string]timeline.Spent, error) {
	return CallFor(ctx, s.faults, "Spent", func(ctx context.Context) (map[string]timeline.Spent, error) { return s.inner.Spent(ctx, tenant, ids) })
}

// Select is the entries that match.
func (s *FaultyStore) Select(ctx context.Context, tenant string, f *timeline.Filter) (timeline.Selection, error) {
	return CallFor(ctx, s.faults, "Select", func(ctx context.Context) (timeline.Selection, error) { return s.inner.Select(ctx, tenant, f) })
}

// Count tallies a timeline.
func (s *FaultyStore) Count(ctx context.Context, tenant string) (timeline.Counts, error) {
	return CallFor(ctx, s.faults, "Count", func(ctx context.Context) (timeline.Counts, error) { return s.inner.Count(ctx, tenant) })
}

// Linked implements timeline.LinkReader, as the one below does.
func (s *FaultyStore) Linked(ctx context.Context, tenant string, kind timeline.LinkKind, ids []string, limit int) ([]timeline.Link, error) {
	return CallFor(ctx, s.faults, "Linked", func(ctx context.Context) ([]timeline.Link, error) {
		return s.inner.Linked(ctx, tenant, kind, ids, limit)
	})
}

// Holding lists the tenants that hold an identity.
func (s *FaultyStore) Holding(ctx context.Context, identity string) ([]string, error) {
	return CallFor(ctx, s.faults, "Holding", func(ctx context.Context) ([]string, error) { return s.inner.Holding(ctx, identity) })
}

// Hashes implements timeline.TreeReader, as the one below does.
func (s *FaultyStore) Hashes(ctx context.Context, tenant string, level int, from, to uint64) ([]span.Hash, error) {
	return CallFor(ctx, s.faults, "Hashes", func(ctx context.Context) ([]span.Hash, error) {
		return s.inner.Hashes(ctx, tenant, level, from, to)
	})
}

// Checkpoint is the first that covers an entry.
func (s *FaultyStore) Checkpoint(ctx context.Context, tenant string, seq uint64) (size uint64, note []byte, err error) {
	err = s.faults.Call(ctx, "Checkpoint", func(ctx context.Context) (err error) {
		size, note, err = s.inner.Checkpoint(ctx, tenant, seq)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return size, note, nil
}

var errLacks = fault.New(fault.Internal, "store_lacks", "the store below has no such method")

// Snapshot implements timeline.Keeper, as Rebuild does.
func (s *FaultyStore) Snapshot(ctx context.Context, fn func(timeline.Snapshot) error) error {
	return s.faults.Call(ctx, "Snapshot", func(ctx context.Context) error {
		k, ok := s.inner.(timeline.Keeper)
		if !ok {
			return errLacks
		}
		return k.Snapshot(ctx, fn)
	})
}

// Rebuild replaces what is derived.
func (s *FaultyStore) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	return s.faults.Call(ctx, "Rebuild", func(ctx context.Context) error {
		k, ok := s.inner.(timeline.Keeper)
		if !ok {
			return errLacks
		}
		return k.Rebuild(ctx, r)
	})
}

// IndexWords implements timeline.WordIndexer.
func (s *FaultyStore) IndexWords(ctx context.Context, tenant string) (left uint64, busy bool, err error) {
	err = s.faults.Call(ctx, "IndexWords", func(ctx context.Context) (err error) {
		w, ok := s.inner.(timeline.WordIndexer)
		if !ok {
			return nil
		}
		left, busy, err = w.IndexWords(ctx, tenant)
		return err
	})
	return left, busy, err
}

// Close implements io.Closer.
func (s *FaultyStore) Close() error {
	return s.faults.Call(context.Background(), "Close", func(context.Context) error { return s.inner.Close() })
}

var _ io.Closer = (*FaultyStore)(nil)

// RequireFaulty calls every method of an interface that can fail, on a value
// that goes through faults, and finds that it does.
func RequireFaulty(t testing.TB, kind reflect.Type, value any, faults *Faults) {
	t.Helper()
	for i := range kind.NumMethod() {
		m := kind.Method(i)
		if out := m.Type.NumOut(); out == 0 || m.Type.Out(out-1) != reflect.TypeFor[error]() {
			continue
		}
		args := []reflect.Value{}
		for n := range m.Type.NumIn() {
			if in := m.Type.In(n); in == reflect.TypeFor[context.Context]() {
				args = append(args, reflect.ValueOf(context.Background()))
			} else {
				args = append(args, reflect.Zero(in))
			}
		}
		faults.Arm(0, FailsBefore)
		out := reflect.ValueOf(value).MethodByName(m.Name).Call(args)
		require.NotEmpty(t, faults.Disarm(), "%s of %s does not go through the faults", m.Name, kind)
		require.Equal(t, error(ErrLost), out[len(out)-1].Interface(), "%s of %s", m.Name, kind)
	}
}
