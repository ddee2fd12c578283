package ratelimit

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// LeaseTime is for how long what a process holds counts without a word from it.
	LeaseTime  = 30 * time.Second
	renewEvery = 10 * time.Second
)

// Leases counts what is held at once, such as connections that are open, by name: by
// all processes that share a Redis together, else by each. In Redis each thing held
// is a lease, which the process that holds it renews; so those of a process that was
// killed are free again after LeaseTime. While Redis does not answer each process
// counts what it holds by itself, as rates are; it all counts together again when it
// was renewed. It is safe for concurrent use.
type Leases struct {
	shared *Fallback     // nil: this process counts alone
	every  time.Duration // between renewals

	mu   sync.Mutex // guards held
	held map[string]map[string]struct{}
}

// NewLeases counts where rates are counted; it starts nothing.
func NewLeases(rates Store) *Leases {
	shared, _ := rates.(*Fallback)
	return &Leases{shared: shared, every: renewEvery, held: make(map[string]map[string]struct{})}
}

// Hold takes one more of a name unless most are held, below 0 for no bound. held is
// how many there are then; release, which may be called more than once, gives it back.
func (l *Leases) Hold(ctx context.Context, name string, most int64) (release func(), held int64, ok bool) {
	lease := rand.Text()
	if mine := l.mine(name); most >= 0 && mine >= most {
		return nil, mine, false
	}
	held, ok, known := l.ask(ctx, name, lease, most)
	if known && !ok {
		return nil, held, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.held[name]
	if n := int64(len(all)); !known {
		if most >= 0 && n >= most {
			return nil, n, false
		}
		held = n + 1
	}
	if all == nil {
		all = make(map[string]struct{})
		l.held[name] = all
	}
	all[lease] = struct{}{}
	return sync.OnceFunc(func() { l.release(context.WithoutCancel(ctx), name, lease) }), held, true
}

// Held is how many of a name are held.
func (l *Leases) Held(ctx context.Context, name string) int64 {
	const none = 0 // nothing is taken then
	if held, _, known := l.ask(ctx, name, "", none); known {
		return held
	}
	return l.mine(name)
}

// ask asks Redis for one more; known is false where it does not answer, or there is none.
func (l *Leases) ask(ctx context.Context, name, lease string, most int64) (held int64, ok, known bool) {
	l.told(ctx, func(r *Redis) (err error) {
		held, ok, err = r.hold(ctx, name, lease, most)
		known = err == nil
		return err
	})
	return held, ok, known
}

// told has Redis do something, unless it does not answer.
func (l *Leases) told(ctx context.Context, do func(*Redis) error) bool {
	if l.shared == nil {
		return false
	}
	until, up := l.shared.up()
	return up && l.shared.heard(ctx, until, do(l.shared.redis))
}

// mine is how many of a name this process holds.
func (l *Leases) mine(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.held[name]))
}

func (l *Leases) release(ctx context.Context, name, lease string) {
	l.mu.Lock()
	all := l.held[name]
	if delete(all, lease); len(all) == 0 {
		delete(l.held, name)
	}
	l.mu.Unlock()
	// Where Redis does not hear of it the lease ends by itself: nobody renews it.
	l.told(ctx, func(r *Redis) error { return r.drop(ctx, name, []string{lease}) })
}

// Run renews what this process holds, until ctx ends.
func (l *Leases) Run(ctx context.Context) {
	if l.shared == nil {
		return
	}
	renew := time.NewTicker(l.every)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
		}
		for name, leases := range l.all() {
			if !l.renew(ctx, name, leases) {
				break // the next time
			}
		}
	}
}

// all is what this process holds now.
func (l *Leases) all() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string][]string, len(l.held))
	for name, all := range l.held {
		for lease := range all {
			out[name] = append(out[name], lease)
		}
	}
	return out
}

// renew renews leases that were held a moment ago, those that Redis has forgotten
// too, and says whether it did.
func (l *Leases) renew(ctx context.Context, name string, leases []string) bool {
	if !l.told(ctx, func(r *Redis) error { return r.renew(ctx, name, leases) }) {
		return false
	}
	var gone []string // given back meanwhile, perhaps before they were renewed
	l.mu.Lock()
	for _, lease := range leases {
		if _, ok := l.held[name][lease]; !ok {
			gone = append(gone, lease)
		}
	}
	l.mu.Unlock()
	return len(gone) == 0 || l.told(ctx, func(r *Redis) error { return r.drop(ctx, name, gone) })
}
