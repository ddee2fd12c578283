package admin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Author makes the node's timeline and signs what the node says. *engine.Engine
// implements it. Its methods are safe for concurrent use.
type Author interface {
	// CreateOwnTenant begins a timeline that the node itself owns;
	// timeline.ErrTenantTaken where there is one of this slug.
	CreateOwnTenant(ctx context.Context, slug, name string) (timeline.Tenant, error)
	// SubmitOwn records a span of the node's own; conflict id_conflict where another
	// span has its id.
	SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt engine.OwnOptions) engine.Result
	// Halt suspends a tenant, resumes it or closes it.
	Halt(ctx context.Context, tenant, action, reason string) (*timeline.Receipt, error)
}

var _ Author = (*engine.Engine)(nil)

// Log finds timelines. *timeline.Log implements it.
type Log interface {
	Tenant(ctx context.Context, idOrSlug string) (timeline.Tenant, error)
	Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error)
	Standing(ctx context.Context, tenant string) (standing.View, error)
	Query(ctx context.Context, tenant string, q timeline.Query, r standing.Reader) (timeline.Page, error)
}

// Config of a Timeline.
type Config struct {
	Node   string                                // LogLine ID
	Home   func(context.Context) (string, error) // the node's first tenant, whose owners are its first operators; "" while there is none
	Logger *slog.Logger                          // slog.Default()
	Poll   time.Duration                         // between looks for what other processes noted: 5 s
}

// Timeline is the node's admin timeline, made when there is the first act to tell
// of. Its methods are safe for concurrent use, by any number of processes.
type Timeline struct {
	book   *Book
	author Author
	log    Log
	cfg    Config

	telling sync.Mutex // held by whoever tells; guards the rest
	id      string     // "" until it was found or made
	begun   bool       // it has, or once had, an operator
}

// New makes a Timeline. It starts nothing.
func New(book *Book, author Author, log Log, cfg Config) *Timeline {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 5 * time.Second
	}
	return &Timeline{book: book, author: author, log: log, cfg: cfg}
}

// Slug is what the admin timeline is called where no tenant has had that name
// before; then it gets a number.
const Slug = "node-admin"

// slugOf is the nth slug to be tried. Slugs are never given up, so that every
// process of the node that goes through them in order ends at the same one.
func slugOf(n int) string {
	if n == 0 {
		return Slug
	}
	return fmt.Sprintf("%s-%d", Slug, n+1)
}

// maxSlugs bounds the names that tenants have taken before the node came to them.
const maxSlugs = 1000

// Find is the admin timeline; fault not_found admin_timeline_missing where the node
// has none yet.
func (t *Timeline) Find(ctx context.Context) (timeline.Tenant, error) {
	for n := range maxSlugs {
		found, err := t.log.Tenant(ctx, slugOf(n))
		switch {
		case fault.KindOf(err) == fault.NotFound:
			return found, fault.New(fault.NotFound, "admin_timeline_missing", "this node has no admin timeline yet: it is made with the first act that it tells of")
		case err != nil:
			return found, err
		case found.OfNode() && found.Owner == t.cfg.Node:
			return found, nil
		}
	}
	return timeline.Tenant{}, errSlugs
}

var errSlugs = fault.New(fault.Conflict, "admin_slugs_taken", "tenants have taken every name that the node's admin timeline could have")

// ensure is the id of the admin timeline, which it makes where there is none: of
// several processes one makes it. The caller is telling.
func (t *Timeline) ensure(ctx context.Context) (string, error) {
	for n := 0; t.id == "" && n < maxSlugs; {
		found, err := t.log.Tenant(ctx, slugOf(n))
		switch {
		case err == nil && found.OfNode() && found.Owner == t.cfg.Node:
			t.id = found.ID
		case err == nil:
			n++
		case fault.KindOf(err) != fault.NotFound:
			return "", err
		default:
			_, err := t.author.CreateOwnTenant(ctx, slugOf(n), "Node administration")
			if err != nil && fault.CodeOf(err) != timeline.ErrTenantTaken.Code {
				return "", err
			}
		}
	}
	if t.id == "" {
		return "", errSlugs
	}
	return t.id, t.begin(ctx)
}

