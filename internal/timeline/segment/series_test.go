package segment_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
)

func all(t testing.TB, s *segment.Series) []string {
	t.Helper()
	out := []string{}
	for n := range s.Len() {
		line, err := s.Read(n)
		require.NoError(t, err)
		out = append(out, string(line))
	}
	return out
}

func grow(t testing.TB, s *segment.Series, lines ...string) {
	t.Helper()
	raw := make([][]byte, len(lines))
	for i := range lines {
		raw[i] = []byte(lines[i])
	}
	require.NoError(t, s.Append(raw))
	require.NoError(t, s.Sync())
	s.Commit()
}

func scan(t testing.TB, dir string, keep uint64) *segment.Series {
	t.Helper()
	s, err := segment.Open(segment.Disk{}, dir, segment.Limits{Lines: 3})
	require.NoError(t, err)
	require.NoError(t, s.Scan(100, func(n uint64, _ []byte) error {
		if n == keep {
			return segment.ErrStop
		}
		return nil
	}))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestSeriesOfFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lines")
	s := scan(t, dir, 99)
	grow(t, s, "a", "", "ccc")
	grow(t, s, "d")
	require.Error(t, s.Append([][]byte{[]byte("a\nb")}))
	require.NoError(t, s.Revert())
	require.NoError(t, s.Append([][]byte{[]byte("never"), []byte("there")}))
	require.NoError(t, s.Revert())
	grow(t, s, "e", "f", "g")
	grow(t, s, "h")
	want := []string{"a", "", "ccc", "d", "e", "f", "g", "h"}
	require.Equal(t, want, all(t, s))
	require.NoError(t, s.Overwrite(2, []byte("xyz")))
	require.Error(t, s.Overwrite(2, []byte("longer")))
	_, err := s.Read(8)
	require.Error(t, err)
	want[2] = "xyz"
	for name, content := range map[uint64]string{0: "a\n\nxyz\n", 3: "d\ne\nf\ng\n", 7: "h\n"} {
		raw, err := os.ReadFile(filepath.Join(dir, segment.Name(name)))
		require.NoError(t, err)
		require.Equal(t, content, string(raw))
	}
	again := scan(t, dir, 99)
	require.Equal(t, want, all(t, again))
	restored, err := segment.Open(segment.Disk{}, dir, segment.Limits{Lines: 3})
	require.NoError(t, err)
	require.NoError(t, restored.Restore(again.Places()))
	require.Equal(t, want, all(t, restored))
	require.Error(t, restored.Restore(append(again.Places(), segment.Place{Offset: 2, Length: 100})), "beyond the file")
	require.NoError(t, restored.Close())
	require.NoError(t, restored.Close())
	_, err = restored.Read(0)
	require.ErrorIs(t, err, segment.ErrClosed)
}

func TestCut(t *testing.T) {
	t.Parallel()
	for keep := range uint64(9) {
		dir := filepath.Join(t.TempDir(), "lines")
		s := scan(t, dir, 99)
		grow(t, s, "a", "b", "c")
		grow(t, s, "d", "e")
		grow(t, s, "f", "g", "h")
		require.NoError(t, os.WriteFile(filepath.Join(dir, segment.Name(3)), []byte("d\ne\nf\ng\nh\nhalf"), 0o600))
		s = scan(t, dir, keep)
		cut, err := s.Cut()
		if keep < 3 { // the files of a, b, c and of the rest both have something to cut
			var damage *segment.Damage
			require.ErrorAs(t, err, &damage)
			require.Len(t, all(t, scan(t, dir, 99)), 8, "nothing was changed")
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, len("half")+2*int(8-min(keep, 8)), cut)
		grow(t, s, "new")
		want := append([]string{"a", "b", "c", "d", "e", "f", "g", "h"}[:min(keep, 8)], "new")
		require.Equal(t, want, all(t, s))
		require.Equal(t, want, all(t, scan(t, dir, 99)), "and nothing is left behind it")
	}
}

func TestScanStopsAtALongLine(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lines")
	s := scan(t, dir, 99)
	long := string(bytes.Repeat([]byte("x"), 101))
	grow(t, s, "a", long[:100], long, "b")
	require.Equal(t, []string{"a", long[:100]}, all(t, scan(t, dir, 99)))
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	for _, gone := range []uint64{0, 3} {
		dir := filepath.Join(t.TempDir(), "lines")
		s := scan(t, dir, 99)
		for n := range 9 {
			grow(t, s, fmt.Sprint(n))
		}
		require.NoError(t, os.Remove(filepath.Join(dir, segment.Name(gone))))
		s, err := segment.Open(segment.Disk{}, dir, segment.Limits{})
		require.NoError(t, err)
		var damage *segment.Damage
		require.ErrorAs(t, s.Scan(100, func(uint64, []byte) error { return nil }), &damage)
		require.NoError(t, s.Close())
	}
}

// FuzzScan: what is committed of any bytes is its whole lines, read back as
// they stand in the file; a cut leaves exactly those, whatever the buffer.
func FuzzScan(f *testing.F) {
	f.Add([]byte("a\nb\n\nhalf"), uint8(50), uint16(2))
	f.Add(bytes.Repeat([]byte("line\n"), 100_000), uint8(5), uint16(60_000))
	f.Add([]byte{0, 0, '\n', 0xff}, uint8(1), uint16(9))
	f.Fuzz(func(t *testing.T, content []byte, longest uint8, keep uint16) {
		fsys := faultfs.New(rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, fsys.Mkdir("/d"))
		h, err := fsys.Open("/d/"+segment.Name(0), true)
		require.NoError(t, err)
		_, err = h.WriteAt(content, 0)
		require.NoError(t, err)
		var want [][]byte
		for rest := content; len(want) < int(keep); {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole || len(line) > int(longest) {
				break
			}
			want, rest = append(want, line), after
		}
		s, err := segment.Open(fsys, "/d", segment.Limits{})
		require.NoError(t, err)
		require.NoError(t, s.Scan(int(longest), func(n uint64, line []byte) error {
			if n == uint64(keep) {
				return segment.ErrStop
			}
			if !bytes.Equal(want[n], line) {
				t.Fatalf("line %d", n)
			}
			return nil
		}))
		require.EqualValues(t, len(want), s.Len())
		_, err = s.Cut()
		require.NoError(t, err)
		left := 0
		for _, line := range want {
			left += len(line) + 1
		}
		size, err := h.Size()
		require.NoError(t, err)
		require.EqualValues(t, left, size)
		if n := s.Len(); n > 0 {
			line, err := s.Read(n - 1)
			require.NoError(t, err)
			require.Equal(t, string(want[n-1]), string(line))
		}
	})
}
