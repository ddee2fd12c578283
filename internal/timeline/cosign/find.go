package cosign

import (
	"context"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Covering is the smallest checkpoint that covers entry seq and has the
// cosignatures that the policy asks for, with them; ErrNone where there is none.
func (b *Book) Covering(ctx context.Context, tenant string, seq uint64) ([]byte, error) {
	if !b.Any() {
		return nil, errUnset
	}
	// An imported timeline keeps its cosignatures in its own checkpoints.
	_, own, err := b.log.Checkpoint(ctx, tenant, seq)
	if err != nil {
		return nil, err
	}
	if note, ok, err := b.enough(ctx, tenant, own); err != nil || ok {
		return note, err
	}
	return b.find(ctx, tenant, seq, false)
}

// Newest is the largest checkpoint that has the cosignatures that the policy
// asks for, with them; ErrNone where there is none.
func (b *Book) Newest(ctx context.Context, tenant string) ([]byte, error) {
	if !b.Any() {
		return nil, errUnset
	}
	head, err := b.log.Head(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if note, ok, err := b.enough(ctx, tenant, head.Checkpoint); err != nil || ok {
		return note, err
	}
	return b.find(ctx, tenant, head.Size+1, true)
}

// find tries the checkpoints of which cosignatures are held, in order of size.
func (b *Book) find(ctx context.Context, tenant string, at uint64, descending bool) ([]byte, error) {
	for {
		sizes, err := b.sizes(ctx, tenant, at, descending)
		if err != nil {
			return nil, err
		}
		for _, size := range sizes {
			at = size
			_, own, err := b.log.Checkpoint(ctx, tenant, size-1)
			if fault.KindOf(err) == fault.NotFound {
				continue // an older copy of the timeline than of the cosignatures
			}
			if err != nil {
				return nil, err
			}
			if note, ok, err := b.enough(ctx, tenant, own); err != nil || ok {
				return note, err
			}
		}
		if len(sizes) == 0 {
			return nil, ErrNone
		}
	}
}

// enough dresses a checkpoint and holds it against the policy. One without any
// cosignature is not enough for any policy: who asks for cosigned wants one.
func (b *Book) enough(ctx context.Context, tenant string, own []byte) ([]byte, bool, error) {
	note, err := b.Dress(ctx, tenant, own)
	if err != nil {
		return nil, false, err
	}
	n, err := tree.ParseNote(note)
	if err != nil {
		return nil, false, err
	}
	r := b.cfg.Policy.Evaluate(n)
	if !r.QuorumMet || len(r.Cosigned) == 0 {
		return nil, false, nil
	}
	return note, true, nil
}

// Await is Covering, once there is such a checkpoint; ErrNone where ctx ends
// before.
func (b *Book) Await(ctx context.Context, tenant string, seq uint64) ([]byte, error) {
	for {
		news := b.listen(tenant)
		note, err := b.Covering(ctx, tenant, seq)
		if ctx.Err() != nil {
			return nil, ErrNone
		}
		if !errors.Is(err, ErrNone) {
			return note, err
		}
		timer := time.NewTimer(b.cfg.Poll)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// listen is closed when this process takes a cosignature for the tenant.
func (b *Book) listen(tenant string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.news[tenant] == nil {
		b.news[tenant] = make(chan struct{})
	}
	return b.news[tenant]
}

func (b *Book) announce(tenant string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if news := b.news[tenant]; news != nil {
		close(news)
		delete(b.news, tenant)
	}
}
