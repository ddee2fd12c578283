// Package bus carries wake-ups between modules of one process: "this tenant's
// timeline has grown". It carries no data that anybody depends on. The
// timeline is the bus of record, followers read it by cursor, and a lost
// wake-up costs latency, never correctness. It never blocks a publisher and
// holds at most one pending wake-up for each tenant and subscriber, and for no
// more than maxPending tenants.
package bus

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
)

// maxPending bounds what a subscriber that does not take its wake-ups holds.
const maxPending = 100_000

// ErrClosed is what Next returns once its subscription is closed.
var ErrClosed = fault.New(fault.Unavailable, "subscription_closed", "the subscription is closed")

// Appended says that a tenant's timeline has at least Size entries. From
// another process it is hearsay: a reason to look, never one not to.
type Appended struct {
	Tenant string
	Size   uint64
}

// Bus fans wake-ups out to subscribers. It is safe for concurrent use.
type Bus struct {
	mu     sync.RWMutex                          // guards the maps, not what they point to
	all    map[*Subscription]struct{}            // subscribed to every tenant
	single map[string]map[*Subscription]struct{} // by tenant
}

// New makes a bus without subscribers.
func New() *Bus {
	return &Bus{
		all:    make(map[*Subscription]struct{}),
		single: make(map[string]map[*Subscription]struct{}),
	}
}

// Publish wakes whoever subscribed to the tenant or to all. It never blocks:
// a wake-up that has not been taken yet is raised to the larger size. Publish
// after the commit it announces.
func (b *Bus) Publish(a Appended) { b.publish(a, nil) }

func (b *Bus) publish(a Appended, except *Subscription) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for s := range b.all {
		if s != except {
			s.add(a)
		}
	}
	for s := range b.single[a.Tenant] {
		if s != except {
			s.add(a)
		}
	}
}

// Subscribe starts a subscription to the tenants named, or to every tenant
// when none is named. It sees what is published after Subscribe returns;
// subscribe first, then read the current size, and nothing is missed. The
// caller closes it.
func (b *Bus) Subscribe(tenants ...string) *Subscription {
	signal := make(chan struct{}, 1)
	s := &Subscription{
		C: signal, signal: signal, closed: make(chan struct{}),
		bus: b, tenants: tenants, pending: make(map[string]uint64),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(tenants) == 0 {
		b.all[s] = struct{}{}
		return s
	}
	for _, t := range tenants {
		if b.single[t] == nil {
			b.single[t] = make(map[*Subscription]struct{})
		}
		b.single[t][s] = struct{}{}
	}
	return s
}

// Subscription is one follower's pending wake-ups. It is safe for concurrent
// use, but wake-ups go to one caller each.
type Subscription struct {
	// C becomes readable when wake-ups are pending; then call Take. It is not
	// closed by Close.
	C <-chan struct{}

	signal  chan struct{}
	closed  chan struct{}
	once    sync.Once
	bus     *Bus
	tenants []string

	mu      sync.Mutex // guards pending and order
	pending map[string]uint64
	order   []string // tenants in pending, oldest wake-up first
}

// Take returns what is pending, oldest first, and leaves nothing; nil when
// nothing is. It never blocks.
func (s *Subscription) Take() []Appended {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return nil
	}
	out := make([]Appended, 0, len(s.order))
	for _, t := range s.order {
		out = append(out, Appended{Tenant: t, Size: s.pending[t]})
	}
	clear(s.pending)
	s.order = s.order[:0]
	return out
}

// Next waits for wake-ups and takes them. It returns ctx's error when ctx ends
// and ErrClosed when the subscription is closed.
func (s *Subscription) Next(ctx context.Context) ([]Appended, error) {
	for {
		select {
		case <-s.closed:
			return nil, ErrClosed
		default:
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.closed:
			return nil, ErrClosed
		case <-s.signal:
			if out := s.Take(); out != nil {
				return out, nil
			}
		}
	}
}

// Publish is Bus.Publish for all but this subscription: for whoever passes
// wake-ups on and must not get its own back.
func (s *Subscription) Publish(a Appended) { s.bus.publish(a, s) }

// Close ends the subscription; closing twice is harmless.
func (s *Subscription) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		delete(s.bus.all, s)
		for _, t := range s.tenants {
			delete(s.bus.single[t], s)
			if len(s.bus.single[t]) == 0 {
				delete(s.bus.single, t)
			}
		}
	})
}

func (s *Subscription) add(a Appended) {
	s.mu.Lock()
	size, known := s.pending[a.Tenant]
	if !known && len(s.order) >= maxPending {
		s.mu.Unlock()
		return // it has a signal already, and enough to look at
	}
	if !known {
		s.order = append(s.order, a.Tenant)
	}
	s.pending[a.Tenant] = max(size, a.Size)
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default: // already signalled; Take will see this one too
	}
}
