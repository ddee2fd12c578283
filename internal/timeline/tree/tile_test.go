package tree

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/danvoulez/logline/internal/fault"
)

func TestTilePaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Tile{
		"0/000":                 {Width: 256},
		"0/001.p/1":             {Index: 1, Width: 1},
		"2/x001/x234/067":       {Level: 2, Index: 1234067, Width: 256},
		"63/999.p/255":          {Level: 63, Index: 999, Width: 255},
		"entries/x001/000":      {Entries: true, Index: 1000, Width: 256},
		"entries/x123/456.p/17": {Entries: true, Index: 123456, Width: 17},
	} {
		got, err := ParseTile(path)
		require.NoError(t, err, path)
		require.Equal(t, want, got)
		require.Equal(t, path, got.String())
	}
	for _, path := range []string{
		"", "0", "0/", "/000", "00/000", "64/000", "-1/000", "+1/000", "0/0", "0/00", "0/0000", "0/x000/001", "0/x001", "0/001/002",
		"0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/1/", "0/000.p/1.p/1", "0/000/", "0/ 00", "0/+00", "0/0_0",
		"entries", "entries/", "Entries/000", "data/000", "0/X001/000", "0/x001/x000", "0/x999/x999/x999/x999/x999/x999/999", "0/\u0660\u0660\u0660",
	} {
		_, err := ParseTile(path)
		require.Equal(t, "tile_invalid", fault.CodeOf(err), "%q", path)
	}
}

func TestTileBytes(t *testing.T) {
	t.Parallel()
	lines := [][]byte{[]byte(`{}`), []byte(strings.Repeat("x", 65_535)), {}}
	var raw []byte
	for _, l := range lines {
		raw = AppendTileEntry(raw, l)
	}
	at := Tile{Entries: true, Width: 3}
	got, err := at.TileEntries(raw)
	require.NoError(t, err)
	require.Equal(t, lines, got)
	for _, bad := range [][]byte{nil, raw[:len(raw)-1], append(raw[:len(raw):len(raw)], 0), raw[:1], raw[:4]} {
		_, err := at.TileEntries(bad)
		require.Equal(t, "tile_malformed", fault.CodeOf(err))
	}
	_, err = Tile{Width: 2}.TileHashes(make([]byte, 63))
	require.Equal(t, "tile_malformed", fault.CodeOf(err))
	hashes, err := Tile{Width: 2}.TileHashes(AppendTile(nil, leavesOf(2, 1)))
	require.NoError(t, err)
	require.Equal(t, leavesOf(2, 1), hashes)
}

func TestTileInTree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path string
		size uint64
		in   bool
	}{
		{"0/000", 255, false}, {"0/000", 256, true}, {"0/000.p/255", 254, false}, {"0/000.p/255", 255, true}, {"0/000.p/255", 300, true},
		{"1/000.p/1", 255, false}, {"1/000.p/1", 256, true}, {"1/000", 65_535, false}, {"1/000", 65_536, true},
		{"2/000.p/1", 65_536, true}, {"63/000.p/1", MaxSize, false}, {"8/000.p/1", MaxSize, false},
	} {
		tile, err := ParseTile(c.path)
		require.NoError(t, err)
		require.Equal(t, c.in, tile.In(c.size), "%s in %d", c.path, c.size)
	}
}

// FuzzParseTile: what is taken has one spelling, which tessera's layout, an
// implementation of its own, writes for the same tile.
func FuzzParseTile(f *testing.F) {
	for _, path := range []string{
		"0/000", "2/x001/x234/067", "0/001.p/1", "entries/x123/456.p/17", "63/999.p/255", "0/x000/001", "entries/000.p/0", "64/000", "0/x9/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := ParseTile(path)
		if err != nil {
			require.Equal(t, "tile_invalid", fault.CodeOf(err))
			return
		}
		require.Equal(t, path, tile.String())
		partial := uint8(tile.Width % TileWidth)
		if tile.Entries {
			require.Equal(t, "tile/"+path, layout.EntriesPath(tile.Index, partial))
			return
		}
		require.Equal(t, "tile/"+path, layout.TilePath(uint64(tile.Level), tile.Index, partial))
		level, index, width, err := layout.ParseTileLevelIndexPartial(strings.SplitN(path, "/", 2)[0], strings.SplitN(path, "/", 2)[1])
		require.NoError(t, err)
		require.Equal(t, []uint64{uint64(tile.Level), tile.Index, uint64(partial)}, []uint64{level, index, uint64(width)})
	})
}
