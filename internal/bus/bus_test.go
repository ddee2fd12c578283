package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCoalesces(t *testing.T) {
	t.Parallel()
	b := New()
	s := b.Subscribe()
	defer s.Close()
	require.Nil(t, s.Take())
	b.Publish(Appended{"a", 1})
	b.Publish(Appended{"b", 7})
	b.Publish(Appended{"a", 3})
	b.Publish(Appended{"a", 2}) // late and lower: the size never falls
	got, err := s.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Appended{{"a", 3}, {"b", 7}}, got)
	require.Nil(t, s.Take())
}

func TestByTenant(t *testing.T) {
	t.Parallel()
	b := New()
	s := b.Subscribe("a", "b")
	b.Publish(Appended{"c", 1})
	require.Nil(t, s.Take())
	b.Publish(Appended{"b", 1})
	<-s.C
	require.Equal(t, []Appended{{"b", 1}}, s.Take())
	s.Close()
	s.Close()
	b.Publish(Appended{"a", 1})
	require.Nil(t, s.Take())
	require.Empty(t, b.single, "a closed subscription leaves nothing behind")
}

func TestNextEnds(t *testing.T) {
	t.Parallel()
	s := New().Subscribe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)

	waiting := make(chan error, 1)
	go func() {
		_, err := s.Next(t.Context())
		waiting <- err
	}()
	s.Close()
	require.ErrorIs(t, <-waiting, ErrClosed)
}

// Whatever the interleaving, a follower that takes wake-ups ends with the last
// size of every tenant.
func TestNoLastWakeUpIsLost(t *testing.T) {
	t.Parallel()
	const tenants, sizes = 8, 200
	b := New()
	s := b.Subscribe()
	defer s.Close()
	var publishers sync.WaitGroup
	for i := range tenants {
		publishers.Go(func() {
			for size := uint64(1); size <= sizes; size++ {
				b.Publish(Appended{fmt.Sprint(i), size})
			}
		})
	}
	seen, done := map[string]uint64{}, 0
	for done < tenants {
		got, err := s.Next(t.Context())
		require.NoError(t, err)
		for _, a := range got {
			require.Greater(t, a.Size, seen[a.Tenant])
			seen[a.Tenant] = a.Size
			if a.Size == sizes {
				done++
			}
		}
	}
	publishers.Wait()
}

// Whoever passes wake-ups on is not woken by its own.
func TestPublishToTheOthers(t *testing.T) {
	t.Parallel()
	b := New()
	all, other, one := b.Subscribe(), b.Subscribe(), b.Subscribe("a")
	all.Publish(Appended{"a", 1})
	require.Nil(t, all.Take())
	require.Equal(t, []Appended{{"a", 1}}, other.Take())
	one.Publish(Appended{"a", 2})
	require.Equal(t, []Appended{{"a", 1}}, one.Take())
	require.Equal(t, []Appended{{"a", 2}}, all.Take())
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	b := New()
	s := b.Subscribe()
	for n := range maxPending + 5 {
		b.Publish(Appended{fmt.Sprint(n), 1})
	}
	b.Publish(Appended{"0", 9})
	got := s.Take()
	require.Len(t, got, maxPending)
	require.Equal(t, Appended{"0", 9}, got[0], "what is pending is still raised")
	b.Publish(Appended{"new", 1})
	require.Equal(t, []Appended{{"new", 1}}, s.Take())
}
