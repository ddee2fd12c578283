package memstore

import (
	"context"

	"github.com/danvoulez/logline/internal/timeline"
)

// Hold implements timeline.Holder.
func (s *Store) Hold(ctx context.Context, id string) (timeline.Held, error) {
	s.mu.Lock()
	c := s.contents[id]
	s.mu.Unlock()
	if c == nil {
		return nil, timeline.ErrTenantUnknown
	}
	select {
	case <-c.turn:
		return &held{store: s, turn: c.turn}, nil
	case <-ctx.Done():
		return nil, interrupted(ctx.Err())
	}
}

type held struct {
	store *Store
	turn  chan struct{} // nil when it has been given back
}

// Append implements timeline.Held.
func (h *held) Append(ctx context.Context, b *timeline.Batch) error {
	defer h.Close()
	if err := ctx.Err(); err != nil {
		return interrupted(err)
	}
	return h.store.append(b)
}

// Close implements timeline.Held.
func (h *held) Close() {
	if h.turn != nil {
		h.turn <- struct{}{}
		h.turn = nil
	}
}
