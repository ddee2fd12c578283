package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestCheckRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, CheckRoom(dir, 64<<10))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, "database_io", fault.CodeOf(CheckRoom(filepath.Join(dir, "missing"), 1)))

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full to play a full disk with")
	}
	defer full.Close()
	require.Equal(t, "disk_full", fault.CodeOf(roomError(fill(full, 1))))
}
