package invite

import (
	"context"
	"io"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Preview is what whoever has a token is told before accepting.
type Preview struct {
	Tenant    timeline.Tenant
	Role      string
	Inviter   string // LogLine ID
	ExpiresAt string
	Visitors  bool // it is a door: for ghosts, many of them
}

// Grant is what an invitation gave.
type Grant struct {
	Tenant     timeline.Tenant
	Invitation string // id
	Identity   string // LogLine ID
	Role       string
	Span       string // id of the grant
	Pending    bool   // contracts want more than the inviter's signature
}

// Newcomer is an identity that the node does not know yet.
type Newcomer struct {
	Identity         string // LogLine ID
	Subject, Expires string // of its inception; "" where the node makes it
}

// Founded is the identity that an inception makes.
func Founded(inception *id.Event) Newcomer {
	return Newcomer{Identity: inception.IdentityID(), Subject: inception.Subject, Expires: inception.Expires}
}

// Look says what a token would give now; ErrInvalid where nothing.
func (s *Service) Look(ctx context.Context, t Token) (Preview, error) {
	i, tenant, err := s.usable(ctx, t)
	return Preview{Tenant: tenant, Role: i.Role, Inviter: i.Inviter, ExpiresAt: i.ExpiresAt, Visitors: i.door()}, err
}

// Admit says whether a token lets an identity register here that is not known yet:
// the first that comes with it, and that one again. Another one only where the first
// did not get as far as to be registered, and perhaps lost its key. ErrInvalid for
// all others. By a door comes any visitor while it has uses, and spends one.
func (s *Service) Admit(ctx context.Context, t Token, who Newcomer) error {
	identity := who.Identity
	i, err := s.find(ctx, t.Hash())
	if err != nil {
		return err
	}
	if i.door() {
		return s.admitVisitor(ctx, &i, who)
	}
	if i, _, err = s.usable(ctx, t); err != nil || i.admitted == identity {
		return err
	}
	if i.admitted != "" {
		_, err := s.dir.Chain(ctx, i.admitted)
		if err == nil {
			return ErrInvalid
		}
		if fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	return s.admit(ctx, &i, identity)
}

// Accept gives an identity, proven and known to the directory, the role of an
// invitation, once. The same identity again is answered as the first time, and
// what a crash left undone is done then. Codes: invitation_invalid (ErrInvalid),
// identity_unknown, identity_not_active, visitor_not_ghost, visitor_expires, and what the timeline says to the grant.
func (s *Service) Accept(ctx context.Context, t Token, identity string) (Grant, error) {
	i, err := s.find(ctx, t.Hash())
	if err != nil {
		return Grant{}, err
	}
	if i.door() {
		return s.enter(ctx, t, &i, identity)
	}
	if i.AcceptedBy == identity {
		return s.finish(ctx, &i)
	}
	if i, _, err = s.usable(ctx, t); err != nil {
		return Grant{}, err
	}
	chain, err := s.dir.Chain(ctx, identity)
	if err != nil {
		return Grant{}, err
	}
	if chain.Status() != id.StatusActive {
		return Grant{}, fault.Newf(fault.Conflict, "identity_not_active", "the identity is %s; it gets no role any more", chain.Status())
	}
	signed, err := s.sign(ctx, &i, t, identity)
	if err != nil {
		return Grant{}, err
	}
	claimed, err := s.claim(ctx, &i, identity, signed)
	if err != nil {
		return Grant{}, err
	}
	if claimed.AcceptedBy != identity {
		return Grant{}, ErrInvalid // somebody was first
	}
	return s.finish(ctx, &claimed)
}

// Accepted is what an identity got that has accepted before; ErrInvalid for others.
func (s *Service) Accepted(ctx context.Context, t Token, identity string) (Grant, error) {
	i, err := s.find(ctx, t.Hash())
	if err != nil {
		return Grant{}, err
	}
	if i.door() {
		return s.entered(ctx, &i, identity)
	}
	if i.AcceptedBy != identity {
		return Grant{}, ErrInvalid
	}
	return s.finish(ctx, &i)
}

// usable finds the invitation of a token that gives its role now. Whether the
// inviter may still grant it the timeline judges in the end; it is asked here so
// that such a one is not used up.
func (s *Service) usable(ctx context.Context, t Token) (Invitation, timeline.Tenant, error) {
	i, err := s.find(ctx, t.Hash())
	if err != nil {
		return i, timeline.Tenant{}, err
	}
	if i.State != Open {
		return i, timeline.Tenant{}, ErrInvalid
	}
	tenant, err := s.gives(ctx, &i)
	return i, tenant, err
}

// gives says whether an invitation's grant would be taken by its tenant now.
func (s *Service) gives(ctx context.Context, i *Invitation) (timeline.Tenant, error) {
	tenant, err := s.log.Tenant(ctx, i.Tenant)
	if err != nil {
		return tenant, hidden(err)
	}
	view, err := s.log.Standing(ctx, i.Tenant)
	if err != nil {
		return tenant, err
	}
	if tenant.ReadOnly || view.Halted() != "" || !mayGrant(view, i.Inviter, i.Role) || !signs(view, i, span.FormatTime(s.cfg.Now())) {
		return tenant, ErrInvalid
	}
	return tenant, nil
}

// signs says whether the key that is to sign the grant may do so now.
func signs(view standing.View, i *Invitation, now string) bool {
	chain, ok := view.Identity(i.Inviter)
	if !ok {
		return false
	}
	return i.Signer == "" && chain.Status() == id.StatusActive || i.Signer != "" && chain.MaySign(i.Signer, span.TypeMember, now) == nil
}

// hidden makes what would tell of a tenant ErrInvalid.
func hidden(err error) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Forbidden:
		return ErrInvalid.Because(err)
	}
	return err
}

