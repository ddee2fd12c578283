package mirror

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// checkpointFile has the newest checkpoint of the lines beside it.
const checkpointFile = "checkpoint"

// Codes of what stops a copy.
const (
	codeDiverged = "mirror_diverged"
	codeDamaged  = "mirror_damaged"
)

// copied is one timeline's files.
type copied struct {
	m        *Mirror
	tenant   string
	dir      string
	lines    *segment.Series
	payloads *segment.Series // nil without
	edge     *tree.Range     // of the lines
	noted    uint64          // size of the checkpoint in its file
}

// open reads the lines of a copy and cuts off half a line, or whatever else a
// crash left of the last page. It makes the folder where there is none.
func (m *Mirror) open(ctx context.Context, t *timeline.Tenant) (*copied, error) {
	c := &copied{m: m, tenant: t.ID, dir: filepath.Join(m.cfg.Dir, t.ID), edge: &tree.Range{}}
	if err := c.begin(t); err != nil {
		return nil, err
	}
	note, err := m.readCheckpoint(c.dir)
	if err != nil {
		return nil, err
	}
	if c.lines, err = segment.Open(m.cfg.FS, filepath.Join(c.dir, ndjsonstore.LinesDir), m.cfg.Limits); err != nil {
		return nil, err
	}
	if err := c.read(note); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if m.cfg.Payloads {
		if err := c.readPayloads(ctx); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

// begin makes the folder and its tenant.json, which is written once.
func (c *copied) begin(t *timeline.Tenant) error {
	fsys := c.m.cfg.FS
	path := filepath.Join(c.dir, ndjsonstore.RecordFile)
	const limit = 1 << 20
	if raw, err := segment.ReadFile(fsys, path, limit); err != nil || len(raw) > 0 {
		return err
	}
	record, err := ndjsonstore.Record(t)
	if err != nil {
		return err
	}
	if err := fsys.Mkdir(filepath.Join(c.dir, ndjsonstore.LinesDir)); err != nil {
		return err
	}
	if err := segment.WriteFile(fsys, c.dir, path, record); err != nil {
		return err
	}
	return fsys.SyncDir(c.m.cfg.Dir)
}

// read goes through the lines and holds them against the checkpoint.
func (c *copied) read(note *tree.Note) error {
	wrong := ""
	err := c.lines.Scan(span.MaxLine, func(n uint64, line []byte) error {
		if e, err := span.ParseLine(line); err != nil || e.Seq != n {
			return segment.ErrStop
		}
		c.edge.Append(span.LeafHash(line), nil)
		if note != nil && note.Size == n+1 && note.Root != c.edge.Root() {
			wrong = fmt.Sprintf("its first %d lines do not make the root of its checkpoint", n+1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if note != nil {
		c.noted = note.Size
		if c.lines.Len() < note.Size {
			wrong = fmt.Sprintf("it has %d whole lines, its checkpoint has %d", c.lines.Len(), note.Size)
		}
	}
	if wrong != "" {
		return damaged(c.dir, wrong)
	}
	if _, err := c.lines.Cut(); err != nil {
		return err
	}
	// A flush can have failed in an earlier process.
	return c.lines.Rewrite(c.noted)
}

// readPayloads counts the payloads that are whole. There are as many as lines,
// or fewer where payloads were asked for later. One that an interrupted erasure
// has half overwritten is erased whole.
func (c *copied) readPayloads(ctx context.Context) error {
	var err error
	c.payloads, err = segment.Open(c.m.cfg.FS, filepath.Join(c.dir, ndjsonstore.PayloadsDir), c.m.cfg.Limits)
	if err != nil {
		return err
	}
	var half []uint64
	if err := c.payloads.Scan(ndjsonstore.MaxContent, func(n uint64, line []byte) error {
		if n >= c.lines.Len() {
			return segment.ErrStop
		}
		if ndjsonstore.IsContent(n, line) {
			return nil
		}
		records, err := c.m.source.At(ctx, c.tenant, []uint64{n}, false)
		if err != nil {
			return err
		}
		if len(records) == 0 || !records[0].Redacted || len(line) < len(ndjsonstore.ErasedContent(n, 0)) {
			return segment.ErrStop // what a crash left of a page
		}
		half = append(half, n)
		return nil
	}); err != nil {
		return err
	}
	if _, err := c.payloads.Cut(); err != nil {
		return err
	}
	for _, n := range half {
		if err := c.eraseAt(n); err != nil {
			return err
		}
	}
	return c.payloads.Sync()
}

// eraseAt overwrites one payload.
func (c *copied) eraseAt(n uint64) error {
	return c.payloads.Overwrite(n, ndjsonstore.ErasedContent(n, int(c.payloads.Places()[n].Length)))
}

func (c *copied) close() error {
	var errs []error
	for _, series := range []*segment.Series{c.lines, c.payloads} {
		if series != nil {
			errs = append(errs, series.Close())
		}
	}
	return errors.Join(errs...)
}

// follow writes what the timeline has and the copy has not, up to one head, and
// that head's checkpoint.
func (c *copied) follow(ctx context.Context) error {
	head, err := c.m.source.Head(ctx, c.tenant)
	if err != nil {
		return err
	}
	have := c.lines.Len()
	if head.Size == have && head.Size == c.noted && (c.payloads == nil || c.payloads.Len() == have) && head.Root == c.edge.Root() {
		return nil
	}
	if err := c.m.extends(ctx, c.tenant, have, c.edge.Root()); err != nil {
		return err
	}
	for c.lines.Len() < head.Size || c.payloads != nil && c.payloads.Len() < head.Size {
		from := c.lines.Len()
		if c.payloads != nil {
			from = min(from, c.payloads.Len())
		}
		records, err := c.m.source.Range(ctx, c.tenant, from, head.Size)
		if err == nil && len(records) == 0 {
			err = timeline.ErrHashesMissing(0, from, head.Size)
		}
		if err != nil {
			return err
		}
		if err := c.write(ctx, records); err != nil {
			return err
		}
	}
	if c.edge.Root() != head.Root {
		return diverged(c.m.cfg.Dir, c.tenant, head.Size, "the lines that the store gave do not make the root of its head")
	}
	if err := segment.WriteFile(c.m.cfg.FS, c.dir, filepath.Join(c.dir, checkpointFile), head.Checkpoint); err != nil {
		return err
	}
	c.noted = head.Size
	return nil
}

// write brings one page to the medium: payloads, erasures, and then the lines,
// which are the cursor.
func (c *copied) write(ctx context.Context, records []timeline.Record) error {
	var lines [][]byte
	var fresh []*timeline.Record
	for i := range records {
		if r := &records[i]; r.Seq >= c.lines.Len() {
			lines, fresh = append(lines, r.Line), append(fresh, r)
		}
	}
	if c.payloads != nil {
		if err := c.writePayloads(records); err != nil {
			return err
		}
		if err := c.erase(ctx, fresh); err != nil {
			return err
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if err := c.lines.Append(lines); err != nil {
		return err
	}
	if err := c.lines.Sync(); err != nil {
		return err
	}
	c.lines.Commit()
	for _, line := range lines {
		c.edge.Append(span.LeafHash(line), nil)
	}
	return nil
}

func (c *copied) writePayloads(records []timeline.Record) error {
	var content [][]byte
	for i := range records {
		r := &records[i]
		switch {
		case r.Seq < c.payloads.Len():
		case r.Redacted:
			content = append(content, ndjsonstore.ErasedContent(r.Seq, 0))
		default:
			content = append(content, ndjsonstore.AppendContent(nil, &timeline.Row{Seq: r.Seq, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail}))
		}
	}
	if len(content) == 0 {
		return nil
	}
	if err := c.payloads.Append(content); err != nil {
		return err
	}
	if err := c.payloads.Sync(); err != nil {
		return err
	}
	c.payloads.Commit()
	return nil
}

// erase overwrites the payloads that these entries erased in the timeline.
func (c *copied) erase(ctx context.Context, records []*timeline.Record) error {
	var spans []string
	for _, r := range records {
		erased, err := c.erasedBy(ctx, r)
		if err != nil {
			return err
		}
		spans = append(spans, erased...)
	}
	targets, err := c.find(ctx, spans, false)
	if err != nil {
		return err
	}
	for i := range targets {
		seq := targets[i].Seq
		if !targets[i].Redacted || seq >= c.payloads.Len() {
			continue
		}
		if err := c.eraseAt(seq); err != nil {
			return err
		}
	}
	return c.payloads.Sync()
}

// erasedBy are the spans that an entry erases, perhaps: those that a redaction
// names, or the redaction that a resolution lets happen.
func (c *copied) erasedBy(ctx context.Context, r *timeline.Record) ([]string, error) {
	e, err := span.ParseLine(r.Line)
	if err != nil {
		return nil, err
	}
	switch e.Span.Type {
	case span.TypeRedaction:
		return named(r.Payload)
	case span.TypeResolution:
		p, err := span.ParseResolution(r.Payload)
		if err != nil {
			return nil, err
		}
		held, err := c.find(ctx, []string{p.Span}, true)
		if err != nil || len(held) == 0 {
			return nil, err
		}
		if typ, err := timeline.TypeOf(held[0].Line); err != nil || typ != span.TypeRedaction {
			return nil, err
		}
		return named(held[0].Payload)
	}
	return nil, nil
}

func named(payload []byte) ([]string, error) {
	p, err := span.ParseRedaction(payload)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(p.Spans))
	for i := range p.Spans {
		ids[i] = p.Spans[i].Span
	}
	return ids, nil
}

// find reads the entries of spans from the timeline as it is now.
func (c *copied) find(ctx context.Context, spans []string, full bool) ([]timeline.Record, error) {
	if len(spans) == 0 {
		return nil, nil
	}
	spent, err := c.m.source.Spent(ctx, c.tenant, spans)
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, by := range spent {
		if by.By == timeline.SpentByEntry {
			seqs = append(seqs, by.Seq)
		}
	}
	return c.m.source.At(ctx, c.tenant, seqs, full)
}

// readCheckpoint is the checkpoint beside a copy's lines; nil where there is
// none.
func (m *Mirror) readCheckpoint(dir string) (*tree.Note, error) {
	path := filepath.Join(dir, checkpointFile)
	raw, err := segment.ReadFile(m.cfg.FS, path, tree.MaxNoteSize)
	if err != nil || raw == nil {
		return nil, err
	}
	note, err := tree.ParseNote(raw)
	if err != nil {
		return nil, damaged(path, "it is no checkpoint").Because(err)
	}
	return note, nil
}

// extends says whether the store's timeline begins with the lines that make
// this root.
func (m *Mirror) extends(ctx context.Context, tenant string, size uint64, root span.Hash) error {
	head, err := m.source.Head(ctx, tenant)
	if errors.Is(err, timeline.ErrTenantUnknown) {
		return diverged(m.cfg.Dir, tenant, size, "the store has no such timeline")
	}
	if err != nil {
		return err
	}
	if head.Size < size {
		return diverged(m.cfg.Dir, tenant, size, fmt.Sprintf("the store's has only %d", head.Size))
	}
	got, err := tree.Root(ctx, hashes{m.source, tenant}, size)
	if err != nil {
		return err
	}
	if got != root {
		return diverged(m.cfg.Dir, tenant, size, "the store's have another root")
	}
	return nil
}

type hashes struct {
	source Source
	tenant string
}

func (h hashes) Hashes(ctx context.Context, level int, from, to uint64) ([]span.Hash, error) {
	return h.source.Hashes(ctx, h.tenant, level, from, to)
}

func diverged(dir, tenant string, size uint64, how string) *fault.Error {
	return fault.Newf(fault.Unavailable, codeDiverged,
		"the mirror in %s holds %d entries of tenant %s, but %s: the store is probably an older copy. The mirror is left as it is; "+
			"bring back the newer store, or move the mirror's folder of this tenant away to have it written anew", dir, size, tenant, how)
}

func damaged(path, reason string) *fault.Error {
	return fault.Newf(fault.Unavailable, codeDamaged,
		"the mirror is damaged (%s: %s); it is left as it is: move its folder away to have it written anew", path, reason)
}
