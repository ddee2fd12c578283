package invite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// MaxUses bounds the visitors of one door.
const MaxUses = 1000

// A door is an invitation for visitors: many come by one link, each as a ghost that
// ends with the door at the latest, and is a guest. Its key stays sealed until the
// last of them has the grant, or the door is withdrawn or ends.
func (i *Invitation) door() bool { return i.Uses > 0 }

// visitor says whether an identity may come by the door.
func (i *Invitation) visitor(subject, expires, now string) error {
	switch {
	case subject != id.SubjectGhost:
		return fault.New(fault.Forbidden, "visitor_not_ghost",
			"this link is for visitors, who come as ghosts: logline visit LINK; whoever is to stay asks for an invitation of their own")
	case expires > i.ExpiresAt || expires <= now:
		return fault.Newf(fault.Invalid, "visitor_expires", "a ghost that comes by this link ends in time to come, and not after %s as the link does; make another", i.ExpiresAt)
	}
	return nil
}

// admitVisitor lets a ghost register, which spends a use of the door; the same ghost
// again spends none.
func (s *Service) admitVisitor(ctx context.Context, i *Invitation, who Newcomer) error {
	if _, err := s.gives(ctx, i); err != nil {
		return err
	}
	if err := i.visitor(who.Subject, who.Expires, span.FormatTime(s.cfg.Now())); err != nil {
		return err
	}
	return s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		_, err := s.use(ctx, tx, i, who.Identity)
		return err
	})
}

// enter gives a ghost, proven and known to the directory, what the door gives.
func (s *Service) enter(ctx context.Context, t Token, i *Invitation, identity string) (Grant, error) {
	g, err := s.entered(ctx, i, identity)
	if fault.CodeOf(err) != ErrInvalid.Code {
		return g, err
	}
	if _, err := s.gives(ctx, i); err != nil {
		return Grant{}, err
	}
	chain, err := s.dir.Chain(ctx, identity)
	if err != nil {
		return Grant{}, err
	}
	if chain.Status() != id.StatusActive {
		return Grant{}, fault.Newf(fault.Conflict, "identity_not_active", "the identity is %s; it gets no role any more", chain.Status())
	}
	if err := i.visitor(chain.Subject(), chain.Expires(), span.FormatTime(s.cfg.Now())); err != nil {
		return Grant{}, err
	}
	if len(i.sealed) == 0 && i.Signer != "" {
		return Grant{}, ErrInvalid // over
	}
	signed, err := s.sign(ctx, i, t, identity)
	if err != nil {
		return Grant{}, err
	}
	visit, err := s.visit(ctx, i, identity, signed)
	if err != nil {
		return Grant{}, err
	}
	return s.finish(ctx, visit)
}

// entered is what a ghost got that came by the door before; ErrInvalid for others.
func (s *Service) entered(ctx context.Context, i *Invitation, identity string) (g Grant, err error) {
	visit := *i
	err = s.view(ctx, i.Tenant, func(tx *sql.Tx) error {
		_, err := scanVisit(ctx, tx, &visit, identity)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	if visit.GrantID == "" {
		return Grant{}, ErrInvalid
	}
	return s.finish(ctx, &visit)
}

// scanVisit fills in what an identity got by the door, if it did; used says whether
// it has spent a use.
func scanVisit(ctx context.Context, tx *sql.Tx, i *Invitation, identity string) (used bool, err error) {
	var grantID, acceptedAt sql.NullString
	err = tx.QueryRowContext(ctx, `SELECT grant_id, accepted_at, grant_span FROM invitation_visits WHERE tenant = $1 AND invitation = $2 AND identity = $3`,
		i.Tenant, i.ID, identity).Scan(&grantID, &acceptedAt, &i.grantSpan)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read a visit: %w", err)
	}
	i.GrantID, i.AcceptedAt, i.AcceptedBy = grantID.String, acceptedAt.String, identity
	return true, nil
}

// use spends one use of the door on an identity, unless it has one: the statement
// that counts is the one that looks whether there is room. It is ErrInvalid where
// there is none, and where the door is withdrawn or has ended meanwhile.
func (s *Service) use(ctx context.Context, tx *sql.Tx, i *Invitation, identity string) (*Invitation, error) {
	now := span.FormatTime(s.cfg.Now())
	visit, err := s.getIn(ctx, tx, i.Tenant, i.ID)
	if err != nil {
		return nil, err
	}
	if visit.RevokedBy != "" || visit.ExpiresAt <= now {
		return nil, ErrInvalid
	}
	used, err := scanVisit(ctx, tx, &visit, identity)
	if err != nil || used {
		return &visit, err
	}
	counted, err := tx.ExecContext(ctx, `UPDATE invitations SET used = used + 1 WHERE tenant = $1 AND id = $2 AND used < uses AND revoked_by IS NULL`, i.Tenant, i.ID)
	if err != nil {
		return nil, fmt.Errorf("count a visitor: %w", err)
	}
	if n, err := counted.RowsAffected(); err != nil || n != 1 {
		return nil, errors.Join(ErrInvalid, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO invitation_visits (tenant, invitation, identity, came_at) VALUES ($1, $2, $3, $4)`, i.Tenant, i.ID, identity, now); err != nil {
		return nil, fmt.Errorf("note a visitor: %w", err)
	}
	return &visit, nil
}

// visit keeps the grant that an identity gets, and destroys the key once everybody
// has theirs, in one transaction; an identity gets one grant.
func (s *Service) visit(ctx context.Context, i *Invitation, identity string, grant *span.Span) (visit *Invitation, err error) {
	now := span.FormatTime(s.cfg.Now())
	err = s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		if visit, err = s.use(ctx, tx, i, identity); err != nil || visit.GrantID != "" {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE invitation_visits SET accepted_at = $4, grant_id = $5, grant_span = $6 WHERE tenant = $1 AND invitation = $2 AND identity = $3`,
			i.Tenant, i.ID, identity, now, grant.ID, grant.Canonical()); err != nil {
			return fmt.Errorf("keep a visitor's grant: %w", err)
		}
		visit.AcceptedBy, visit.AcceptedAt, visit.GrantID, visit.grantSpan = identity, now, grant.ID, grant.Canonical()
		_, err := tx.ExecContext(ctx, `UPDATE invitations SET sealed = NULL WHERE tenant = $1 AND id = $2 AND used >= uses
			AND NOT EXISTS (SELECT 1 FROM invitation_visits v WHERE v.tenant = $1 AND v.invitation = $2 AND v.grant_id IS NULL)`, i.Tenant, i.ID)
		return err
	})
	return visit, err
}

// settleVisit notes that the timeline has a visitor's grant.
func (s *Service) settleVisit(ctx context.Context, tx *sql.Tx, i *Invitation) error {
	_, err := tx.ExecContext(ctx, `UPDATE invitation_visits SET grant_span = NULL WHERE tenant = $1 AND invitation = $2 AND identity = $3`, i.Tenant, i.ID, i.AcceptedBy)
	return err
}
