package timeline_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
)

// A process whose batch takes long is overtaken once, and then others wait for
// it: the quick one that meets it loses, and neither loses twice.
func TestSlowProcessIsOvertakenOnce(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	slow := newWorld(t, store, "")
	slow.cfg.Contention = time.Hour
	slow.restart(store)
	quick := *slow
	quick.restart(store)

	first := slow.admit(slow.plain(2)...)
	quick.append(quick.plain(1)...)
	_, err := first.Commit(t.Context())
	require.ErrorIs(t, err, timeline.ErrHeadMoved)
	first.Close()

	again := slow.admit(slow.plain(2)...) // holds the head while it decides
	session := quick.admit(quick.plain(1)...)
	answered := make(chan error, 1)
	go func() {
		_, err := session.Commit(t.Context())
		answered <- err
	}()
	_, err = again.Commit(t.Context())
	require.NoError(t, err)
	again.Close()
	require.ErrorIs(t, <-answered, timeline.ErrHeadMoved)
	session.Close()
	quick.append(quick.plain(1)...)
	slow.append(slow.plain(1)...)
	slow.verifyAll()
}

// What a session holds it gives back however it ends.
func TestHeldHeadIsGivenBack(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	a := newWorld(t, store, "")
	a.cfg.Contention = time.Hour
	a.restart(store)
	b := *a
	b.restart(store)
	lose := func() {
		s := a.admit(a.plain(1)...)
		b.append(b.plain(1)...)
		_, err := s.Commit(t.Context())
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		s.Close()
	}
	lose()
	for name, end := range map[string]func(*timeline.Session){
		"closed":            func(s *timeline.Session) { s.Close() },
		"nothing to commit": func(s *timeline.Session) { _, _ = s.Commit(t.Context()); s.Close() },
	} {
		s, err := a.log.Begin(t.Context(), a.tenant)
		require.NoError(t, err)
		end(s)
		b.append(b.plain(1)...)
		require.NotEmpty(t, name)
	}
	b.append(b.plain(1)...)
	a.append(a.plain(1)...)
	a.verifyAll()
}

// Where one process has gone on under a new origin, the others of the node go
// on there, whether the timeline is shorter by then than what they gave out, or
// as long or longer; without one they refuse.
func TestNewEpochHoldsForAllProcesses(t *testing.T) {
	t.Parallel()
	for name, grown := range map[string]int{"shorter": 0, "as long": 3, "longer": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			now, old := filepath.Join(dir, "now.db"), filepath.Join(dir, "old.db")
			s, end := sqliteAt(t, now)
			w := newWorld(t, s, dir)
			end()
			copyFile(t, now, old)
			s, end = sqliteAt(t, now)
			w.restart(s)
			other := *w
			other.cfg.NotesDir = t.TempDir()
			other.restart(s)
			w.append(w.plain(2)...)
			other.append(other.plain(2)...)
			end()

			s, _ = sqliteAt(t, old)
			w.restart(s)
			other.restart(s)
			_, err := other.log.Begin(t.Context(), w.tenant)
			require.Equal(t, timeline.CodeRegression, fault.CodeOf(err))
			_, err = w.log.NewEpoch(t.Context(), w.tenant, func(payload []byte) (*span.Span, error) {
				return w.own(span.TypeEpoch, payload).Span, nil
			})
			require.NoError(t, err)
			if grown > 0 {
				w.append(w.plain(grown)...)
			}
			other.append(other.plain(2)...)
			w.append(w.plain(1)...)
			other.restart(s)
			other.append(other.plain(1)...)
			other.verifyAll()
		})
	}
}
