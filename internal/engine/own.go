package engine

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// OwnOptions are the optional header members of a span by the node.
type OwnOptions struct {
	Subject    string
	Tags       []string
	Causes     []string
	Visibility string // when empty: public where the protocol asks for it, else organization
}

// SubmitOwn records a span signed by the node itself; payload is JCS. It is
// for what only a node may say; tenant is an id or a slug.
func (e *Engine) SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt OwnOptions) Result {
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		return Result{Err: err}
	}
	sp, err := e.sealOwn(tenant, typ, payload, opt, e.cfg.Now())
	if err != nil {
		return Result{Err: err}
	}
	it := &item{span: sp, hash: sp.Hash(), bytes: len(payload), known: len(e.node.Events())}
	return e.submitItem(ctx, tenant, it)
}

// sealOwn makes a span of the node's own.
func (e *Engine) sealOwn(tenant, typ string, payload []byte, opt OwnOptions, at time.Time) (*span.Span, error) {
	spanID, err := span.RandomID(at, e.random)
	if err != nil {
		return nil, noRandom(err)
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(e.random, salt); err != nil {
		return nil, noRandom(err)
	}
	if opt.Visibility == "" {
		opt.Visibility = span.VisibilityOrganization
		if span.MustBePublic(typ) {
			opt.Visibility = span.VisibilityPublic
		}
	}
	return id.SealSpan(e.node.Signer(), span.Header{
		ID: spanID, Tenant: tenant, Author: e.node.ID(), Type: typ,
		Subject: opt.Subject, Tags: opt.Tags, Causes: opt.Causes,
		Time: span.FormatTime(at), Status: span.StatusExecuted, Visibility: opt.Visibility,
	}, payload, salt)
}

func noRandom(err error) error {
	return fault.New(fault.Internal, "internal", "the node has no randomness for a span id").Because(err)
}

// lockedReader lets many goroutines read from one source.
type lockedReader struct {
	mu sync.Mutex // guards r
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
