package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, err := LockDir(dir)
	require.NoError(t, err)

	_, err = LockDir(dir)
	require.Equal(t, "data_dir_in_use", fault.CodeOf(err))
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))

	require.NoError(t, first.Release())
	require.NoError(t, first.Release())
	second, err := LockDir(dir)
	require.NoError(t, err)
	require.NoError(t, second.Release())
}

func TestLockDirUnusable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := LockDir(filepath.Join(file, "data"))
	require.Equal(t, "data_dir_unusable", fault.CodeOf(err))
}
