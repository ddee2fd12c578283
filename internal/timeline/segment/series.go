// Package segment keeps a growing list of lines in plain files that cat, grep
// and jq read: line n is the n-th line of all files of one folder in order of
// name, and a file's name is the number of its first line. Lines are appended
// in groups; a group is part of the series once it is committed, and what a
// crash leaves beyond is cut off by whoever knows where the end was. The
// package knows nothing of what the lines say.
package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	suffix     = ".ndjson"
	nameDigits = 16
)

// Limits say when a series goes on in another file: at the first group after a
// file has that many bytes or lines.
type Limits struct {
	Bytes int64 // 64 MiB when 0
	Lines uint64
}

// defaultLimits keep files small enough to open in an editor.
var defaultLimits = Limits{Bytes: 64 << 20, Lines: 100_000}

// Series is the lines of one folder.
//
// One goroutine at a time changes it. Read may run beside Append, Sync,
// Revert and Overwrite, and must be kept apart from Commit, Cut and Move.
type Series struct {
	fs     FS
	dir    string
	limits Limits

	files  []*file // in order; after a Scan or Restore there may be some behind last, until Cut
	last   int     // index of the file where the committed lines end
	places []Place // of committed lines
	size   int64   // committed bytes of that file
	staged staged  // appended and not committed
	spare  *file   // made for a group that was reverted; the next one goes into it
	dirty  []*file // written since they were last flushed
	made   bool    // the folder has a new file that was not flushed
	buffer []byte  // of one group
	closed atomic.Bool
}

// Place is where a line stands in its file, without its newline.
type Place struct {
	Offset int64
	Length uint32
}

type staged struct {
	file   *file // that the group goes into; nil: none
	fresh  bool  // it is not among the committed files
	places []Place
	from   int64 // size of file before the group
}

// file is one segment.
type file struct {
	first uint64 // number of its first line
	path  string

	mu     sync.Mutex // guards handle
	handle File
}

// Name is the name of the file that begins with line first.
func Name(first uint64) string { return fmt.Sprintf("%0*d%s", nameDigits, first, suffix) }

// parseName is the number of the first line, and whether this is the name of a
// segment.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < nameDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, err == nil && Name(n) == name
}

// Open lists the folder, which need not exist. Nothing is read: the caller
// goes through the lines with Scan, or knows them (Restore).
func Open(fsys FS, dir string, limits Limits) (*Series, error) {
	if limits.Bytes <= 0 {
		limits.Bytes = defaultLimits.Bytes
	}
	if limits.Lines == 0 {
		limits.Lines = defaultLimits.Lines
	}
	s := &Series{fs: fsys, dir: dir, limits: limits}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if first, ok := parseName(name); ok {
			s.files = append(s.files, &file{first: first, path: filepath.Join(dir, name)})
		}
	}
	sort.Slice(s.files, func(i, j int) bool { return s.files[i].first < s.files[j].first })
	return s, nil
}

// Dir is the folder.
func (s *Series) Dir() string { return s.dir }

// Len is how many lines are committed.
func (s *Series) Len() uint64 { return uint64(len(s.places)) }

// Places are where the committed lines are; the caller changes nothing.
func (s *Series) Places() []Place { return s.places }

// Append writes a group of lines after the committed ones. It is neither
// flushed nor committed: Sync, then Commit, or Revert, come next. Lines have no
// newline inside.
func (s *Series) Append(lines [][]byte) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if s.staged.file != nil {
		return errors.New("segment: a group is appended before the one before it was committed")
	}
	f, from, fresh, err := s.target()
	if err != nil {
		return err
	}
	s.staged = staged{file: f, fresh: fresh, from: from}
	s.buffer = s.buffer[:0]
	for _, line := range lines {
		if bytes.IndexByte(line, '\n') >= 0 {
			return errors.New("segment: a line has a newline inside")
		}
		s.staged.places = append(s.staged.places, Place{from + int64(len(s.buffer)), uint32(len(line))})
		s.buffer = append(append(s.buffer, line...), '\n')
	}
	h, err := f.open(s.fs, true)
	if err != nil {
		return err
	}
	s.made = s.made || fresh
	s.touch(f)
	return writeAt(h, s.buffer, from)
}

// target is the file that the next group goes into, and where.
func (s *Series) target() (f *file, from int64, fresh bool, err error) {
	if len(s.files) > 0 {
		last := s.files[s.last]
		if s.size < s.limits.Bytes && s.Len()-last.first < s.limits.Lines {
			return last, s.size, false, nil
		}
	}
	if s.spare != nil {
		return s.spare, 0, true, nil
	}
	if err := s.fs.Mkdir(s.dir); err != nil {
		return nil, 0, false, err
	}
	return &file{first: s.Len(), path: filepath.Join(s.dir, Name(s.Len()))}, 0, true, nil
}

