package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
)

// holder is the store as one that can hold heads; others have nothing to show.
func holder(t *testing.T, s timeline.Store) timeline.Holder {
	t.Helper()
	h, ok := s.(timeline.Holder)
	if !ok {
		t.Skip("this store holds no heads: it belongs to one process")
	}
	return h
}

func hold(t *testing.T, h timeline.Holder, tenant string) timeline.Held {
	t.Helper()
	held, err := h.Hold(t.Context(), tenant)
	require.NoError(t, err)
	require.NotNil(t, held)
	return held
}

// aMoment is how long a test watches that nothing happens.
const aMoment = 100 * time.Millisecond

func testHold(t *testing.T, s timeline.Store) {
	h, tl, other := holder(t, s), NewTimeline("a"), NewTimeline("b")
	grow(t, s, tl, numbered(0, 2)...)
	grow(t, s, other, numbered(0, 1)...)

	held := hold(t, h, tl.Tenant.ID)
	late := tl.Batch(numbered(2, 1)...)
	answered := make(chan error, 1)
	go func() { answered <- s.Append(context.Background(), late) }()
	select {
	case err := <-answered:
		t.Fatalf("an append came in between: %v", err)
	case <-time.After(aMoment):
	}
	head, err := s.Head(t.Context(), tl.Tenant.ID) // readers do not wait
	require.NoError(t, err)
	require.EqualValues(t, 2, head.Size)
	grow(t, s, other, numbered(1, 1)...) // nor do other tenants

	b := tl.Batch(numbered(3, 5)...)
	require.NoError(t, held.Append(t.Context(), b))
	held.Close()
	tl.Done(b)
	require.ErrorIs(t, <-answered, timeline.ErrHeadMoved)
	grow(t, s, tl, numbered(8, 1)...)
	require.Len(t, readAll(t, s, tl.Tenant.ID), 8)
}

// What is held is given back by Close, by an append that is refused, and where
// the caller gives up waiting.
func testHoldEnds(t *testing.T, s timeline.Store) {
	h, tl := holder(t, s), NewTimeline("a")
	grow(t, s, tl, numbered(0, 2)...)
	for range 30 { // more than a pool has connections
		held := hold(t, h, tl.Tenant.ID)
		held.Close()
		held.Close()
	}
	held := hold(t, h, tl.Tenant.ID)
	stale := NewTimeline("a").Batch(numbered(9, 1)...)
	stale.Create = nil
	require.ErrorIs(t, held.Append(t.Context(), stale), timeline.ErrHeadMoved)

	held = hold(t, h, tl.Tenant.ID)
	for range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), aMoment/10)
		_, err := h.Hold(ctx, tl.Tenant.ID)
		cancel()
		require.Error(t, err)
	}
	held.Close()
	grow(t, s, tl, numbered(2, 1)...)

	_, err := h.Hold(t.Context(), NewTimeline("never").Tenant.ID)
	require.ErrorIs(t, err, timeline.ErrTenantUnknown)
}

// Everybody who holds the head in turn appends at the first try, even beside
// others who do not ask.
func testHoldTurns(t *testing.T, s timeline.Store) {
	h, tl := holder(t, s), NewTimeline("a")
	grow(t, s, tl, numbered(0, 1)...)
	const callers, each = 4, 10
	var mu sync.Mutex // guards tl, which makes the batches: one at a time, as the head is held
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				held, err := h.Hold(context.Background(), tl.Tenant.ID)
				if err != nil || held == nil {
					t.Errorf("hold: %v", err)
					return
				}
				mu.Lock()
				b := tl.Batch(numbered(1+c*each+n, 1)...)
				if err := held.Append(context.Background(), b); err != nil {
					t.Errorf("append while holding the head: %v", err)
				} else {
					tl.Done(b)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, readAll(t, s, tl.Tenant.ID), 1+callers*each)
}
