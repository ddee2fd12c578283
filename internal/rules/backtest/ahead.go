package backtest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Entries are decided some dozens at a time, a run, on all processors: each block
// of a few that follow each other by the rows as they are before the run, and by
// what those before it in its block changed. Then they are taken in one after the
// other, and one whose decision rests on a row that another block or the clock has
// changed is decided again. So what is found is what deciding one after the other
// finds, whatever the number of processors.

const (
	mostAhead  = 64 // entries of a run
	leastAhead = 8  // fewer are not worth it
	block      = 16 // entries that see each other: what belongs together often comes together
)

// addAll adds entries that follow each other.
func (b *Backtest) addAll(ctx context.Context, entries []*span.Opened) error {
	for len(entries) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := b.together(entries)
		if err := b.addRun(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// together is how many of the next entries are a run: what changes keys or roles is
// decided by itself.
func (b *Backtest) together(entries []*span.Opened) int {
	for i, e := range entries[:min(len(entries), mostAhead)] {
		if b.stands(e) {
			return max(i, 1)
		}
	}
	return min(len(entries), mostAhead)
}

func (b *Backtest) addRun(ctx context.Context, entries []*span.Opened) error {
	if len(entries) < leastAhead || b.opt.Workers == 1 {
		for _, e := range entries {
			if err := b.add(ctx, e, nil); err != nil {
				return err
			}
		}
		return nil
	}
	guesses := b.ahead(ctx, entries)
	b.changed = &sortedmap.Map[int]{}
	defer func() { b.changed = nil }()
	for i, e := range entries {
		if err := b.add(ctx, e, &guesses[i]); err != nil {
			return err
		}
	}
	return nil
}

// ahead decides a run.
func (b *Backtest) ahead(ctx context.Context, entries []*span.Opened) []guess {
	if b.guesses == nil {
		b.guesses = make([]guess, mostAhead)
	}
	guesses, now := b.guesses[:len(entries)], b.now
	for i, e := range entries {
		now, _ = b.advanced(now, e)
		guesses[i] = guess{at: standing.Position{Seq: firstSeq(e), RecordedAt: at(now, e)}, block: i / block, reads: guesses[i].reads[:0]}
	}
	var next atomic.Int64
	work := func() {
		for from := int(next.Add(block)) - block; from < len(entries); from = int(next.Add(block)) - block {
			seen, w := &witness{rows: &b.rows}, b.world
			w.State = seen
			for i := from; i < min(from+block, len(entries)); i++ {
				b.guess(ctx, &w, entries[i], &guesses[i], seen)
			}
		}
	}
	var workers sync.WaitGroup
	for range min(b.opt.Workers, (len(entries)+block-1)/block) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
	return guesses
}

// guess decides an entry and folds it, unless that is not asked for. A panic is left
// to whoever decides it again.
func (b *Backtest) guess(ctx context.Context, w *rules.World, e *span.Opened, g *guess, seen *witness) {
	defer func() {
		if recover() != nil {
			g.made = false
		}
	}()
	if e.Span.Type == span.TypeDecision || b.own(e) || b.erased(e) {
		return
	}
	seen.g, seen.lost = g, false
	g.decide(ctx, w, e, g.at)
	if g.folds = len(g.reads); g.err == nil && g.outcome.Verdict <= rules.Pending {
		var err error
		g.changes, err = folded(ctx, seen, &g.span, g.outcome, g.at)
		seen.lost = seen.lost || err != nil
	}
	if g.made = !seen.lost; g.made {
		for _, c := range g.changes {
			seen.changed.Set(c.Key, c.Value)
		}
	}
}

// guess is what becomes of an entry, and which rows that rests on.
type guess struct {
	at      standing.Position
	block   int
	made    bool
	span    span.Span
	outcome *rules.Outcome
	err     error
	changes []standing.Row // where it stands
	reads   []stretch
	folds   int // of reads: where those begin that changes alone rest on
}

func (g *guess) decide(ctx context.Context, w *rules.World, e *span.Opened, at standing.Position) {
	g.span = span.Span{Header: e.Span, Payload: e.Payload}
	g.outcome, g.err = rules.Decide(ctx, w, &g.span, at)
}

// outside is who changed a row as no block of the run at hand has seen it.
const outside = -1

// hold says that rows that a guess rests on are as its block saw them.
func (b *Backtest) hold(reads []stretch, g *guess) bool {
	for _, r := range reads {
		for key, by := range b.changed.From(r.low) {
			if key > r.high {
				break
			}
			if by != g.block {
				return false
			}
		}
	}
	return true
}

// doubt takes back what others of its block saw a guess change, until it is known
// that it does.
func (b *Backtest) doubt(g *guess) {
	if g != nil && g.made {
		for _, c := range g.changes {
			b.changed.Set(c.Key, outside)
		}
	}
}

// note remembers which rows have changed, and whether as a guess has it.
func (b *Backtest) note(changes []standing.Row, g *guess) {
	if b.changed == nil {
		return
	}
	for _, c := range changes {
		by := outside
		if g != nil && g.made && slices.ContainsFunc(g.changes, func(o standing.Row) bool {
			return o.Key == c.Key && (o.Value == nil) == (c.Value == nil) && bytes.Equal(o.Value, c.Value)
		}) {
			by = g.block
		}
		b.changed.Set(c.Key, by)
	}
}

// stretch is the keys from low to high, both included.
type stretch struct{ low, high string }

// witness is the rows as a block sees them. It notes which were asked for, and
// which the answers say that there are not.
type witness struct {
	rows    *rules.Memory
	changed sortedmap.Map[[]byte] // by the block; nil: deleted
	g       *guess
	lost    bool // the answer would take both together: let the entry be decided at its turn
}

var _ rules.State = (*witness)(nil)

// Get implements rules.State.
func (w *witness) Get(ctx context.Context, key string) ([]byte, bool, error) {
	w.g.reads = append(w.g.reads, stretch{key, key})
	if value, ok := w.changed.Get(key); ok {
		return value, value != nil, nil
	}
	return w.rows.Get(ctx, key)
}

// Floor implements rules.State.
func (w *witness) Floor(ctx context.Context, prefix, key string) (standing.Row, bool, error) {
	row, ok, err := w.rows.Floor(ctx, prefix, key)
	w.saw(max(prefix, row.Key), key)
	return row, ok, err
}

// Range implements rules.State.
func (w *witness) Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	rows, err := w.rows.Range(ctx, prefix, after, limit)
	high := prefix + "\xff" // above all that begin so: keys are UTF-8
	if len(rows) == limit && limit > 0 {
		high = rows[limit-1].Key
	}
	w.saw(max(prefix, after), high)
	return rows, err
}

// saw notes a stretch in which the block has changed nothing, or the entry is lost.
func (w *witness) saw(low, high string) {
	w.g.reads = append(w.g.reads, stretch{low, high})
	for key := range w.changed.From(low) {
		w.lost = w.lost || key <= high
		break
	}
}
