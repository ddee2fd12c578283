package httpapi

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/quota"
)

// GetUsage shows what a tenant uses of its quotas.
func (s *Server) GetUsage(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.lookAsMember(c, tenant)
	if err != nil {
		return err
	}
	uses, err := s.deps.Quotas.Usage(c.Request().Context(), seen.ID)
	if err != nil {
		return err
	}
	out := api.Usage{Items: make([]api.QuotaUse, len(uses)), Warnings: []string{}}
	for i, u := range uses {
		out.Items[i] = api.QuotaUse{Quota: api.QuotaUseQuota(u.Quota), Used: u.Used, Own: u.Own, Reached: u.Level()}
		if u.Limit == quota.None {
			continue
		}
		percent := u.Percent()
		out.Items[i].Limit, out.Items[i].Percent = &u.Limit, &percent
		if u.Level() > 0 {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s: %d %% of the quota is used, %s of %s",
				u.Quota, percent, quota.Format(u.Quota, u.Used), quota.Format(u.Quota, u.Limit)))
		}
	}
	return answer(c, http.StatusOK, out)
}
