package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var errManyClaims = fault.Newf(fault.Conflict, "claims_too_many",
	"the author has claimed more than %d ghosts, which is as many as are looked through at once; ask for each by itself", id.MaxClaims)

const (
	defaultDepth = 5
	maxDepth     = 64
	maxQuestion  = 256 // bytes of q
)

// ListSpans gives a page of the entries that fit every filter.
func (s *Server) ListSpans(c echo.Context, tenant api.TenantParameter, params api.ListSpansParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	q, err := queryOf(&params)
	if err == nil && given(params.Claimed) {
		err = s.andClaimed(c, &q)
	}
	if err != nil {
		return err
	}
	page, err := s.deps.Log.Query(c.Request().Context(), seen.ID, q, seen.reader)
	if err != nil {
		return err
	}
	size, err := s.holdRecords(c, page.Records...)
	if err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, appendPage(make([]byte, 0, size), &page))
}

// andClaimed adds to whose spans are asked for the ghosts that the author claimed.
// Who may read what stays as it is.
func (s *Server) andClaimed(c echo.Context, q *timeline.Query) error {
	if q.Author == "" {
		return wrong("claimed", "given with an author")
	}
	ghosts, more, err := s.deps.Directory.Claimed(c.Request().Context(), q.Author)
	if err == nil && more {
		err = errManyClaims
	}
	q.Also = ghosts
	return err
}

// queryOf checks the filters; what it lets through can match something.
func queryOf(p *api.ListSpansParams) (timeline.Query, error) {
	limit, err := pageLimit(p.Limit)
	if err != nil {
		return timeline.Query{}, err
	}
	q := timeline.Query{
		Types: p.Type, Author: given(p.Author), Subject: given(p.Subject), Tag: given(p.Tag), Status: string(given(p.Status)),
		Since: given(p.Since), Until: given(p.Until), Cause: given(p.Cause), Q: given(p.Q),
		Descending: given(p.Order) == api.Desc, Limit: limit, Cursor: given(p.Cursor),
	}
	if q.Author != "" {
		q.Author = withScheme(q.Author)
	}
	for _, typ := range q.Types {
		if !span.ValidPattern(typ) {
			return q, wrong("type", "a type, with * for one segment and ** for the rest")
		}
	}
	for _, check := range []struct {
		name, want string
		given, ok  bool
	}{
		{"author", "a LogLine ID", p.Author != nil, span.IsIdentity(q.Author)},
		{"status", "executed, pending, rejected, reverted or ghost", p.Status != nil, knownStatus(q.Status)},
		{"since", "a time like 2026-01-31T12:00:00.000Z", p.Since != nil, isTime(q.Since)},
		{"until", "a time like 2026-01-31T12:00:00.000Z", p.Until != nil, isTime(q.Until)},
		{"cause", "a span id", p.Cause != nil, span.IsUUID(q.Cause)},
		{"q", fmt.Sprintf("1 to %d bytes of words", maxQuestion), p.Q != nil, strings.TrimSpace(q.Q) != "" && len(q.Q) <= maxQuestion},
		{"order", "asc or desc", p.Order != nil, q.Descending || given(p.Order) == api.Asc},
		{"subject", "not empty", p.Subject != nil, q.Subject != ""},
		{"tag", "not empty", p.Tag != nil, q.Tag != ""},
	} {
		if check.given && !check.ok {
			return q, wrong(check.name, check.want)
		}
	}
	return q, nil
}

func wrong(name, want string) error {
	return fault.Newf(fault.Invalid, "parameter_invalid", "the query parameter %s must be %s", name, want)
}

func isTime(text string) bool {
	_, err := span.ParseTime(text)
	return err == nil
}

func knownStatus(status string) bool {
	switch status {
	case timeline.StatusExecuted, timeline.StatusPending, timeline.StatusRejected, timeline.StatusReverted, timeline.StatusGhost:
		return true
	}
	return false
}

func given[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// GetSpan gives the entry of one span.
func (s *Server) GetSpan(c echo.Context, tenant api.TenantParameter, spanID api.SpanParameter) error {
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	r, err := s.record(c, seen, spanID)
	if err != nil {
		return err
	}
	size, err := s.holdRecords(c, r)
	if err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, append(appendRecord(make([]byte, 0, size), &r), '}'))
}

