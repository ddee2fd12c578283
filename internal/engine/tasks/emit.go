package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// errErased is final: nothing is guessed.
var errErased = fault.New(fault.Gone, "action_erased", "what the action says was erased before it was done, so it is not done any more")

// action reads what the detail of a decision says of an action, as of now, into
// body, and gives the entry.
func action(ctx context.Context, spans Spans, t *Task, body any) (timeline.Record, error) {
	rec, err := spans.Get(ctx, t.Tenant, t.Origin)
	if err != nil {
		return rec, err
	}
	if rec.Detail == nil {
		return rec, errErased
	}
	d, _, err := span.ParseDetail(rec.Detail)
	if err != nil {
		return rec, err
	}
	var bodies map[string]json.RawMessage
	if err := json.Unmarshal(d.Actions, &bodies); err != nil {
		return rec, errAction.Because(err)
	}
	if err := json.Unmarshal(bodies[strconv.Itoa(t.Action)], body); err != nil {
		return rec, errAction.Because(err)
	}
	return rec, nil
}

var errAction = fault.New(fault.Invalid, "action_unreadable", "what the decision's detail says of the action is not of a form that this program knows")

// Emitter makes the spans that contracts emit.
type Emitter struct {
	spans  Spans
	scribe *Scribe
}

// NewEmitter makes the handler of rules.ActionEmit.
func NewEmitter(spans Spans, scribe *Scribe) *Emitter { return &Emitter{spans, scribe} }

// emission is the body of an emit action.
type emission struct {
	Type       string          `json:"type"`
	Data       json.RawMessage `json:"data"`
	Title      string          `json:"title"`
	Subject    string          `json:"subject"`
	Tags       []string        `json:"tags"`
	Visibility string          `json:"visibility"`
}

// emitted is the output.
type emitted struct {
	Span string `json:"span"`
}

// Run is a Handler: it records a span by the node that names its cause. The
// span's id follows from the task's key, so that it is recorded once.
func (m *Emitter) Run(ctx context.Context, t *Task) ([]byte, error) {
	var body emission
	rec, err := action(ctx, m.spans, t, &body)
	if err != nil {
		return nil, err
	}
	entry, err := span.ParseLine(rec.Line)
	if err != nil {
		return nil, err
	}
	at, err := span.ParseTime(entry.RecordedAt)
	if err != nil {
		return nil, err
	}
	data := []byte("{}")
	if body.Data != nil {
		data = body.Data
	}
	if data, err = span.Canonicalize(data); err != nil {
		return nil, err
	}
	made, err := m.scribe.record(ctx, t.Tenant, body.Type, data, engine.OwnOptions{
		Title: body.Title, Subject: body.Subject, Tags: body.Tags, Causes: []string{t.Origin},
		Visibility: cmp.Or(body.Visibility, entry.Span.Visibility), // no wider than what it tells of, unless the contract says so
	}, at, "emit", t.ID())
	if err != nil {
		return nil, err
	}
	return span.Canonical(emitted{made})
}
