package tree

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// TileWidth is how many hashes or entries a full tile holds (C2SP tlog-tiles).
const TileWidth = 1 << StoredStep

// Tile names a tile of C2SP tlog-tiles: Width hashes of level Level from index
// Index*256 on, or, where Entries is set, as many entries of the log.
type Tile struct {
	Entries bool // a bundle of entries; Level is 0 then
	Level   int  // of tiles: a hash of level l is the root of 256^l leaves
	Index   uint64
	Width   int // 256, or 1 to 255 for a partial tile
}

// From and To bound the hashes of the tile, by their index in its level.
func (t Tile) From() uint64 { return t.Index * TileWidth }

// To is one more than the index of the tile's last hash.
func (t Tile) To() uint64 { return t.From() + uint64(t.Width) }

// In says whether a tree of size leaves has the whole tile.
func (t Tile) In(size uint64) bool { return t.To() <= size>>(StoredStep*t.Level) }

// String is the tile's path below <prefix>/tile/: <L>/<N>[.p/<W>] or
// entries/<N>[.p/<W>], the index in elements of three digits, all but the last
// with an x before them.
func (t Tile) String() string {
	n := strconv.FormatUint(t.Index, 10)
	n = strings.Repeat("0", (3-len(n)%3)%3) + n
	var b strings.Builder
	if t.Entries {
		b.WriteString("entries")
	} else {
		b.WriteString(strconv.Itoa(t.Level))
	}
	for ; len(n) > 3; n = n[3:] {
		b.WriteString("/x" + n[:3])
	}
	b.WriteString("/" + n)
	if t.Width != TileWidth {
		b.WriteString(".p/" + strconv.Itoa(t.Width))
	}
	return b.String()
}

// maxTileLevel is the highest level that a path may name.
const maxTileLevel = 63

// ParseTile is the strict inverse of String: one spelling for each tile. The
// error's code is tile_invalid.
func ParseTile(path string) (Tile, error) {
	level, rest, _ := strings.Cut(path, "/")
	t := Tile{Width: TileWidth}
	if level == "entries" {
		t.Entries = true
	} else if n, err := parseDecimal(level); err == nil && n <= maxTileLevel {
		t.Level = int(n)
	} else {
		return Tile{}, tileInvalid("its level is neither a number from 0 to 63 nor entries")
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		n, err := parseDecimal(width)
		if err != nil || n < 1 || n >= TileWidth {
			return Tile{}, tileInvalid("the width of a partial tile is a number from 1 to 255")
		}
		t.Width = int(n)
	}
	elements := strings.Split(index, "/")
	var digits strings.Builder
	for i, e := range elements {
		ok := true
		if i < len(elements)-1 {
			e, ok = strings.CutPrefix(e, "x")
		}
		if !ok || len(e) != 3 {
			return Tile{}, tileInvalid("its index is not made of elements of three digits, all but the last with an x before them")
		}
		digits.WriteString(e)
	}
	n, err := strconv.ParseUint(digits.String(), 10, 64)
	if err != nil || n > MaxSize/TileWidth {
		return Tile{}, tileInvalid("its index is not a number that a log can have")
	}
	if t.Index = n; t.String() != path {
		return Tile{}, tileInvalid("its index has an element of zeros too many, or is no number")
	}
	return t, nil
}

// AppendTile appends the bytes of a tile of hashes: one after the other.
func AppendTile(dst []byte, hashes []span.Hash) []byte {
	for i := range hashes {
		dst = append(dst, hashes[i][:]...)
	}
	return dst
}

// AppendTileEntry appends an entry to a bundle of entries: its length as a
// big-endian uint16, which a line never exceeds, and the line.
func AppendTileEntry(dst, line []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(line)))
	return append(dst, line...)
}

// TileHashes takes the bytes of a tile of hashes apart.
func (t Tile) TileHashes(tile []byte) ([]span.Hash, error) {
	const size = len(span.Hash{})
	if t.Entries || len(tile) != t.Width*size {
		return nil, fault.Newf(fault.Invalid, "tile_malformed", "the tile %s has %d bytes, not %d", t, len(tile), t.Width*size)
	}
	out := make([]span.Hash, t.Width)
	for i := range out {
		out[i] = span.Hash(tile[i*size:])
	}
	return out, nil
}

// TileEntries takes the bytes of a bundle of entries apart. The lines are parts
// of tile.
func (t Tile) TileEntries(tile []byte) ([][]byte, error) {
	out := make([][]byte, 0, t.Width)
	for len(tile) >= 2 && len(out) < t.Width {
		n := int(binary.BigEndian.Uint16(tile))
		if tile = tile[2:]; n > len(tile) {
			break
		}
		out, tile = append(out, tile[:n:n]), tile[n:]
	}
	if len(tile) > 0 || len(out) != t.Width || !t.Entries {
		return nil, fault.Newf(fault.Invalid, "tile_malformed", "the tile %s does not hold %d entries, each after its length", t, t.Width)
	}
	return out, nil
}

func tileInvalid(why string) error {
	return fault.New(fault.Invalid, "tile_invalid",
		"this is not the path of a tile, which reads tile/<level>/<index> or tile/entries/<index>, with .p/<width> for a partial one (C2SP tlog-tiles): "+why)
}
