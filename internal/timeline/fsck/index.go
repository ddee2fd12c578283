package fsck

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Postings are compared by digests first, one for each stretch of entries, so
// that neither side has to be held or sorted; only stretches that differ are
// compared one by one.
const (
	stretch      = 4096 // entries of one digest
	maxStretches = 16   // that are compared one by one
)

// digests are for each stretch the sum (exclusive or) of its postings' hashes:
// the same set has the same sum, in whatever order.
type digests struct{ sums [][16]byte }

func newDigests() *digests { return &digests{} }

// toggle puts a posting in, or takes one out.
func (d *digests) toggle(p timeline.Posting) {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], p.Seq)
	h := span.Sum(seq[:], []byte(p.Field), []byte{0}, []byte(p.Value))
	i := p.Seq / stretch
	for uint64(len(d.sums)) <= i {
		d.sums = append(d.sums, [16]byte{})
	}
	for k := range d.sums[i] {
		d.sums[i][k] ^= h[k]
	}
}

// differ are the stretches in which two digests differ.
func (d *digests) differ(o *digests) map[uint64]bool {
	out := map[uint64]bool{}
	var none [16]byte
	for i := range max(len(d.sums), len(o.sums)) {
		a, b := none, none
		if i < len(d.sums) {
			a = d.sums[i]
		}
		if i < len(o.sums) {
			b = o.sums[i]
		}
		if a != b {
			out[uint64(i)] = true
		}
	}
	return out
}

// unknown says that what the posting should be is not known.
func (c *check) unknown(p *timeline.Posting) bool {
	return c.blind[p.Seq] || c.unfolded && (p.Field == timeline.FieldStatus || p.Field == timeline.FieldRedacted)
}

// checkIndex compares what entries are found by.
func (c *check) checkIndex(ctx context.Context) error {
	if c.missing {
		c.res.Unchecked = append(c.res.Unchecked, "what entries are found by")
		return nil
	}
	if c.unfolded || len(c.blind) > 0 {
		return c.compare(ctx, nil) // slow, and right where some entries are unknown
	}
	stored := newDigests()
	beyond := 0
	if err := c.snap.Postings(ctx, c.tenant.ID, func(p timeline.Posting) error {
		if p.Seq >= c.next {
			beyond++
			return nil
		}
		stored.toggle(p)
		return nil
	}); err != nil {
		return err
	}
	if beyond > 0 {
		c.res.derived(KindIndex, "there are %d index rows of entries that do not exist", beyond)
	}
	differ := c.index.differ(stored)
	if len(differ) == 0 {
		return nil
	}
	if n := len(differ) - maxStretches; n > 0 {
		c.res.derived(KindIndex, "%d further stretches of %d entries have a wrong index", n, stretch)
		for i := range differ {
			if len(differ) > maxStretches {
				delete(differ, i)
			}
		}
	}
	return c.compare(ctx, differ)
}

// compare looks at single postings, of these stretches or (nil) of the first
// ones.
func (c *check) compare(ctx context.Context, stretches map[uint64]bool) error {
	if stretches == nil {
		stretches = map[uint64]bool{}
		for i := uint64(0); i*stretch < c.next && i < maxStretches; i++ {
			stretches[i] = true
		}
		if c.next > maxStretches*stretch {
			c.res.Unchecked = append(c.res.Unchecked, fmt.Sprintf("what entries from %d on are found by", maxStretches*stretch))
		}
	}
	want := map[timeline.Posting]bool{}
	for i := range stretches {
		if err := c.expected(ctx, i, want); err != nil {
			return err
		}
	}
	var extra []timeline.Posting
	err := c.snap.Postings(ctx, c.tenant.ID, func(p timeline.Posting) error {
		if !stretches[p.Seq/stretch] || p.Seq >= c.next || c.unknown(&p) {
			return nil
		}
		if want[p] {
			delete(want, p)
		} else if len(extra) < maxFindings {
			extra = append(extra, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.tell(want, extra)
	return nil
}

// expected adds what one stretch's entries must be found by.
func (c *check) expected(ctx context.Context, i uint64, want map[timeline.Posting]bool) error {
	err := c.each(ctx, i*stretch, func(r *timeline.Record) error {
		if r.Seq >= (i+1)*stretch {
			return errDone
		}
		if c.blind[r.Seq] || r.Parse() != nil {
			return nil
		}
		row, err := c.res.derivedRow(r)
		if err != nil {
			return nil // its payload is damaged, which was said
		}
		row.Row.Postings(row.Spent, row.Redacted, func(p timeline.Posting) {
			if !c.unknown(&p) {
				want[p] = true
			}
		})
		return nil
	})
	if err == errDone {
		return nil
	}
	return err
}

// errDone ends a walk early.
var errDone = fmt.Errorf("done")

// tell reports what is missing, what is too much, and what stands in the place
// of something else.
func (c *check) tell(missing map[timeline.Posting]bool, extra []timeline.Posting) {
	type place struct {
		seq   uint64
		field timeline.Field
	}
	instead := map[place][]string{}
	for _, p := range extra {
		at := place{p.Seq, p.Field}
		instead[at] = append(instead[at], p.Value)
	}
	lacking := make([]timeline.Posting, 0, len(missing))
	for p := range missing {
		lacking = append(lacking, p)
	}
	order := func(a, b timeline.Posting) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Value, b.Value))
	}
	slices.SortFunc(lacking, order)
	find := func(seq uint64, format string, args ...any) {
		c.res.add(Finding{Seq: &seq, Kind: KindIndex, Repairable: true, Detail: fmt.Sprintf(format, args...)})
	}
	for _, p := range lacking {
		at := place{p.Seq, p.Field}
		if others := instead[at]; len(others) > 0 {
			find(p.Seq, "%s is stored as %q; it is %q", p.Field, others[0], p.Value)
			instead[at] = others[1:]
			continue
		}
		find(p.Seq, "%s %q is not stored", p.Field, p.Value)
	}
	slices.SortFunc(extra, order)
	for _, p := range extra {
		if left := instead[place{p.Seq, p.Field}]; slices.Contains(left, p.Value) {
			find(p.Seq, "%s %q is stored and does not follow from the line", p.Field, p.Value)
		}
	}
}
