package engine

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// own says whether the node itself says it: quotas do not keep it from that.
func (r *round) own(it *item) bool { return it.span.Author == r.engine.node.ID() }

// mayUse says whether the tenant's quotas let a span be recorded too, before it is
// decided.
func (r *round) mayUse(it *item) error {
	if r.room == nil || r.own(it) || it.dryRun || it.span.Status == span.StatusSimulated {
		return nil
	}
	if err := r.room.MayRecord(it.span.Type, it.bytes); err != nil {
		return err
	}
	if it.span.Type != span.TypeMember {
		return nil
	}
	change, err := span.ParseMember(it.span.Payload)
	if err != nil || change.Action != span.ActionGrant {
		return nil // its form is judged elsewhere
	}
	members := r.session.Tx().Members()
	if slices.ContainsFunc(members, func(m standing.Member) bool { return m.Identity == change.Identity }) {
		return nil
	}
	return r.room.MayAdd(len(members))
}

// noteUse notes a span that was admitted and the tasks that it asks for.
func (r *round) noteUse(it *item, tasks int) {
	if !r.own(it) {
		r.sent++
		r.room.Took(it.bytes, tasks)
	}
}

// countRecorded tells the tenant's quotas what was committed.
func (r *round) countRecorded(ctx context.Context, receipts []timeline.Receipt) {
	quotas := r.engine.cfg.Quotas
	if quotas == nil || len(receipts) == 0 {
		return
	}
	bytes, size, erased := r.content, receipts[len(receipts)-1].Size, false
	for i := range receipts {
		bytes += int64(len(receipts[i].Line))
		erased = erased || quota.Erases(receipts[i].Line)
	}
	quotas.Recorded(ctx, r.tenant, size-uint64(len(receipts)), size, r.sent, bytes, erased)
}
