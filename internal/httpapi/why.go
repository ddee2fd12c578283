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
	decided, err := s.because(c, seen, &w.Record)
	if err != nil {
		return err
	}
	rest, err := json.Marshal(struct {
		Signer     api.Signer      `json:"signer"`
		Causes     []api.GraphNode `json:"causes"`
		Effects    []api.GraphNode `json:"effects"`
		Unresolved []string        `json:"unresolved"`
		Acts       []api.Act       `json:"acts"`
		because
	}{
		signerOf(&w.Signer), nodesOf(w.Causes), nodesOf(w.Effects), append([]string{}, w.Unresolved...), actsOf(w.Acts), decided,
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

// because is the part of an explanation that contracts give.
type because struct {
	Contracts []api.Contract   `json:"contracts,omitempty"`
	Reasons   []api.Reason     `json:"reasons,omitempty"`
	Errors    []string         `json:"errors,omitempty"`
	Shadows   []api.ShadowSaid `json:"shadows,omitempty"`
	Approvals []api.Approval   `json:"approvals,omitempty"`
	MayVote   []api.Member     `json:"may_vote,omitempty"`
}

// because explains a decision to whom contracts are shown.
func (s *Server) because(c echo.Context, seen sight, rec *timeline.Record) (because, error) {
	var out because
	if !seen.reader.Organization || len(rec.Entry.Decision.Contracts) == 0 && rec.Entry.Decision.Effects == nil {
		return out, nil
	}
	b, err := s.deps.Contracts.Because(c.Request().Context(), seen.ID, rec, seen.view, span.FormatTime(s.now()))
	if err != nil {
		return out, err
	}
	out.Contracts = contractsOf(b.Contracts)
	for _, r := range b.Reasons {
		out.Reasons = append(out.Reasons, api.Reason{Contract: r.Contract, Line: r.Line, Source: r.Source, Text: r.Text, Action: r.Action})
	}
	out.Errors = b.Errors
	for _, s := range b.Shadows {
		out.Shadows = append(out.Shadows, api.ShadowSaid{Contract: s.Contract, Outcome: api.ShadowSaidOutcome(s.Outcome), Rules: s.Rules, Errors: s.Errors})
	}
	for _, a := range b.Approvals {
		out.Approvals = append(out.Approvals, api.Approval{
			Contract: a.Contract, Rule: a.Rule, From: a.From, Count: a.Count, Distinct: a.Distinct, Deadline: a.Deadline, Waits: a.Waits, Has: a.Has,
		})
	}
	for _, m := range b.May {
		item := api.Member{Identity: m.Identity, Roles: m.Roles}
		if chain, ok := seen.view.Identity(m.Identity); ok {
			item.Subject, item.Status = chain.Subject(), chain.Status()
		}
		out.MayVote = append(out.MayVote, item)
	}
	return out, nil
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
