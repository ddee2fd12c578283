package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// NewEpoch goes on from the store's head under a new origin (PROTOCOL §5),
// whatever checkpoint was given out before: what an operator orders after a
// database was restored from an older copy. The entries below stay; the first
// entry of the epoch is a logline.epoch span, which seal makes of its payload
// as the node's own span. The epoch is one more than the highest that the
// database and the disk note know.
//
// Only the node that writes the timeline can do so (log_key_mismatch), under a
// log key that the timeline knows to be delegated.
func (l *Log) NewEpoch(ctx context.Context, tenant string, seal func(payload []byte) (*span.Span, error)) (Receipt, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Receipt{}, err
	}
	lv, err := l.existing(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	if err := lv.take(ctx); err != nil {
		return Receipt{}, err
	}
	s, err := l.beginEpoch(ctx, lv)
	if err != nil {
		lv.release()
		return Receipt{}, err
	}
	defer s.Close()
	origin := tree.Origin{Tenant: id, Node: l.signer.NodeID(), Epoch: s.epochN}
	payload, err := span.Canonical(span.Epoch{
		PrevOrigin: tree.Origin{Tenant: id, Node: lv.state.Node(), Epoch: s.epochN - 1}.String(),
		PrevSize:   s.head.Size, PrevRoot: s.head.Root.String(), LogKey: tree.EncodeLogKey(l.signer.LogKey()),
	})
	if err != nil {
		return Receipt{}, err
	}
	key, err := tree.VerifierKey(origin, l.signer.LogKey())
	if err != nil {
		return Receipt{}, err
	}
	s.epoch = &Epoch{Origin: origin.String(), LogKey: key}
	sp, err := seal(payload)
	if err != nil {
		return Receipt{}, err
	}
	if _, err := s.Admit(&Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}}, span.FormatTime(l.cfg.Now())); err != nil {
		return Receipt{}, err
	}
	if got := s.origin(); got != origin {
		return Receipt{}, fault.Newf(fault.Internal, "epoch_mismatch", "the epoch span opens %s, not %s", got, origin)
	}
	receipts, err := s.Commit(ctx)
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// beginEpoch is begin without agreement on what was given out.
func (l *Log) beginEpoch(ctx context.Context, lv *live) (*Session, error) {
	if err := l.refresh(ctx, lv); err != nil {
		return nil, err
	}
	if lv.state.Node() != l.signer.NodeID() {
		return nil, l.ownsKey(lv.state)
	}
	if err := l.recall(lv); err != nil {
		return nil, err
	}
	s, err := l.session(ctx, lv)
	if err != nil {
		return nil, err
	}
	n, _ := lv.state.Epoch()
	if g := lv.given; g != nil && g.Origin.Node == lv.state.Node() {
		n = max(n, g.Origin.Epoch)
	}
	s.epochN = n + 1
	return s, nil
}
