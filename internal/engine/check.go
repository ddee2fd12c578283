package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// ErrSignature refuses a span that the key it names has not signed.
var ErrSignature = fault.New(fault.Invalid, "signature_invalid",
	`the signature does not verify: sign "logline.span.v1\n" followed by the canonical header without signature with the key you name`).
	At("/signature/value", "does not verify")

// begin waits for one of the Config.Workers places to check spans in; the caller
// gives it back by end.
func (e *Engine) begin(ctx context.Context) error {
	select {
	case e.checks <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errCancelled.Because(context.Cause(ctx))
	}
}

func (e *Engine) end() { <-e.checks }

// check does everything about a span that needs no lock: form, limits, payload
// hash, tenant, signature. The caller has begun.
func (e *Engine) check(ctx context.Context, tenant string, raw []byte) (*item, error) {
	sp, err := span.Parse(raw, e.cfg.Limits)
	if err != nil {
		return nil, err
	}
	if sp.Tenant != tenant {
		return nil, fault.New(fault.Invalid, "tenant_mismatch",
			"the span is signed for another tenant; send it there, or sign it for this one").
			At("/tenant", "is not the tenant it was sent to")
	}
	if err := e.checkSignature(&sp.Header); err != nil {
		return nil, err
	}
	if sp.Type == span.TypeContract {
		if err := e.mayChangeWide(ctx, tenant, sp); err != nil {
			return nil, err
		}
	}
	it := &item{span: sp, hash: sp.Hash(), bytes: len(raw)}
	return it, e.noteChain(ctx, it)
}

func (e *Engine) checkSignature(h *span.Header) error {
	if !Signed(e.verify, h) {
		return ErrSignature
	}
	return nil
}

// Signed says whether a span is signed by the key that it names.
func Signed(v id.Verifier, h *span.Header) bool {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.message = h.AppendMessage(s.message[:0])
	return h.Signature.Decode(&s.key, &s.value) && v.Verify(s.key[:], s.message, s.value[:])
}

// scratch is what checking one signature needs; it is used over and over.
type scratch struct {
	key     [32]byte
	value   [64]byte
	message []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// strangers says of spans by one author that the timeline does not hold it, before
// they cost it anything: a place in the queue, or the time of its sequencer, by
// which somebody could tell that it is there. What is first in a request cannot
// have been preceded by the author's first role.
func (e *Engine) strangers(ctx context.Context, tenant string, items []*item) bool {
	for _, it := range items {
		if it.span.Author != items[0].span.Author {
			return false // one may give the other a role; the sequencer sees
		}
	}
	if len(items) == 0 || items[0].span.Author == e.node.ID() {
		return false
	}
	known, err := e.log.Knows(ctx, tenant, items[0].span.Author)
	return err == nil && !known
}

// noteChain remembers how many key events the node holds of the author, so that
// the sequencer sees without asking whether the timeline misses some. A
// directory that cannot be read stops the span: a revocation may be in it.
func (e *Engine) noteChain(ctx context.Context, it *item) (err error) {
	it.known, err = e.chains.length(it.span.Author, e.cfg.Now(), func() (int, error) {
		chain, err := e.dir.Chain(ctx, it.span.Author)
		switch {
		case err == nil:
			return chain.Len(), nil
		case fault.KindOf(err) == fault.NotFound:
			return 0, nil
		}
		return 0, err
	})
	return err
}

const (
	maxChains = 10_000
	// chainAge is how long another process's key event may go unnoticed where
	// that process could not reach the timeline; one of this process never does.
	chainAge = time.Second
)

// chainLengths remembers how long the directory's chains are. Every event this
// process takes makes it forget everything.
type chainLengths struct {
	generation atomic.Uint64

	mu      sync.RWMutex // guards lengths
	lengths map[string]chainLength
}

type chainLength struct {
	length     int
	generation uint64
	at         time.Time
}

// forget is called after an event has been added to the directory.
func (c *chainLengths) forget() { c.generation.Add(1) }

func (c *chainLengths) length(identity string, now time.Time, read func() (int, error)) (int, error) {
	// Taken before reading: what was read before an event is never remembered after it.
	generation := c.generation.Load()
	c.mu.RLock()
	known, ok := c.lengths[identity]
	c.mu.RUnlock()
	if ok && known.generation == generation && now.Sub(known.at) < chainAge {
		return known.length, nil
	}
	n, err := read()
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lengths == nil || len(c.lengths) >= maxChains {
		c.lengths = make(map[string]chainLength)
	}
	c.lengths[identity] = chainLength{length: n, generation: generation, at: now}
	return n, nil
}
