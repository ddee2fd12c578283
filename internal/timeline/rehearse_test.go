package timeline_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// What is rehearsed is admitted like the rest, simulated spans too, and never
// committed.
func TestRehearsed(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		w := newWorld(t, store, "")
		before := w.head()
		s := w.admit()
		s.Rehearse()
		simulated := w.by("note.taken", `{}`, func(h *span.Header) { h.Status = span.StatusSimulated })
		for _, d := range []timeline.Draft{simulated, w.by("note.taken", `{}`, nil)} {
			_, err := s.Admit(&d, span.FormatTime(w.now))
			require.NoError(t, err)
		}
		_, err := s.Commit(t.Context())
		require.Equal(t, "session_rehearsed", fault.CodeOf(err))
		s.Close()
		require.Equal(t, before, w.head())
		w.append(w.plain(1)...) // the timeline is as it was
		require.Equal(t, before.Size+1, w.head().Size)
	})
}
