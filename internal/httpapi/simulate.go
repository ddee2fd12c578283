package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// maxSimulated bounds the body of a simulation, in bytes.
const maxSimulated = 8 << 20

// SimulateSpans tries spans together. Their signatures are the credential, as where
// spans are appended.
func (s *Server) SimulateSpans(c echo.Context, tenant api.TenantParameter) error {
	kind := mediaType(c.Request())
	if kind != typeJSON && kind != typeNDJSON {
		return errSpanType
	}
	raw, err := s.readBody(c, max(s.limits.Line, maxSimulated))
	if err != nil {
		return err
	}
	lines := [][]byte{raw}
	if kind == typeNDJSON {
		lines = bytes.Split(bytes.TrimRight(raw, "\r\n"), []byte("\n"))
	}
	ctx := c.Request().Context()
	sim, err := s.deps.Engine.Simulate(ctx, tenant, lines)
	if err == nil && !span.IsUUID(tenant) && !slices.ContainsFunc(lines, func(line []byte) bool { return s.heard(ctx, tenant, line) }) {
		err = errTenant // as where the name leads nowhere
	}
	if err != nil {
		r := engine.Result{Err: err}
		s.hide(ctx, tenant, lines[0], &r)
		return r.Err
	}
	out := simulation{Size: sim.Size, At: sim.At, Spans: []simulatedSpan{}, Later: []simulatedEntry{}, More: sim.More}
	for i := range sim.Spans {
		s.hide(ctx, tenant, lines[i], &sim.Spans[i])
		one, err := s.simulated(c, sim, i, lines[i])
		if err != nil {
			return err
		}
		out.Spans = append(out.Spans, *one)
	}
	if out.Later, err = simulatedEntries(sim.Later); err != nil {
		return err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, body)
}

type simulation struct {
	Size  uint64           `json:"size"`
	At    string           `json:"at"`
	Spans []simulatedSpan  `json:"spans"`
	Later []simulatedEntry `json:"later"`
	More  bool             `json:"more"`
}

type simulatedSpan struct {
	Line     int              `json:"line"`
	Status   int              `json:"status"`
	Problem  json.RawMessage  `json:"problem,omitempty"`
	Decision json.RawMessage  `json:"decision,omitempty"`
	Refusal  *refusalView     `json:"refusal,omitempty"`
	Trace    []stepView       `json:"trace,omitempty"`
	Detail   json.RawMessage  `json:"detail,omitempty"`
	Effects  []effectView     `json:"effects,omitempty"`
	Follows  []simulatedEntry `json:"follows,omitempty"`
}

type refusalView struct {
	Contract string `json:"contract"`
	Rule     string `json:"rule"`
	Reason   string `json:"reason"`
}

type stepView struct {
	Rule   string `json:"rule"`
	Branch string `json:"branch"`
	Shadow bool   `json:"shadow,omitzero"`
}

type simulatedEntry struct {
	At       string          `json:"at"`
	Type     string          `json:"type"`
	Causes   []string        `json:"causes,omitempty"`
	Payload  json.RawMessage `json:"payload"`
	Decision json.RawMessage `json:"decision"`
	Effects  []effectView    `json:"effects"`
}

// effectView is an effect, and beside it what of an action would be seen outside.
type effectView struct {
	rules.Effect
	Decision json.RawMessage `json:"decision,omitempty"` // of what is emitted
	Endpoint string          `json:"endpoint,omitempty"` // the setting's name
	Message  *messageView    `json:"message,omitempty"`
}

// messageView is what a receiver would get.
type messageView struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Tenant    string          `json:"tenant"`
	Span      string          `json:"span"`
	Data      json.RawMessage `json:"data"`
}

func (s *Server) simulated(c echo.Context, sim *engine.Simulation, i int, raw []byte) (*simulatedSpan, error) {
	r := &sim.Spans[i]
	out := &simulatedSpan{Line: i + 1}
	if r.Err != nil {
		problem := classify(r.Err)
		out.Status = statusOf(problem)
		out.Problem = s.appendProblem(c.Request().Context(), nil, problem, idOf(c))
	} else if out.Status = appendStatus(r); r.Outcome == engine.Created && !pending(r) {
		out.Status = http.StatusCreated
	}
	o := r.Foresight
	if o == nil {
		return out, nil
	}
	out.Decision = o.Decision.AppendCanonical(nil)
	if o.Refusal != nil {
		out.Refusal = &refusalView{o.Refusal.Contract, o.Refusal.Rule, o.Refusal.Reason}
	}
	for _, step := range o.Trace {
		out.Trace = append(out.Trace, stepView(step))
	}
	if o.Detail != nil {
		out.Detail = o.Detail.Canonical()
	}
	sp, err := span.Parse(raw, s.limits.Span)
	if err != nil {
		return nil, err
	}
	if out.Effects, err = effectViews(o, sim.At, sp.Tenant, sp.ID); err != nil {
		return nil, err
	}
	out.Follows, err = simulatedEntries(sim.Follows[i])
	return out, err
}

func simulatedEntries(list []engine.Follower) ([]simulatedEntry, error) {
	out := make([]simulatedEntry, len(list))
	for i, f := range list {
		effects, err := effectViews(f.Outcome, f.At, "", "")
		if err != nil {
			return nil, err
		}
		out[i] = simulatedEntry{f.At, f.Type, f.Causes, f.Payload, f.Outcome.Decision.AppendCanonical(nil), effects}
	}
	return out, nil
}

// effectViews are the effects of an outcome. Calls of the node's own entries, whose
// ids are made when they are recorded, have no message.
func effectViews(o *rules.Outcome, at, tenant, spanID string) ([]effectView, error) {
	list, err := o.Effects()
	if err != nil {
		return nil, err
	}
	out := make([]effectView, len(list))
	for i, e := range list {
		out[i].Effect = e
		switch e.Kind {
		case rules.ActionEmit:
			out[i].Decision = json.RawMessage(`{"outcome":"allow"}`)
		case rules.ActionCall:
			var ask struct {
				Webhook, Endpoint string
				Body              json.RawMessage
			}
			if e.Body == nil {
				continue
			}
			if err := json.Unmarshal(e.Body, &ask); err != nil {
				return nil, fault.New(fault.Internal, "internal", "a call has a body of no known form").Because(err)
			}
			out[i].Endpoint = cmp.Or(ask.Endpoint, ask.Webhook)
			if spanID != "" {
				if ask.Body == nil {
					ask.Body = json.RawMessage("{}")
				}
				out[i].Message = &messageView{ask.Webhook, at, tenant, spanID, ask.Body}
			}
		}
	}
	return out, nil
}
