package segment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline/segment"
)

func TestShrink(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lines")
	s := scan(t, dir, 99)
	grow(t, s, "a", "long   ", "ccc")
	grow(t, s, "d", "e", "f")
	grow(t, s, "g", "gone   ", "i")
	shrunk, err := s.Shrink(func(n uint64, line []byte) []byte {
		if n == 1 || n == 7 {
			return line[:4]
		}
		return line
	})
	require.NoError(t, err)
	require.Equal(t, segment.Shrunk{Dir: dir, Before: 2 + 8 + 4 + 6 + 2 + 8 + 2, After: 2 + 5 + 4 + 6 + 2 + 5 + 2}, shrunk)
	grow(t, s, "j")
	require.NoError(t, s.Overwrite(7, []byte("over")))
	want := []string{"a", "long", "ccc", "d", "e", "f", "g", "over", "i", "j"}
	require.Equal(t, want, all(t, s))
	require.Equal(t, want, all(t, scan(t, dir, 99)))
	again, err := s.Shrink(func(_ uint64, line []byte) []byte { return line })
	require.NoError(t, err)
	require.Equal(t, again.Before, again.After)
	empty := scan(t, filepath.Join(t.TempDir(), "none"), 99)
	shrunk, err = empty.Shrink(func(uint64, []byte) []byte { t.Fatal("there is no line"); return nil })
	require.NoError(t, err)
	require.Zero(t, shrunk.Before)
}

func TestCutClears(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lines")
	grow(t, scan(t, dir, 99), "a", "b")
	left := filepath.Join(dir, segment.Name(0)+".new")
	other := filepath.Join(dir, "notes.new")
	for _, path := range []string{left, other} {
		require.NoError(t, os.WriteFile(path, []byte("x\n"), 0o600))
	}
	s := scan(t, dir, 99)
	_, err := s.Cut()
	require.NoError(t, err)
	require.NoFileExists(t, left, "left by a process that was killed")
	require.FileExists(t, other, "not ours")
	require.Equal(t, []string{"a", "b"}, all(t, s))
}
