package backup

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Source is what an archive is made of, as of one moment.
type Source struct {
	Header    Header // Logline, V and Keys are filled in
	Tables    Tables
	Timelines timeline.Snapshot
	Keys      []byte // the node's key file; nil to leave it out
	// Progress is told how many of a timeline's entries are written; nil for nobody.
	Progress func(slug string, done, total uint64)
}

// Tables are the tables of a database beside the timelines.
type Tables interface {
	// Names lists them such that each follows those it refers to.
	Names(ctx context.Context) ([]string, error)
	// Rows gives a table's columns and then each row: nil, int64, float64,
	// string or []byte for each column.
	Rows(ctx context.Context, table string, columns func([]string) error, row func([]any) error) error
}

// Summary is what an archive holds.
type Summary struct {
	Header    Header
	Parts     []Part
	Timelines int
	Entries   uint64
	Rows      uint64 // of tables
}

// Write makes an archive. A timeline whose lines do not make the root that its
// head names, whose payloads are not those of its lines, or that lacks something
// is refused (timeline_damaged): a backup that nobody can restore is none.
func Write(ctx context.Context, to io.Writer, src Source) (Summary, error) {
	z, err := zstd.NewWriter(to, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return Summary{}, err
	}
	sum, err := writePlain(ctx, z, src)
	if closing := z.Close(); err == nil {
		err = closing
	}
	return sum, err
}

// writePlain writes the lines, not compressed.
func writePlain(ctx context.Context, to io.Writer, src Source) (Summary, error) {
	w := &writer{to: to}
	w.sum.Header = src.Header
	w.sum.Header.Logline, w.sum.Header.V, w.sum.Header.Keys = "backup", Version, src.Keys != nil
	if err := w.line(w.sum.Header); err != nil {
		return w.sum, err
	}
	names, err := src.Tables.Names(ctx)
	if err != nil {
		return w.sum, err
	}
	for _, name := range names {
		if err := w.part(tablePart+name, func() error { return w.table(ctx, src.Tables, name) }); err != nil {
			return w.sum, err
		}
	}
	tenants, err := src.Timelines.Tenants(ctx)
	if err != nil {
		return w.sum, err
	}
	for i := range tenants {
		if err := w.part(timelinePart+tenants[i].ID, func() error { return w.timeline(ctx, &src, &tenants[i]) }); err != nil {
			return w.sum, err
		}
		w.sum.Timelines++
	}
	if src.Keys != nil {
		if err := w.part(keysPart, func() error { return w.line(blob{span.B64(src.Keys)}) }); err != nil {
			return w.sum, err
		}
	}
	return w.sum, w.line(map[string]any{"manifest": w.sum.Parts})
}

// writer writes lines and counts and hashes those of the part under way.
type writer struct {
	to    io.Writer
	lines uint64
	hash  hash.Hash
	sum   Summary
}

func (w *writer) line(v any) error {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(false), jsontext.PreserveRawStrings(true))
	if err != nil {
		return fault.New(fault.Internal, "backup_unwritable", "something in the database cannot be written into a backup").Because(err)
	}
	b = append(b, '\n')
	w.lines++
	if w.hash != nil {
		w.hash.Write(b)
	}
	if _, err = w.to.Write(b); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func (w *writer) part(name string, fill func() error) error {
	if err := w.line(map[string]string{"part": name}); err != nil {
		return err
	}
	w.hash, w.lines = sha256.New(), 0
	if err := fill(); err != nil {
		return err
	}
	p := Part{Name: name, Lines: w.lines, SHA256: span.B64(w.hash.Sum(nil))}
	w.hash = nil
	w.sum.Parts = append(w.sum.Parts, p)
	return w.line(map[string]Part{"end": p})
}

func (w *writer) table(ctx context.Context, t Tables, name string) error {
	return t.Rows(ctx, name, func(columns []string) error { return w.line(columns) }, func(values []any) error {
		row := make([]any, len(values))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = blob{span.B64(b)}
			}
			row[i] = v
		}
		w.sum.Rows++
		return w.line(row)
	})
}

// timeline writes the entries and puts the checkpoints between them.
func (w *writer) timeline(ctx context.Context, src *Source, t *timeline.Tenant) error {
	head, _, err := src.Timelines.State(ctx, t.ID)
	if err != nil {
		return err
	}
	if err := w.line(record{t.PublicReading, t.CreatedAt, t.Slug, head.Size, head.Root.String()}); err != nil {
		return err
	}
	notes := &notes{snap: src.Timelines, tenant: t.ID}
	edge := &tree.Range{}
	for next := uint64(0); next < head.Size; {
		page, err := src.Timelines.Entries(ctx, t.ID, next)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return damaged(t, "it has only %d of %d entries", next, head.Size)
		}
		for i := range page {
			r := &page[i]
			if err := r.Parse(); err != nil || r.Seq != next || r.Entry.Seq != next {
				return damaged(t, "entry %d is missing or cannot be read", next)
			}
			if bad := beside(r); bad != "" {
				return damaged(t, "entry %d: %s", next, bad)
			}
			edge.Append(span.LeafHash(r.Line), nil)
			if err := w.line(entry{Line: r.Line, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail}); err != nil {
				return damaged(t, "what is kept beside entry %d cannot be read", next)
			}
			next++
			w.sum.Entries++
			if err := w.checkpoint(ctx, notes, next); err != nil {
				return err
			}
			if src.Progress != nil && next%256 == 0 {
				src.Progress(t.Slug, next, head.Size)
			}
		}
	}
	if edge.Root() != head.Root || notes.last != head.Size {
		return damaged(t, "its lines do not make the root of its head, or have no checkpoint")
	}
	return nil
}

// beside says what is wrong with what is kept beside a line, "" for nothing.
func beside(r *timeline.Record) string {
	gone, wrong := r.Beside()
	switch {
	case wrong != "":
		return wrong
	case gone && !r.Redacted:
		return "payload or detail is gone, and no redaction says so"
	case r.Redacted && (r.Payload != nil || r.Salt != "" || r.Detail != nil):
		return "a redaction erased its payload, and it is still there"
	}
	return ""
}

func (w *writer) checkpoint(ctx context.Context, notes *notes, size uint64) error {
	n, err := notes.at(ctx, size)
	if err != nil || n == nil {
		return err
	}
	return w.line(entry{Checkpoint: string(n.Text), Size: n.Size})
}

func damaged(t *timeline.Tenant, format string, args ...any) error {
	return fault.Newf(fault.Internal, "timeline_damaged",
		"the timeline of tenant %s is damaged (%s); logline fsck says more", t.Slug, fmt.Sprintf(format, args...))
}

// notes walks along the checkpoints.
type notes struct {
	snap   timeline.Snapshot
	tenant string
	page   []timeline.Note
	after  uint64
	done   bool
	last   uint64 // size of the last one given
}

// at is the checkpoint of a size, nil where there is none. Sizes only grow.
func (n *notes) at(ctx context.Context, size uint64) (*timeline.Note, error) {
	for !n.done && (len(n.page) == 0 || n.page[0].Size < size) {
		if len(n.page) > 0 {
			n.page = n.page[1:]
			continue
		}
		page, err := n.snap.Checkpoints(ctx, n.tenant, n.after, 500)
		if err != nil {
			return nil, err
		}
		if n.done = len(page) == 0; !n.done {
			n.page, n.after = page, page[len(page)-1].Size
		}
	}
	if len(n.page) == 0 || n.page[0].Size != size {
		return nil, nil
	}
	n.last = size
	return &n.page[0], nil
}
