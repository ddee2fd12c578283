package fsck

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// derivedRow is what is derived from an entry, as of the end of the timeline.
func (r *Result) derivedRow(rec *timeline.Record) (timeline.RebuiltRow, error) {
	rec.Leaf = span.LeafHash(rec.Line)
	row := timeline.RebuiltRow{Row: timeline.RowOf(rec), Redacted: r.redacted[rec.Seq]}
	if s, ok := r.status[rec.Seq]; ok {
		row.Status = s
	}
	var err error
	row.Spent, err = timeline.Spends(rec)
	row.Payload, row.Salt, row.Detail = nil, "", nil
	return row, err
}

// Repair puts what the lines make in the place of everything derived, in one
// transaction. Lines and checkpoints are not touched, and payloads only where a
// redaction has ended them. Nobody else may write meanwhile: a timeline that
// has grown since the check is refused (timeline.ErrRebuildStale).
func Repair(ctx context.Context, k timeline.Keeper, res *Result) error {
	if !res.CanRepair() {
		return fault.Newf(fault.Conflict, "repair_impossible",
			"the timeline of tenant %s has nothing to repair, or lines that are damaged themselves; restore a backup", res.Tenant)
	}
	r := *res.rebuilt
	r.Rows = func(ctx context.Context, each func(timeline.RebuiltRow) error) error {
		return k.Snapshot(ctx, func(snap timeline.Snapshot) error {
			next := uint64(0)
			err := walk(ctx, snap, r.Tenant.ID, 0, func(rec *timeline.Record) error {
				if rec.Seq != next || next >= r.Head.Size {
					return timeline.ErrRebuildStale
				}
				next++
				if err := rec.Parse(); err != nil {
					return err
				}
				row, err := res.derivedRow(rec)
				if err != nil {
					return err
				}
				return each(row)
			})
			if err == nil && next != r.Head.Size {
				err = timeline.ErrRebuildStale
			}
			return err
		})
	}
	if err := k.Rebuild(ctx, &r); err != nil {
		return err
	}
	res.Repaired = true
	return nil
}
