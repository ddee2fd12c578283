package memindex

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sort"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Snapshot is that of timeline.Keeper; appends wait until it ends.
func (x *Index) Snapshot(_ context.Context, fn func(timeline.Snapshot) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, t := range x.timelines {
		t.mu.RLock()
		defer t.mu.RUnlock()
	}
	return fn(snapshot{x})
}

// snapshot reads an index whose locks are held.
type snapshot struct{ x *Index }

func (p snapshot) timeline(id string) (*indexed, error) {
	if t := p.x.timelines[id]; t != nil {
		return t, nil
	}
	return nil, timeline.ErrTenantUnknown
}

// Tenants implements timeline.Snapshot.
func (p snapshot) Tenants(context.Context) ([]timeline.Tenant, error) {
	var out []timeline.Tenant
	for _, id := range slices.Sorted(maps.Keys(p.x.timelines)) {
		out = append(out, p.x.timelines[id].sized())
	}
	return out, nil
}

// State implements timeline.Snapshot.
func (p snapshot) State(_ context.Context, id string) (timeline.Head, []standing.Row, error) {
	t, err := p.timeline(id)
	if err != nil {
		return timeline.Head{}, nil, err
	}
	return cloneHead(t.head), t.stateRows(everyRow), nil
}

// Entries implements timeline.Snapshot.
func (p snapshot) Entries(_ context.Context, id string, from uint64) ([]timeline.Record, error) {
	t, err := p.timeline(id)
	if err != nil {
		return nil, err
	}
	return t.entries(from, t.head.Size)
}

// Checkpoints implements timeline.Snapshot.
func (p snapshot) Checkpoints(_ context.Context, id string, after uint64, limit int) ([]timeline.Note, error) {
	t, err := p.timeline(id)
	if err != nil {
		return nil, err
	}
	var out []timeline.Note
	first := sort.Search(len(t.checkpoints), func(i int) bool { return t.checkpoints[i].size > after })
	for _, c := range t.checkpoints[first:] {
		if len(out) == limit {
			break
		}
		n, err := t.note(c)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// Postings implements timeline.Snapshot.
func (p snapshot) Postings(_ context.Context, id string, each func(timeline.Posting) error) error {
	t, err := p.timeline(id)
	if err != nil {
		return err
	}
	post := func(q timeline.Posting) {
		if err == nil {
			err = each(q)
		}
	}
	var row timeline.Row
	for i := range t.rows {
		t.fields(uint64(i), &row)
		row.Leaf = t.rows[i].leaf
		row.Postings(nil, t.rows[i].redacted, post)
	}
	for l, seqs := range t.links {
		field := timeline.FieldCause
		if l.kind == timeline.LinkTarget {
			field = timeline.FieldTarget
		}
		for _, seq := range seqs {
			post(timeline.Posting{Seq: seq, Field: field, Value: l.id.String()})
		}
	}
	for key, by := range t.spent {
		field := timeline.FieldSpan
		if by.By == timeline.SpentByDecision {
			field = timeline.FieldRefused
		}
		post(timeline.Posting{Seq: by.Seq, Field: field, Value: key.String()})
	}
	return err
}

// Subtrees implements timeline.Snapshot.
func (p snapshot) Subtrees(_ context.Context, id string, each func(tree.Subtree) error) error {
	t, err := p.timeline(id)
	if err != nil {
		return err
	}
	for level, hashes := range t.hashes {
		for i, h := range hashes {
			if err := each(tree.Subtree{Level: level, Index: uint64(i), Hash: h}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Embedded implements timeline.Snapshot.
func (p snapshot) Embedded(_ context.Context, id string) ([]string, error) {
	t, err := p.timeline(id)
	if err != nil {
		return nil, err
	}
	return slices.Compact(slices.Sorted(slices.Values(t.identities))), nil
}

// Draft makes the index that a rebuilt timeline will have: r and what its Rows
// give, with the checkpoints there are. It answers what timeline.Keeper.Rebuild
// does, and changes nothing. The store keeps appends away from here to Replace.
func (x *Index) Draft(ctx context.Context, r *timeline.Rebuilt) (*Prepared, error) {
	t, err := x.timeline(r.Tenant.ID)
	if err != nil {
		return nil, err
	}
	fresh := newIndexed(t.content)
	if err := r.Rows(ctx, func(row timeline.RebuiltRow) error { // reads the index: no lock is held
		fresh.add(&row.Row)
		fresh.rows[len(fresh.rows)-1].redacted = row.Redacted
		for _, id := range row.Spent {
			if key, ok := keyOf(id.ID); ok {
				fresh.spent[key] = id.Spent
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, h := range r.Subtrees {
		fresh.hashes[h.Level] = append(fresh.hashes[h.Level], h.Hash)
	}
	for _, row := range r.State {
		fresh.state.Set(row.Key, bytes.Clone(row.Value))
	}
	x.mu.RLock()
	owner, taken := x.slugs[r.Tenant.Slug]
	x.mu.RUnlock()
	t.mu.RLock()
	defer t.mu.RUnlock()
	if size := uint64(len(t.rows)); size != r.Head.Size || uint64(len(fresh.rows)) != size {
		return nil, timeline.ErrRebuildStale
	}
	if taken && owner != r.Tenant.ID {
		return nil, timeline.ErrTenantTaken
	}
	fresh.record, fresh.head, fresh.identities, fresh.checkpoints = r.Tenant, cloneHead(r.Head), slices.Clone(r.Embedded), t.checkpoints
	fresh.record.PublicReading, fresh.record.CreatedAt, fresh.record.Size = t.record.PublicReading, t.record.CreatedAt, 0
	return &Prepared{fresh}, nil
}

// Redacted are the seqs of the entries that are.
func (p *Prepared) Redacted() []uint64 { return p.t.redacted() }

// Redacted are the seqs of a timeline's entries that are.
func (x *Index) Redacted(id string) ([]uint64, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	return t.redacted(), nil
}

func (t *indexed) redacted() []uint64 {
	var out []uint64
	for i := range t.rows {
		if t.rows[i].redacted {
			out = append(out, uint64(i))
		}
	}
	return out
}

// Replace puts a draft in the place of its timeline's index, and runs change
// while nobody reads the content.
func (x *Index) Replace(p *Prepared, change func()) {
	fresh := p.t
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.timelines[fresh.record.ID]
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	delete(x.slugs, t.record.Slug)
	x.slugs[fresh.record.Slug] = fresh.record.ID
	for _, tenants := range x.holding {
		delete(tenants, fresh.record.ID)
	}
	x.hold(fresh.record.ID, fresh.identities)
	t.record, t.head, t.identities = fresh.record, fresh.head, fresh.identities
	t.names, t.rows, t.spent, t.links, t.hashes, t.state = fresh.names, fresh.rows, fresh.spent, fresh.links, fresh.hashes, fresh.state
}

// String is the id in its text form.
func (k spanKey) String() string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 36)
	for i, c := range k {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hex[c>>4], hex[c&15])
	}
	return string(out)
}
