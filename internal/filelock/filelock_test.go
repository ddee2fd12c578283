package filelock

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	require.NoError(t, err)
	_, err = Try(path)
	require.ErrorIs(t, err, ErrLocked)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Wait(ctx, path)
	require.ErrorIs(t, err, context.Canceled)

	waiting := make(chan error, 1)
	go func() {
		file, err := Wait(t.Context(), path)
		if err == nil {
			err = file.Close()
		}
		waiting <- err
	}()
	require.NoError(t, first.Close())
	require.NoError(t, <-waiting)
	_, err = Try(filepath.Join(path, "x"))
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrLocked)
}
