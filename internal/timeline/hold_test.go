package timeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