// record finds a span for a reader; one the reader may not see answers exactly
// like one that does not exist.
func (s *Server) record(c echo.Context, seen sight, spanID string) (timeline.Record, error) {
	if !span.IsUUID(spanID) {
		return timeline.Record{}, errSpan
	}
	r, err := s.deps.Log.Get(c.Request().Context(), seen.ID, spanID)
	if fault.KindOf(err) == fault.NotFound {
		return timeline.Record{}, errSpan
	}
	if err != nil {
		return timeline.Record{}, err
	}
	if !r.VisibleTo(seen.reader) {
		return timeline.Record{}, errSpan
	}
	return r, nil
}

// GetReceipt gives the first receipt of a span, as JSON or as a proof file.
func (s *Server) GetReceipt(c echo.Context, tenant api.TenantParameter, spanID api.SpanParameter, params api.GetReceiptParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	asFile := strings.HasPrefix(c.Request().Header.Get(echo.HeaderAccept), "text/plain")
	switch given(params.Format) {
	case "":
	case api.Json:
		asFile = false
	case api.TlogProof:
		asFile = true
	default:
		return wrong("format", "json or tlog-proof")
	}
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	rec, err := s.record(c, seen, spanID)
	if err != nil {
		return err
	}
	var r timeline.Receipt
	if given(params.Cosigned) {
		r, err = s.deps.Log.CosignedReceipt(c.Request().Context(), seen.ID, rec.Seq, false)
	} else {
		r, err = s.deps.Log.Receipt(c.Request().Context(), seen.ID, rec.Seq)
	}
	if err != nil {
		return err
	}
	if !asFile {
		return c.Blob(http.StatusOK, typeJSON, appendReceipt(nil, &r))
	}
	file := tree.ProofFile{Extra: r.Line, Index: r.Index, Hashes: r.Proof, Checkpoint: r.Checkpoint}
	return c.Blob(http.StatusOK, typeText, file.Marshal())
}

// GetCauses gives what led to a span.
func (s *Server) GetCauses(c echo.Context, tenant api.TenantParameter, spanID api.SpanParameter, params api.GetCausesParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	return s.trace(c, tenant, spanID, timeline.Causes, params.Depth)
}

// GetEffects gives what a span led to.
func (s *Server) GetEffects(c echo.Context, tenant api.TenantParameter, spanID api.SpanParameter, params api.GetEffectsParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	return s.trace(c, tenant, spanID, timeline.Effects, params.Depth)
}

func (s *Server) trace(c echo.Context, tenant, spanID string, dir timeline.Direction, asked *int) error {
	depth := defaultDepth
	if asked != nil {
		depth = *asked
	}
	if depth < 1 || depth > maxDepth {
		return wrong("depth", fmt.Sprintf("1 to %d", maxDepth))
	}
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	if !span.IsUUID(spanID) {
		return errSpan
	}
	g, err := s.deps.Log.Trace(c.Request().Context(), seen.ID, spanID, dir, depth, seen.reader)
	if err != nil {
		return asSpan(err)
	}
	return answer(c, http.StatusOK, graphOf(&g))
}

// asSpan gives every span that is not there the one answer for it.
func asSpan(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return errSpan
	}
	return err
}

func graphOf(g *timeline.Graph) api.Graph {
	out := api.Graph{
		Root: g.Root, Nodes: nodesOf(g.Nodes), Edges: make([]api.GraphEdge, len(g.Edges)),
		Unresolved: append([]string{}, g.Unresolved...), Truncated: g.Truncated,
	}
	for i, e := range g.Edges {
		out.Edges[i] = api.GraphEdge{From: e.From, To: e.To}
	}
	return out
}

func nodesOf(nodes []timeline.Node) []api.GraphNode {
	out := make([]api.GraphNode, len(nodes))
	for i, n := range nodes {
		out[i] = api.GraphNode{Id: n.ID, Seq: n.Seq, Type: n.Type, Author: n.Author, Depth: n.Depth}
	}
	return out
}

// onlyKnown refuses query parameters that params does not name: a filter with a
// typing error must not answer as if it were not there.
func onlyKnown(c echo.Context, params any) error {
	if c.Request().URL.RawQuery == "" {
		return nil
	}
	// Go's own reading leaves out what it cannot read.
	asked, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return fault.New(fault.Invalid, "parameter_invalid", "the query is not well formed; write it as name=value&name=value, with %XX for other characters").Because(err)
	}
	known := reflect.TypeOf(params)
next:
	for name := range asked {
		for i := range known.NumField() {
			if tag, _, _ := strings.Cut(known.Field(i).Tag.Get("form"), ","); tag == name {
				continue next
			}
		}
		return fault.Newf(fault.Invalid, "parameter_unknown", "there is no query parameter %q here", name)
	}
	return nil
}
