package memindex

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

var _ interface {
	timeline.HeadReader
	timeline.RowReader
	timeline.EntryReader
	timeline.LinkReader
	timeline.TreeReader
} = (*Index)(nil)

const (
	maxRange = 1000   // entries that one Range returns
	maxLook  = 10_000 // entries whose bytes one Select reads in search of words
)

func (x *Index) timeline(id string) (*indexed, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if t := x.timelines[id]; t != nil {
		return t, nil
	}
	return nil, timeline.ErrTenantUnknown
}

// reading is a timeline with its lock held for reading.
func (x *Index) reading(id string) (*indexed, error) {
	t, err := x.timeline(id)
	if err == nil {
		t.mu.RLock()
	}
	return t, err
}

// TenantByID implements timeline.HeadReader.
func (x *Index) TenantByID(_ context.Context, id string) (timeline.Tenant, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Tenant{}, err
	}
	defer t.mu.RUnlock()
	return t.sized(), nil
}

// TenantBySlug implements timeline.HeadReader.
func (x *Index) TenantBySlug(ctx context.Context, slug string) (timeline.Tenant, error) {
	x.mu.RLock()
	id := x.slugs[slug]
	x.mu.RUnlock()
	return x.TenantByID(ctx, id)
}

// Tenants implements timeline.HeadReader.
func (x *Index) Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error) {
	x.mu.RLock()
	ids := slices.Sorted(maps.Keys(x.timelines))
	x.mu.RUnlock()
	var out []timeline.Tenant
	for _, id := range ids {
		if id <= after || len(out) == limit {
			continue
		}
		t, err := x.TenantByID(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (t *indexed) sized() timeline.Tenant {
	out := t.record
	out.Size = t.head.Size
	return out
}

// Head implements timeline.HeadReader.
func (x *Index) Head(_ context.Context, id string) (timeline.Head, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Head{}, err
	}
	defer t.mu.RUnlock()
	return cloneHead(t.head), nil
}

// State implements timeline.HeadReader.
func (x *Index) State(_ context.Context, id string) (timeline.Head, []standing.Row, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Head{}, nil, err
	}
	defer t.mu.RUnlock()
	return cloneHead(t.head), t.stateRows(timeline.DecisionRows), nil
}

// everyRow is above the keys of all state rows: they are UTF-8.
const everyRow = "\xff"

// stateRows are copies of those below a key, in order.
func (t *indexed) stateRows(high string) []standing.Row {
	return copied((&timeline.Ask{High: high, Limit: t.state.Len()}).Of(&t.state))
}

// copied gives rows of the index values of their own.
func copied(rows []standing.Row) []standing.Row {
	for i := range rows {
		rows[i].Value = bytes.Clone(rows[i].Value)
	}
	return rows
}

// Rows implements timeline.RowReader.
func (x *Index) Rows(_ context.Context, id string, asks []timeline.Ask) (timeline.Asked, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Asked{}, err
	}
	defer t.mu.RUnlock()
	out := timeline.Asked{Size: t.head.Size, Root: t.head.Root, Rows: make([][]standing.Row, len(asks))}
	for i := range asks {
		if err := asks[i].Check(); err != nil {
			return timeline.Asked{}, err
		}
		out.Rows[i] = copied(asks[i].Of(&t.state))
	}
	return out, nil
}

// Range implements timeline.EntryReader.
func (x *Index) Range(_ context.Context, id string, from, to uint64) ([]timeline.Record, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	return t.entries(from, to)
}

