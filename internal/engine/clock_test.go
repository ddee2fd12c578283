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
