package backtest

import (
	"bytes"
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// block is a few entries that follow each other, and what is thought to become of
// them before it is their turn: each is decided by the rows as they are at that
// moment, and by what those before it in its block changed. At its turn, one whose
// decision rests on a row that was changed since, other than by its block, is
// decided again. So what is found is what deciding one after the other finds.
type block struct {
	number  int
	since   int // version of the rows before any of it was decided
	entries []*span.Opened
	guesses []guess
	made    bool // all guesses are
}

// blockSize is how many entries see each other: what belongs together often comes
// together.
const blockSize = 16

// reset makes room for other entries.
func (k *block) reset() {
	clear(k.entries)
	k.entries, k.guesses, k.made = k.entries[:0], k.guesses[:0], false
}

// add puts in the next entry, and at which position it will probably stand.
func (k *block) add(e *span.Opened, at standing.Position) {
	n := len(k.guesses)
	k.entries, k.guesses = append(k.entries, e), k.guesses[:n+1]
	k.guesses[n] = guess{at: at, block: k.number, reads: k.guesses[n].reads[:0]}
}

// guess decides the entries of a block.
func (k *block) guess(ctx context.Context, seen *witness) {
	clear(seen.changed)
	seen.world = seen.b.world // which the first entry changes
	seen.world.State = seen
	for i, e := range k.entries {
		seen.b.guess(ctx, e, &k.guesses[i], seen)
	}
}

// takeIn decides the entries of a block, for which most of the work is done.
func (b *Backtest) takeIn(ctx context.Context, k *block) error {
	b.news.forget(k.since)
	for i, e := range k.entries {
		if err := b.add(ctx, e, &k.guesses[i]); err != nil {
			return err
		}
	}
	return nil
}

// guess decides an entry and folds it, unless that is not asked for. A panic is left
// to whoever decides it again.
func (b *Backtest) guess(ctx context.Context, e *span.Opened, g *guess, seen *witness) {
	defer func() {
		if recover() != nil {
			g.made = false
		}
	}()
	if e.Span.Type == span.TypeDecision || b.own(e) || b.erased(e) {
		return
	}
	seen.g, seen.lost = g, false
	g.decide(ctx, &seen.world, e, g.at)
	if g.folds = len(g.reads); g.err == nil && g.outcome.Verdict <= rules.Pending {
		var err error
		g.changes, err = folded(ctx, seen, &g.entry, &g.span, g.outcome, g.at)
		seen.lost = seen.lost || err != nil
	}
	if g.made = !seen.lost; g.made {
		for _, c := range g.changes {
			seen.changed[c.Key] = c.Value
		}
	}
}

// guess is what becomes of an entry, and which rows that rests on.
type guess struct {
	at      standing.Position
	block   int
	made    bool
	span    span.Span
	entry   span.Entry // room to fold it
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

// stretch is the keys from low to high, both included, at a version of the rows.
type stretch struct {
	low, high string
	version   int
}

// own is the version of a row that the block has changed itself: whoever changed it
// last must be the block, with what it foresaw.
const own = 0

// news is what has changed since the blocks were made up that are not taken in yet.
type news struct {
	list []change
	last map[string]change // of each key
}

// change is one of a row, at the version that it made.
type change struct {
	key     string
	version int
	by      int // the block that foresaw it, or outside
}

// outside is who changed a row as no block has foreseen it.
const outside = -1

func newNews() *news { return &news{last: map[string]change{}} }

func (n *news) add(c change) {
	n.list = append(n.list, c)
	n.last[c.key] = c
}

// mostNews is how much is kept before it is asked what is still needed.
const mostNews = 1000

// forget lets go what had changed before every block that is not taken in yet.
func (n *news) forget(since int) {
	if len(n.list) < mostNews {
		return
	}
	i, _ := slices.BinarySearchFunc(n.list, since, func(c change, since int) int { return c.version - since - 1 })
	n.list = slices.Delete(n.list, 0, i)
	clear(n.last)
	for _, c := range n.list {
		n.last[c.key] = c
	}
}

// touches says that a stretch has changed since it was read, other than a block
// has foreseen.
func (n *news) touches(r stretch, block int) bool {
	if r.low == r.high {
		c, ok := n.last[r.low]
		return ok && c.version > r.version && c.by != block
	}
	for i := len(n.list) - 1; i >= 0 && n.list[i].version > r.version; i-- {
		if c := n.list[i]; r.low <= c.key && c.key <= r.high && c.by != block {
			return true
		}
	}
	return false
}

// hold says that rows that a guess rests on are as its block saw them.
func (b *Backtest) hold(reads []stretch, g *guess) bool {
	return !slices.ContainsFunc(reads, func(r stretch) bool { return b.news.touches(r, g.block) })
}

// doubt takes back what others of its block saw a guess change, until it is known
// that it does.
func (b *Backtest) doubt(g *guess) {
	if g == nil || !g.made {
		return
	}
	b.lock.Lock()
	b.version++
	b.lock.Unlock()
	for _, c := range g.changes {
		b.news.add(change{c.Key, b.version, outside})
	}
}

// change changes rows, and remembers whether a guess had it so.
func (b *Backtest) change(changes []standing.Row, g *guess) {
	b.lock.Lock()
	b.rows.Apply(changes)
	b.version++
	b.lock.Unlock()
	if b.news == nil {
		return
	}
	for _, c := range changes {
		by := outside
		if g != nil && g.made && slices.ContainsFunc(g.changes, func(o standing.Row) bool {
			return o.Key == c.Key && (o.Value == nil) == (c.Value == nil) && bytes.Equal(o.Value, c.Value)
		}) {
			by = g.block
		}
		b.news.add(change{c.Key, b.version, by})
	}
}

// witness is the rows as a block sees them. It notes which were asked for, and
// which the answers say that there are not.
type witness struct {
	b       *Backtest
	world   rules.World       // of which it is the state
	changed map[string][]byte // by the block; nil: deleted
	g       *guess
	lost    bool // the answer would take both together: let the entry be decided at its turn
}

var _ rules.State = (*witness)(nil)

func newWitness(b *Backtest) *witness { return &witness{b: b, changed: map[string][]byte{}} }

// Get implements rules.State.
func (w *witness) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if value, ok := w.changed[key]; ok {
		w.g.reads = append(w.g.reads, stretch{key, key, own})
		return value, value != nil, nil
	}
	w.b.lock.Lock()
	defer w.b.lock.Unlock()
	w.g.reads = append(w.g.reads, stretch{key, key, w.b.version})
	return w.b.rows.Get(ctx, key)
}

// Floor implements rules.State.
func (w *witness) Floor(ctx context.Context, prefix, key string) (standing.Row, bool, error) {
	w.b.lock.Lock()
	defer w.b.lock.Unlock()
	row, ok, err := w.b.rows.Floor(ctx, prefix, key)
	w.saw(max(prefix, row.Key), key)
	return row, ok, err
}

// Range implements rules.State.
func (w *witness) Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	w.b.lock.Lock()
	defer w.b.lock.Unlock()
	rows, err := w.b.rows.Range(ctx, prefix, after, limit)
	high := prefix + "\xff" // above all that begin so: keys are UTF-8
	if len(rows) == limit && limit > 0 {
		high = rows[limit-1].Key
	}
	w.saw(max(prefix, after), high)
	return rows, err
}

// saw notes a stretch in which the block has changed nothing, or the entry is lost.
func (w *witness) saw(low, high string) {
	w.g.reads = append(w.g.reads, stretch{low, high, w.b.version})
	for key := range w.changed {
		w.lost = w.lost || low <= key && key <= high
	}
}
