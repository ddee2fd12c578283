package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// maxClaims bounds how many claims lead from one identity to the next.
const maxClaims = 4

// EmbedEvent takes a key event of a registered identity: it checks it, adds it
// to the directory, and appends it to every timeline that holds the identity
// before it returns. Tenants whose timeline could not be reached are named in
// pending; they get the event before that identity's next span. The same event
// again changes nothing and embeds where it is still missing. Because each new
// one grows every timeline that holds the identity, and no role is needed for
// it, they are limited to Config.EventQuota a minute (limited key_event_quota).
func (e *Engine) EmbedEvent(ctx context.Context, identity string, event []byte) (info id.Info, pending []string, err error) {
	return e.embed(ctx, identity, event, func(ctx context.Context) (id.Info, error) { return e.dir.Add(ctx, identity, event) })
}

// EmbedHeld is EmbedEvent for an event that this node signed for an identity in
// its custody: keep adds it to the directory together with the keys it leaves.
func (e *Engine) EmbedHeld(ctx context.Context, identity string, event []byte, keep func(context.Context) (id.Info, error)) (id.Info, []string, error) {
	return e.embed(ctx, identity, event, keep)
}

func (e *Engine) embed(ctx context.Context, identity string, event []byte, add func(context.Context) (id.Info, error)) (info id.Info, pending []string, err error) {
	_, _, changed, err := e.dir.Check(ctx, identity, event)
	if err != nil {
		return id.Info{}, nil, err
	}
	if changed && identity == e.node.ID() {
		return id.Info{}, nil, fault.New(fault.Forbidden, "node_events_own",
			"this node's own key events come from the node itself: a rotation from elsewhere would end its log key, and with it every timeline here")
	}
	if now := e.cfg.Now(); changed {
		if wait := e.events.wait("", identity, now); wait > 0 {
			return id.Info{}, nil, fault.Newf(fault.Limited, "key_event_quota",
				"an identity may have %d key events a minute here; send the event again in a moment", e.cfg.EventQuota).After(wait)
		}
		e.events.spend("", identity, now)
		info, err = add(ctx)
		e.chains.forget()
	} else {
		info, err = e.dir.Get(ctx, identity)
	}
	if err != nil {
		return id.Info{}, nil, err
	}
	// The event is in the directory for good: from here on it is embedded
	// whether or not the caller still waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.CommitTimeout)
	defer cancel()
	pending, err = e.embedEverywhere(ctx, identity)
	return info, pending, err
}

// EmbedNode brings the directory and every timeline up to date with the node's
// own key events: after Node.Rotate, and at start, where a crash may have come
// between. A rotation and the log key's delegation under it enter each timeline
// in one batch, signed with the key that the timeline knows. Tenants that could
// not be reached are pending, as after EmbedEvent.
func (e *Engine) EmbedNode(ctx context.Context) (pending []string, err error) {
	info, err := e.dir.Get(ctx, e.node.ID())
	if err != nil {
		return nil, err
	}
	for _, event := range e.node.Events()[min(len(info.Events), len(e.node.Events())):] {
		if _, err := e.dir.Add(ctx, e.node.ID(), event); err != nil {
			return nil, err
		}
	}
	e.chains.forget()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.CommitTimeout)
	defer cancel()
	return e.embedEverywhere(ctx, e.node.ID())
}

// embedEverywhere brings an identity up to date in all timelines that hold it.
func (e *Engine) embedEverywhere(ctx context.Context, identity string) (pending []string, err error) {
	tenants, err := e.log.Holding(ctx, identity)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "embedding_unknown",
			"the event is accepted, but which timelines hold this identity could not be read; send the event again").
			Because(err).After(time.Second)
	}
	failures := e.inEach(ctx, tenants, func() *item { return &item{embed: []string{identity}} })
	for i, tenant := range tenants {
		failure := failures[i]
		if fault.CodeOf(failure) == timeline.CodeReadOnly {
			continue // its own node embeds
		}
		if failure != nil {
			e.cfg.Logger.WarnContext(ctx, "key event not embedded yet", slog.String("tenant", tenant),
				slog.String("identity", identity), slog.Any("error", failure))
			pending = append(pending, tenant)
		}
	}
	return pending, nil
}

// inEach has one item done in each of several timelines at once, and says what
// came of each.
func (e *Engine) inEach(ctx context.Context, tenants []string, what func() *item) []error {
	items, errs := make([]*item, len(tenants)), make([]error, len(tenants))
	for i, tenant := range tenants {
		items[i] = what()
		items[i].reply = newReply(1)
		errs[i] = e.enqueue(tenant, items[i:i+1])
	}
	for i, tenant := range tenants {
		if errs[i] == nil {
			e.await(ctx, tenant, items[i:i+1], items[i].reply)
			errs[i] = items[i].reply.answers[0].Err
		}
	}
	return errs
}