// entries are some of those with from <= seq < to.
func (t *indexed) entries(from, to uint64) ([]timeline.Record, error) {
	var out []timeline.Record
	budget := timeline.NewBudget(timeline.MaxPageBytes)
	for seq := from; seq < min(to, t.head.Size) && len(out) < maxRange; seq++ {
		r, err := t.recordOf(seq, true)
		if err != nil {
			return nil, err
		}
		if !budget.Takes(&r) {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

// At implements timeline.EntryReader.
func (x *Index) At(_ context.Context, id string, seqs []uint64, full bool) ([]timeline.Record, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	out := make([]timeline.Record, 0, len(seqs))
	for _, seq := range seqs {
		if seq >= t.head.Size {
			continue
		}
		r, err := t.recordOf(seq, full)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Spent implements timeline.EntryReader.
func (x *Index) Spent(_ context.Context, id string, ids []string) (map[string]timeline.Spent, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	out := make(map[string]timeline.Spent)
	for _, spanID := range ids {
		if key, ok := keyOf(spanID); ok {
			if by, ok := t.spent[key]; ok {
				out[spanID] = by
			}
		}
	}
	return out, nil
}

// Select implements timeline.EntryReader by looking at every entry in bounds,
// or at those with the cause that is asked for. It reads the bytes of those
// alone that fit otherwise.
func (x *Index) Select(_ context.Context, id string, f *timeline.Filter) (timeline.Selection, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Selection{}, err
	}
	defer t.mu.RUnlock()
	var out timeline.Selection
	var fields timeline.Row
	look := maxLook
	budget := timeline.NewBudget(f.Bytes)
	for seq := range t.candidates(f) {
		t.fields(seq, &fields)
		if f.Cause != "" {
			fields.Links = []timeline.RowLink{{Kind: timeline.LinkCause, ID: f.Cause}}
		}
		if !f.Matches(&fields) {
			continue
		}
		if look == 0 {
			out.More, out.Resume = true, seq
			break
		}
		found, err := t.recordOf(seq, true)
		if err != nil {
			return timeline.Selection{}, err
		}
		if ok, err := f.MatchesWords(found.Line, found.Payload); err != nil {
			return timeline.Selection{}, err
		} else if !ok {
			look--
			continue
		}
		if len(out.Records) == f.Limit || !budget.Takes(&found) {
			out.More, out.Resume = true, seq
			break
		}
		out.Records = append(out.Records, found)
	}
	return out, nil
}

// candidates are the seqs that a filter may match, in its order.
func (t *indexed) candidates(f *timeline.Filter) func(yield func(uint64) bool) {
	from, to := f.From, min(f.To, t.head.Size)
	if f.Cause == "" {
		return func(yield func(uint64) bool) {
			for ; from < to; from++ {
				seq := from
				if f.Descending {
					seq = f.From + (to - 1 - from)
				}
				if !yield(seq) {
					return
				}
			}
		}
	}
	var caused []uint64
	if key, ok := keyOf(f.Cause); ok {
		for _, seq := range t.links[link{timeline.LinkCause, key}] {
			if seq >= from && seq < to {
				caused = append(caused, seq)
			}
		}
	}
	if f.Descending {
		slices.Reverse(caused)
	}
	return slices.Values(caused)
}

// Count implements timeline.EntryReader.
func (x *Index) Count(_ context.Context, id string) (timeline.Counts, error) {
	t, err := x.reading(id)
	if err != nil {
		return timeline.Counts{}, err
	}
	defer t.mu.RUnlock()
	types, statuses, authors := map[name]uint64{}, map[name]uint64{}, map[name]bool{}
	c := timeline.Counts{Size: t.head.Size}
	private := t.names.known[span.VisibilityPrivate]
	for i := range t.rows {
		r := &t.rows[i]
		if private == 0 || r.visibility != private {
			types[r.typ]++
		}
		statuses[r.status]++
		authors[r.author] = true
		if r.redacted {
			c.Redacted++
		}
	}
	c.Types, c.Statuses, c.Authors = t.tally(types), t.tally(statuses), uint64(len(authors))
	if len(t.rows) > 0 {
		c.FirstAt = t.rows[0].recordedAt
	}
	return c, nil
}

func (t *indexed) tally(counts map[name]uint64) []timeline.Tally {
	var out []timeline.Tally
	for of, n := range counts {
		out = append(out, timeline.Tally{Value: t.names.text(of), Count: n})
	}
	slices.SortFunc(out, func(a, b timeline.Tally) int { return strings.Compare(a.Value, b.Value) })
	return out
}

// Linked implements timeline.LinkReader.
func (x *Index) Linked(_ context.Context, id string, kind timeline.LinkKind, ids []string, limit int) ([]timeline.Link, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	var out []timeline.Link
	for _, spanID := range ids {
		key, ok := keyOf(spanID)
		if !ok {
			continue
		}
		for _, seq := range t.links[link{kind, key}] {
			if len(out) == limit {
				return out, nil
			}
			out = append(out, timeline.Link{ID: spanID, From: seq})
		}
	}
	return out, nil
}

// Holding implements timeline.LinkReader.
func (x *Index) Holding(_ context.Context, identity string) ([]string, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.holding[identity])), nil
}

// Hashes implements timeline.TreeReader.
func (x *Index) Hashes(_ context.Context, id string, level int, from, to uint64) ([]span.Hash, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	have := uint64(len(t.hashes[level]))
	if level == 0 {
		have = t.head.Size
	}
	if from > to || to > have {
		return nil, timeline.ErrHashesMissing(level, from, to)
	}
	if level != 0 {
		return slices.Clone(t.hashes[level][from:to]), nil
	}
	out := make([]span.Hash, 0, to-from)
	for seq := from; seq < to; seq++ {
		out = append(out, t.rows[seq].leaf)
	}
	return out, nil
}

// Checkpoint implements timeline.TreeReader.
func (x *Index) Checkpoint(_ context.Context, id string, seq uint64) (uint64, []byte, error) {
	t, err := x.reading(id)
	if err != nil {
		return 0, nil, err
	}
	defer t.mu.RUnlock()
	i := sort.Search(len(t.checkpoints), func(i int) bool { return t.checkpoints[i].size > seq })
	if i == len(t.checkpoints) {
		return 0, nil, timeline.ErrCheckpointUnknown
	}
	note, err := t.note(t.checkpoints[i])
	return note.Size, note.Text, err
}

func (t *indexed) note(c checkpoint) (timeline.Note, error) {
	notes, err := t.content.Notes(int(c.batch))
	if err != nil {
		return timeline.Note{}, err
	}
	for _, n := range notes {
		if n.Size == c.size {
			return n, nil
		}
	}
	return timeline.Note{}, timeline.ErrCheckpointUnknown
}
