package ndjsonstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memindex"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// A snapshot file: this line, the SHA-256 of the rest, and gob.
const (
	snapshotMagic = "logline index 1\n"
	maxSnapshot   = 64 << 30
)

// places is where each line stands, beside the index's own snapshot.
type places struct {
	Index                   []byte
	Content, Lines, Commits []segment.Place
}

// readSnapshot takes the index of a timeline from its snapshot, or from what was
// rebuilt, and returns its head; nil where there is none that fits, which is no
// error: everything is in the lines and commits.
func (s *Store) readSnapshot(ctx context.Context, id string, f *files) (*timeline.Head, error) {
	for _, name := range []string{indexFile, rebuiltFile} {
		path := filepath.Join(f.dir, name)
		raw, err := segment.ReadFile(s.cfg.FS, path, maxSnapshot)
		if err == nil && raw == nil {
			continue
		}
		var own *memindex.Prepared
		if err == nil {
			own, err = s.fit(id, name, raw, f)
		}
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "the index snapshot does not fit the timeline's files; the index is made from them without it",
				slog.String("file", path), slog.Any("error", err))
			continue
		}
		if name == rebuiltFile {
			if err := s.erase(f, own.Redacted()); err != nil {
				return nil, err
			}
		}
		s.Enlist(own)
		_, head := own.Tenant()
		return &head, nil
	}
	return nil, nil
}

// fit reads a snapshot that fits the files.
func (s *Store) fit(id, name string, raw []byte, f *files) (*memindex.Prepared, error) {
	p, err := parseSnapshot(raw)
	if err != nil {
		return nil, err
	}
	if err := s.relocate(name, f, p); err != nil {
		return nil, err
	}
	for _, one := range []struct {
		series *segment.Series
		places []segment.Place
	}{{f.content, p.Content}, {f.lines, p.Lines}, {f.commits, p.Commits}} {
		if err := one.series.Restore(one.places); err != nil {
			return nil, err
		}
	}
	own, err := s.Prepare(p.Index, f)
	if err != nil {
		return nil, err
	}
	tenant, head := own.Tenant()
	if tenant.ID != id || head.Size != f.lines.Len() || head.Size != f.content.Len() || own.Batches() != f.commits.Len() {
		return nil, errors.New("it is of another size")
	}
	commit, err := f.commits.Read(f.commits.Len() - 1)
	if err != nil {
		return nil, err
	}
	c, err := parseCommit(commit)
	if err != nil {
		return nil, err
	}
	last := timeline.Record{Seq: head.Size - 1}
	if err := f.Read(&last, false); err != nil {
		return nil, err
	}
	if c.Size != head.Size || c.Root != head.Root || c.Checkpoint != string(head.Checkpoint) || span.LeafHash(last.Line) != own.LastLeaf() {
		return nil, fmt.Errorf("commit %d is not the one it was made at", f.commits.Len()-1)
	}
	return own, nil
}

func parseSnapshot(raw []byte) (*places, error) {
	rest, ok := bytes.CutPrefix(raw, []byte(snapshotMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, errors.New("it is no index snapshot of this version")
	}
	if sum := sha256.Sum256(rest[sha256.Size:]); !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, errors.New("its checksum is wrong")
	}
	p := new(places)
	err := gob.NewDecoder(bytes.NewReader(rest[sha256.Size:])).Decode(p)
	return p, err
}

// growSnapshot writes a new snapshot, beside everything else, once there is
// enough that the last one does not have. The caller holds f.mu.
func (s *Store) growSnapshot(id string, f *files, size uint64) {
	if size-f.snapshotAt < max(s.cfg.SnapshotEvery, size/4) {
		return
	}
	f.snapshotAt = size
	s.snapshots.Go(func() { s.writeSnapshot(id, f) })
}

// keepSnapshot writes a snapshot unless the last one has everything. The
// caller holds f.mu.
func (s *Store) keepSnapshot(id string, f *files) {
	if f.snapshotAt != f.lines.Len() {
		f.snapshotAt = f.lines.Len()
		s.writeSnapshot(id, f)
	}
}

// writeSnapshot replaces a timeline's snapshot. Where it cannot, the next start
// reads more lines.
func (s *Store) writeSnapshot(id string, f *files) {
	var p places
	var err error
	p.Index, err = s.Dump(id, func() {
		p.Content, p.Lines, p.Commits = f.content.Places(), f.lines.Places(), f.commits.Places()
	})
	if err == nil {
		err = s.putSnapshot(f, indexFile, p)
	}
	if err != nil {
		s.cfg.Log.Warn("the index snapshot could not be written; the next start takes longer",
			slog.String("tenant", id), slog.Any("error", err))
	}
}

// putSnapshot replaces a snapshot file.
func (s *Store) putSnapshot(f *files, name string, p places) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(&p); err != nil {
		return err
	}
	sum := sha256.Sum256(body.Bytes())
	raw := append(append([]byte(snapshotMagic), sum[:]...), body.Bytes()...)
	return segment.WriteFile(s.cfg.FS, f.dir, filepath.Join(f.dir, name), raw)
}
