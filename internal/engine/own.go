package engine

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// OwnOptions are the optional header members of a span by the node.
type OwnOptions struct {
	ID         string // one that follows from what the span is for; when empty: a random one
	Title      string
	Subject    string
	Tags       []string
	Causes     []string
	OnBehalfOf string // who asked the node to say it
	OccurredAt string // when it happened, where that is not now
	Visibility string // when empty: public where the protocol asks for it, else organization
}

// SubmitOwn records a span signed by the node itself; payload is JCS. It is
// for what only a node may say; tenant is an id or a slug.
func (e *Engine) SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt OwnOptions) Result {
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		return Result{Err: err}
	}
	for {
		signer := e.node.Signer()
		sp, err := e.sealOwn(signer, tenant, typ, payload, opt, e.cfg.Now())
		if err != nil {
			return Result{Err: err}
		}
		if _, err := span.Parse(sp.Canonical(), e.cfg.Limits); err != nil {
			return Result{Err: err} // what a contract says may be of no form that a span has
		}
		it := &item{span: sp, hash: sp.Hash(), bytes: len(payload), known: len(e.node.Events())}
		r := e.submitItem(ctx, tenant, it)
		if fault.CodeOf(r.Err) == "key_rotated" && e.rotatedSince(ctx, signer) {
			continue // the node's key rotated while the span waited
		}
		return r
	}
}

// rotatedSince says whether the node's key is another by now, also when another
// process of this node rotated it.
func (e *Engine) rotatedSince(ctx context.Context, signer id.Signer) bool {
	if e.node.Signer().Public() == signer.Public() {
		e.refresh(ctx)
	}
	return e.node.Signer().Public() != signer.Public()
}

// refresh reads the node's keys again; without an answer it goes on with those
// it has.
func (e *Engine) refresh(ctx context.Context) {
	if err := e.node.Refresh(ctx); err != nil {
		e.cfg.Logger.WarnContext(ctx, "the node's keys could not be read again", slog.Any("error", err))
	}
}

// ownSigner is the node's primary key as a timeline knows it: a former one
// where the node's rotation has not reached it, and one that this process has
// yet to read where another process of this node rotated.
func (e *Engine) ownSigner(ctx context.Context, view standing.View) id.Signer {
	chain, ok := view.Identity(e.node.ID())
	if !ok {
		return e.node.Signer()
	}
	if s := e.node.SignerFor(chain.Primary()); s != nil {
		return s
	}
	e.refresh(ctx)
	if s := e.node.SignerFor(chain.Primary()); s != nil {
		return s
	}
	return e.node.Signer()
}

// sealOwn makes a span of the node's own.
func (e *Engine) sealOwn(signer id.Signer, tenant, typ string, payload []byte, opt OwnOptions, at time.Time) (*span.Span, error) {
	if signer == nil {
		return nil, fault.New(fault.Internal, "node_key_missing", "the node's key file lacks a key that the node once had; restore the file from a backup")
	}
	spanID, err := opt.ID, error(nil)
	if spanID == "" {
		if spanID, err = span.RandomID(at, e.random); err != nil {
			return nil, noRandom(err)
		}
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
	return id.SealSpan(signer, span.Header{
		ID: spanID, Tenant: tenant, Author: e.node.ID(), Type: typ, Title: opt.Title,
		Subject: opt.Subject, Tags: opt.Tags, Causes: opt.Causes,
		OnBehalfOf: opt.OnBehalfOf, OccurredAt: opt.OccurredAt,
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
