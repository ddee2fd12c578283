package engine

import (
	"context"
	"io"
	"sync"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// CreateTenant begins a timeline in one batch: genesis, the node's key events,
// the owner's, and the owner's grant. The owner must be registered here and
// able to sign. Slug and name follow the rules of genesis (PROTOCOL §4).
func (e *Engine) CreateTenant(ctx context.Context, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	if err := e.Ready(ctx); err != nil {
		return timeline.Tenant{}, err
	}
	info, err := e.dir.Get(ctx, owner)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = fault.Newf(fault.Invalid, "identity_unknown",
				"the owner %s is not registered at this node; register it first", owner).At("/owner", "unknown identity")
		}
		return timeline.Tenant{}, err
	}
	if err := mayOwn(info); err != nil {
		return timeline.Tenant{}, err
	}
	return e.found(ctx, slug, name, info, publicReading)
}

// CreateOwnTenant begins a timeline that the node itself owns: the one in which it
// tells what its operators do (docs/administration.md). A slug that exists is
// timeline.ErrTenantTaken.
func (e *Engine) CreateOwnTenant(ctx context.Context, slug, name string) (timeline.Tenant, error) {
	if err := e.Ready(ctx); err != nil {
		return timeline.Tenant{}, err
	}
	return e.found(ctx, slug, name, id.Info{ID: e.node.ID()}, false)
}

// found begins a timeline; of an owner that is the node itself the events are in it
// anyway.
func (e *Engine) found(ctx context.Context, slug, name string, owner id.Info, publicReading bool) (timeline.Tenant, error) {
	genesis, err := e.genesis(slug, name, owner.ID)
	if err != nil {
		return timeline.Tenant{}, err
	}
	drafts, err := e.firstDrafts(genesis, owner)
	if err != nil {
		return timeline.Tenant{}, err
	}
	t := timeline.Tenant{
		ID: genesis.Tenant, Slug: slug, Name: name, Node: genesis.Node, Owner: owner.ID,
		PublicReading: publicReading, CreatedAt: drafts[0].Span.Time,
	}
	if e.cfg.Founding != nil && !t.OfNode() {
		if err := e.cfg.Founding(ctx, t); err != nil {
			return timeline.Tenant{}, err
		}
	}
	receipts, err := e.log.Create(ctx, t, drafts)
	if err != nil {
		return timeline.Tenant{}, err
	}
	e.bus.Publish(bus.Appended{Tenant: genesis.Tenant, Size: uint64(len(receipts))})
	e.greet(context.WithoutCancel(ctx), genesis.Tenant)
	return e.log.Tenant(ctx, genesis.Tenant)
}

func mayOwn(info id.Info) error {
	switch {
	case info.Subject == id.SubjectGhost || info.Subject == id.SubjectNode:
		return fault.Newf(fault.Invalid, "owner_unfit", "a %s cannot own a tenant; name a person, organization, service or agent", info.Subject).
			At("/owner", "cannot own a tenant")
	case info.Status != "active":
		return fault.Newf(fault.Invalid, "owner_unfit", "the owner's identity is %s and can sign nothing", info.Status).
			At("/owner", "not active")
	}
	return nil
}

func (e *Engine) genesis(slug, name, owner string) (*span.Genesis, error) {
	if !span.ValidSlug(slug) {
		return nil, fault.Newf(fault.Invalid, "slug_invalid",
			"%q cannot name a tenant here: use lower-case letters, digits and dashes, at most 63, not of UUID form", slug).
			At("/slug", "lower-case letters, digits and dashes, at most 63")
	}
	nonce := make([]byte, 16)
	if _, err := io.ReadFull(e.random, nonce); err != nil {
		return nil, noRandom(err)
	}
	g := &span.Genesis{
		Slug: slug, Name: name, Node: e.node.ID(), Owner: owner, Nonce: span.B64(nonce),
		LogKey: tree.EncodeLogKey(e.node.LogKey()),
	}
	g.Tenant = g.TenantID()
	// Parsing what was made applies the rules on the name once, there.
	return span.ParseGenesis(g.Canonical())
}

// firstDrafts is the first batch of a timeline, in the order of PROTOCOL §4.
func (e *Engine) firstDrafts(g *span.Genesis, owner id.Info) ([]timeline.Draft, error) {
	now := e.cfg.Now()
	var drafts []timeline.Draft
	var signer id.Signer // the node's primary, as the entries before know it
	add := func(typ string, payload []byte) error {
		sp, err := e.sealOwn(signer, g.Tenant, typ, payload, OwnOptions{}, now)
		if err != nil {
			return err
		}
		drafts = append(drafts, timeline.Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}})
		return nil
	}
	nodeEvents := e.node.Events()
	for i, sealed := range append(nodeEvents, owner.Events...) {
		event, err := id.ParseEvent(sealed)
		if err != nil {
			return nil, err
		}
		if i == 0 { // the inception's key signs genesis too
			signer = e.node.SignerFor(event.Key)
			if err := add(span.TypeGenesis, g.Canonical()); err != nil {
				return nil, err
			}
		}
		if err := add(span.TypeIdentity, identityPayload(event.Raw)); err != nil {
			return nil, err
		}
		if i < len(nodeEvents) && event.Kind == id.KindRotation {
			signer = e.node.SignerFor(event.Key)
		}
	}
	grant, err := span.Canonical(span.Member{Identity: g.Owner, Roles: []string{span.RoleOwner}, Action: span.ActionGrant})
	if err != nil {
		return nil, err
	}
	return drafts, add(span.TypeMember, grant)
}

// maxKnown bounds the tenants whose id is remembered.
const maxKnown = 10_000

// tenantCache remembers which names lead to which tenant id. Neither ids nor
// slugs ever change, and no timeline is removed.
type tenantCache struct {
	mu  sync.RWMutex // guards ids
	ids map[string]string
}

// resolve turns a tenant's id or slug into its id.
func (e *Engine) resolve(ctx context.Context, idOrSlug string) (string, error) {
	e.known.mu.RLock()
	tenant, ok := e.known.ids[idOrSlug]
	e.known.mu.RUnlock()
	if ok {
		return tenant, nil
	}
	t, err := e.log.Tenant(ctx, idOrSlug)
	if err != nil {
		return "", err
	}
	e.known.mu.Lock()
	defer e.known.mu.Unlock()
	if e.known.ids == nil || len(e.known.ids) >= maxKnown {
		e.known.ids = make(map[string]string)
	}
	e.known.ids[idOrSlug] = t.ID
	return t.ID, nil
}
