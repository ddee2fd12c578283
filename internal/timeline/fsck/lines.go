package fsck

import (
	"bytes"
	"context"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// check is the examination of one timeline under way.
type check struct {
	snap   timeline.Snapshot
	tenant timeline.Tenant // as stored
	opt    Options
	res    *Result

	head  timeline.Head // as stored
	state []standing.Row
	done  uint64 // lines read, of both passes

	fold     *timeline.Refold
	unfolded bool            // an entry could not be folded: nothing after it is
	embedded map[string]bool // identities
	gone     map[uint64]bool // entries without payload or detail where the line has a hash of one
	kept     map[uint64]bool // entries with payload, salt or detail that a redaction may have ended
	wrong    map[uint64]bool // those of them whose payload or detail is not the line's

	next     uint64          // seq due
	last     string          // recorded_at of the entry before
	blind    map[uint64]bool // entries of which nothing is known, because the line cannot be read
	missing  bool            // an entry is missing: the tree cannot be computed
	lines    *tree.Range     // from the lines
	leaves   *tree.Range     // from the stored leaf hashes
	suspects []uint64        // entries since the last checkpoint whose line and leaf hash differ
	rootless bool            // a root did not fit and nothing says why: later ones are not looked at
	subtrees []tree.Subtree

	notes     []timeline.Note // read, not looked at yet
	noteAfter uint64
	notesDone bool
	signed    uint64 // the size up to which checkpoints hold
	lastNote  []byte // the note of that size
	vkey      map[tree.Origin]string

	index  *digests
	words  wordBlocks
	spoilt bool // payload or detail of the entry just looked at is not the line's
}

func (c *check) readHead(ctx context.Context) (err error) {
	c.head, c.state, err = c.snap.State(ctx, c.tenant.ID)
	return err
}

// reserved is how the type of a span that acts on another begins in a line.
var reserved = []byte(`"type":"logline.`)

// want is the first pass: which spans do others act on?
func (c *check) want(ctx context.Context) error {
	return c.each(ctx, 0, func(r *timeline.Record) error {
		if bytes.Contains(r.Line, reserved) && r.Parse() == nil {
			c.fold.Want(r)
		}
		return c.progress()
	})
}

func (c *check) progress() error {
	if c.done++; c.opt.Progress != nil && c.done%256 == 0 {
		c.opt.Progress(c.done, max(2*c.head.Size, c.done))
	}
	return nil
}

// each gives the entries from a seq on, in order.
func (c *check) each(ctx context.Context, from uint64, fn func(*timeline.Record) error) error {
	return walk(ctx, c.snap, c.tenant.ID, from, fn)
}

func walk(ctx context.Context, snap timeline.Snapshot, tenant string, from uint64, fn func(*timeline.Record) error) error {
	for {
		page, err := snap.Entries(ctx, tenant, from)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		from = page[len(page)-1].Seq + 1
	}
}

// readLines is the second pass: everything about single entries, the tree and
// the checkpoints on the way.
func (c *check) readLines(ctx context.Context) error {
	if err := c.each(ctx, 0, func(r *timeline.Record) error {
		if r.Seq != c.next {
			c.res.at(c.next, KindLine, "%s missing: the next stored entry is %d", entries(c.next, r.Seq), r.Seq)
			c.missing, c.next = true, r.Seq
		}
		c.line(r)
		c.words.add(r, !c.blind[r.Seq] && !c.spoilt)
		c.next++
		if err := c.checkpoints(ctx); err != nil {
			return err
		}
		return c.progress()
	}); err != nil {
		return err
	}
	c.res.Entries = c.next
	return c.beyond(ctx)
}

func entries(from, to uint64) string {
	if to == from+1 {
		return fmt.Sprintf("entry %d is", from)
	}
	return fmt.Sprintf("entries %d to %d are", from, to-1)
}

// line checks one entry.
func (c *check) line(r *timeline.Record) {
	leaf := span.LeafHash(r.Line)
	c.lines.Append(leaf, func(s tree.Subtree) { c.subtrees = append(c.subtrees, s) })
	c.leaves.Append(r.Leaf, nil)
	if leaf != r.Leaf {
		c.suspects = append(c.suspects, r.Seq)
	}
	r.Leaf = leaf
	if err := r.Parse(); err != nil {
		c.res.at(r.Seq, KindLine, "the line cannot be read: %s", reason(err))
		c.lost(r.Seq)
		return
	}
	e := r.Entry
	if e.Seq != r.Seq {
		c.res.at(r.Seq, KindLine, "the line says that it is entry %d", e.Seq)
		c.lost(r.Seq)
		return
	}
	if e.RecordedAt < c.last {
		c.res.at(r.Seq, KindLine, "it was recorded at %s, before the entry before it (%s)", e.RecordedAt, c.last)
	}
	c.last = e.RecordedAt
	c.beside(r)
	c.take(r)
}

// lost is an entry of which nothing can be derived.
func (c *check) lost(seq uint64) {
	c.blind[seq] = true
	c.stopFolding()
}

func (c *check) stopFolding() {
	if !c.unfolded {
		c.unfolded = true
		c.res.Unchecked = append(c.res.Unchecked,
			fmt.Sprintf("roles, keys, statuses, redactions and the state from entry %d on, and whose signature later checkpoints should bear", c.next))
	}
}

// reason is why a line cannot be read, without what stands around it.
func reason(err error) string {
	f := fault.From(err)
	if cause := f.Unwrap(); cause != nil {
		f = fault.From(cause)
	}
	return f.Detail
}

// beside checks payload, salt and detail against the hashes in the line.
func (c *check) beside(r *timeline.Record) {
	e := r.Entry
	gone, bad := r.Beside()
	if gone {
		c.gone[r.Seq] = true
	}
	c.spoilt = bad != ""
	if c.fold.Wanted(e.Span.ID) { // whether it should be there shows later
		c.kept[r.Seq] = r.Payload != nil || r.Salt != "" || r.Detail != nil
		c.wrong[r.Seq] = bad != ""
	} else if bad != "" {
		c.res.at(r.Seq, KindPayload, "%s", bad)
	}
}

// take folds the entry and notes what must have been derived from it.
func (c *check) take(r *timeline.Record) {
	if !c.unfolded {
		f, err := c.fold.Fold(r)
		if err != nil {
			c.res.at(r.Seq, KindRules, "the rules do not take this entry after those before it: %s", reason(err))
			c.stopFolding()
		} else {
			c.change(&f)
		}
	}
	row := timeline.RowOf(r)
	c.derive(&row, r)
	if row.Status != timeline.StatusExecuted {
		c.res.status[r.Seq] = row.Status
	}
}

// derive puts what an entry is found by into the digest, as of its append.
func (c *check) derive(row *timeline.Row, r *timeline.Record) {
	spent, err := timeline.Spends(r)
	if err != nil { // the payload is damaged, which was said
		c.blind[r.Seq] = true
		return
	}
	row.Postings(spent, false, c.index.toggle)
}

// change notes what an entry did to earlier ones.
func (c *check) change(f *timeline.Folded) {
	if f.Embedded != "" {
		c.embedded[f.Embedded] = true
	}
	for _, s := range f.Change.Statuses {
		c.index.toggle(timeline.Posting{Seq: s.Seq, Field: timeline.FieldStatus, Value: c.statusOf(s.Seq)})
		c.res.status[s.Seq] = s.Status
		c.index.toggle(timeline.Posting{Seq: s.Seq, Field: timeline.FieldStatus, Value: s.Status})
	}
	for _, ref := range f.Change.Redacted {
		if !c.res.redacted[ref.Seq] {
			c.res.redacted[ref.Seq] = true
			c.index.toggle(timeline.Posting{Seq: ref.Seq, Field: timeline.FieldRedacted, Value: "false"})
			c.index.toggle(timeline.Posting{Seq: ref.Seq, Field: timeline.FieldRedacted, Value: "true"})
		}
	}
}

func (c *check) statusOf(seq uint64) string {
	if s, ok := c.res.status[seq]; ok {
		return s
	}
	return timeline.StatusExecuted
}
