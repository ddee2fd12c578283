package httpapi

import (
	"cmp"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

var errAccountAction = fault.New(fault.Invalid, "account_action_unknown", "an account is to be activated or deactivated").At("/action", "must be activate or deactivate")

// ChangeAccountState keeps an account's person out, or lets them in again, for an
// operator. Nobody else learns whether there is such an account.
func (s *Server) ChangeAccountState(c echo.Context, identity api.IdentityParameter) error {
	who, err := s.known(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	switch operator, err := s.deps.Admin.IsOperator(ctx, who.Identity); {
	case err != nil:
		return err
	case !operator || !who.Manages():
		return cmp.Or(manages(who), error(errOperator))
	}
	var body api.AccountStateChange
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if body.Action != api.Activate && body.Action != api.Deactivate {
		return errAccountAction
	}
	info, err := s.find(c, identity)
	if err != nil {
		return err
	}
	active := body.Action == api.Activate
	if err := s.deps.Admin.SetAccount(ctx, info.ID, who.Identity, "", body.Reason, active); err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.AccountStateChanged{Identity: info.ID, Active: active})
}
