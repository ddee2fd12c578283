package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/timeline"
)

// GetStats counts over the whole timeline.
func (s *Server) GetStats(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.lookAsMember(c, tenant)
	if err != nil {
		return err
	}
	st, err := s.deps.Log.Stats(c.Request().Context(), seen.ID)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.Stats{
		Size: st.Size, Authors: st.Authors, Redacted: st.Redacted, FirstAt: st.FirstAt,
		Types: countsOf(st.Types), Statuses: countsOf(st.Statuses),
	})
}

func countsOf(tallies []timeline.Tally) []api.Count {
	out := make([]api.Count, len(tallies))
	for i, t := range tallies {
		out[i] = api.Count{Value: t.Value, Count: t.Count}
	}
	return out
}

// GetWhy explains an entry.
func (s *Server) GetWhy(c echo.Context, tenant api.TenantParameter, spanID api.SpanParameter) error {
	return errSpan
}
