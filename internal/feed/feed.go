// Package feed follows timelines for many subscribers at once (PROTOCOL §8).
// One follower a tenant reads what was committed, in order and once, and keeps
// the last of it; subscribers go through that by cursor, each with its own
// filter and rights, and read older entries from the store themselves. Nothing
// is dropped: what a subscriber is not shown is told as a gap, and a
// subscription always knows the seq to resume from.
//
// It knows no sockets and no credentials: a transport writes the messages that
// Subscription.Next gives, and is asked who the reader is now.
package feed

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Source is where entries are read from. *timeline.Log implements it.
type Source interface {
	// Checkpoint is the committed head; whatever it covers can be read.
	Checkpoint(ctx context.Context, tenant string) (note []byte, size uint64, err error)
	// Entries is a piece of the range from its beginning; next is the first seq
	// not looked at.
	Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) (records []timeline.Record, next uint64, err error)
	// Scan is a piece of what matches and the reader may see.
	Scan(ctx context.Context, tenant string, q timeline.Query, r standing.Reader, from, to uint64, bytes int) (records []timeline.Record, next uint64, err error)
}

var _ Source = (*timeline.Log)(nil)

// Waker says that a timeline may have grown. *bus.Bus implements it.
type Waker interface {
	Subscribe(tenants ...string) *bus.Subscription
}

// Config bounds a Hub. Zero means default.
type Config struct {
	Entries   int           // recent entries kept for each tenant that is followed; default 16,384
	Bytes     int           // and about how many bytes of them; default 64 MiB
	Heartbeat time.Duration // between heartbeats; default 15 s
	Poll      time.Duration // between looks at the head when nobody wakes; default 1 s
	Readers   int           // pages of older entries read from the store at once; default 4
	Patience  time.Duration // how long a subscription goes on while rights or entries cannot be read; default 30 s
	Logger    *slog.Logger  // nil: silent
}

func (c Config) withDefaults() Config {
	c.Entries = cmp.Or(max(c.Entries, 0), 16_384)
	c.Bytes = cmp.Or(max(c.Bytes, 0), 64<<20)
	c.Heartbeat = cmp.Or(max(c.Heartbeat, 0), 15*time.Second)
	c.Poll = cmp.Or(max(c.Poll, 0), time.Second)
	c.Readers = cmp.Or(max(c.Readers, 0), 4)
	c.Patience = cmp.Or(max(c.Patience, 0), 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Hub is every followed timeline of a process. It is safe for concurrent use.
// It works only while there are subscriptions.
type Hub struct {
	source Source
	waker  Waker // nil: poll alone
	cfg    Config
	reads  chan struct{} // one held by each page being read

	mu        sync.Mutex // guards followers and their users
	followers map[string]*follower
}

// New makes a hub; it starts nothing.
func New(source Source, waker Waker, cfg Config) *Hub {
	cfg = cfg.withDefaults()
	return &Hub{source: source, waker: waker, cfg: cfg, reads: make(chan struct{}, cfg.Readers), followers: make(map[string]*follower)}
}

// Now, as Request.From, is the end of the timeline.
const Now = ^uint64(0)

// Request is what a subscription begins with.
type Request struct {
	Tenant string         // id
	From   uint64         // first seq, or Now
	Query  timeline.Query // what to show; its Limit, Cursor and Descending are not looked at
	// Authorize says who reads, as of now. It is asked before the first entry, at
	// each heartbeat and when roles or keys in the timeline have changed, by
	// whoever calls Next. Errors: unauthenticated ends the subscription with
	// CodeCredential, forbidden and not_found with CodeForbidden; unavailable
	// is asked again.
	Authorize func(ctx context.Context) (standing.Reader, error)
}

// Subscribe begins a subscription, which the caller closes. A position beyond
// the end is range_invalid.
func (h *Hub) Subscribe(ctx context.Context, req Request) (*Subscription, error) {
	sieve, err := req.Query.Sieve()
	if err != nil {
		return nil, err
	}
	note, size, err := h.source.Checkpoint(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	if req.From == Now {
		req.From = size
	}
	if req.From > size {
		return nil, fault.Newf(fault.Invalid, "range_invalid",
			"the timeline has %d entries, so there is nothing to resume at %d; if there was, the timeline lost entries", size, req.From)
	}
	f := h.follow(req.Tenant, size, note)
	f.look(size)
	s := &Subscription{
		hub: h, follower: f, tenant: req.Tenant, authorize: req.Authorize, query: req.Query, sieve: sieve,
		told: req.From, seen: req.From, noted: req.From, size: size,
		filters: make(chan timeline.Query), asides: make(chan *Message),
		due: time.Now().Add(h.cfg.Heartbeat), // before the timer's, so that it is due when the timer says so
	}
	s.timer = time.NewTimer(h.cfg.Heartbeat)
	return s, nil
}

// follow is the follower of a tenant, with one more user.
func (h *Hub) follow(tenant string, size uint64, note []byte) *follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.followers[tenant]
	if f == nil {
		f = newFollower(h, tenant, size, note)
		h.followers[tenant] = f
		f.start()
	}
	f.users++
	return f
}

// leave gives a follower back; the last one out waits until it has ended.
func (h *Hub) leave(f *follower) {
	h.mu.Lock()
	f.users--
	last := f.users == 0
	if last {
		delete(h.followers, f.tenant)
	}
	h.mu.Unlock()
	if last {
		f.stop()
	}
}

// errLost is a timeline that is shorter than what was read of it.
var errLost = errors.New("the timeline is shorter than what was read of it")
