package segment

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
)

// Shrunk is what became of a folder whose files were written anew.
type Shrunk struct {
	Dir           string
	Before, After int64 // bytes of its files
}

// Shrink writes each file anew in which replace makes a committed line another
// one, beside it, flushes that and puts it in its place: whenever it ends, each
// file is the old one or the new one. Lines keep their numbers, but not their
// places. It must be kept apart from everything else.
func (s *Series) Shrink(replace func(n uint64, line []byte) []byte) (Shrunk, error) {
	out := Shrunk{Dir: s.dir}
	for i := 0; i <= s.last && i < len(s.files) && s.files[i].first < s.Len(); i++ {
		before, after, err := s.shrinkFile(i, replace)
		if err != nil {
			return out, err
		}
		out.Before, out.After = out.Before+before, out.After+after
	}
	return out, nil
}

func (s *Series) shrinkFile(i int, replace func(n uint64, line []byte) []byte) (before, after int64, err error) {
	f, end := s.files[i], s.Len()
	if i < s.last {
		end = s.files[i+1].first
	}
	before = s.places[end-1].end()
	var content []byte
	places := make([]Place, 0, end-f.first)
	changed := false
	for n := f.first; n < end; n++ {
		line, err := s.Read(n)
		if err != nil {
			return 0, 0, err
		}
		next := replace(n, line)
		changed = changed || !bytes.Equal(next, line)
		places = append(places, Place{int64(len(content)), uint32(len(next))})
		content = append(append(content, next...), '\n')
	}
	if !changed {
		return before, before, nil
	}
	if err := errors.Join(f.close(), WriteFile(s.fs, s.dir, f.path, content)); err != nil {
		return 0, 0, err
	}
	copy(s.places[f.first:end], places)
	after = int64(len(content))
	if i == s.last {
		s.size = after
	}
	return before, after, nil
}

// clear removes what a Shrink that was interrupted left beside the files: it
// has lines that may have been erased since.
func (s *Series) clear() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix+nextSuffix) {
			if err := s.fs.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
			s.made = true // the folder is flushed
		}
	}
	return nil
}
