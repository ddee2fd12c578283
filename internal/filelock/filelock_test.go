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

func TestLockIsTakenOverAndOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	one, err := Open(path)
	require.NoError(t, err)
	other, err := Open(path)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, one.Try())
		require.ErrorIs(t, other.Try(), ErrLocked)
		_, err := Try(path)
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, one.Unlock())
		require.NoError(t, other.Try())
		require.ErrorIs(t, one.Try(), ErrLocked)
		require.NoError(t, other.Unlock())
	}
	require.NoError(t, one.Try())
	require.NoError(t, one.Close())
	require.NoError(t, other.Try())
	require.NoError(t, other.Close())
	_, err = Open(filepath.Join(path, "x"))
	require.Error(t, err)
}
