package trial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// Facts are what a dry run takes for granted, as JSON has them.
type Facts struct {
	Now        string                  `json:"now"` // RFC 3339; "" is the standard beginning
	Tenant     string                  `json:"tenant"`
	Identities map[string]FactIdentity `json:"identities"`
	States     []FactState             `json:"states"`
	Spans      []FactSpan              `json:"spans"`
}

// FactIdentity is what is known of an identity.
type FactIdentity struct {
	Handle  string   `json:"handle"`
	Name    string   `json:"name"`
	Status  string   `json:"status"`
	Subject string   `json:"subject"`
	Trust   float64  `json:"trust"`
	Roles   []string `json:"roles"`
}

// FactState is the state of an instance of a workflow.
type FactState struct {
	Workflow string `json:"workflow"`
	Key      string `json:"key"`
	State    string `json:"state"`
}

// FactSpan is a span. At is when a given one was recorded, RFC 3339.
type FactSpan struct {
	Type       string          `json:"type"`
	By         string          `json:"by"`
	Data       json.RawMessage `json:"data"`
	Title      string          `json:"title"`
	Subject    string          `json:"subject"`
	Tags       []string        `json:"tags"`
	Visibility string          `json:"visibility"`
	OccurredAt string          `json:"occurred_at"`
	OnBehalfOf string          `json:"on_behalf_of"`
	At         string          `json:"at"`
}

// ParseFacts reads facts; a member that is none is an error.
func ParseFacts(src []byte) (*Facts, error) {
	f := &Facts{}
	return f, strictly(src, f, "the facts are", `write {"now": "2026-01-01T09:00:00Z", "identities": {"ana": {"roles": ["finance"]}}, "states": [], "spans": []}`)
}

// ParseSpan reads the span to be decided.
func ParseSpan(src []byte) (*FactSpan, error) {
	s := &FactSpan{}
	err := strictly(src, s, "the span is", `write {"type": "payment.requested", "by": "ana", "data": {"amount": 10}}`)
	if err == nil && s.At != "" {
		err = fault.New(fault.Invalid, "span_invalid", "the span to be decided is decided now; give the time as now among the facts")
	}
	return s, err
}

func strictly(src []byte, into any, what, form string) error {
	if _, err := span.Canonicalize(src); err != nil { // a member twice, a number that no span may hold
		return fault.Newf(fault.Invalid, "facts_invalid", "%s not in the form that is read here; %s", what, form).Because(err)
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows it")
		}
	}
	if err != nil {
		return fault.Newf(fault.Invalid, "facts_invalid", "%s not in the form that is read here; %s", what, form).Because(err)
	}
	return nil
}

// stamped is a span with its time.
type stamped struct {
	FactSpan
	at time.Time
}

// NewStageOf has contracts in force and the facts on record.
func NewStageOf(ctx context.Context, contracts []*contract.Contract, f *Facts, o Options) (*Stage, error) {
	now, err := moment(f.Now, began)
	if err != nil {
		return nil, err
	}
	spans := make([]stamped, len(f.Spans))
	o.Began = now
	for i, sp := range f.Spans {
		at, err := moment(sp.At, now)
		if err != nil {
			return nil, err
		}
		if at.After(now) {
			return nil, fault.Newf(fault.Invalid, "facts_invalid", "the span of %s is recorded after now; give an earlier time, or a later now", sp.At)
		}
		if at.Before(o.Began) {
			o.Began = at
		}
		spans[i] = stamped{sp, at}
	}
	slices.SortStableFunc(spans, func(a, b stamped) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	if f.Tenant != "" {
		o.Tenant = f.Tenant
	}
	s, err := NewStage(contracts, o)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(f.Identities))
	for name := range f.Identities {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := f.Identities[name]
		if err := s.Introduce(ctx, name, Person{p.Handle, p.Name, p.Status, p.Trust, p.Roles, p.Subject}); err != nil {
			return nil, err
		}
	}
	for _, sp := range spans {
		s.reach(sp.at)
		d, err := s.Draft(&sp.FactSpan)
		if err != nil {
			return nil, err
		}
		if err := s.Record(ctx, d); err != nil {
			return nil, err
		}
	}
	s.reach(now)
	for _, st := range f.States {
		if err := s.Put(ctx, st.Workflow, st.Key, st.State); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func moment(text string, standard time.Time) (time.Time, error) {
	if text == "" {
		return standard, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fault.Newf(fault.Invalid, "facts_invalid", "%q is no time; write it like 2026-01-01T09:00:00Z", text)
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

// Draft is a span as the stage takes it, with identities instead of symbols.
func (s *Stage) Draft(f *FactSpan) (Draft, error) {
	d := Draft{By: f.By, Type: f.Type, Title: f.Title, Subject: s.cast.real(f.Subject), OnBehalfOf: f.OnBehalfOf, Tags: f.Tags,
		Visibility: f.Visibility, OccurredAt: f.OccurredAt, Data: expr.MapValue(nil)}
	if f.OccurredAt != "" {
		at, err := moment(f.OccurredAt, time.Time{})
		if err != nil {
			return d, err
		}
		d.OccurredAt = span.FormatTime(at)
	}
	if len(f.Data) == 0 {
		return d, nil
	}
	v, err := expr.ParseData(f.Data)
	if err != nil {
		return d, fault.New(fault.Invalid, "payload_invalid", "the data cannot be read").Because(err)
	}
	if v.Type() != expr.Map {
		return d, fault.New(fault.Invalid, "payload_invalid", "the data of a span are an object; write \"data\": {…}")
	}
	d.Data = s.translated(v)
	return d, nil
}

// translated has identities instead of symbols wherever texts stand.
func (s *Stage) translated(v expr.Value) expr.Value {
	if text, ok := v.Str(); ok {
		return expr.StringValue(s.cast.real(text))
	}
	switch v.Type() {
	case expr.List:
		items := slices.Clone(v.List())
		for i := range items {
			items[i] = s.translated(items[i])
		}
		return expr.ListValue(items...)
	case expr.Map:
		members := map[string]expr.Value{}
		for _, name := range v.Names() {
			member, _ := v.Member(name)
			members[name] = s.translated(member)
		}
		return expr.MapValue(members)
	}
	return v
}

// Told is a text with symbols instead of identities, as the facts name them.
func (s *Stage) Told(text string) string { return s.cast.told(text) }
