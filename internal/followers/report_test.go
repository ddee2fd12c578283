package followers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A report has each place once, however fast its follower goes on meanwhile; else it
// would not end, and nobody would hear what others hold.
func TestReportsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := New(nil, Config{Now: func() time.Time { return now }}).Watch(Tasks)
	w.At("a", 1, 9)
	require.Len(t, w.unreported(1, 500, now), 1)
	require.Empty(t, w.unreported(1, 500, now))
	w.At("a", 2, 9)
	require.Empty(t, w.unreported(1, 500, now), "it was in this report")
	next := w.unreported(2, 500, now)
	require.Len(t, next, 1)
	require.EqualValues(t, 2, next[0].Cursor)
	w.unsaid("a")
	require.Len(t, w.unreported(3, 500, now), 1, "the report failed")
}
