package ndjsonstore

import (
	"context"
	"path/filepath"

	"github.com/danvoulez/logline/internal/timeline"
)

// rebuiltFile is an index that was rebuilt, in the form of indexFile. It holds
// where that is missing, so that a start does not go back to what the commits
// say.
const rebuiltFile = "rebuilt"

// Rebuild implements timeline.Keeper. It lasts once its file does; what is
// redacted is erased after that, and by every start that reads the file.
func (s *Store) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	s.creating.Lock() // a slug may change
	defer s.creating.Unlock()
	s.mu.RLock()
	f := s.timelines[r.Tenant.ID]
	s.mu.RUnlock()
	if f == nil {
		return timeline.ErrTenantUnknown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	draft, err := s.Draft(ctx, r)
	if err != nil {
		return err
	}
	raw, err := draft.Dump()
	if err != nil {
		return err
	}
	s.snapshots.Wait() // of the index as it was
	if err := s.cfg.FS.Remove(filepath.Join(f.dir, indexFile)); err != nil {
		return ioError(err)
	}
	f.snapshotAt = 0
	if err := s.putSnapshot(f, rebuiltFile, places{Index: raw, Content: f.content.Places(), Lines: f.lines.Places(), Commits: f.commits.Places()}); err != nil {
		return s.fail(err) // perhaps it is there
	}
	s.Replace(draft, func() {})
	if err := s.erase(f, draft.Redacted()); err != nil {
		return s.fail(err)
	}
	return nil
}