// begin makes the owners of the node's first tenant its first operators: they have
// spoken for the node before there was this timeline. It never does so again, so
// that whoever was removed stays removed.
func (t *Timeline) begin(ctx context.Context) error {
	if t.begun {
		return nil
	}
	grants, err := t.log.Query(ctx, t.id, timeline.Query{Types: []string{span.TypeMember}, Limit: 2}, standing.Everything())
	if err != nil {
		return err
	}
	if len(grants.Records) > 1 { // the first is the node's own
		t.begun = true
		return nil
	}
	home, err := t.cfg.Home(ctx)
	if err == nil && home == "" {
		home, err = t.only(ctx)
	}
	if err != nil || home == "" {
		return err
	}
	view, err := t.log.Standing(ctx, home)
	if err != nil {
		return err
	}
	for _, m := range view.Members() {
		if !slices.Contains(m.Roles, span.RoleOwner) {
			continue
		}
		if err := t.grant(ctx, m.Identity, span.RoleOwner, span.ActionGrant); err != nil {
			return err
		}
		t.begun = true
	}
	return nil
}

// only is the id of some tenant of this node: the first one, where nobody has
// noted yet that it is.
func (t *Timeline) only(ctx context.Context) (string, error) {
	for after := ""; ; {
		page, err := t.log.Tenants(ctx, after, timeline.DefaultLimit)
		if err != nil || len(page) == 0 {
			return "", err
		}
		for _, found := range page {
			if after = found.ID; !found.ReadOnly && !found.OfNode() {
				return found.ID, nil
			}
		}
	}
}

func (t *Timeline) grant(ctx context.Context, identity, role, action string) error {
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: []string{role}, Action: action})
	if err != nil {
		return err
	}
	return t.author.SubmitOwn(ctx, t.id, span.TypeMember, payload, engine.OwnOptions{}).Err
}

// Record notes an act durably, and tells of it at once where that is possible. What
// could not be told yet is no error: it is told later.
func (t *Timeline) Record(ctx context.Context, a Act) error {
	if err := t.book.Add(ctx, a); err != nil {
		return err
	}
	if err := t.Tell(ctx); err != nil {
		t.cfg.Logger.WarnContext(ctx, "an act is noted and not in the admin timeline yet", slog.String("act", a.Type), slog.Any("error", err))
	}
	return nil
}

// Tell puts into the timeline what is noted. Any number of processes may do so at
// once: each act is one span, whose id was chosen as it was noted.
func (t *Timeline) Tell(ctx context.Context) error {
	t.telling.Lock()
	defer t.telling.Unlock()
	tenant := ""
	for after := ""; ; {
		list, err := t.book.waiting(ctx, after)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			n := &list[i]
			after = n.id
			is, err := t.outcome(ctx, &n.act)
			if err != nil {
				return err
			}
			if is == open {
				continue
			}
			if is == done {
				if tenant == "" {
					if tenant, err = t.ensure(ctx); err != nil {
						return err
					}
				}
				if err := t.tell(ctx, tenant, n); err != nil {
					return err
				}
			}
			if err := t.book.forget(ctx, n.id); err != nil {
				return err
			}
		}
	}
}

// tell puts one act into the timeline, unless it is there.
func (t *Timeline) tell(ctx context.Context, tenant string, n *noted) error {
	payload, err := n.act.payload()
	if err != nil {
		return err
	}
	r := t.author.SubmitOwn(ctx, tenant, n.act.Type, payload, engine.OwnOptions{
		ID: n.id, Subject: n.act.Subject, OnBehalfOf: n.act.By, OccurredAt: span.FormatTime(n.act.At),
	})
	if fault.CodeOf(r.Err) == "id_conflict" {
		return nil // another process told of it first
	}
	return r.Err
}

// What became of an act.
const (
	done  = iota
	open  // it may still be done
	never // and never will be
)

// patience is after how long an act that was intended, and is not done, never will
// be. Making a tenant takes no minute.
const patience = 24 * time.Hour

// outcome says what became of an act. A tenant is found by its id, which is of this
// one attempt; another tenant with its slug, which nobody gives up, means that the
// attempt was refused.
func (t *Timeline) outcome(ctx context.Context, a *Act) (int, error) {
	if !a.Intended {
		return done, nil
	}
	slug, _ := a.Facts[FactSlug].(string)
	for _, name := range []string{a.Subject, slug} {
		switch found, err := t.log.Tenant(ctx, name); {
		case err == nil && found.ID == a.Subject:
			return done, nil
		case err == nil:
			return never, nil
		case fault.KindOf(err) != fault.NotFound:
			return open, err
		}
	}
	if t.book.now().Sub(a.At) > patience {
		return never, nil
	}
	return open, nil
}

// Run tells of what other processes and commands noted, until ctx ends.
func (t *Timeline) Run(ctx context.Context) {
	poll := time.NewTicker(t.cfg.Poll)
	defer poll.Stop()
	for {
		if err := t.Tell(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Logger.WarnContext(ctx, "acts are noted and not in the admin timeline yet", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
