package engine

import (
	"context"
	"errors"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// RenewEpochs opens a new epoch (PROTOCOL §5) for every timeline whose database
// does not contain the last checkpoint this node gave out, and for no other;
// with every, for every timeline that this node writes, which is what a restored
// backup takes, because nobody knows what was given out after it. It is what an
// operator orders. It returns the tenants that go on under a new origin; after
// an error, those done so far.
func (e *Engine) RenewEpochs(ctx context.Context, every bool) ([]timeline.Tenant, error) {
	const page = 100
	var renewed []timeline.Tenant
	for after := ""; ; {
		tenants, err := e.log.Tenants(ctx, after, page)
		if err != nil {
			return renewed, err
		}
		for _, t := range tenants {
			if after = t.ID; t.ReadOnly {
				continue
			}
			if done, err := e.renewEpoch(ctx, t.ID, every); err != nil {
				return renewed, err
			} else if !done {
				continue
			}
			if t, err = e.log.Tenant(ctx, t.ID); err != nil {
				return renewed, err
			}
			renewed = append(renewed, t)
		}
		if len(tenants) < page {
			return renewed, nil
		}
	}
}

// renewEpoch opens a new epoch where one is needed, and tells whether it was.
// Another process that the operator gave the same order may be first.
func (e *Engine) renewEpoch(ctx context.Context, tenant string, always bool) (done bool, err error) {
	for {
		view, err := e.log.Standing(ctx, tenant)
		if err != nil {
			return false, err
		}
		due := always && view.Node() == e.node.ID()
		if !always {
			due, err = e.regressed(ctx, tenant)
		}
		if err != nil || !due {
			return false, err
		}
		signer := e.ownSigner(ctx, view)
		_, err = e.log.NewEpoch(ctx, tenant, func(payload []byte) (*span.Span, error) {
			return e.sealOwn(signer, tenant, span.TypeEpoch, payload, OwnOptions{}, e.cfg.Now())
		})
		if !errors.Is(err, timeline.ErrHeadMoved) {
			return err == nil, err
		}
	}
}

// regressed reports whether the log refuses to sign for this tenant because the
// database is older than what was given out.
func (e *Engine) regressed(ctx context.Context, tenant string) (bool, error) {
	s, err := e.log.Begin(ctx, tenant)
	if err == nil {
		s.Close()
		return false, nil
	}
	if fault.CodeOf(err) == timeline.CodeRegression {
		return true, nil
	}
	return false, err
}
