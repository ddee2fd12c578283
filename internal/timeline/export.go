package timeline

import (
	"context"
	"io"
	"iter"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Export writes the bundle (PROTOCOL §6) of the entries from <= seq < to, as
// far as the reader may see them, with the checkpoint of the head. A to of 0
// means the head; one beyond it is bundle_range_invalid. After an error what was written is not a
// bundle.
func (l *Log) Export(ctx context.Context, w io.Writer, tenant string, from, to uint64, r standing.Reader) error {
	t, head, note, err := l.end(ctx, tenant)
	if err != nil {
		return err
	}
	if to == 0 {
		to = head.Size
	}
	checkpoint, err := l.dress(ctx, t.ID, head.Checkpoint)
	if err != nil {
		return err
	}
	return l.export(ctx, w, t, note, checkpoint, from, to, r)
}

// ExportCosigned is Export of the entries from <= seq up to the end of the newest
// checkpoint that has enough cosignatures, with that; not_cosigned where the
// present epoch has none, or none beyond from.
func (l *Log) ExportCosigned(ctx context.Context, w io.Writer, tenant string, from uint64, r standing.Reader) error {
	checkpoint, err := l.CosignedCheckpoint(ctx, tenant)
	if err != nil {
		return err
	}
	note, err := tree.ParseNote(checkpoint)
	if err != nil {
		return err
	}
	t, err := l.Tenant(ctx, tenant)
	if err != nil {
		return err
	}
	if note.Origin.String() != t.Origin || note.Size < from {
		return fault.Newf(fault.NotFound, "not_cosigned",
			"the newest checkpoint with enough cosignatures is of %d entries, of %s; ask again later, or without cosigned", note.Size, note.Origin)
	}
	return l.export(ctx, w, t, note, checkpoint, from, note.Size, r)
}

// export writes the bundle of [from, to) under a checkpoint of the present epoch.
func (l *Log) export(ctx context.Context, w io.Writer, t Tenant, note *tree.Note, checkpoint []byte, from, to uint64, r standing.Reader) error {
	events, err := l.nodeEvents(ctx, t.ID, note.Origin.Node, note.Size)
	if err != nil {
		return err
	}
	view, err := l.Standing(ctx, t.ID)
	if err != nil {
		return err
	}
	genesis := view.Genesis() // an imported timeline may have another slug here
	info := bundle.Info{
		Tenant: t.ID, Slug: genesis.Slug, Name: genesis.Name, Node: note.Origin.Node, Events: events, LogKey: t.LogKey,
		Checkpoint: checkpoint, From: from, To: to,
	}
	return bundle.Write(ctx, w, info, hashes{l.store, t.ID}, l.bundleEntries(ctx, t.ID, from, to, r))
}

// end is a tenant's record with a head of the same epoch.
func (l *Log) end(ctx context.Context, tenant string) (Tenant, Head, *tree.Note, error) {
	var note *tree.Note
	const tries = 3 // an epoch can begin between the two reads; epochs are few
	for range tries {
		t, err := l.Tenant(ctx, tenant)
		if err != nil {
			return Tenant{}, Head{}, nil, err
		}
		head, err := l.store.Head(ctx, t.ID)
		if err == nil {
			note, err = tree.ParseNote(head.Checkpoint)
		}
		if err != nil {
			return Tenant{}, Head{}, nil, err
		}
		if note.Origin.String() == t.Origin {
			return t, head, note, nil
		}
	}
	return Tenant{}, Head{}, nil, fault.Newf(fault.Internal, "head_damaged",
		"the record of tenant %s and its checkpoint are of different epochs; check the timeline with fsck or restore a backup", tenant)
}

// bundleEntries are the entries of [from, to) as the reader may see them. While
// one page is written the next is read.
func (l *Log) bundleEntries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) iter.Seq2[bundle.Entry, error] {
	return func(yield func(bundle.Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan exportPage)
		go l.readAhead(ctx, tenant, from, to, pages)
		defer func() {
			cancel()
			for range pages { // it is closed when nothing is read any more
			}
		}()
		for p := range pages {
			if p.err != nil {
				yield(bundle.Entry{}, p.err)
				return
			}
			for i := range p.records {
				if e, err := p.records[i].bundled(r); !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// exportPage is a run of records, or why there are none.
type exportPage struct {
	records []Record
	err     error
}

// readAhead reads [from, to) page by page until that, an error or ctx ends it.
func (l *Log) readAhead(ctx context.Context, tenant string, from, to uint64, pages chan<- exportPage) {
	defer close(pages)
	for from < to {
		records, err := l.store.Range(ctx, tenant, from, to)
		if err == nil && len(records) == 0 {
			err = ErrHashesMissing(0, from, to)
		}
		select {
		case pages <- exportPage{records, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		from += uint64(len(records))
	}
}

// bundled is a record as a reader's bundle has it. What is shown to the reader
// whoever its author is needs no parsing.
func (r *Record) bundled(reader standing.Reader) (bundle.Entry, error) {
	shown := reader.ReadsAll() || standing.MayRead(reader, span.LineVisibility(r.Line), "", "")
	sound := shown && !r.Redacted && r.Payload != nil && r.Detail == nil && span.LeafHash(r.Line) == r.Leaf
	if !sound {
		if err := r.parse(); err != nil {
			return bundle.Entry{}, err
		}
		if !r.VisibleTo(reader) {
			return bundle.Entry{Seq: r.Seq, Hidden: true, Leaf: r.Leaf}, nil
		}
	}
	e := bundle.Entry{Seq: r.Seq, Sound: sound, Line: r.Line, Parsed: r.Entry, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail}
	if r.Redacted {
		e.Withheld = span.WithheldRedacted
		if r.Entry.Decision.DetailHash != "" {
			e.DetailWithheld = span.WithheldRedacted
		}
	}
	return e, nil
}
