package httpapi

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

var (
	errCredential = fault.New(fault.Unauthenticated, "credential_required",
		"this needs Authorization: Bearer with a token signed by your own key, or an API key")
	errScheme = fault.New(fault.Unauthenticated, "credential_malformed",
		"there must be one Authorization header, Bearer followed by a token")
	// errTenant is one value for a tenant that does not exist and for one that
	// the caller may not read, so that the two cannot be told apart.
	errTenant = fault.New(fault.NotFound, "tenant_unknown", "there is no such tenant, or none that you may read")
	errSpan   = fault.New(fault.NotFound, "span_unknown", "there is no such span in this tenant, or none that you may read")
	errMember = fault.New(fault.Forbidden, "role_forbidden", "this is for members who may read the whole timeline")
)

// bearer is the token of the request, "" without one.
func bearer(c echo.Context) (string, error) {
	headers := c.Request().Header.Values(echo.HeaderAuthorization)
	if len(headers) == 0 || len(headers) == 1 && headers[0] == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !equalFoldASCII(scheme, "bearer") || token == "" {
		return "", errScheme
	}
	return token, nil
}

// sight is a tenant together with what the caller may read of it.
type sight struct {
	timeline.Tenant
	who    id.Credential
	reader standing.Reader
	view   standing.View
}

// look finds a tenant for a caller who may read something of it. Anybody else
// gets the same answer as for a tenant that does not exist: 401 for an
// anonymous caller, 404 for a known one.
func (s *Server) look(c echo.Context, idOrSlug string) (sight, error) {
	who, err := s.caller(c)
	if err != nil {
		return sight{}, err
	}
	return s.lookFor(c, idOrSlug, who)
}

// lookKnown is look for routes that take no anonymous request.
func (s *Server) lookKnown(c echo.Context, idOrSlug string) (sight, error) {
	who, err := s.known(c)
	if err != nil {
		return sight{}, err
	}
	return s.lookFor(c, idOrSlug, who)
}

// lookFor is look for a caller that was judged and counted.
func (s *Server) lookFor(c echo.Context, idOrSlug string, who id.Credential) (sight, error) {
	seen, err := s.lookAs(c, idOrSlug, who)
	switch {
	case err == nil:
		err = s.countTenant(c, &seen)
	case fault.KindOf(err) == fault.NotFound:
		if err = errTenant; who.Identity == "" {
			err = errCredential
		}
	}
	return seen, err
}

// lookAs does as much for another's tenant as for one that does not exist, so that
// the time it takes tells nothing either.
func (s *Server) lookAs(c echo.Context, idOrSlug string, who id.Credential) (sight, error) {
	ctx := c.Request().Context()
	t, err := s.deps.Log.Tenant(ctx, idOrSlug)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return sight{}, err
	}
	if err != nil || !who.Reaches(t.ID) {
		t = timeline.Tenant{}
	}
	if !t.PublicReading {
		known := false
		if who.Identity != "" {
			if known, err = s.deps.Log.Knows(ctx, t.ID, who.Identity); err != nil {
				return sight{}, err
			}
		}
		if !known {
			return sight{}, errTenant
		}
	}
	view, err := s.deps.Log.Standing(ctx, t.ID)
	if err != nil {
		return sight{}, err
	}
	if view.Halted() == standing.Suspended && !standing.ReadsSuspended(view, who.Identity) {
		if !mayLook(view, who.Identity, false) {
			return sight{}, errTenant
		}
		return sight{}, standing.ErrSuspended
	}
	if !mayLook(view, who.Identity, t.PublicReading) {
		return sight{}, errTenant
	}
	return sight{Tenant: t, who: who, reader: standing.ReaderFor(view, who.Identity, t.PublicReading), view: view}, nil
}

// mayLook says whether somebody may know that the tenant exists: everybody where
// public reading is on, else whoever holds a role, guests included.
func mayLook(view standing.View, who string, publicReading bool) bool {
	return publicReading || who != "" && view.Can(who, standing.RightLook)
}

// lookAsMember is look for what only members see: who belongs to the tenant,
// and figures over all of its entries.
func (s *Server) lookAsMember(c echo.Context, idOrSlug string) (sight, error) {
	seen, err := s.look(c, idOrSlug)
	switch {
	case err != nil:
		return sight{}, err
	case seen.reader.Organization:
		return seen, nil
	case seen.reader.Identity == "":
		return sight{}, errCredential
	}
	return sight{}, errMember
}

// openTenant finds the tenant of a route that is open to all by tenant id, where
// no credential is looked at; by slug it asks for the right to read.
func (s *Server) openTenant(c echo.Context, idOrSlug string) (string, error) {
	if !span.IsUUID(idOrSlug) {
		seen, err := s.look(c, idOrSlug)
		return seen.ID, err
	}
	t, err := s.deps.Log.Tenant(c.Request().Context(), idOrSlug)
	if fault.KindOf(err) == fault.NotFound {
		err = errTenant
	}
	return t.ID, err
}