// sign makes the grant: exactly the role that was recorded, by the inviter.
func (s *Service) sign(ctx context.Context, i *Invitation, t Token, identity string) (*span.Span, error) {
	signer, err := s.signerOf(ctx, i, t)
	if err != nil {
		return nil, err
	}
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: []string{i.Role}, Action: span.ActionGrant})
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	spanID, err := span.RandomID(now, s.cfg.Rand)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(s.cfg.Rand, salt); err != nil {
		return nil, fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a salt").Because(err)
	}
	return id.SealSpan(signer, span.Header{
		ID: spanID, Tenant: i.Tenant, Author: i.Inviter, Type: span.TypeMember, Time: span.FormatTime(now),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization, Causes: []string{i.ID},
	}, payload, salt)
}

func (s *Service) signerOf(ctx context.Context, i *Invitation, t Token) (id.Signer, error) {
	if i.Signer == "" {
		held, err := s.keys.Held(ctx, i.Inviter)
		return held, hidden(err)
	}
	seed, err := t.Open(i.Tenant, i.ID, i.sealed)
	if err != nil {
		return nil, ErrInvalid.Because(err)
	}
	key := id.NewSecretKey(seed)
	if key.Public() != i.Signer {
		return nil, ErrInvalid // the inviter sealed another key than was delegated
	}
	return key, nil
}

// finish has the timeline take the grant of an accepted invitation, unless it has.
func (s *Service) finish(ctx context.Context, i *Invitation) (Grant, error) {
	tenant, err := s.log.Tenant(ctx, i.Tenant)
	if err != nil {
		return Grant{}, hidden(err)
	}
	g := Grant{Tenant: tenant, Invitation: i.ID, Identity: i.AcceptedBy, Role: i.Role, Span: i.GrantID}
	if i.grantSpan == nil {
		return g, nil
	}
	if g.Pending, err = s.log.Append(ctx, i.Tenant, i.grantSpan); err != nil {
		return Grant{}, hidden(err)
	}
	return g, s.settle(context.WithoutCancel(ctx), i)
}
