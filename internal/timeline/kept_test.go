package timeline

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// sector is what a medium writes whole or not at all.
const sector = 512

// noteOf is a text of the form of a note.
func noteOf(n, size int) []byte {
	return fmt.Appendf(nil, "note %d\n%s\n", n, strings.Repeat("x", size))
}

// keeper writes notes into a file of its own.
type keeper struct {
	t    *testing.T
	path string
	kept
}

func newKeeper(t *testing.T, content []byte) *keeper {
	k := &keeper{t: t, path: filepath.Join(t.TempDir(), "f")}
	if content != nil {
		require.NoError(t, os.WriteFile(k.path, content, 0o600))
		var err error
		k.kept, err = readKept(k.path)
		require.NoError(t, err)
	}
	return k
}

// put writes a note, flushed or not, and is the file's content then.
func (k *keeper) put(note []byte, flush bool) []byte {
	k.flushed = time.Now().Add(time.Hour)
	if flush {
		k.flushed = time.Time{}
	}
	require.NoError(k.t, k.write(k.path, note))
	raw, err := os.ReadFile(k.path)
	require.NoError(k.t, err)
	return raw
}

// Whatever sectors of the writes since the last flush reach the medium before
// the power fails, the file has one of those notes or the one that was flushed.
func TestTornNote(t *testing.T) {
	t.Parallel()
	for flushes := 1; flushes <= 3; flushes++ { // either place
		for since := 1; since <= 3; since++ {
			k := newKeeper(t, nil)
			var flushed []byte
			for n := range flushes {
				flushed = k.put(noteOf(n, 700*(n+1)), true)
			}
			allowed := []string{string(noteOf(flushes-1, 700*flushes))}
			var now []byte
			for n := range since {
				note := noteOf(100+n, 1500-300*n)
				now = k.put(note, false)
				allowed = append(allowed, string(note))
			}
			require.Equal(t, len(flushed), len(now))
			for mask := range 1 << (placeSize / sector) { // of either place
				torn := bytes.Clone(flushed)
				for s := range len(now) / sector {
					if mask>>(s%(placeSize/sector))&1 == 1 {
						copy(torn[s*sector:(s+1)*sector], now[s*sector:])
					}
				}
				k, err := parseKept(torn)
				require.NoError(t, err)
				require.Contains(t, allowed, string(k.note), "mask %b", mask)
			}
		}
	}
}

// A process that goes on where another ended flushes what that one left before
// it writes over the place that was.
func TestNoteAfterRestart(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, nil)
	k.put(noteOf(0, 10), true)
	left := k.put(noteOf(1, 10), false)
	next := newKeeper(t, left)
	require.Equal(t, string(noteOf(1, 10)), string(next.note))
	require.Equal(t, 0, next.next)
	now := next.put(noteOf(2, 10), true)
	require.Equal(t, string(left[placeSize:]), string(now[placeSize:]))
	require.Equal(t, 1, next.next)
}

// A file of one note alone, as they were once, is read, and stands until the
// next note is whole.
func TestNoteOfBefore(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c := tree.Checkpoint{Size: 1, Origin: tree.Origin{
		Tenant: "d34e1747-5b14-88b1-a45b-f748568d1192", Node: span.IdentityScheme + strings.Repeat("a", 52),
	}}
	old, err := c.Sign(key.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(key, m) })
	require.NoError(t, err)
	k, err := parseKept(old)
	require.NoError(t, err)
	require.Equal(t, string(old), string(k.note))
	next := newKeeper(t, old).put(noteOf(1, 10), true)
	k, err = parseKept(next)
	require.NoError(t, err)
	require.Equal(t, string(noteOf(1, 10)), string(k.note))
	next[placeSize+80] ^= 1
	k, err = parseKept(next)
	require.NoError(t, err)
	require.Equal(t, string(old), string(k.note))
	for n := range len(old) { // torn, as files were then
		k, err = parseKept(append(old[:n:n], make([]byte, len(old)-n)...))
		require.NoError(t, err, "%d bytes", n)
		require.Nil(t, k.note)
	}
}

func TestNoteTooLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	var k kept
	require.Error(t, k.write(path, make([]byte, placeSize)))
	require.NoFileExists(t, path)
}

// FuzzKept: whatever is in a file, the note written next is what it then has,
// and what it had before is there until that one is whole.
func FuzzKept(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, 100))
	f.Add([]byte("garbage"))
	one, err := new(kept).place(noteOf(1, 20))
	require.NoError(f, err)
	f.Add(one)
	f.Add(append(one, one...))
	f.Fuzz(func(t *testing.T, content []byte) {
		k, err := parseKept(content)
		if err != nil {
			return
		}
		place, err := k.place(noteOf(2, 30))
		at := k.next * placeSize
		require.NoError(t, err)
		file := append(bytes.Clone(content[:min(len(content), places*placeSize)]), make([]byte, places*placeSize)...)[:places*placeSize]
		clear(file[at : at+placeSize])
		half, err := parseKept(file)
		require.NoError(t, err)
		require.Equal(t, string(k.note), string(half.note))
		copy(file[at:], place)
		next, err := parseKept(file)
		require.NoError(t, err)
		require.Equal(t, string(noteOf(2, 30)), string(next.note))
		require.Equal(t, k.writes+1, next.writes)
	})
}
