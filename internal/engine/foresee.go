package engine

import (
	"context"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// foresee asks a state that answers what is known what the i-th item will ask when
// it is decided and folded, so that a batch's rows are read together. What it
// concludes is thrown away: every item is decided at its turn, by the rows as they
// are then. False where there is no such item, or nothing can be said yet.
func (r *round) foresee(ctx context.Context, batch []*item, i int, state timeline.DecisionState) (more bool) {
	if i >= len(batch) || r.asked == nil {
		return false
	}
	defer func() {
		if recover() != nil {
			more = true // it panics again at its turn, and to its own cost alone
		}
	}()
	it := batch[i]
	if it.span == nil || it.span.Author == r.engine.node.ID() {
		return true
	}
	w := *r.asked
	w.State = state
	o, err := r.engine.inTime(ctx, func(ctx context.Context) (*rules.Outcome, error) {
		return r.engine.decide(ctx, &w, it.span, r.position())
	})
	if err != nil || o.Verdict > rules.Pending {
		return true
	}
	at := r.position()
	e := &span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: it.span.Header, Decision: o.Decision}
	_, _ = Folder{}.Fold(ctx, e, it.span.Payload, state) // likewise
	return true
}
