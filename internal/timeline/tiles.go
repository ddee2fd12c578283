package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Tile is the bytes of a tile (C2SP tlog-tiles), which never change: hashes of
// the tree, or the lines of entries, whose headers are for auditors alone. One
// that the timeline does not have, or not in this width, is tile_unknown.
func (l *Log) Tile(ctx context.Context, tenant string, t tree.Tile) ([]byte, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return nil, err
	}
	if !t.In(head.Size) {
		return nil, fault.Newf(fault.NotFound, "tile_unknown",
			"a timeline of %d entries has no tile %s; ask for those of a checkpoint's size", head.Size, t)
	}
	if t.Entries {
		return l.entryTile(ctx, id, t)
	}
	stored, err := l.store.Hashes(ctx, id, t.Level*tree.StoredStep, t.From(), t.To())
	if err != nil {
		return nil, err
	}
	return tree.AppendTile(nil, stored), nil
}

func (l *Log) entryTile(ctx context.Context, id string, t tree.Tile) ([]byte, error) {
	seqs := make([]uint64, t.Width)
	for i := range seqs {
		seqs[i] = t.From() + uint64(i)
	}
	records, err := l.store.At(ctx, id, seqs, false)
	if err != nil {
		return nil, err
	}
	if len(records) != t.Width {
		return nil, ErrHashesMissing(0, t.From(), t.To())
	}
	var out []byte
	for i := range records {
		out = tree.AppendTileEntry(out, records[i].Line)
	}
	return out, nil
}
