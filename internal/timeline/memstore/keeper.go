package memstore

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var _ timeline.Keeper = (*Store)(nil)

// Snapshot implements timeline.Keeper; appends wait until it ends.
func (s *Store) Snapshot(_ context.Context, fn func(timeline.Snapshot) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return fn(snapshot{s})
}

type snapshot struct{ *Store }

// Tenants implements timeline.Snapshot.
func (p snapshot) Tenants(context.Context) ([]timeline.Tenant, error) {
	var out []timeline.Tenant
	for _, id := range slices.Sorted(maps.Keys(p.tenants)) {
		out = append(out, p.tenants[id].sized())
	}
	return out, nil
}

// State implements timeline.Snapshot.
func (p snapshot) State(_ context.Context, id string) (timeline.Head, []standing.Row, error) {
	t, err := p.tenant(id)
	if err != nil {
		return timeline.Head{}, nil, err
	}
	return cloneHead(t.head), t.stateRows(), nil
}

// Entries implements timeline.Snapshot.
func (p snapshot) Entries(_ context.Context, id string, from uint64) ([]timeline.Record, error) {
	t, err := p.tenant(id)
	if err != nil {
		return nil, err
	}
	return t.entries(from, t.head.Size), nil
}

// Checkpoints implements timeline.Snapshot.
func (p snapshot) Checkpoints(_ context.Context, id string, after uint64, limit int) ([]timeline.Note, error) {
	t, err := p.tenant(id)
	if err != nil {
		return nil, err
	}
	var out []timeline.Note
	for _, c := range t.checkpoints {
		if c.size > after && len(out) < limit {
			out = append(out, timeline.Note{Size: c.size, Text: bytes.Clone(c.note)})
		}
	}
	return out, nil
}

// Postings implements timeline.Snapshot.
func (p snapshot) Postings(_ context.Context, id string, each func(timeline.Posting) error) error {
	t, err := p.tenant(id)
	if err != nil {
		return err
	}
	post := func(q timeline.Posting) {
		if err == nil {
			err = each(q)
		}
	}
	for i := range t.rows {
		row := t.rows[i]
		row.Links = nil
		row.Postings(nil, t.redacted[row.Seq], post)
	}
	for l, seqs := range t.links {
		for _, seq := range seqs {
			(&timeline.Row{Seq: seq, Links: []timeline.RowLink{l}}).Postings(nil, false, func(q timeline.Posting) {
				if q.Field == timeline.FieldCause || q.Field == timeline.FieldTarget {
					post(q)
				}
			})
		}
	}
	for spanID, by := range t.spent {
		field := timeline.FieldSpan
		if by.By == timeline.SpentByDecision {
			field = timeline.FieldRefused
		}
		post(timeline.Posting{Seq: by.Seq, Field: field, Value: spanID})
	}
	return err
}

// Subtrees implements timeline.Snapshot.
func (p snapshot) Subtrees(_ context.Context, id string, each func(tree.Subtree) error) error {
	t, err := p.tenant(id)
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
	if _, err := p.tenant(id); err != nil {
		return nil, err
	}
	var out []string
	for identity, tenants := range p.identity {
		if _, ok := tenants[id]; ok {
			out = append(out, identity)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Rebuild implements timeline.Keeper. Rows reads the store, so that they are
// collected before the store is locked.
func (s *Store) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	var rows []timeline.RebuiltRow
	if err := r.Rows(ctx, func(row timeline.RebuiltRow) error { rows = append(rows, row); return nil }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tenant(r.Tenant.ID)
	if err != nil {
		return err
	}
	if uint64(len(t.rows)) != r.Head.Size || len(rows) != len(t.rows) {
		return timeline.ErrRebuildStale
	}
	if owner, taken := s.slugs[r.Tenant.Slug]; taken && owner != r.Tenant.ID {
		return timeline.ErrTenantTaken
	}
	delete(s.slugs, t.record.Slug)
	public, created := t.record.PublicReading, t.record.CreatedAt
	t.record = r.Tenant
	t.record.PublicReading, t.record.CreatedAt = public, created
	s.slugs[t.record.Slug] = t.record.ID
	for _, tenants := range s.identity {
		delete(tenants, t.record.ID)
	}
	for _, identity := range r.Embedded {
		if s.identity[identity] == nil {
			s.identity[identity] = map[string]struct{}{}
		}
		s.identity[identity][t.record.ID] = struct{}{}
	}
	t.rebuild(r, rows)
	return nil
}

func (t *tenant) rebuild(r *timeline.Rebuilt, rows []timeline.RebuiltRow) {
	t.head = cloneHead(r.Head)
	t.spent, t.links, t.hashes = map[string]timeline.Spent{}, map[timeline.RowLink][]uint64{}, map[int][]span.Hash{}
	t.state, t.redacted = map[string][]byte{}, map[uint64]bool{}
	for _, h := range r.Subtrees {
		t.hashes[h.Level] = append(t.hashes[h.Level], h.Hash)
	}
	for _, row := range r.State {
		t.state[row.Key] = bytes.Clone(row.Value)
	}
	for i := range rows {
		fresh, old := &rows[i], t.rows[i]
		if fresh.Redacted {
			t.redacted[fresh.Seq] = true
			old.Payload, old.Salt, old.Detail = nil, "", nil
		}
		t.rows[i] = fresh.Row
		t.rows[i].Line, t.rows[i].Payload, t.rows[i].Salt, t.rows[i].Detail = old.Line, old.Payload, old.Salt, old.Detail
		for _, id := range fresh.Spent {
			t.spent[id.ID] = id.Spent
		}
		for _, l := range fresh.Links {
			t.links[l] = append(t.links[l], fresh.Seq)
		}
	}
}

// stateRows are the state rows, in order of key.
func (t *tenant) stateRows() []standing.Row {
	rows := make([]standing.Row, 0, len(t.state))
	for k, v := range t.state {
		rows = append(rows, standing.Row{Key: k, Value: bytes.Clone(v)})
	}
	slices.SortFunc(rows, func(a, b standing.Row) int { return strings.Compare(a.Key, b.Key) })
	return rows
}

// entries are some of those with from <= seq < to, as Range gives them.
func (t *tenant) entries(from, to uint64) []timeline.Record {
	var out []timeline.Record
	budget := timeline.NewBudget(timeline.MaxPageBytes)
	for seq := from; seq < min(to, t.head.Size) && len(out) < maxRange; seq++ {
		r := t.at(seq, true)
		if !budget.Takes(&r) {
			break
		}
		out = append(out, r)
	}
	return out
}
