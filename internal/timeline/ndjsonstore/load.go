package ndjsonstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// chunk is how many commits are read before their lines are.
const chunk = 1000

// open reads a timeline from its snapshot and what is newer, and repairs what
// an interrupted batch left.
func (s *Store) open(ctx context.Context, id string) (*files, error) {
	dir := filepath.Join(s.dir, id)
	record, err := s.readRecord(dir, id)
	if err != nil {
		return nil, err
	}
	f, err := s.openFiles(dir)
	if err != nil {
		return nil, err
	}
	r := &replay{store: s, id: id, files: f, edge: &tree.Range{}, create: record}
	snapshot, err := s.readSnapshot(ctx, id, f)
	if err != nil {
		return nil, errors.Join(ioError(err), f.close())
	}
	if snapshot != nil {
		f.snapshotAt, r.create = snapshot.Size, nil
		if r.edge, err = tree.NewRange(0, snapshot.Size, snapshot.Edge); err != nil {
			return nil, damaged(dir, "the index does not fit the lines")
		}
	} else { // what the attempt left is not relied on
		if err := f.close(); err != nil {
			return nil, ioError(err)
		}
		if f, err = s.openFiles(dir); err != nil {
			return nil, err
		}
		r.files = f
	}
	if err := r.run(ctx); err != nil {
		return nil, errors.Join(ioError(err), f.close())
	}
	if err := s.mend(ctx, id, f, r.torn); err != nil {
		return nil, errors.Join(ioError(err), f.close())
	}
	return f, nil
}

// replay takes the commits after the snapshot into the index.
type replay struct {
	store  *Store
	id     string
	files  *files
	edge   *tree.Range
	create *timeline.Tenant // the record, until the first batch
	torn   bool             // the last commit is not whole
}

func (r *replay) run(ctx context.Context) error {
	for {
		commits, err := r.next()
		if err != nil {
			return err
		}
		if len(commits) == 0 {
			break
		}
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		if err := r.apply(commits); err != nil {
			return err
		}
	}
	if r.files.commits.Len() == 0 {
		return damaged(filepath.Join(r.files.dir, commitsDir), "it has no commit")
	}
	return nil
}

// next reads some commits. One that is not whole ends them; whole ones behind
// it are damage.
func (r *replay) next() ([]*commit, error) {
	var out []*commit
	series := r.files.commits
	keep, size := series.Len(), r.edge.End()
	err := series.Scan(maxCommit, func(n uint64, line []byte) error {
		if len(out) == chunk && !r.torn {
			return segment.ErrStop
		}
		c, err := parseCommit(line)
		switch {
		case errors.Is(err, errTorn):
			r.torn = true
			return nil
		case err == nil && !r.torn && c.From == size:
			out, keep, size = append(out, c), n+1, c.Size
			return nil
		case err == nil:
			err = errors.New("it does not follow the one before it")
		}
		return damaged(filepath.Join(r.files.dir, commitsDir), fmt.Sprintf("line %d: %s", n, err))
	})
	series.Keep(keep)
	return out, err
}

