package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Witnesses is what is known of witnesses' cosignatures. Tenants are ids. It is
// safe for concurrent use. *cosign.Book implements it.
type Witnesses interface {
	// Any says whether there are witnesses to wait for.
	Any() bool
	// Add takes the cosignatures of a checkpoint, after checking them.
	Add(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error)
	// Dress adds what is held to a checkpoint.
	Dress(ctx context.Context, tenant string, note []byte) ([]byte, error)
	// Newest is the largest checkpoint whose cosignatures are enough, and
	// Covering the smallest that covers an entry; not_found where there is none.
	Newest(ctx context.Context, tenant string) ([]byte, error)
	Covering(ctx context.Context, tenant string, seq uint64) ([]byte, error)
	// Await waits for Covering until ctx ends.
	Await(ctx context.Context, tenant string, seq uint64) ([]byte, error)
}

var errNoWitnesses = fault.New(fault.NotFound, "witnesses_unset", "this node keeps no cosignatures")

// Witnessed says whether there are witnesses whose cosignatures can be waited for.
func (l *Log) Witnessed() bool { return l.cfg.Witnesses != nil && l.cfg.Witnesses.Any() }

// dress adds the cosignatures that are held to a checkpoint of tenant (id).
func (l *Log) dress(ctx context.Context, tenant string, note []byte) ([]byte, error) {
	if l.cfg.Witnesses == nil || len(note) == 0 {
		return note, nil
	}
	return l.cfg.Witnesses.Dress(ctx, tenant, note)
}

// Cosign takes the cosignatures that a signed checkpoint carries. It returns the
// checkpoint with all that are held, and whether any was news.
func (l *Log) Cosign(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, false, err
	}
	if l.cfg.Witnesses == nil {
		return nil, false, errNoWitnesses
	}
	return l.cfg.Witnesses.Add(ctx, id, note)
}

// CosignedCheckpoint is the newest checkpoint whose cosignatures are enough for
// the node's policy; not_found not_cosigned where there is none.
func (l *Log) CosignedCheckpoint(ctx context.Context, tenant string) ([]byte, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if l.cfg.Witnesses == nil {
		return nil, errNoWitnesses
	}
	return l.cfg.Witnesses.Newest(ctx, id)
}

// CosignedReceipt is a receipt of entry seq under the smallest checkpoint whose
// cosignatures are enough for the node's policy. With wait it waits for one
// until ctx ends. Where there is none it is not_found not_cosigned.
func (l *Log) CosignedReceipt(ctx context.Context, tenant string, seq uint64, wait bool) (Receipt, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Receipt{}, err
	}
	if l.cfg.Witnesses == nil {
		return Receipt{}, errNoWitnesses
	}
	find := l.cfg.Witnesses.Covering
	if wait {
		find = l.cfg.Witnesses.Await
	}
	note, err := find(ctx, id, seq)
	if err != nil {
		return Receipt{}, err
	}
	n, err := tree.ParseNote(note)
	if err != nil {
		return Receipt{}, err
	}
	return l.receiptUnder(context.WithoutCancel(ctx), id, seq, n.Size, note)
}
