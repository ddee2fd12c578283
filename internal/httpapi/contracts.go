package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/rulebook"
)

// ListContracts lists every version of every contract that was activated.
func (s *Server) ListContracts(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.lookAsMember(c, tenant)
	if err != nil {
		return err
	}
	versions, err := s.deps.Contracts.Versions(c.Request().Context(), seen.ID)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.ContractPage{Items: contractsOf(versions)})
}

// GetContract gives the versions of one contract and the source of one of them.
func (s *Server) GetContract(c echo.Context, tenant api.TenantParameter, name string, params api.GetContractParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	seen, err := s.lookAsMember(c, tenant)
	if err != nil {
		return err
	}
	versions, err := s.deps.Contracts.Named(c.Request().Context(), seen.ID, name)
	if err != nil {
		return err
	}
	chosen, err := rulebook.Choose(versions, given(params.Version))
	if err != nil {
		return err
	}
	out := api.ContractVersions{Name: name, Versions: contractsOf(versions)}
	if chosen != nil {
		out.Source = &api.ContractSource{Version: chosen.Version, Hash: chosen.Hash, Text: chosen.Source}
	}
	return answer(c, http.StatusOK, out)
}

func contractsOf(versions []rulebook.Version) []api.Contract {
	out := make([]api.Contract, len(versions))
	for i, v := range versions {
		out[i] = api.Contract{
			Name: v.Name, Version: v.Version, Hash: v.Hash, Mode: api.ContractMode(v.Mode),
			Seq: v.Seq, Span: v.Span, Author: v.Author, ActivatedAt: v.ActivatedAt,
			Title: v.Title, NodeWide: v.NodeWide, Requires: append([]string{}, v.Requires...),
		}
	}
	return out
}
