package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestSimulationsTakeTurnsAndRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begin := newStages(), time.Now()
		leave, err := s.enter(t.Context(), "a")
		require.NoError(t, err)
		other, err := s.enter(t.Context(), "b")
		require.NoError(t, err, "each timeline has its own")
		other()
		time.Sleep(2 * time.Second)
		leave()
		again, err := s.enter(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 4*time.Second, time.Since(begin), "two of work, two of rest")

		_, err = s.enter(t.Context(), "a")
		require.Equal(t, "simulations_busy", fault.From(err).Code)
		require.Equal(t, 4*time.Second+patience, time.Since(begin))
		again() // after ten seconds on it

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.enter(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded, "in the rest")
		time.Sleep(patience)
		last, err := s.enter(t.Context(), "a")
		require.NoError(t, err, "whoever gave up has left it")
		last()
	})
}
