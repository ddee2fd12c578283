package flow

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding/template"
)

// Template is the step that takes a template for the tenant, or none.
type Template struct {
	Template string `json:"template,omitempty"`
	Version  string `json:"version,omitempty"`  // "" for the newest
	Examples bool   `json:"examples,omitempty"` // with spans that show how it is used
	Skip     bool   `json:"skip,omitempty"`

	As Login `json:"-"`
}

func (in *Template) step() string { return StepTemplate }
func (in *Template) skips() bool  { return in.Skip }

func (in *Template) ready(m *memory) string { return inTenant(m) }

// inTenant is the step tenant, where there is no tenant.
func inTenant(m *memory) string {
	if m.Tenant == "" {
		return StepTenant
	}
	return ""
}

func (in *Template) check() error {
	if in.Skip == (in.Template != "") || in.Skip && (in.Version != "" || in.Examples) {
		return fault.New(fault.Invalid, "onboarding_template_how", "name a template, or skip it: one of the two").At("/template", "is to be given where skip is not")
	}
	return nil
}

func (in *Template) do(ctx context.Context, t *turn) error {
	step := t.step()
	if step.Said != t.said && len(step.Drafts) > 0 {
		left, err := t.s.missing(ctx, t.memory(), step)
		if err != nil {
			return err
		}
		if len(left) < len(step.Drafts) {
			return fault.Newf(fault.Conflict, "onboarding_step_recorded",
				"spans of the template %s stand on the timeline already; sign those that are left, and ask for it again", step.Template)
		}
	}
	if in.Skip {
		return t.record(ctx, Skipped, func(_ *memory, step *Step) { step.Template, step.Version, step.Drafts = "", "", nil })
	}
	if step.Said != t.said {
		if err := in.choose(ctx, t); err != nil {
			return err
		}
	}
	return t.settle(ctx, in.As)
}

// choose takes the drafts of the template, whose ids are the first ones that any
// process chose.
func (in *Template) choose(ctx context.Context, t *turn) error {
	chosen, err := template.Get(in.Template, in.Version)
	if err != nil {
		return err
	}
	spans := chosen.Drafts()
	if in.Examples {
		spans = append(spans, chosen.Examples()...)
	}
	drafts := make([]Draft, len(spans))
	for i, d := range spans {
		drafts[i] = Draft{Type: d.Type, Visibility: d.Visibility, Title: d.Title, Subject: d.Subject, Tags: d.Tags, Payload: d.Payload}
	}
	if drafts, err = t.number(drafts); err != nil {
		return err
	}
	return t.record(ctx, Open, func(_ *memory, step *Step) {
		if step.Template != chosen.Name || step.Version != chosen.Version || len(step.Drafts) != len(drafts) {
			step.Template, step.Version, step.Drafts = chosen.Name, chosen.Version, drafts
		}
	})
}
