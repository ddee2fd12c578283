package httpapi

import (
	"cmp"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var errOperator = fault.New(fault.Forbidden, "operator_required", "this is for operators of the node: the owners and admins of its admin timeline")

// ChangeTenantState suspends a tenant, resumes it or closes it. An operator need not
// be able to read it; anybody else is answered like whoever may not read it.
func (s *Server) ChangeTenantState(c echo.Context, tenant api.TenantParameter) error {
	who, err := s.known(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	switch operator, err := s.deps.Admin.IsOperator(ctx, who.Identity); {
	case err != nil:
		return err
	case !operator || !who.Manages():
		if _, err := s.look(c, tenant); err != nil {
			return err
		}
		return cmp.Or(manages(who), error(errOperator))
	}
	var body api.TenantChange
	if err := s.bind(c, &body); err != nil {
		return err
	}
	t, err := s.deps.Log.Tenant(ctx, tenant)
	if fault.KindOf(err) == fault.NotFound {
		err = errTenant
	}
	if err != nil {
		return err
	}
	entry, err := s.deps.Admin.HaltTenant(ctx, t.ID, string(body.Action), body.Reason, who.Identity)
	if err != nil {
		return err
	}
	halted := map[string]string{span.ActionSuspend: standing.Suspended, span.ActionClose: standing.Closed}[string(body.Action)]
	return answer(c, http.StatusOK, api.TenantChanged{Tenant: t.ID, State: stateOf(halted), Entry: entry})
}

// stateOf is how a tenant stands, as callers are told.
func stateOf(halted string) api.TenantState { return api.TenantState(cmp.Or(halted, "open")) }
