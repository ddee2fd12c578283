package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What other processes set is noticed also where the clock was put back.
func TestClocksThatArePutBack(t *testing.T) {
	t.Parallel()
	c, now := newClock(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	require.True(t, c.old(now), "nobody was asked yet")
	c.read = now
	require.False(t, c.old(now.Add(clockAge)))
	require.True(t, c.old(now.Add(clockAge+time.Second)))
	require.False(t, c.old(now.Add(-time.Second)))
	require.True(t, c.old(now.Add(-time.Hour)))
}

// A timer that fails waits twice as long each time, an hour at most, and is forgotten
// when it was not heard of for long.
func TestTimersRest(t *testing.T) {
	t.Parallel()
	c, now := newClock(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, wait := range []time.Duration{clockLag, 2 * clockLag, 4 * clockLag} {
		c.fails("a", "k", now)
		require.Equal(t, map[string]bool{"k": true}, c.resting("a", now.Add(wait-1)))
		require.Empty(t, c.resting("b", now))
		now = now.Add(wait)
		require.Empty(t, c.resting("a", now))
	}
	for range 12 {
		c.fails("a", "k", now)
	}
	require.NotEmpty(t, c.resting("a", now.Add(longestRest-1)))
	require.Empty(t, c.resting("a", now.Add(longestRest)))
	require.NotEmpty(t, c.failed)
	require.Empty(t, c.resting("a", now.Add(-3*longestRest)), "the clock was put back")
	require.Empty(t, c.failed)
}
