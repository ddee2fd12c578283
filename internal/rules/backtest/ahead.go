package backtest

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Entries that come together are decided together, on all processors: each as if
// none of those before it in its run had changed a row. Then they are taken in
// one after the other, and one whose decision rests on a row that has changed
// meanwhile is decided again. So what is found is what deciding one after the
// other finds, whatever the number of processors.

// mostAhead is how many entries are decided before the first of them is taken
// in, leastAhead how few are worth it.
const (
	mostAhead  = 256
	leastAhead = 8
)

// AddAll is Add for each of several entries that follow each other.
func (b *Backtest) AddAll(ctx context.Context, entries []*span.Opened) error {
	for len(entries) > 0 {
		n := b.run(entries)
		if err := b.addRun(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// run is how many of the next entries can be decided together: what changes keys
// or roles is decided by itself.
func (b *Backtest) run(entries []*span.Opened) int {
	for i, e := range entries[:min(len(entries), mostAhead)] {
		if b.stands(e) {
			return max(i, 1)
		}
	}
	return min(len(entries), mostAhead)
}

func (b *Backtest) addRun(ctx context.Context, entries []*span.Opened) error {
	var guesses []guess
	if len(entries) >= leastAhead && b.opt.Workers > 1 {
		guesses = b.ahead(ctx, entries)
		b.changed = &sortedmap.Map[struct{}]{}
		defer func() { b.changed = nil }()
	}
	for i, e := range entries {
		var g *guess
		if guesses != nil && guesses[i].made {
			g = &guesses[i]
		}
		if err := b.add(ctx, e, g); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ahead decides a run as of the entry before it.
func (b *Backtest) ahead(ctx context.Context, entries []*span.Opened) []guess {
	if b.guesses == nil {
		b.guesses = make([]guess, mostAhead)
	}
	guesses, now := b.guesses[:len(entries)], b.now
	for i, e := range entries {
		now, _ = b.advanced(now, e)
		guesses[i] = guess{at: b.at(now, e), reads: guesses[i].reads[:0]}
	}
	var next atomic.Int64
	work := func() {
		seen, w := &witness{State: &b.rows}, b.world
		w.State = seen
		for i := next.Add(1) - 1; int(i) < len(entries); i = next.Add(1) - 1 {
			seen.g = &guesses[i]
			b.guess(ctx, &w, entries[i], seen.g)
		}
	}
	var workers sync.WaitGroup
	for range b.opt.Workers - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
	return guesses
}

// guess decides an entry, unless that is not asked for. A panic is left to whoever
// decides it again.
func (b *Backtest) guess(ctx context.Context, w *rules.World, e *span.Opened, g *guess) {
	defer func() {
		if recover() != nil {
			g.made = false
		}
	}()
	if e.Span.Type != span.TypeDecision && !b.own(e) && !b.erased(e) {
		g.decide(ctx, w, e)
	}
}

// guess is a decision, and which rows it rests on.
type guess struct {
	at      standing.Position
	span    span.Span
	made    bool
	outcome *rules.Outcome
	err     error
	reads   []stretch
}

func (g *guess) decide(ctx context.Context, w *rules.World, e *span.Opened) {
	g.span, g.made = span.Span{Header: e.Span, Payload: e.Payload}, true
	g.outcome, g.err = rules.Decide(ctx, w, &g.span, g.at)
}

// holds says that none of the rows it rests on has changed.
func (g *guess) holds(changed *sortedmap.Map[struct{}]) bool {
	for _, r := range g.reads {
		for key := range changed.From(r.low) {
			if key <= r.high {
				return false
			}
			break
		}
	}
	return true
}

// stretch is the keys from low to high, both included.
type stretch struct{ low, high string }

// witness notes which rows of a state were asked for, and which the answers say
// that there are not.
type witness struct {
	rules.State
	g *guess
}

var _ rules.State = (*witness)(nil)

func (w *witness) saw(low, high string) { w.g.reads = append(w.g.reads, stretch{low, high}) }

// Get implements rules.State.
func (w *witness) Get(ctx context.Context, key string) ([]byte, bool, error) {
	w.saw(key, key)
	return w.State.Get(ctx, key)
}

// Floor implements rules.State.
func (w *witness) Floor(ctx context.Context, prefix, key string) (standing.Row, bool, error) {
	row, ok, err := w.State.Floor(ctx, prefix, key)
	w.saw(max(prefix, row.Key), key)
	return row, ok, err
}

// Range implements rules.State.
func (w *witness) Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	rows, err := w.State.Range(ctx, prefix, after, limit)
	high := prefix + "\xff" // above all that begin so: keys are UTF-8
	if len(rows) == limit && limit > 0 {
		high = rows[limit-1].Key
	}
	w.saw(max(prefix, after), high)
	return rows, err
}
