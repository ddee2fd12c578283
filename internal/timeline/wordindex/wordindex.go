// Package wordindex keeps the index of words of a store's timelines up to date,
// behind the appends and never in their way: it reads committed entries, works
// out their words, and writes one block of them in a transaction of its own.
// After each block it rests, for as long as the block took where nobody appends,
// and several times as long where somebody does. What is indexed stands
// in the database, so that it goes on wherever any process ended; wake-ups only
// make it faster. Nothing depends on how far it is: what is not indexed is
// searched by reading it.
package wordindex

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// Source is what is indexed: a timeline.Store that is a timeline.WordIndexer.
type Source interface {
	timeline.HeadReader
	timeline.WordIndexer
}

// Config of an Indexer.
type Config struct {
	Poll  time.Duration    // between looks that no wake-up asked for: 5 s when 0
	Rest  time.Duration    // at least, after each block and each look: 100 ms when 0
	Log   *slog.Logger     // slog.Default()
	Watch *followers.Watch // of followers.Words; may be nil
}

// Indexer follows every timeline of a store. Make one with New.
type Indexer struct {
	source Source
	bus    *bus.Bus
	cfg    Config

	done   map[string]uint64 // by tenant: the size with which nothing was left; of Run's goroutine, as what follows
	left   map[string]int64  // by tenant: entries
	behind atomic.Int64      // their sum
}

// New makes an indexer of source, woken by wakes.
func New(source Source, wakes *bus.Bus, cfg Config) *Indexer {
	cfg.Poll = cmp.Or(cfg.Poll, 5*time.Second)
	cfg.Rest = cmp.Or(cfg.Rest, 100*time.Millisecond)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	return &Indexer{source: source, bus: wakes, cfg: cfg, done: map[string]uint64{}, left: map[string]int64{}}
}

// Lag is how many entries of complete blocks are known to be indexed not yet.
func (x *Indexer) Lag() int64 { return x.behind.Load() }

// Run follows until ctx ends. What goes wrong is logged and tried again.
func (x *Indexer) Run(ctx context.Context) {
	wakes := x.bus.Subscribe()
	defer wakes.Close()
	poll := time.NewTimer(0) // at once
	defer poll.Stop()
	for {
		var tenants []timeline.Tenant
		select {
		case <-ctx.Done():
			return
		case <-wakes.C:
			tenants = woken(wakes)
		case <-poll.C:
			var err error
			if tenants, err = x.tenants(ctx); err != nil && ctx.Err() == nil {
				x.cfg.Log.WarnContext(ctx, "timelines not listed to index their words; the next look tries again", slog.Any("error", err))
			}
			poll.Reset(x.cfg.Poll)
		}
		x.bring(ctx, tenants, wakes)
		x.rest(ctx, 0)
	}
}

// woken are the timelines that have grown since it was last asked.
func woken(wakes *bus.Subscription) (out []timeline.Tenant) {
	for _, w := range wakes.Take() {
		out = append(out, timeline.Tenant{ID: w.Tenant, Size: w.Size})
	}
	return out
}

func (x *Indexer) tenants(ctx context.Context) (all []timeline.Tenant, err error) {
	const atOnce = 100
	for after := ""; ; after = all[len(all)-1].ID {
		page, err := x.source.Tenants(ctx, after, atOnce)
		all = append(all, page...)
		if err != nil || len(page) < atOnce {
			return all, err
		}
	}
}

// How many times as long as a block took it rests where somebody appends: less
// where much is left, so that searches do not get slower without end.
const (
	restAmongAppends = 9
	restFarBehind    = 3
	farBehind        = 128 * words.Size // entries
)

// bring brings timelines up to date, one block of each after the other, so that
// a long one does not keep the others waiting, and those that grow meanwhile.
func (x *Indexer) bring(ctx context.Context, tenants []timeline.Tenant, wakes *bus.Subscription) {
	for len(tenants) > 0 {
		t := tenants[0]
		tenants = tenants[1:]
		if size, ok := x.done[t.ID]; ok && size == t.Size { // an erasure is an entry too
			continue
		}
		if !x.cfg.Watch.May(t.ID, whole(t.Size)) {
			continue
		}
		begun := time.Now()
		left, busy, err := x.source.IndexWords(ctx, t.ID)
		if ctx.Err() != nil {
			return
		}
		took := time.Since(begun)
		if err != nil {
			x.cfg.Log.WarnContext(ctx, "words of a timeline not indexed yet; the next look tries again", slog.String("tenant", t.ID), slog.Any("error", err))
			x.cfg.Watch.Failed(ctx, t.ID, followers.Nowhere, err)
			continue
		}
		x.count(t, left, busy)
		if t.Size > 0 && !busy {
			x.cfg.Watch.At(t.ID, whole(t.Size)-min(left*words.Size, whole(t.Size)), whole(t.Size))
		}
		if left > 0 && !busy { // else somebody else is at it
			tenants = append(tenants, t)
		}
		grown := woken(wakes)
		for _, g := range grown {
			if !slices.ContainsFunc(tenants, func(t timeline.Tenant) bool { return t.ID == g.ID }) {
				tenants = append(tenants, g)
			}
		}
		switch {
		case len(grown) == 0:
		case x.behind.Load() > farBehind:
			took *= restFarBehind
		default:
			took *= restAmongAppends
		}
		x.rest(ctx, took)
	}
}

// whole is how many entries of a timeline are in complete blocks, which alone are
// indexed.
func whole(size uint64) uint64 { return size - size%words.Size }

func (x *Indexer) count(t timeline.Tenant, blocks uint64, busy bool) {
	entries := int64(blocks * words.Size)
	x.behind.Add(entries - x.left[t.ID])
	x.left[t.ID] = entries
	delete(x.done, t.ID)
	if blocks == 0 && !busy {
		x.done[t.ID] = t.Size
	}
}

// rest waits, and leaves the machine and the database to others.
func (x *Indexer) rest(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(max(took, x.cfg.Rest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
