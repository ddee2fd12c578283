package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var (
	errManage = fault.New(fault.Forbidden, "api_key_cannot_manage",
		"this API key reads and has events signed; to change identities it would have to name logline.identity and no tenant")
	errKeyManage = fault.New(fault.Forbidden, "key_cannot_manage",
		"the key that signed this token is a delegated one; to change identities its delegation would have to name logline.identity too, or sign with the identity's own key")
	errSteward = fault.New(fault.Forbidden, "identity_not_yours",
		"this is for the identity itself, and for whoever had it made in this node's custody")
	errCustody = fault.New(fault.Forbidden, "custody_closed",
		"this node makes identities in its custody for owners and admins of its tenants")
	errCustodyEvents = fault.New(fault.Invalid, "custody_events",
		"in custody the node makes the keys; send subject and custody without events, or your own events without custody").At("/events", "is not asked for with custody")
	errSubject = fault.New(fault.Invalid, "custody_events",
		"an identity with events of its own has its subject in them; subject is for custody").At("/subject", "is not asked for without custody")
)

// makeHeld makes an identity whose keys this node holds.
func (s *Server) makeHeld(c echo.Context, body api.Registration) error {
	maker, err := s.mayMake(c)
	if err != nil {
		return err
	}
	if len(body.Events) > 0 {
		return errCustodyEvents
	}
	info, err := s.deps.Custody.Create(c.Request().Context(), string(body.Subject), body.Handle, body.Name, maker)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, identityOf(info))
}

// mayMake is the caller if it may have identities made in custody: anybody
// registered where registration is open, elsewhere owners and admins of a tenant.
func (s *Server) mayMake(c echo.Context) (maker string, err error) {
	who, err := s.known(c)
	if err == nil {
		err = manages(who)
	}
	if err != nil || s.deps.OpenRegistration {
		return who.Identity, err
	}
	ctx := c.Request().Context()
	tenants, err := s.deps.Log.Holding(ctx, who.Identity)
	if err != nil {
		return "", err
	}
	for _, tenant := range tenants {
		switch t, err := s.deps.Log.Tenant(ctx, tenant); {
		case err != nil:
			return "", err
		case t.ReadOnly:
			continue // another node says who its owners are
		}
		view, err := s.deps.Log.Standing(ctx, tenant)
		if err != nil {
			return "", err
		}
		if view.Can(who.Identity, standing.RightAdminister) {
			return who.Identity, nil
		}
	}
	return "", errCustody
}

// steward is the caller if it may change an identity: the identity itself, or
// whoever had it made in this node's custody.
func (s *Server) steward(c echo.Context, identity string) (id.Credential, error) {
	who, err := s.known(c)
	switch {
	case err != nil:
		return who, err
	case !span.IsIdentity(identity):
		return who, errIdentity
	case manages(who) != nil:
		return who, manages(who)
	case who.Identity == identity:
		return who, nil
	}
	maker, err := s.deps.Custody.Maker(c.Request().Context(), identity)
	if fault.KindOf(err) == fault.NotFound || err == nil && maker != who.Identity {
		return who, errSteward
	}
	return who, err
}

// manages is why a credential may not change identities, nil where it may.
func manages(who id.Credential) error {
	switch {
	case who.Manages():
		return nil
	case who.APIKey != nil:
		return errManage
	case who.Session != nil:
		return who.Session.Refusal()
	}
	return errKeyManage
}

// RotateIdentity rotates the key of an identity in custody.
func (s *Server) RotateIdentity(c echo.Context, identity api.IdentityParameter) error {
	return s.changeHeld(c, identity, func(ctx context.Context, full string) (*id.Change, error) {
		return s.deps.Custody.Rotation(ctx, full)
	})
}

// RevokeIdentity ends an identity in custody.
func (s *Server) RevokeIdentity(c echo.Context, identity api.IdentityParameter) error {
	var body api.Revocation
	if err := s.bind(c, &body); err != nil {
		return err
	}
	return s.changeHeld(c, identity, func(ctx context.Context, full string) (*id.Change, error) {
		return s.deps.Custody.Revocation(ctx, full, body.Reason)
	})
}

func (s *Server) changeHeld(c echo.Context, identity string, sign func(ctx context.Context, full string) (*id.Change, error)) error {
	full := withScheme(identity)
	if _, err := s.steward(c, full); err != nil {
		return err
	}
	ctx := c.Request().Context()
	change, err := sign(ctx, full)
	if err != nil {
		return err
	}
	info, pending, err := s.deps.Engine.EmbedHeld(ctx, full, change.Event, func(ctx context.Context) (id.Info, error) {
		return s.deps.Custody.Keep(ctx, change)
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, api.KeyEventAdded{Id: info.ID, Status: info.Status, Pending: pending})
}
