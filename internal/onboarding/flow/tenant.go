package flow

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// longestRetention is what the step tenant takes, in days: a hundred years.
const longestRetention = 36_500

// Tenant is the step that makes the tenant, with a contract that erases payloads
// after some days where that is asked for.
type Tenant struct {
	Slug          string `json:"slug,omitempty"`
	Name          string `json:"name,omitempty"`
	PublicReading bool   `json:"public_reading,omitempty"`
	RetentionDays int    `json:"retention_days,omitempty"` // 0: payloads stay

	Admission string `json:"-"` // the bootstrap token, "" for none
	As        string `json:"-"` // LogLine ID of a login that came with the request
}

func (in *Tenant) step() string { return StepTenant }

func (in *Tenant) ready(m *memory) string { return after(m, StepIdentity) }

// after is the step, where it is not over.
func after(m *memory, step string) string {
	if m.step(step).over() {
		return ""
	}
	return step
}

func (in *Tenant) check() error {
	switch {
	case in.Slug == "":
		return fault.New(fault.Invalid, "slug_invalid", "a tenant needs a slug").At("/slug", "is missing")
	case in.RetentionDays < 0 || in.RetentionDays > longestRetention:
		return fault.Newf(fault.Invalid, "retention_invalid", "payloads are kept for 1 to %d days, or for ever where retention_days is left out", longestRetention).
			At("/retention_days", "is out of bounds")
	}
	return nil
}

func (in *Tenant) do(ctx context.Context, t *turn) error {
	if m := t.memory(); m.Key == "" && in.As != m.Identity {
		return errLogin // it may have ended since the session began
	}
	if !t.step().Bound {
		made, err := in.found(ctx, t)
		if err != nil {
			return err
		}
		drafts, err := in.drafts(t)
		if err != nil {
			return err
		}
		status := Done
		if len(drafts) > 0 {
			status = Open
		}
		if err := t.record(ctx, status, func(m *memory, step *Step) {
			if !step.Bound { // another process may have been faster, and its drafts be signed
				m.Tenant, step.Bound, step.Drafts = made.ID, true, drafts
			}
		}); err != nil || status == Done {
			return err
		}
	}
	return t.settle(ctx, in.As)
}

// found makes the tenant, or finds the one that an earlier attempt made: where its
// answer was lost, the slug is taken by what was asked for.
func (in *Tenant) found(ctx context.Context, t *turn) (timeline.Tenant, error) {
	owner := t.memory().Identity
	made, err := t.s.Founder.CreateTenant(ctx, in.Admission, in.Slug, in.Name, owner, in.PublicReading)
	if err == nil || fault.CodeOf(err) != timeline.ErrTenantTaken.Code {
		return made, err
	}
	there, lost := t.s.Log.Tenant(ctx, in.Slug)
	if lost != nil {
		return there, lost
	}
	if there.Owner != owner || there.Name != in.Name || there.PublicReading != in.PublicReading || there.ReadOnly {
		return there, err
	}
	return there, nil
}

// retention is the contract that erases payloads after some days.
const retention = "onboarding.retention"

// drafts are what completes the step.
func (in *Tenant) drafts(t *turn) ([]Draft, error) {
	if in.RetentionDays == 0 {
		return nil, nil
	}
	source := fmt.Sprintf("contract %s version \"1.0.0\" {\n  retain \"**\" %dd\n}\n", retention, in.RetentionDays)
	hash := sha256.Sum256([]byte(source))
	payload, err := span.Canonical(span.Contract{
		Name: retention, Version: "1.0.0", Hash: span.B64(hash[:]), Source: source, Action: span.ActionActivate,
	})
	if err != nil {
		return nil, err
	}
	return t.number([]Draft{{Type: span.TypeContract, Visibility: span.VisibilityOrganization, Title: "Payloads are erased after a time", Payload: payload}})
}
