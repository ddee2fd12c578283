package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, Write(path, Content([]byte("one, which is longer"))))
	require.NoError(t, Write(path, Content([]byte("two"))))
	require.Equal(t, "two", content(t, path))
	require.Equal(t, []string{"a"}, names(t, dir))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "for its owner alone")
}

// What goes wrong leaves the old file and nothing beside it.
func TestFailureLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, Write(path, Content([]byte("old"))))
	broken := errors.New("broken")
	for _, write := range []func(string, func(*os.File) error) error{Write, Create} {
		require.ErrorIs(t, write(path, func(f *os.File) error {
			_, err := f.WriteString("half")
			require.NoError(t, err)
			require.Equal(t, "old", content(t, path))
			require.Contains(t, filepath.Base(f.Name()), Half)
			return broken
		}), broken)
		require.Equal(t, "old", content(t, path))
		require.Equal(t, []string{"a"}, names(t, dir))
	}
	require.ErrorIs(t, Write(filepath.Join(dir, "none", "a"), Content(nil)), os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "b"), 0o700))
	require.Error(t, Write(filepath.Join(dir, "b"), Content(nil)), "no file takes a folder's place")
	require.Equal(t, []string{"a", "b"}, names(t, dir))
}

// Of many who create one file, one does.
func TestCreateHappensOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range byte(8) {
		wg.Go(func() {
			if err := Create(path, Content([]byte{'0' + i})); err == nil {
				won.Add(1)
			} else if !errors.Is(err, os.ErrExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(1), won.Load())
	require.Len(t, content(t, path), 1)
	require.Equal(t, []string{"a"}, names(t, dir))
}

func TestPublishWithoutLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tmp, path := filepath.Join(dir, "tmp"), filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(tmp, []byte("a"), 0o600))
	require.NoError(t, publishWithoutLink(tmp, path))
	require.NoError(t, os.WriteFile(tmp, []byte("b"), 0o600))
	require.ErrorIs(t, publishWithoutLink(tmp, path), os.ErrExist)
	require.Equal(t, "a", content(t, path))
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, SyncDir(dir))
	require.Error(t, SyncDir(filepath.Join(dir, "none")))
}
