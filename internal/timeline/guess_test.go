package timeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// guess begins a session on a guess and admits drafts.
func (w *world) guess(drafts ...timeline.Draft) *timeline.Session {
	w.t.Helper()
	s, err := w.log.Guess(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	w.t.Cleanup(s.Close)
	require.True(w.t, s.Guessed())
	for i := range drafts {
		_, err := s.Admit(&drafts[i], span.FormatTime(w.now))
		require.NoError(w.t, err)
	}
	return s
}

// A guess reads nothing, and what it admits is committed as ever.
func TestGuessAsksNothing(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		faulty := storetest.NewFaulty(store)
		w := newWorld(t, faulty, "")
		w.cfg.Contention = time.Hour
		w.restart(faulty)
		s, err := w.log.Guess(t.Context(), w.tenant)
		require.NoError(t, err)
		require.False(t, s.Guessed(), "this process appended nothing yet")
		s.Close()
		w.append(w.plain(1)...)
		faulty.FailReads(1000)
		for range 3 {
			s := w.guess(w.plain(3)...)
			receipts, err := s.Commit(t.Context())
			require.NoError(t, err)
			w.verifyReceipt(receipts[2])
			s.Close()
		}
		faulty.FailReads(0)
		s = w.guess(w.plain(1)...)
		require.NoError(t, s.Confirm(t.Context(), []string{storetest.ID(1)}))
		require.False(t, s.Guessed())
		_, err = s.Commit(t.Context())
		require.NoError(t, err)
		s.Close()
		w.verifyAll()
	})
}

// After a commit whose outcome was unknown the store is asked, although this
// process appended a moment ago.
func TestNothingIsGuessedAfterAFailure(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		faulty := storetest.NewFaulty(store)
		w := newWorld(t, faulty, "")
		w.cfg.Contention = time.Hour
		w.restart(faulty)
		w.append(w.plain(1)...)
		faulty.FailAfter(1)
		receipts := w.append(w.plain(2)...)
		s, err := w.log.Guess(t.Context(), w.tenant)
		require.NoError(t, err)
		defer s.Close()
		require.False(t, s.Guessed())
		require.Equal(t, receipts[1].Size, s.Head().Size, "where the head was before is not guessed")
	})
}

// A wrong guess records nothing, and is not made again for a while.
func TestWrongGuess(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		w := newWorld(t, store, "")
		w.cfg.Contention = time.Hour
		fresh := func() {
			w.restart(store)
			w.append(w.plain(1)...)
		}
		again := func() {
			s, err := w.log.Guess(t.Context(), w.tenant)
			require.NoError(t, err)
			require.False(t, s.Guessed())
			s.Close()
		}
		other := *w
		for name, end := range map[string]func(*timeline.Session) error{
			"commit":  func(s *timeline.Session) error { _, err := s.Commit(t.Context()); return err },
			"confirm": func(s *timeline.Session) error { return s.Confirm(t.Context(), nil) },
		} {
			fresh()
			s := w.guess(w.plain(1)...)
			other.restart(store)
			other.append(other.plain(1)...)
			require.ErrorIs(t, end(s), timeline.ErrHeadMoved, name)
			s.Close()
			again()
		}

		recorded := w.plain(1)
		w.append(recorded...)
		fresh()
		s := w.guess(recorded...) // the store alone knows that its id is spent
		_, err := s.Commit(t.Context())
		require.ErrorIs(t, err, timeline.ErrSpent)
		s.Close()
		again()

		fresh()
		s = w.guess()
		require.ErrorIs(t, s.Confirm(t.Context(), []string{recorded[0].Span.ID}), timeline.ErrSpent)
		s.Close()
		again()
		w.append(w.plain(1)...)
		w.verifyAll()
	})
}
