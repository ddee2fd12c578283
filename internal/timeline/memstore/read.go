package memstore

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sort"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Range implements timeline.EntryReader.
func (s *Store) Range(_ context.Context, id string, from, to uint64) ([]timeline.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return nil, err
	}
	return t.entries(from, to), nil
}

// At implements timeline.EntryReader.
func (s *Store) At(_ context.Context, id string, seqs []uint64, full bool) ([]timeline.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return nil, err
	}
	out := make([]timeline.Record, 0, len(seqs))
	for _, seq := range seqs {
		if seq < t.head.Size {
			out = append(out, t.at(seq, full))
		}
	}
	return out, nil
}

// Spent implements timeline.EntryReader.
func (s *Store) Spent(_ context.Context, id string, ids []string) (map[string]timeline.Spent, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return nil, err
	}
	out := make(map[string]timeline.Spent)
	for _, spanID := range ids {
		if by, ok := t.spent[spanID]; ok {
			out[spanID] = by
		}
	}
	return out, nil
}

// Select implements timeline.EntryReader by looking at every entry in bounds.
func (s *Store) Select(_ context.Context, id string, f *timeline.Filter) (timeline.Selection, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out timeline.Selection
	t, err := s.tenant(id)
	if err != nil {
		return out, err
	}
	from, to := f.From, min(f.To, t.head.Size)
	budget := timeline.NewBudget(f.Bytes)
	for ; from < to; from++ {
		seq := from
		if f.Descending {
			seq = f.From + (to - 1 - from)
		}
		r := &t.rows[seq]
		if !f.Matches(r) {
			continue
		}
		if ok, err := f.MatchesWords(r.Line, r.Payload); err != nil {
			return timeline.Selection{}, err
		} else if !ok {
			continue
		}
		found := t.at(seq, true)
		if len(out.Records) == f.Limit || !budget.Takes(&found) {
			out.More, out.Resume = true, seq
			break
		}
		out.Records = append(out.Records, found)
	}
	return out, nil
}

// Count implements timeline.EntryReader.
func (s *Store) Count(_ context.Context, id string) (timeline.Counts, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return timeline.Counts{}, err
	}
	types, statuses, authors := map[string]uint64{}, map[string]uint64{}, map[string]bool{}
	for i := range t.rows {
		if t.rows[i].Visibility != span.VisibilityPrivate {
			types[t.rows[i].Type]++
		}
		statuses[t.rows[i].Status]++
		authors[t.rows[i].Author] = true
	}
	c := timeline.Counts{
		Size: t.head.Size, Types: tally(types), Statuses: tally(statuses),
		Authors: uint64(len(authors)), Redacted: uint64(len(t.redacted)),
	}
	if len(t.rows) > 0 {
		c.FirstAt = t.rows[0].RecordedAt
	}
	return c, nil
}

func tally(counts map[string]uint64) []timeline.Tally {
	var out []timeline.Tally
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, timeline.Tally{Value: v, Count: counts[v]})
	}
	return out
}

// Linked implements timeline.LinkReader.
func (s *Store) Linked(_ context.Context, id string, kind timeline.LinkKind, ids []string, limit int) ([]timeline.Link, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return nil, err
	}
	var out []timeline.Link
	for _, spanID := range ids {
		for _, seq := range t.links[timeline.RowLink{Kind: kind, ID: spanID}] {
			if len(out) == limit {
				return out, nil
			}
			out = append(out, timeline.Link{ID: spanID, From: seq})
		}
	}
	return out, nil
}

// Holding implements timeline.LinkReader.
func (s *Store) Holding(_ context.Context, identity string) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.identity[identity])), nil
}

// Hashes implements timeline.TreeReader.
func (s *Store) Hashes(_ context.Context, id string, level int, from, to uint64) ([]span.Hash, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return nil, err
	}
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
		out = append(out, t.rows[seq].Leaf)
	}
	return out, nil
}

// Checkpoint implements timeline.TreeReader.
func (s *Store) Checkpoint(_ context.Context, id string, seq uint64) (uint64, []byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return 0, nil, err
	}
	i := sort.Search(len(t.checkpoints), func(i int) bool { return t.checkpoints[i].size > seq })
	if i == len(t.checkpoints) {
		return 0, nil, timeline.ErrCheckpointUnknown
	}
	return t.checkpoints[i].size, bytes.Clone(t.checkpoints[i].note), nil
}

func (t *tenant) at(seq uint64, full bool) timeline.Record {
	r := &t.rows[seq]
	out := timeline.Record{
		Seq: seq, Line: bytes.Clone(r.Line), Leaf: r.Leaf, Status: r.Status, Redacted: t.redacted[seq],
	}
	if full {
		out.Payload, out.Salt, out.Detail = bytes.Clone(r.Payload), r.Salt, bytes.Clone(r.Detail)
	}
	return out
}
