// Package engine is the one way into a timeline: it checks a span's form and
// signature in parallel, brings it to its tenant's sequencer, decides it at the
// head of the log, commits it together with everything that arrived meanwhile,
// and answers with the receipt.
//
// It owns order, uniqueness and the decision. It does not know HTTP, storage
// or how contracts are evaluated: the log keeps the entries and what decisions
// fold into, a Decider decides.
package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Directory is what the engine asks of the node's identities. *id.Directory
// implements it. Methods are safe for concurrent use; an identity that the node
// does not know is fault not_found, code identity_unknown.
type Directory interface {
	// Get returns an identity with all its events, in the order taken.
	Get(ctx context.Context, identity string) (id.Info, error)
	// Chain returns the folded identity.
	Chain(ctx context.Context, identity string) (*id.Chain, error)
	// Check tells whether a key event would apply, and changes nothing.
	Check(ctx context.Context, identity string, event []byte) (*id.Event, *id.Chain, bool, error)
	// Add appends one key event durably.
	Add(ctx context.Context, identity string, event []byte) (id.Info, error)
}

// Node is this server as an author: it signs genesis, embedded key events and
// everything else that only a node may write. *id.Node implements it.
type Node interface {
	ID() string
	// Events are its sealed key events so far, in order.
	Events() [][]byte
	Signer() id.Signer
	// SignerFor signs with a primary key, current or former; nil for any other.
	SignerFor(public string) id.Signer
	// Refresh takes up a rotation that another process of this node made.
	Refresh(ctx context.Context) error
	LogKey() ed25519.PublicKey
}

// Gate bounds how much authors send. *quota.Gate implements it. It is safe for
// concurrent use.
type Gate interface {
	// Author counts spans that a key has signed for an author, once their
	// signatures were checked and before they wait for their turn; limited when
	// that is too many.
	Author(ctx context.Context, author, key string, spans int) error
}

// Quotas bound what tenants record. *quota.Tenants implements it. It is safe for
// concurrent use.
type Quotas interface {
	// Room is what a tenant may record in the commit that begins, whose timeline
	// has size entries; nil for no bounds.
	Room(ctx context.Context, tenant string, size uint64) *quota.Room
	// Recorded tells of entries that were committed: those from from on, up to
	// size, of so many bytes, of which so many are spans that somebody sent; erased
	// says that some of them erase others' content.
	Recorded(ctx context.Context, tenant string, from, size uint64, spans int, bytes int64, erased bool)
}

// Decider says what becomes of a span that form, signature, keys and roles
// already permit: rules.Decide. It must be a pure function of its arguments,
// quick, and safe for concurrent use. An error refuses the span. Spans authored
// by the node are never brought to it (PROTOCOL §4).
type Decider func(ctx context.Context, w *rules.World, sp *span.Span, at standing.Position) (*rules.Outcome, error)

