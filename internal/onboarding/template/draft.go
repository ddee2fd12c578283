package template

import (
	"encoding/json"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// TypeApplied is the type of the span that says which template was applied.
const TypeApplied = "template.applied"

// Draft is a span that somebody has still to sign: its tenant, author, id and
// time are theirs.
type Draft struct {
	Type       string          `json:"type"`
	Title      string          `json:"title"`             // no personal data
	Subject    string          `json:"subject,omitempty"` // an opaque reference, "" for none
	Visibility string          `json:"visibility"`
	Tags       []string        `json:"tags,omitempty"`
	Payload    json.RawMessage `json:"payload"` // canonical JSON

	Waits bool `json:"waits,omitempty"` // an example that is recorded and waits for votes, as its contract says
}

// Applied is the payload of template.applied.
type Applied struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
}

// Drafts are the spans that apply the template, in their order: the activation of
// each contract, which takes an owner or an admin, then template.applied.
func (t *Template) Drafts() []Draft {
	out := make([]Draft, 0, len(t.Contracts)+1)
	for _, c := range t.Contracts {
		out = append(out, Draft{
			Type: span.TypeContract, Title: "Contract " + c.Name + " " + c.Version, Visibility: span.VisibilityOrganization,
			Payload: payload(span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash, Source: c.Source, Action: span.ActionActivate}),
		})
	}
	return append(out, Draft{
		Type: TypeApplied, Title: "Template " + t.Name + " " + t.Version, Subject: t.Name, Visibility: span.VisibilityOrganization,
		Payload: payload(Applied{Name: t.Name, Version: t.Version, Hash: t.Hash}),
	})
}

// Examples are spans that the template's contracts take from an owner of the
// tenant, in their order, once the template is applied. They carry the tag
// "example", so that people and programs can tell them from what happened.
func (t *Template) Examples() []Draft {
	out := make([]Draft, len(t.examples))
	for i, d := range t.examples {
		d.Tags, d.Payload = slices.Clone(d.Tags), slices.Clone(d.Payload)
		out[i] = d
	}
	return out
}

// payload is v as canonical JSON. What this package gives it always has one.
func payload(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err == nil {
		raw, err = span.Canonicalize(raw)
	}
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

// exampleTag marks examples.
const exampleTag = "example"

// exampleFile is one entry of examples.yaml.
type exampleFile struct {
	Type       string         `yaml:"type"`
	Title      string         `yaml:"title"`
	Subject    string         `yaml:"subject"`
	Visibility string         `yaml:"visibility"`
	Payload    map[string]any `yaml:"payload"`
	Waits      bool           `yaml:"waits"`
}

func (e *exampleFile) draft() (Draft, error) {
	d := Draft{Type: e.Type, Title: e.Title, Subject: e.Subject, Visibility: e.Visibility, Tags: []string{exampleTag}, Waits: e.Waits}
	if d.Visibility == "" {
		d.Visibility = span.VisibilityOrganization
	}
	if !span.ValidType(e.Type) || span.IsReserved(e.Type) {
		return d, fault.Newf(fault.Invalid, "template_damaged", "an example has the type %q, which is none of its own", brief(e.Type))
	}
	raw, err := json.Marshal(e.Payload)
	if err != nil {
		return d, err
	}
	d.Payload, err = span.Canonicalize(raw)
	return d, err
}
