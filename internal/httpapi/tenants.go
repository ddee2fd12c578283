package httpapi

import (
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

var errOwner = fault.New(fault.Forbidden, "owner_not_caller",
	"your token makes tenants that you own; name yourself as the owner")

// CreateTenant makes a tenant: the first with the bootstrap token, later ones
// with the owner's own token where the node allows it.
func (s *Server) CreateTenant(c echo.Context) error {
	token, caller, err := s.founder(c)
	if err != nil {
		return err
	}
	var body api.NewTenant
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if caller != "" && body.Owner != caller {
		return errOwner
	}
	t, err := s.deps.Onboarding.CreateTenant(c.Request().Context(), token, body.Slug, body.Name, body.Owner, body.PublicReading)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tenantOf(t))
}

// founder is who asks for a tenant to be there: by the bootstrap token, which
// is not judged yet, or with a credential of their own.
func (s *Server) founder(c echo.Context) (token, caller string, err error) {
	token, err = s.credentialOf(c)
	switch {
	case err != nil:
		return "", "", err
	case token == "":
		return "", "", errCredential
	}
	who, err := authenticate(c.Request().Context(), s.founders, token)
	if err == nil {
		err = s.judgeOrigin(c.Request(), who)
	}
	s.tend(c, token, who, err)
	switch {
	case err != nil:
		return "", "", err
	case who.How == byBootstrap:
		return token, "", nil
	}
	if err := s.countCaller(c, who, 1); err != nil {
		return "", "", err
	}
	return "", who.Identity, manages(who)
}

// ListTenants lists the tenants the caller may read.
func (s *Server) ListTenants(c echo.Context, params api.ListTenantsParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	who, err := s.known(c)
	if err != nil {
		return err
	}
	limit, err := pageLimit(params.Limit)
	if err != nil {
		return err
	}
	after, err := afterOf(params.Cursor)
	if err != nil {
		return err
	}
	holding, err := s.deps.Log.Holding(c.Request().Context(), who.Identity)
	if err != nil {
		return err
	}
	page := api.TenantPage{Items: []api.Tenant{}}
	for {
		found, err := s.deps.Log.Tenants(c.Request().Context(), after, maxLimit)
		if err != nil {
			return err
		}
		for _, t := range found {
			if after = t.ID; t.OfNode() && !t.ReadOnly {
				continue // it is nobody's tenant; its operators know its name
			}
			if !t.PublicReading && !slices.Contains(holding, t.ID) {
				continue // nobody holds a role where they are not embedded
			}
			seen, err := s.lookAs(c, t.ID, who)
			if fault.KindOf(err) == fault.NotFound || fault.CodeOf(err) == standing.CodeSuspended {
				continue
			} else if err != nil {
				return err
			}
			if len(page.Items) == limit {
				next := cursorOf(page.Items[limit-1].Id)
				page.Next = &next
				return answer(c, http.StatusOK, page)
			}
			page.Items = append(page.Items, tenantSeen(&seen))
		}
		if len(found) < maxLimit {
			return answer(c, http.StatusOK, page)
		}
	}
}

// pageLimit is the number of items of a page.
func pageLimit(asked *int) (int, error) {
	if asked == nil {
		return defaultLimit, nil
	}
	if *asked < 1 || *asked > maxLimit {
		return 0, fault.Newf(fault.Invalid, "parameter_invalid", "limit is 1 to %d", maxLimit)
	}
	return *asked, nil
}

func cursorOf(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func afterOf(cursor *string) (string, error) {
	if cursor == nil {
		return "", nil
	}
	after, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || !span.IsUUID(string(after)) {
		return "", fault.New(fault.Invalid, "cursor_invalid", "cursor is not the next of an earlier page")
	}
	return string(after), nil
}

// GetTenant shows one tenant.
func (s *Server) GetTenant(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tenantSeen(&seen))
}

// ListMembers shows who holds which roles now.
func (s *Server) ListMembers(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.lookAsMember(c, tenant)
	if err != nil {
		return err
	}
	page := api.MemberPage{Items: []api.Member{}}
	for _, m := range seen.view.Members() {
		item := api.Member{Identity: m.Identity, Roles: m.Roles}
		if chain, ok := seen.view.Identity(m.Identity); ok {
			item.Subject, item.Status = chain.Subject(), chain.Status()
		}
		page.Items = append(page.Items, item)
	}
	return answer(c, http.StatusOK, page)
}

// tenantSeen is tenantOf with how the tenant stands.
func tenantSeen(seen *sight) api.Tenant {
	t := tenantOf(seen.Tenant)
	t.State = stateOf(seen.view.Halted())
	return t
}

func tenantOf(t timeline.Tenant) api.Tenant {
	return api.Tenant{
		Id: t.ID, Slug: t.Slug, Name: t.Name, Size: t.Size, Origin: t.Origin, LogKey: t.LogKey,
		Node: t.Node, Owner: t.Owner, PublicReading: t.PublicReading, CreatedAt: t.CreatedAt, ReadOnly: t.ReadOnly,
	}
}
