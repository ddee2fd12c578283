package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
)

// readSize is how much Scan reads at once, in bytes.
const readSize = 256 << 10

// ErrStop ends a Scan without an error.
var ErrStop = errors.New("segment: enough")

// Damage is a fault that no crash of a writer leaves behind.
type Damage struct{ Path, Reason string }

// Error implements error.
func (d *Damage) Error() string { return d.Path + ": " + d.Reason }

// Scan goes through the complete lines after the committed ones and commits
// those that fn returns nil for; fn's error ends it, ErrStop without one. A
// line is fn's until it returns. What is left, half a line or more, stays in
// the files until Cut. A longer line than longest ends the scan like half a line. A
// file that does not begin where the one before it ends is a *Damage.
func (s *Series) Scan(longest int, fn func(n uint64, line []byte) error) error {
	if len(s.files) > 0 && s.files[0].first != 0 {
		return &Damage{s.files[0].path, fmt.Sprintf("the first file begins with line %d: those before it are missing", s.files[0].first)}
	}
	for s.last < len(s.files) {
		if err := s.scanFile(s.files[s.last], longest, fn); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
		if s.last+1 >= len(s.files) {
			return nil
		}
		if next := s.files[s.last+1]; next.first != s.Len() {
			return &Damage{next.path, fmt.Sprintf("the file begins with line %d, but those before it hold %d whole lines", next.first, s.Len())}
		}
		s.last, s.size = s.last+1, 0
	}
	return nil
}

// scanFile goes on from the committed end of a file.
func (s *Series) scanFile(f *file, longest int, fn func(n uint64, line []byte) error) error {
	h, err := f.open(s.fs, false)
	if err != nil {
		return err
	}
	buf := make([]byte, readSize)
	have := 0 // bytes in buf, from s.size on
	for {
		if have == len(buf) {
			if have > longest {
				return nil
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := h.ReadAt(buf[have:], s.size+int64(have))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		fresh := have
		have += n
		begin := 0
		for {
			end := bytes.IndexByte(buf[max(begin, fresh):have], '\n')
			if end < 0 {
				break
			}
			end += max(begin, fresh)
			line := buf[begin:end]
			if len(line) > longest {
				return nil
			}
			if err := fn(s.Len(), line); err != nil {
				return err
			}
			s.places = append(s.places, Place{s.size, uint32(len(line))})
			s.size += int64(len(line)) + 1
			begin = end + 1
		}
		have = copy(buf, buf[begin:have])
		if n == 0 {
			return nil
		}
	}
}

// Restore says where the lines are without reading them. It fails where the
// files cannot hold them like that.
func (s *Series) Restore(places []Place) error {
	ends := make([]int64, len(s.files)) // by file; 0: no line
	at := -1
	for n, p := range places {
		if at+1 < len(s.files) && s.files[at+1].first == uint64(n) {
			at++
		}
		if at < 0 || p.Offset != ends[at] {
			return fmt.Errorf("segment: line %d is not at %d", n, p.Offset)
		}
		ends[at] = p.end()
	}
	for i := 0; i <= at; i++ {
		size, err := s.sizeOf(s.files[i])
		if err != nil {
			return err
		}
		if size < ends[i] || i < at && size != ends[i] {
			return fmt.Errorf("segment: %s has %d bytes, not %d", s.files[i].path, size, ends[i])
		}
	}
	s.places, s.last, s.size = places, max(at, 0), 0
	if at >= 0 {
		s.size = ends[at]
	}
	return nil
}

func (s *Series) sizeOf(f *file) (int64, error) {
	h, err := f.open(s.fs, false)
	if err != nil {
		return 0, err
	}
	return h.Size()
}

// Keep forgets the lines from n on; Cut takes them out of the files.
func (s *Series) Keep(n uint64) {
	if n >= s.Len() {
		return
	}
	s.last = max(0, sort.Search(len(s.files), func(i int) bool { return s.files[i].first > n })-1)
	s.size = s.places[n].Offset
	s.places = s.places[:n]
}

// Cut takes everything after the committed lines out of the files, flushes
// that, and tells how many bytes it was. A writer leaves at most one group, in
// one file: where more files hold something, that is a *Damage, and nothing is
// changed.
func (s *Series) Cut() (cut int64, err error) {
	if len(s.files) == 0 {
		return 0, nil
	}
	if err := s.clear(); err != nil {
		return 0, err
	}
	if s.size == 0 && s.last > 0 { // an empty file would be the next group's
		s.last--
		s.size = s.places[s.Len()-1].end()
	}
	pieces := 0
	sizes := make([]int64, len(s.files))
	for i := s.last; i < len(s.files); i++ {
		if sizes[i], err = s.sizeOf(s.files[i]); err != nil {
			return 0, err
		}
		if i == s.last {
			sizes[i] -= s.size
		}
		if sizes[i] > 0 {
			pieces++
		}
		cut += sizes[i]
	}
	if pieces > 1 {
		return 0, &Damage{s.files[s.last].path, fmt.Sprintf("more stands after line %d than an interrupted append leaves", s.Len())}
	}
	for i := len(s.files) - 1; i > s.last; i-- {
		if err := errors.Join(s.files[i].close(), s.fs.Remove(s.files[i].path)); err != nil {
			return 0, err
		}
		s.files, s.made = s.files[:i], true
	}
	if sizes[s.last] > 0 {
		f := s.files[s.last]
		h, err := f.open(s.fs, false)
		if err != nil {
			return 0, err
		}
		if err := h.Truncate(s.size); err != nil {
			return 0, err
		}
		s.touch(f)
	}
	return cut, s.Sync()
}

// Rewrite writes the lines from n on again, as they are, and flushes them: a
// flush that failed in an earlier process can have left them in memory alone,
// where they look written.
func (s *Series) Rewrite(n uint64) error {
	for ; n < s.Len(); n++ {
		line, err := s.Read(n)
		if err != nil {
			return err
		}
		f := s.fileOf(n)
		h, err := f.open(s.fs, false)
		if err != nil {
			return err
		}
		s.touch(f)
		if err := writeAt(h, append(line, '\n'), s.places[n].Offset); err != nil {
			return err
		}
	}
	s.made = len(s.files) > 0
	return s.Sync()
}
