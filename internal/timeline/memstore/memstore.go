// Package memstore is a timeline store in the memory of one process: for tests,
// demonstrations and short lives. Nothing survives the process.
package memstore

import (
	"bytes"
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memindex"
)

var (
	_ timeline.Keeper = (*Store)(nil)
	_ timeline.Holder = (*Store)(nil)
)

// Store keeps timelines in memory. Make one with New.
type Store struct {
	*memindex.Index

	mu       sync.Mutex // guards contents, and lets one append at a time
	contents map[string]*content
}

// content is the bytes of one timeline; the index guards entries and notes.
type content struct {
	entries []entry
	notes   [][]timeline.Note // of each batch
	turn    chan struct{}     // holds one token: of whoever may append
}

type entry struct {
	line, payload, detail []byte
	salt                  string
}

// New makes an empty store.
func New() *Store { return &Store{Index: memindex.New(), contents: map[string]*content{}} }

// Close does nothing.
func (s *Store) Close() error { return nil }

// Append implements timeline.Appender.
func (s *Store) Append(ctx context.Context, b *timeline.Batch) error {
	if err := ctx.Err(); err != nil {
		return interrupted(err)
	}
	if b.Create == nil {
		held, err := s.Hold(ctx, b.Tenant)
		if err != nil {
			return err
		}
		defer held.Close()
	}
	return s.append(b)
}

func interrupted(err error) error {
	return fault.New(fault.Unavailable, "interrupted", "the operation was interrupted before it began; send it again").Because(err)
}

func (s *Store) append(b *timeline.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Expect(b); err != nil {
		return err
	}
	c := s.contents[b.Tenant]
	if c == nil {
		c = &content{turn: make(chan struct{}, 1)}
		c.turn <- struct{}{}
		s.contents[b.Tenant] = c
	}
	s.Apply(b, c, func() { c.grow(b) })
	return nil
}

func (c *content) grow(b *timeline.Batch) {
	for i := range b.Rows {
		r := &b.Rows[i]
		c.entries = append(c.entries, entry{bytes.Clone(r.Line), bytes.Clone(r.Payload), bytes.Clone(r.Detail), r.Salt})
	}
	for _, seq := range b.Redacted {
		c.erase(seq)
	}
	var notes []timeline.Note
	for _, n := range append(b.Earlier, timeline.Note{Size: b.Head.Size, Text: b.Head.Checkpoint}) {
		notes = append(notes, timeline.Note{Size: n.Size, Text: bytes.Clone(n.Text)})
	}
	c.notes = append(c.notes, notes)
}

func (c *content) erase(seq uint64) { c.entries[seq] = entry{line: c.entries[seq].line} }

// Read implements memindex.Content.
func (c *content) Read(r *timeline.Record, full bool) error {
	e := &c.entries[r.Seq]
	r.Line = bytes.Clone(e.line)
	if full {
		r.Payload, r.Salt, r.Detail = bytes.Clone(e.payload), e.salt, bytes.Clone(e.detail)
	}
	return nil
}

// Notes implements memindex.Content.
func (c *content) Notes(batch int) ([]timeline.Note, error) {
	out := make([]timeline.Note, len(c.notes[batch]))
	for i, n := range c.notes[batch] {
		out[i] = timeline.Note{Size: n.Size, Text: bytes.Clone(n.Text)}
	}
	return out, nil
}

// Rebuild implements timeline.Keeper. Its rows read the store, which is no harm:
// appends alone wait.
func (s *Store) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.Draft(ctx, r)
	if err != nil {
		return err
	}
	c := s.contents[r.Tenant.ID]
	s.Replace(p, func() {
		for _, seq := range p.Redacted() {
			c.erase(seq)
		}
	})
	return nil
}
