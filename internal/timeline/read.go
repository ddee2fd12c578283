package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// ErrSpanUnknown is the answer for a span that does not exist, and for one the
// reader may not see.
var ErrSpanUnknown = fault.New(fault.NotFound, "span_unknown", "no such span in this timeline, or not for this reader")

// Get is the entry of a span, whoever may see it: the caller asks
// Record.VisibleTo, and answers ErrSpanUnknown where it says no.
func (l *Log) Get(ctx context.Context, tenant, spanID string) (Record, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Record{}, err
	}
	found, err := l.find(ctx, id, []string{spanID}, true)
	if err != nil {
		return Record{}, err
	}
	f, ok := found[spanID]
	if !ok || f.SpentBy != SpentByEntry {
		return Record{}, ErrSpanUnknown
	}
	return f.Record, nil
}

// visible is Get for a reader.
func (l *Log) visible(ctx context.Context, id, spanID string, r standing.Reader) (Record, error) {
	rec, err := l.Get(ctx, id, spanID)
	if err != nil {
		return Record{}, err
	}
	if !rec.VisibleTo(r) {
		return Record{}, ErrSpanUnknown
	}
	return rec, nil
}

// Entries is the entries with from <= seq < to that the reader may see, in
// order. It reads a piece and returns where it stopped: next is the first seq
// not looked at, from itself only at the end of the timeline or of the range.
func (l *Log) Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) (records []Record, next uint64, err error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, from, err
	}
	stored, err := l.store.Range(ctx, id, from, to)
	if err != nil {
		return nil, from, err
	}
	next = from
	for i := range stored {
		if err := stored[i].parse(); err != nil {
			return nil, from, err
		}
		if stored[i].VisibleTo(r) {
			records = append(records, stored[i])
		}
		next = stored[i].Seq + 1
	}
	return records, next, nil
}

// Receipt is the first receipt of entry seq: by the smallest checkpoint that
// covers it, which is that of its own batch, with the cosignatures that are held. An entry that does not exist is
// ErrCheckpointUnknown.
func (l *Log) Receipt(ctx context.Context, tenant string, seq uint64) (Receipt, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Receipt{}, err
	}
	size, note, err := l.store.Checkpoint(ctx, id, seq)
	if err != nil {
		return Receipt{}, err
	}
	if note, err = l.dress(ctx, id, note); err != nil {
		return Receipt{}, err
	}
	return l.receiptUnder(ctx, id, seq, size, note)
}

// receiptUnder proves entry seq under the checkpoint note of size.
func (l *Log) receiptUnder(ctx context.Context, id string, seq, size uint64, note []byte) (Receipt, error) {
	records, err := l.store.At(ctx, id, []uint64{seq}, false)
	if err != nil {
		return Receipt{}, err
	}
	if len(records) != 1 {
		return Receipt{}, ErrHashesMissing(0, seq, seq+1)
	}
	proof, err := tree.Inclusion(ctx, hashes{l.store, id}, seq, size)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{Line: records[0].Line, Leaf: records[0].Leaf, Checkpoint: note, Index: seq, Size: size, Proof: proof}, nil
}

// Checkpoint is the signed note of the committed head, with the cosignatures
// that are held of it.
func (l *Log) Checkpoint(ctx context.Context, tenant string) (note []byte, size uint64, err error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, 0, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	note, err = l.dress(ctx, id, head.Checkpoint)
	return note, head.Size, err
}

// Inclusion proves that the leaf at index is in the tree of size leaves (RFC
// 6962 §2.1.1); a size or index beyond the timeline is range_invalid.
func (l *Log) Inclusion(ctx context.Context, tenant string, index, size uint64) (leaf span.Hash, proof []span.Hash, err error) {
	h, err := l.within(ctx, tenant, size)
	if err != nil {
		return span.Hash{}, nil, err
	}
	if proof, err = tree.Inclusion(ctx, h, index, size); err != nil {
		return span.Hash{}, nil, err
	}
	leaves, err := h.Hashes(ctx, 0, index, index+1)
	if err != nil {
		return span.Hash{}, nil, err
	}
	return leaves[0], proof, nil
}

// Consistency proves that the tree of to leaves extends that of from leaves
// (RFC 6962 §2.1.2); sizes beyond the timeline are range_invalid.
func (l *Log) Consistency(ctx context.Context, tenant string, from, to uint64) ([]span.Hash, error) {
	h, err := l.within(ctx, tenant, to)
	if err != nil {
		return nil, err
	}
	return tree.Consistency(ctx, h, from, to)
}

// within is the stored tree of a tenant, which must have size leaves.
func (l *Log) within(ctx context.Context, tenant string, size uint64) (hashes, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return hashes{}, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return hashes{}, err
	}
	if size > head.Size {
		return hashes{}, fault.Newf(fault.Invalid, "range_invalid", "the timeline has %d entries, not %d", head.Size, size)
	}
	return hashes{l.store, id}, nil
}

// Stats are the totals of a timeline for its members: of private entries the
// numbers only.
type Stats struct {
	Counts
	Root   span.Hash
	LastAt string // recorded_at of the last entry
}

// Stats counts a timeline.
func (l *Log) Stats(ctx context.Context, tenant string) (Stats, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Stats{}, err
	}
	counts, err := l.store.Count(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	if head.Size == counts.Size {
		return Stats{Counts: counts, Root: head.Root, LastAt: head.RecordedAt}, nil
	}
	// The timeline grew between the two: what is said is of what was counted.
	root, err := tree.Root(ctx, hashes{l.store, id}, counts.Size)
	if err != nil {
		return Stats{}, err
	}
	last, err := l.records(ctx, id, []uint64{counts.Size - 1})
	if err != nil {
		return Stats{}, err
	}
	return Stats{Counts: counts, Root: root, LastAt: last[0].Entry.RecordedAt}, nil
}
