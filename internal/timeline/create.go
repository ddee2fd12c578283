package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Create begins a timeline with its first batch, the genesis span first, and
// records the tenant in the same transaction. Of t only PublicReading is read;
// everything else follows from genesis. The log key in genesis must be this
// node's own. A slug or id that exists is ErrTenantTaken.
func (l *Log) Create(ctx context.Context, t Tenant, drafts []Draft) ([]Receipt, error) {
	if len(drafts) == 0 {
		return nil, fault.New(fault.Internal, "genesis_missing", "a timeline begins with a genesis span")
	}
	g, err := span.ParseGenesis(drafts[0].Span.Payload)
	if err != nil {
		return nil, err
	}
	lv := newLive(g.Tenant) // its own: the shared one is made from the store
	<-lv.turn
	defer lv.release()
	lv.head = Head{Root: tree.EmptyRoot()}
	lv.state = standing.New(l.verify)
	if err := l.agree(ctx, lv); err != nil {
		return nil, err
	}
	s, err := l.session(ctx, lv)
	if err != nil {
		return nil, err
	}
	at := span.FormatTime(l.cfg.Now())
	origin := tree.Origin{Tenant: g.Tenant, Node: g.Node}
	key, err := tree.VerifierKey(origin, l.signer.LogKey())
	if err != nil {
		return nil, err
	}
	s.create = &Tenant{
		ID: g.Tenant, Slug: g.Slug, Name: g.Name, Node: g.Node, Owner: g.Owner, Origin: origin.String(), LogKey: key,
		PublicReading: t.PublicReading, CreatedAt: at,
	}
	for i := range drafts {
		if _, err := s.Admit(&drafts[i], at); err != nil {
			return nil, err
		}
	}
	if err := l.ownsKey(s.tx); err != nil {
		return nil, err
	}
	return s.Commit(ctx)
}
