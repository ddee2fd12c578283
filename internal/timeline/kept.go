package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// A file of notes has two places. One is written over with every note, until it
// has been flushed; then it is the other's turn, so that whatever a failure of
// power does to the bytes under way, the last note that was flushed is there. A
// place holds a line with the number of the write and the SHA-256 of number and
// note, the note, and zeros. A note alone, as files had it once, is a write
// before all others.
//
// Writing in place is what makes it cheap: a file that is replaced costs a file
// system more than the commit itself.
const (
	placeSize = 4096
	places    = 2
)

// flushEvery is how old what the medium has of a note may be when the next one
// is written. The page cache, which outlives the process, always has the last.
const flushEvery = time.Second

// kept is what stands in a file of notes, and how to go on.
type kept struct {
	note    []byte    // the newest; nil: none
	writes  uint64    // the number of the last write
	next    int       // the place of the next write; the other one is flushed
	flushed time.Time // zero: not by this process
}

// readKept reads a file of notes; an error that is no fs.ErrNotExist means that
// there is a note and it cannot be read.
func readKept(path string) (kept, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return kept{}, err
	}
	return parseKept(raw)
}

var errKept = errors.New("it holds no note that is whole")

// parseKept takes the content of a file of notes apart. A file that was being
// made when the power failed, zeros or the beginning of a note, says no more
// than no file at all: the database, which is flushed, has at least as much.
func parseKept(raw []byte) (kept, error) {
	var newest kept
	begun := false
	for n := range places {
		place := raw[min(n*placeSize, len(raw)):min((n+1)*placeSize, len(raw))]
		place = bytes.TrimRight(place, "\x00")
		begun = begun || len(place) > 0
		note, writes, ok := parsePlace(place)
		if ok && (newest.note == nil || writes > newest.writes) {
			newest = kept{note: note, writes: writes, next: (n + 1) % places}
		}
	}
	if newest.note == nil && begun && !isTorn(raw) {
		return newest, errKept
	}
	return newest, nil
}

// isTorn knows the beginning of a note that stood alone in its file.
func isTorn(raw []byte) bool {
	const begin = "logline/v1/"
	raw = raw[:min(len(raw), len(begin))]
	return len(raw) > 0 && raw[0] != 0 && strings.HasPrefix(begin, string(bytes.TrimRight(raw, "\x00")))
}

func parsePlace(place []byte) (note []byte, writes uint64, ok bool) {
	if _, err := tree.ParseNote(place); err == nil {
		return place, 0, true
	}
	line, note, ok := bytes.Cut(place, []byte("\n"))
	if !ok {
		return nil, 0, false
	}
	if _, err := fmt.Sscanf(string(line), "%d ", &writes); err != nil || !bytes.Equal(line, placeLine(writes, note)) {
		return nil, 0, false
	}
	return note, writes, true
}

func placeLine(writes uint64, note []byte) []byte {
	sum := sha256.Sum256(append(fmt.Appendf(nil, "%d ", writes), note...))
	return hex.AppendEncode(fmt.Appendf(nil, "%d ", writes), sum[:])
}

// place is what the next write of a note puts into its place.
func (k *kept) place(note []byte) ([]byte, error) {
	content := append(append(placeLine(k.writes+1, note), '\n'), note...)
	if len(content) > placeSize {
		return nil, fmt.Errorf("the note has %d bytes, more than fit", len(note))
	}
	return append(content, make([]byte, placeSize-len(content))...), nil
}

// write puts a note into the file. It is there for every process of this
// machine when it returns, and on the medium at most flushEvery later where
// notes are written on; after an error a note before it stands.
func (k *kept) write(path string, note []byte) (err error) {
	content, err := k.place(note)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		// The first write has no other to fall back on: all of it, or no file.
		if err = atomicfile.Write(path, first(content)); err == nil {
			*k = kept{note: note, writes: k.writes + 1, next: 1, flushed: time.Now()}
		}
		return err
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if k.flushed.IsZero() { // what was read may be in the page cache alone
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(content, int64(k.next)*placeSize); err != nil {
		return err
	}
	k.note, k.writes = note, k.writes+1
	if time.Since(k.flushed) < flushEvery {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	k.flushed, k.next = time.Now(), (k.next+1)%places
	return nil
}

// first fills a file of all places with the first.
func first(content []byte) func(*os.File) error {
	all := make([]byte, places*placeSize)
	copy(all, content)
	return atomicfile.Content(all)
}
