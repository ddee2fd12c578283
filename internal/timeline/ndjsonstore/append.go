package ndjsonstore

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// Append implements timeline.Appender. Once begun it runs to its end whatever
// becomes of ctx.
func (s *Store) Append(ctx context.Context, b *timeline.Batch) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if b.Create != nil {
		return s.create(b)
	}
	s.mu.RLock()
	f := s.timelines[b.Tenant]
	s.mu.RUnlock()
	if f == nil {
		return timeline.ErrTenantUnknown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := s.expect(b); err != nil {
		return err
	}
	if err := s.write(f, b); err != nil {
		return ioError(err)
	}
	s.Apply(b, f, f.commit)
	if err := s.erase(f, b.Redacted); err != nil {
		return s.fail(err) // it is committed; the next start erases
	}
	s.growSnapshot(b.Tenant, f, b.Head.Size)
	return nil
}

// expect is Index.Expect for a store that can append, and a batch whose ids
// follow from its lines.
func (s *Store) expect(b *timeline.Batch) error {
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.Expect(b); err != nil {
		return err
	}
	own := make(map[string]uint64, len(b.Rows))
	for i := range b.Rows {
		own[b.Rows[i].ID] = b.Rows[i].Seq
	}
	for _, id := range b.Spent {
		if id.By == timeline.SpentByEntry {
			if seq, ok := own[id.ID]; !ok || seq != id.Seq {
				break
			}
			delete(own, id.ID)
		}
	}
	if len(own) > 0 {
		return fault.Newf(fault.Internal, "batch_invalid", "a batch for %s does not spend the ids of its own entries", b.Tenant)
	}
	return nil
}

// write brings a batch to the medium: payloads, then lines, then the commit.
// After an error none of it is there, or the store is broken.
func (s *Store) write(f *files, b *timeline.Batch) error {
	commit, err := appendCommit(nil, b)
	if err != nil {
		return fault.Newf(fault.Internal, "batch_invalid", "a batch for %s has a line that is none", b.Tenant).Because(err)
	}
	content, lines := encode(b)
	if err := errors.Join(f.content.Append(content), f.lines.Append(lines)); err != nil {
		return s.revert(err, f.content, f.lines)
	}
	if err := f.content.Sync(); err != nil {
		return s.fail(err)
	}
	if err := f.lines.Sync(); err != nil {
		return s.fail(err)
	}
	if err := f.commits.Append([][]byte{commit}); err != nil {
		if err := s.revert(err, f.commits); fault.CodeOf(err) == codeDoubtful {
			return err
		}
		// The next batch writes over these lines: by then nothing may say that
		// they are committed, whatever of it has reached the medium.
		if err := f.commits.Sync(); err != nil {
			return s.fail(err)
		}
		return s.revert(err, f.content, f.lines)
	}
	if err := f.commits.Sync(); err != nil {
		return s.fail(err)
	}
	return nil
}

// revert takes back what was appended because of err, which it returns.
func (s *Store) revert(err error, all ...*segment.Series) error {
	for _, series := range all {
		if failed := series.Revert(); failed != nil {
			return s.fail(errors.Join(err, failed))
		}
	}
	return err
}

// encode makes the lines of a batch. What it redacts of itself is not written.
func encode(b *timeline.Batch) (content, lines [][]byte) {
	gone := make(map[uint64]bool, len(b.Redacted))
	for _, seq := range b.Redacted {
		gone[seq] = true
	}
	for i := range b.Rows {
		r := &b.Rows[i]
		lines = append(lines, r.Line)
		if gone[r.Seq] {
			content = append(content, erasedContent(r.Seq))
		} else {
			content = append(content, AppendContent(nil, r))
		}
	}
	return content, lines
}

// erase overwrites the content of entries and flushes that. The index says
// already that they are redacted, so that nobody reads them.
func (s *Store) erase(f *files, seqs []uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	for _, seq := range seqs {
		length := f.content.Places()[seq].Length
		if err := f.content.Overwrite(seq, ErasedContent(seq, int(length))); err != nil {
			return err
		}
	}
	return f.content.Sync()
}

// create begins a timeline in a folder of another name and renames it.
func (s *Store) create(b *timeline.Batch) error {
	s.creating.Lock()
	defer s.creating.Unlock()
	if err := s.expect(b); err != nil {
		return err
	}
	building, final := filepath.Join(s.dir, newPrefix+b.Tenant), filepath.Join(s.dir, b.Tenant)
	f, err := s.build(building, b)
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.close())
		}
		if left := s.cfg.FS.Remove(building); left != nil {
			return s.fail(errors.Join(err, left))
		}
		return ioError(err)
	}
	for _, series := range f.series() {
		if err := series.Move(filepath.Join(final, filepath.Base(series.Dir()))); err != nil {
			return s.fail(err)
		}
	}
	f.dir = final
	if err := s.cfg.FS.Rename(building, final); err != nil {
		return s.fail(err) // perhaps it happened
	}
	if err := s.cfg.FS.SyncDir(s.dir); err != nil {
		return s.fail(err)
	}
	s.Apply(b, f, func() {})
	s.mu.Lock()
	s.timelines[b.Tenant] = f
	s.mu.Unlock()
	return nil
}

// build writes a timeline's first batch into a folder of its own.
func (s *Store) build(dir string, b *timeline.Batch) (*files, error) {
	record, err := Record(b.Create)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.cfg.FS.Remove(dir), s.cfg.FS.Mkdir(dir)); err != nil {
		return nil, err
	}
	f, err := s.openFiles(dir)
	if err != nil {
		return nil, err
	}
	if err := s.write(f, b); err != nil {
		return f, err
	}
	f.commit()
	// The folder is flushed with it, and so the names of those inside.
	return f, segment.WriteFile(s.cfg.FS, dir, filepath.Join(dir, RecordFile), record)
}
