package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
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
		Size: st.Size, Root: st.Root.String(), Authors: st.Authors, Redacted: st.Redacted, FirstAt: st.FirstAt, LastAt: st.LastAt,
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
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	if !span.IsUUID(spanID) {
		return errSpan
	}
	w, err := s.deps.Log.Why(c.Request().Context(), seen.ID, spanID, seen.reader)
	if err != nil {
		return asSpan(err)
	}
	rest, err := json.Marshal(struct {
		Signer     api.Signer      `json:"signer"`
		Causes     []api.GraphNode `json:"causes"`
		Effects    []api.GraphNode `json:"effects"`
		Unresolved []string        `json:"unresolved"`
		Acts       []api.Act       `json:"acts"`
	}{
		signerOf(&w.Signer), nodesOf(w.Causes), nodesOf(w.Effects), append([]string{}, w.Unresolved...), actsOf(w.Acts),
	})
	if err != nil {
		return err
	}
	size, err := s.holdRecords(c, w.Record)
	if err != nil {
		return err
	}
	body := append(appendRecord(make([]byte, 0, size), &w.Record), ',')
	body = append(body, rest[1:len(rest)-1]...)
	body = append(body, `,"receipt":`...)
	return c.Blob(http.StatusOK, typeJSON, append(appendReceipt(body, &w.Receipt), '}'))
}

func signerOf(s *timeline.Signer) api.Signer {
	return api.Signer{
		Identity: s.Identity, Subject: s.Subject, Key: s.Key, Primary: s.Primary,
		Label: s.Label, Types: s.Types, Roles: append([]string{}, s.Roles...),
	}
}

func actsOf(acts []timeline.Act) []api.Act {
	out := make([]api.Act, len(acts))
	for i, a := range acts {
		out[i] = api.Act{
			Id: a.ID, Seq: a.Seq, Type: a.Type, Author: a.Author, RecordedAt: a.RecordedAt, Outcome: a.Outcome, Reason: a.Reason,
		}
	}
	return out
}
