// Package relay carries wake-ups between the processes of one node: what is
// published on the bus here is published on theirs, and theirs here. It owns
// the message and the manners (coalescing, echo, back-off); a Carrier moves
// the bytes. Like the bus it carries nothing that anybody depends on: with
// every message lost, followers are only as late as their poll.
package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
)

// Carrier connects this process to the others. It is safe for concurrent use.
type Carrier interface {
	// Name is what operators know it by, such as "redis".
	Name() string
	// Connect subscribes and returns when messages sent from now on arrive. It
	// does not try again by itself.
	Connect(ctx context.Context) (Link, error)
}

// Link is one connection. Send and Receive may run at once, each once at a
// time. After an error the link is of no use any more.
type Link interface {
	// Send hands one message, at most MaxMessage bytes of ASCII, to all
	// processes that are connected, this one too where that cannot be helped.
	Send(ctx context.Context, message string) error
	// Receive waits for the next message. It notices within a minute that the
	// other side is gone without a word, and returns soon after the end of ctx.
	Receive(ctx context.Context) (string, error)
	// Close is called when both have returned; closing twice is harmless.
	Close() error
}

// Config bounds a Relay. Zero values mean the defaults named beside them.
type Config struct {
	Interval time.Duration // between messages about one tenant: 20 ms
	Timeout  time.Duration // to connect, and to send one message: 5 s
	Retry    time.Duration // wait before the first try to connect again: 250 ms, doubled up to Longest
	Longest  time.Duration // 15 s
	Logger   *slog.Logger  // slog.Default()
}

// Relay is one process's end. Make it with New, run it once.
type Relay struct {
	bus     *bus.Bus
	carrier Carrier
	cfg     Config
	process string // random name of this process, to know its own messages by

	unsent []bus.Appended // taken from the bus and not sent; Run's alone
}

// New makes a relay between b and the other processes; it starts nothing.
func New(b *bus.Bus, c Carrier, cfg Config) *Relay {
	cfg.Interval = cmp.Or(cfg.Interval, 20*time.Millisecond)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.Retry = cmp.Or(cfg.Retry, 250*time.Millisecond)
	cfg.Longest = cmp.Or(cfg.Longest, 15*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	var name [processBytes]byte
	_, _ = rand.Read(name[:]) // never fails (crypto/rand)
	return &Relay{bus: b, carrier: c, cfg: cfg, process: hex.EncodeToString(name[:])}
}

// Run works until ctx ends, then sends what is still pending if that is quickly
// done. It connects, and connects again, for as long as it takes: a carrier
// that is down costs latency alone. A loss and its end are logged once each.
func (r *Relay) Run(ctx context.Context) {
	sub := r.bus.Subscribe()
	defer sub.Close()
	log := r.cfg.Logger.With(slog.String("carrier", r.carrier.Name()))
	wait, lost := r.cfg.Retry, false
	for {
		began := time.Now()
		err := r.session(ctx, sub, func() {
			if lost {
				log.InfoContext(ctx, "relay connected again; wake-ups pass between processes")
			}
			lost = false
		})
		if ctx.Err() != nil {
			return
		}
		if !lost {
			log.WarnContext(ctx, "relay lost; what other processes append is seen only by polling until it is back", slog.Any("error", err))
			lost = true
		}
		if time.Since(began) > r.cfg.Longest {
			wait = r.cfg.Retry
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, r.cfg.Longest)
	}
}

// session connects and passes wake-ups both ways until ctx ends or the link
// breaks.
func (r *Relay) session(ctx context.Context, sub *bus.Subscription, connected func()) error {
	link, err := r.connect(ctx)
	if err != nil {
		return err
	}
	connected()
	own, cancel := context.WithCancelCause(ctx)
	var receiver sync.WaitGroup
	receiver.Go(func() { cancel(r.receive(own, link, sub)) })
	err = r.send(own, link, sub)
	cancel(err)
	if ctx.Err() != nil {
		r.flush(ctx, link, sub)
	}
	receiver.Wait()
	_ = link.Close()
	return context.Cause(own)
}

func (r *Relay) connect(ctx context.Context) (Link, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	return r.carrier.Connect(ctx)
}

// receive publishes what the others send. The relay's own subscription is left
// out, so that nothing goes round in a circle.
func (r *Relay) receive(ctx context.Context, link Link, sub *bus.Subscription) error {
	for {
		text, err := link.Receive(ctx)
		if err != nil {
			return err
		}
		m, err := parse(text)
		if err != nil {
			r.cfg.Logger.DebugContext(ctx, "relay message refused", slog.Any("error", err))
			continue
		}
		if m.process == r.process {
			continue
		}
		for _, a := range m.appended {
			sub.Publish(a)
		}
	}
}

// send passes on what is published here. While it waits out the interval, the
// bus keeps one pending wake-up a tenant, the latest.
func (r *Relay) send(ctx context.Context, link Link, sub *bus.Subscription) error {
	for {
		if err := r.sendAll(ctx, link); err != nil {
			return err
		}
		if !pause(ctx, r.cfg.Interval) {
			return ctx.Err()
		}
		var err error
		if r.unsent, err = sub.Next(ctx); err != nil {
			return err
		}
	}
}

// sendAll sends what is unsent; what fails stays there for the next link.
func (r *Relay) sendAll(ctx context.Context, link Link) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	for len(r.unsent) > 0 {
		n := min(len(r.unsent), maxAppended)
		if err := link.Send(ctx, encode(message{process: r.process, appended: r.unsent[:n]})); err != nil {
			return err
		}
		r.unsent = r.unsent[n:]
	}
	return nil
}

// flushTimeout bounds how long a stopping process takes to tell the others of
// its last commits.
const flushTimeout = time.Second

func (r *Relay) flush(ctx context.Context, link Link, sub *bus.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	r.unsent = append(r.unsent, sub.Take()...)
	_ = r.sendAll(ctx, link) // lost like any other: the others poll
}

// pause waits and tells whether it waited to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func lost(carrier string, err error) error {
	return fault.Newf(fault.Unavailable, "relay_lost", "the connection to %s is lost", carrier).Because(err)
}