// writeAt writes all of b or fails.
func writeAt(h File, b []byte, at int64) error {
	n, err := h.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

func (s *Series) touch(f *file) {
	for _, d := range s.dirty {
		if d == f {
			return
		}
	}
	s.dirty = append(s.dirty, f)
}

// Sync flushes what was written, to the medium, and the folder where it has a
// new file.
func (s *Series) Sync() error {
	for len(s.dirty) > 0 {
		h, err := s.dirty[0].open(s.fs, false)
		if err != nil {
			return err
		}
		if err := h.Sync(); err != nil {
			return err
		}
		s.dirty = s.dirty[1:]
	}
	if s.made {
		if err := s.fs.SyncDir(s.dir); err != nil {
			return err
		}
		s.made = false
	}
	return nil
}

// Commit makes the appended group part of the series.
func (s *Series) Commit() {
	g := &s.staged
	if g.file == nil {
		return
	}
	if g.fresh {
		s.enter(g.file)
		s.spare = nil
	}
	s.places = append(s.places, g.places...)
	s.size = g.from
	if n := len(g.places); n > 0 {
		s.size = g.places[n-1].end()
	}
	s.staged = staged{}
}

// end is where the next line begins.
func (p Place) end() int64 { return p.Offset + int64(p.Length) + 1 }

// Revert takes the appended group back: its bytes leave the file, and are
// surely gone after the next Sync.
func (s *Series) Revert() error {
	g := s.staged
	if g.file == nil {
		return nil
	}
	if g.fresh { // readers do not know it yet, and so it is not entered
		s.spare = g.file
	}
	h, err := g.file.open(s.fs, true)
	if err != nil {
		return err
	}
	if err := h.Truncate(g.from); err != nil {
		return err
	}
	s.staged = staged{}
	s.touch(g.file)
	return nil
}

// enter goes on in a new file.
func (s *Series) enter(f *file) {
	s.files = append(s.files, f)
	s.last, s.size = len(s.files)-1, 0
}

// Read is a copy of committed line n.
func (s *Series) Read(n uint64) ([]byte, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if n >= s.Len() {
		return nil, fmt.Errorf("segment: %s has no line %d", s.dir, n)
	}
	f, p := s.fileOf(n), s.places[n]
	h, err := f.open(s.fs, false)
	if err != nil {
		return nil, err
	}
	line := make([]byte, p.Length)
	if _, err := h.ReadAt(line, p.Offset); err != nil && !(errors.Is(err, io.EOF) && p.Length == 0) {
		return nil, fmt.Errorf("read line %d in %s: %w", n, f.path, err)
	}
	return line, nil
}

// fileOf is the file of a committed line.
func (s *Series) fileOf(n uint64) *file {
	i := sort.Search(len(s.files), func(i int) bool { return s.files[i].first > n })
	return s.files[i-1]
}

// Overwrite puts other bytes in the place of a committed line, as many as it
// has. Sync makes it last.
func (s *Series) Overwrite(n uint64, line []byte) error {
	if n >= s.Len() || uint32(len(line)) != s.places[n].Length {
		return fmt.Errorf("segment: line %d in %s is not replaced by %d bytes", n, s.dir, len(line))
	}
	f := s.fileOf(n)
	h, err := f.open(s.fs, false)
	if err != nil {
		return err
	}
	s.touch(f)
	return writeAt(h, line, s.places[n].Offset)
}

// Move closes the files and says that the folder is somewhere else now.
func (s *Series) Move(dir string) error {
	err := s.Close()
	s.closed.Store(false)
	s.dir = dir
	for _, f := range s.files {
		f.path = filepath.Join(dir, Name(f.first))
	}
	return err
}

// Close closes the files; closing twice is harmless.
func (s *Series) Close() error {
	s.closed.Store(true)
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.close())
	}
	for _, f := range []*file{s.staged.file, s.spare} {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	return errors.Join(errs...)
}

// ErrClosed is the answer of a series that is closed.
var ErrClosed = errors.New("segment: the files are closed")

func (f *file) open(fsys FS, create bool) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handle == nil {
		h, err := fsys.Open(f.path, create)
		if err != nil {
			return nil, err
		}
		f.handle = h
	}
	return f.handle, nil
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	err := f.handle.Close()
	f.handle = nil
	return err
}
