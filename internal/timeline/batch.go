package timeline

import (
	"github.com/danvoulez/logline/internal/fault"
)

// Check is the part of the contract of a Batch that a store relies on: dense
// seqs, times that do not decrease, a head that fits, changes to entries that
// exist. It does not look at the store. A failure is a defect of the caller.
func (b *Batch) Check() error {
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.Internal, "batch_invalid", "a batch for "+b.Tenant+" is inconsistent: "+format, args...)
	}
	size := b.ExpectedSize + uint64(len(b.Rows))
	if len(b.Rows) == 0 || b.Head.Size != size {
		return bad("%d rows after %d entries do not make %d", len(b.Rows), b.ExpectedSize, b.Head.Size)
	}
	last := ""
	for i := range b.Rows {
		r := &b.Rows[i]
		if r.Seq != b.ExpectedSize+uint64(i) || r.RecordedAt < last {
			return bad("row %d has seq %d and time %s after %s", i, r.Seq, r.RecordedAt, last)
		}
		last = r.RecordedAt
	}
	if b.Head.RecordedAt != last {
		return bad("the head's time %s is not its last entry's %s", b.Head.RecordedAt, last)
	}
	if b.Create != nil && (b.ExpectedSize != 0 || b.Create.ID != b.Tenant) {
		return bad("only the first batch creates its tenant")
	}
	before := b.ExpectedSize
	for _, n := range b.Earlier {
		if n.Size <= before || n.Size >= size {
			return bad("an earlier checkpoint of size %d does not lie between %d and %d", n.Size, before, size)
		}
		before = n.Size
	}
	for _, c := range b.Statuses {
		if c.Seq >= size {
			return bad("a status is set for entry %d of %d", c.Seq, size)
		}
	}
	for _, seq := range b.Redacted {
		if seq >= size {
			return bad("entry %d of %d is redacted", seq, size)
		}
	}
	for _, id := range b.Spent {
		if id.Seq < b.ExpectedSize || id.Seq >= size {
			return bad("an id is spent by entry %d, which is not in the batch", id.Seq)
		}
	}
	return nil
}

// ErrHashesMissing is the answer of Store.Hashes to a question beyond the tree.
func ErrHashesMissing(level int, from, to uint64) error {
	return fault.Newf(fault.Internal, "hashes_missing",
		"the tree has not all hashes %d to %d of level %d; check the timeline with fsck", from, to, level)
}
