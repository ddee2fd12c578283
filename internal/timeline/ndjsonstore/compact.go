package ndjsonstore

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/danvoulez/logline/internal/timeline/segment"
)

// Compact writes the files of payloads anew in which erased ones left their
// length behind, and erases what is to be once more. What it did is in order of
// tenant; a process that ends in the middle leaves files of before and after,
// which hold the same. Nobody reads or appends meanwhile. tell, unless nil,
// hears of each folder as it begins.
func (s *Store) Compact(ctx context.Context, tell func(dir string)) ([]segment.Shrunk, error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]string, 0, len(s.timelines))
	for id := range s.timelines {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []segment.Shrunk
	for _, id := range ids {
		if ctx.Err() != nil {
			return out, interrupted(ctx)
		}
		f := s.timelines[id]
		if tell != nil {
			tell(f.content.Dir())
		}
		shrunk, err := s.compact(id, f)
		if err != nil {
			return out, s.fail(err)
		}
		out = append(out, shrunk)
	}
	return out, nil
}

func (s *Store) compact(id string, f *files) (segment.Shrunk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	redacted, err := s.Redacted(id)
	if err != nil {
		return segment.Shrunk{}, err
	}
	// The index snapshot says where lines were. Close writes another one, and a
	// start that still finds this one relocates it.
	s.snapshots.Wait()
	f.snapshotAt = 0
	if err := s.cfg.FS.Remove(filepath.Join(f.dir, indexFile)); err != nil {
		return segment.Shrunk{}, err
	}
	shrunk, err := f.content.Shrink(func(n uint64, line []byte) []byte {
		if _, gone := slices.BinarySearch(redacted, n); gone {
			return erasedContent(n)
		}
		return line
	})
	if err != nil {
		return shrunk, err
	}
	return shrunk, s.moveRebuilt(f)
}

// moveRebuilt says in the index that was rebuilt, if there is one, where the
// payloads are now.
func (s *Store) moveRebuilt(f *files) error {
	raw, err := segment.ReadFile(s.cfg.FS, filepath.Join(f.dir, rebuiltFile), maxSnapshot)
	if err != nil || raw == nil {
		return err
	}
	p, err := parseSnapshot(raw)
	if err != nil || len(p.Content) > int(f.content.Len()) {
		return nil // it did not fit before
	}
	p.Content = f.content.Places()[:len(p.Content)]
	return s.putSnapshot(f, rebuiltFile, *p)
}

// relocate finds the payloads of a snapshot where an interrupted Compact left
// them, and says so in it before anything is appended: files that have grown
// would look like those of before.
func (s *Store) relocate(name string, f *files, p *places) error {
	if f.content.Restore(p.Content) == nil {
		return nil
	}
	want := uint64(len(p.Content))
	if err := f.content.Scan(MaxContent, func(n uint64, _ []byte) error {
		if n == want {
			return segment.ErrStop
		}
		return nil
	}); err != nil {
		return err
	}
	if f.content.Len() < want {
		return nil // fit says what is wrong
	}
	p.Content = slices.Clone(f.content.Places())
	return s.putSnapshot(f, name, *p)
}