// eventsOf is everything the node knows of an identity, in the order taken.
func (e *Engine) eventsOf(ctx context.Context, identity string) ([][]byte, error) {
	info, err := e.dir.Get(ctx, identity)
	if identity == e.node.ID() {
		if own := e.node.Events(); err != nil || len(own) > len(info.Events) {
			return own, nil
		}
	}
	return info.Events, err
}

// embedAuthor puts the author's missing key events before the author's span.
// The directory's chain is longer than the embedded one when the timeline was
// out of reach as an event was taken.
func (r *round) embedAuthor(ctx context.Context, it *item) error {
	author := it.span.Author
	chain, ok := r.session.Tx().Identity(author)
	if !ok || it.known <= chain.Len() {
		return nil
	}
	if err := r.catchUp(ctx, author, maxClaims); err != nil {
		return notEmbedded(author, err)
	}
	return nil
}

// embedMember puts the key events of the identity that a grant names before
// the grant. It does so only for an author with the right to grant: for anybody
// else the refusal follows, and nothing must stay behind.
func (r *round) embedMember(ctx context.Context, sp *span.Span) error {
	if sp.Type != span.TypeMember {
		return nil
	}
	m, err := span.ParseMember(sp.Payload)
	if err != nil {
		return err
	}
	view := r.session.Tx()
	chain, ok := view.Identity(sp.Author)
	if m.Action != span.ActionGrant || !ok || !view.Can(sp.Author, standing.RightAdminister) {
		return nil
	}
	if err := chain.MaySign(sp.Signature.Key, sp.Type, r.recordedAt); err != nil {
		return err
	}
	if err := r.catchUp(ctx, m.Identity, maxClaims); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return fault.Newf(fault.Invalid, "identity_unknown",
				"%s is not registered at this node; register it first, then grant it a role", m.Identity).
				At("/payload/identity", "unknown identity")
		}
		return notEmbedded(m.Identity, err)
	}
	return nil
}

func notEmbedded(identity string, err error) error {
	return fault.Newf(fault.Unavailable, "identity_not_embedded",
		"the newest key events of %s could not be put on this timeline, so the span was not recorded; send it again later", identity).
		Because(err).After(time.Second)
}

// embedItem does what an item without a span asks.
func (r *round) embedItem(ctx context.Context, it *item) error {
	for _, identity := range it.embed {
		if err := r.catchUp(ctx, identity, maxClaims); err != nil {
			return err
		}
	}
	return nil
}

// catchUp appends the key events of identity that the directory holds and the
// timeline does not.
func (r *round) catchUp(ctx context.Context, identity string, claims int) error {
	return r.catchUpUntil(ctx, identity, claims, func(*id.Chain) bool { return false })
}

// catchUpUntil is catchUp, ended early once the embedded chain is as wanted.
func (r *round) catchUpUntil(ctx context.Context, identity string, claims int, enough func(*id.Chain) bool) error {
	if own := r.engine.node.ID(); identity != own {
		// The node signs what is embedded, so its own events come first.
		chain, ok := r.session.Tx().Identity(own)
		if ok && chain.Len() < len(r.engine.node.Events()) {
			if err := r.catchUp(ctx, own, claims); err != nil {
				return err
			}
		}
	}
	events, err := r.engine.eventsOf(ctx, identity)
	if err != nil {
		return err
	}
	for {
		have := 0
		chain, ok := r.session.Tx().Identity(identity)
		if ok {
			have = chain.Len()
		}
		if have >= len(events) || ok && enough(chain) {
			return nil
		}
		if err := r.embedEvent(ctx, events[have], claims); err != nil {
			return fmt.Errorf("embed event %d of %s: %w", have, identity, err)
		}
		if after, ok := r.session.Tx().Identity(identity); !ok || after.Len() != have+1 {
			return fault.Newf(fault.Internal, "internal", "event %d of %s changed nothing on the timeline", have, identity)
		}
	}
}

func (r *round) embedEvent(ctx context.Context, raw []byte, claims int) error {
	event, err := id.ParseEvent(raw)
	if err != nil {
		return err
	}
	if event.Kind == id.KindClaim {
		if claims == 0 {
			return fault.New(fault.Invalid, "claims_too_deep", "claims lead through too many identities")
		}
		// The claimer must stand as it did when it countersigned, not as it
		// does after later rotations.
		standsAsSigned := func(c *id.Chain) bool { return c.Primary() == event.Counter.Key }
		if err := r.catchUpUntil(ctx, event.By, claims-1, standsAsSigned); err != nil {
			return err
		}
	}
	sp, err := r.engine.sealOwn(r.engine.ownSigner(ctx, r.session.Tx()), r.tenant, span.TypeIdentity, identityPayload(event.Raw), OwnOptions{}, r.now)
	if err != nil {
		return err
	}
	_, err = r.admit(&timeline.Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}})
	return err
}

// identityPayload is the payload of a logline.identity span; sealed is JCS, and
// so is the result.
func identityPayload(sealed []byte) []byte {
	out := make([]byte, 0, len(sealed)+len(`{"event":}`))
	out = append(out, `{"event":`...)
	out = append(out, sealed...)
	return append(out, '}')
}
