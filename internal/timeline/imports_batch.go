package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// batch makes one batch of the bundle's entries from head.Size on, nil where
// there are none. Everything before is read too: what is held must be the same,
// and the standing folds from entry 0.
func (im *importing) batch(ctx context.Context, head Head) (*Batch, error) {
	refold := NewRefold(im.log.verify, im.log.cfg.Folder)
	if err := im.each(ctx, func(r *Record) error { refold.Want(r); return nil }); err != nil {
		return nil, err
	}
	b := &Batch{Tenant: im.info.Tenant, ExpectedSize: head.Size, ExpectedRoot: head.Root}
	edge := &tree.Range{}
	grown := func(s tree.Subtree) { b.Subtrees = append(b.Subtrees, s) }
	err := im.each(ctx, func(r *Record) error {
		if r.Seq == head.Size {
			if err := im.extends(edge, head); err != nil {
				return err
			}
			refold.Changed()
		}
		f, err := refold.Fold(r)
		if err != nil {
			return err
		}
		if r.Seq < head.Size {
			edge.Append(r.Leaf, nil)
			return nil
		}
		edge.Append(r.Leaf, grown)
		b.add(r, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if edge.End() == head.Size {
		return nil, im.extends(edge, head)
	}
	b.Head = Head{Size: edge.End(), Root: edge.Root(), RecordedAt: b.Rows[len(b.Rows)-1].RecordedAt, Checkpoint: im.info.Checkpoint, Edge: edge.Hashes()}
	b.State = refold.Changed()
	im.name(b, refold)
	return b, nil
}

// extends says whether the entries of the bundle up to the size held are those
// held.
func (im *importing) extends(edge *tree.Range, head Head) error {
	if root := edge.Root(); root != head.Root {
		return im.fork(head.Size, head.Root, root)
	}
	return nil
}

// add takes one entry into a batch.
func (b *Batch) add(r *Record, f Folded) {
	b.Rows = append(b.Rows, f.Row)
	b.Spent = append(b.Spent, f.Spent...)
	b.Statuses = append(b.Statuses, f.Change.Statuses...)
	if r.Redacted {
		b.Redacted = append(b.Redacted, r.Seq)
	}
	for _, ref := range f.Change.Redacted {
		b.Redacted = append(b.Redacted, ref.Seq)
	}
	if f.Embedded != "" {
		b.Embedded = append(b.Embedded, f.Embedded)
	}
}

// name sets what the tenant's record says.
func (im *importing) name(b *Batch, refold *Refold) {
	origin := im.note.Origin.String()
	if im.held == nil {
		g := refold.View().Genesis()
		b.Create = &Tenant{
			ID: im.info.Tenant, Slug: im.slug, Name: g.Name, Node: g.Node, Owner: g.Owner, Origin: origin, LogKey: im.info.LogKey,
			CreatedAt: b.Rows[0].RecordedAt,
		}
	} else if im.held.Origin != origin {
		b.Epoch = &Epoch{Origin: origin, LogKey: im.info.LogKey}
	}
}

// each gives every entry of the bundle as a record.
func (im *importing) each(ctx context.Context, do func(*Record) error) error {
	reader, err := im.reader()
	if err != nil {
		return err
	}
	for opened, err := range reader.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		line := opened.Entry.AppendLine(nil)
		entry := opened.Entry
		r := &Record{
			Seq: opened.Seq, Line: line, Leaf: span.LeafHash(line), Entry: &entry,
			Payload: opened.Payload, Salt: opened.Salt, Detail: opened.Detail,
			Redacted: opened.Withheld == span.WithheldRedacted || opened.DetailWithheld == span.WithheldRedacted,
		}
		if err := do(r); err != nil {
			return err
		}
	}
	return nil
}