// apply reads the lines of commits, holds them against their roots, and tells
// the index.
func (r *replay) apply(commits []*commit) error {
	var rows []timeline.Row
	end := commits[len(commits)-1].Size
	err := r.files.lines.Scan(span.MaxLine, func(n uint64, line []byte) error {
		if n >= end {
			return segment.ErrStop
		}
		e, err := span.ParseLine(line)
		if err == nil && e.Seq != n {
			err = fmt.Errorf("its seq is %d", e.Seq)
		}
		if err != nil {
			return damaged(filepath.Join(r.files.dir, LinesDir), fmt.Sprintf("line %d: %s", n, err))
		}
		row := timeline.RowOf(&timeline.Record{Leaf: span.LeafHash(line), Entry: e})
		r.edge.Append(row.Leaf, nil)
		if rows = append(rows, row); n+1 < commits[0].Size {
			return nil
		}
		if r.edge.Root() != commits[0].Root {
			return damaged(filepath.Join(r.files.dir, LinesDir), fmt.Sprintf("its first %d lines do not make the root that was signed", n+1))
		}
		b := commits[0].batch(r.id, rows)
		b.Create, r.create = r.create, nil
		r.store.Apply(b, r.files, func() {})
		commits, rows = commits[1:], nil
		return nil
	})
	if err == nil && r.files.lines.Len() < end {
		err = damaged(filepath.Join(r.files.dir, LinesDir), fmt.Sprintf("it holds %d of %d committed lines", r.files.lines.Len(), end))
	}
	if err != nil {
		return err
	}
	content := r.files.content
	err = content.Scan(MaxContent, func(n uint64, _ []byte) error {
		if n >= end {
			return segment.ErrStop
		}
		return nil
	})
	if err == nil && content.Len() < end {
		err = damaged(filepath.Join(r.files.dir, PayloadsDir), fmt.Sprintf("it holds %d of %d committed lines", content.Len(), end))
	}
	return err
}

// mend cuts off what was never committed, and does again what may have gone
// wrong with the last batch: its commit, whose flush can have failed in an
// earlier process, and its erasures.
func (s *Store) mend(ctx context.Context, id string, f *files, torn bool) error {
	var cut int64
	for _, series := range []*segment.Series{f.commits, f.lines, f.content} {
		n, err := series.Cut()
		if err != nil {
			return err
		}
		cut += n
	}
	if cut > 0 || torn {
		s.cfg.Log.WarnContext(ctx, "the last append was interrupted and never acknowledged; its remains were cut off",
			slog.String("tenant", id), slog.Uint64("size", f.lines.Len()), slog.Int64("bytes", cut))
	}
	raw, err := f.commits.Read(f.commits.Len() - 1)
	if err != nil {
		return err
	}
	last, err := parseCommit(raw)
	if err != nil {
		return damaged(filepath.Join(f.dir, commitsDir), err.Error())
	}
	if err := f.commits.Rewrite(f.commits.Len() - 1); err != nil {
		return err
	}
	return s.erase(f, last.Redacted)
}

// tenantRecord is tenant.json.
type tenantRecord struct {
	ID            string `json:"id"`
	Slug          string `json:"slug"`
	Name          string `json:"name"`
	Node          string `json:"node"`
	Owner         string `json:"owner"`
	Origin        string `json:"origin"`
	LogKey        string `json:"log_key"`
	PublicReading bool   `json:"public_reading"`
	CreatedAt     string `json:"created_at"`
}

// Record is the content of tenant.json.
func Record(t *timeline.Tenant) ([]byte, error) {
	raw, err := json.MarshalIndent(tenantRecord{
		t.ID, t.Slug, t.Name, t.Node, t.Owner, t.Origin, t.LogKey, t.PublicReading, t.CreatedAt,
	}, "", "  ")
	return append(raw, '\n'), err
}

func (s *Store) readRecord(dir, id string) (*timeline.Tenant, error) {
	path := filepath.Join(dir, RecordFile)
	raw, err := segment.ReadFile(s.cfg.FS, path, maxRecord)
	if err != nil {
		return nil, ioError(err)
	}
	r, err := parseRecord(raw)
	if err == nil && r.ID != id {
		err = errors.New("it is another tenant's")
	}
	if err != nil {
		return nil, damaged(path, err.Error())
	}
	return r, nil
}

func parseRecord(raw []byte) (*timeline.Tenant, error) {
	var r tenantRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if !span.IsUUID(r.ID) || r.Slug == "" {
		return nil, errors.New("it names no tenant")
	}
	return &timeline.Tenant{
		ID: r.ID, Slug: r.Slug, Name: r.Name, Node: r.Node, Owner: r.Owner, Origin: r.Origin, LogKey: r.LogKey,
		PublicReading: r.PublicReading, CreatedAt: r.CreatedAt,
	}, nil
}