// Config bounds the engine. Zero values mean the defaults named beside them.
type Config struct {
	Now  func() time.Time // time.Now
	Rand io.Reader        // crypto/rand.Reader

	MaxBatch      int // entries that one commit may hold: 1000 spans
	MaxBatchBytes int // raw bytes that one commit may hold: 16 MiB
	QueueLimit    int // spans waiting per tenant: 10,000
	QueueBytes    int // raw bytes waiting per tenant: 64 MiB
	Workers       int // spans checked at once: what GOMAXPROCS says when the engine is made

	PastWindow   time.Duration // how old a span's time may be: 7 days
	FutureWindow time.Duration // how far ahead it may be: 5 minutes
	GuestQuota   int           // appends a minute by an identity that is only a guest: 60
	EventQuota   int           // key events a minute of one identity: 60
	RefusalQuota int           // refusals by contract that an author leaves on a timeline in a minute: 10

	CommitTimeout   time.Duration // one batch, all retries included: 30 s
	DecisionTimeout time.Duration // contracts about one span or timer: 5 s
	DrainTimeout    time.Duration // queued work at shutdown: 10 s

	// Home is the node's own tenant, whose owners activate the contracts for every
	// tenant; "" while there is none. nil: this node has no such contracts.
	Home func(context.Context) (tenant string, err error)

	Gate   Gate   // nil: whoever sends may send as much as the queue holds
	Quotas Quotas // nil: tenants have none
	// Founding hears of a tenant of somebody's, all of it but its origin and log key,
	// before it is made: after an error it is not. Whether it then is made, the
	// timelines say. nil: nobody does.
	Founding func(ctx context.Context, t timeline.Tenant) error
	// Halted hears of a tenant that is suspended, resumed or closed, after that is
	// committed and before whoever did it is answered; halted is standing.Suspended,
	// standing.Closed or "". nil: nobody does.
	Halted func(ctx context.Context, tenant, halted string)

	Limits span.Limits
	Logger *slog.Logger // slog.Default()
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.MaxBatch, 1000}, {&c.MaxBatchBytes, 16 << 20},
		{&c.QueueLimit, 10_000}, {&c.QueueBytes, 64 << 20},
		{&c.Workers, runtime.GOMAXPROCS(0)}, {&c.GuestQuota, 60}, {&c.EventQuota, 60}, {&c.RefusalQuota, 10},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.PastWindow, 7 * 24 * time.Hour}, {&c.FutureWindow, 5 * time.Minute},
		{&c.CommitTimeout, 30 * time.Second}, {&c.DecisionTimeout, 5 * time.Second}, {&c.DrainTimeout, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return c
}

// Engine is the submit pipeline of one process. All methods are safe for
// concurrent use. It works from New on; Run only waits for the end and drains.
type Engine struct {
	log    *timeline.Log
	dir    Directory
	verify id.Verifier
	decide Decider
	node   Node
	bus    *bus.Bus
	cfg    Config

	random   io.Reader     // Config.Rand, shared by all goroutines
	checks   chan struct{} // one token for each span that may be checked at once
	imports  chan struct{} // held by the one import at work
	guests   *quotas
	stages   *stages // of simulations
	events   *quotas // of key events
	refusals *quotas // by contracts
	library  library
	wide     nodeWide
	clock    *clock
	known    tenantCache
	chains   chainLengths

	mu         sync.Mutex        // guards everything below, and every queue in it
	queues     map[string]*queue // by tenant id; only tenants with work at hand
	closed     bool              // no new work
	gaveUp     bool              // at the end of the drain: batches are not begun any more
	sequencers sync.WaitGroup    // one for each queue in the map; Add under mu and only while open
}

// New makes an engine over log. It starts nothing.
func New(log *timeline.Log, dir Directory, v id.Verifier, decider Decider, node Node, b *bus.Bus, cfg Config) *Engine {
	cfg = cfg.withDefaults()
	return &Engine{
		log: log, dir: dir, verify: v, decide: decider, node: node, bus: b, cfg: cfg,
		random: &lockedReader{r: cfg.Rand},
		checks: make(chan struct{}, cfg.Workers), imports: make(chan struct{}, 1),
		stages: newStages(),
		guests: newQuotas(cfg.GuestQuota), events: newQuotas(cfg.EventQuota), refusals: newQuotas(cfg.RefusalQuota),
		clock: newClock(), library: library{book: rulebook.New(log)},
		queues: make(map[string]*queue),
	}
}

// Run answers timers as they become due until ctx ends, and then drains: new work is refused with
// unavailable engine_stopping, queued work completes. What is still queued
// after Config.DrainTimeout is answered with the same error. It returns when no
// goroutine of the engine is left.
func (e *Engine) Run(ctx context.Context) error {
	var contracts sync.WaitGroup
	contracts.Go(func() { e.keepContracts(ctx) })
	e.keepTime(ctx)
	contracts.Wait()
	e.drain()
	return nil
}

// Ready is nil while the engine takes new work.
func (e *Engine) Ready(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errStopping
	}
	return nil
}

var errStopping = fault.New(fault.Unavailable, "engine_stopping",
	"the server is stopping; nothing was recorded, send the span again in a moment").After(time.Second)
