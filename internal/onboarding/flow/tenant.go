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
// after some days where that is asked for; or that joins one by an invitation.
type Tenant struct {
	Slug          string `json:"slug,omitempty"`
	Name          string `json:"name,omitempty"`
	PublicReading bool   `json:"public_reading,omitempty"`
	RetentionDays int    `json:"retention_days,omitempty"` // 0: payloads stay
	Invitation    string `json:"invitation,omitempty"`     // its token; instead of all that

	Admission string `json:"-"` // the bootstrap token, "" for none
	As        Login  `json:"-"`
	// Join gives an identity the role of the invitation; the same again is harmless.
	Join func(ctx context.Context, identity string) (Joined, error) `json:"-"`
}

// Joined is what an invitation gave.
type Joined struct {
	Tenant timeline.Tenant
	Role   string
}

func (in *Tenant) step() string { return StepTenant }
func (in *Tenant) skips() bool  { return false }

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
	case in.Invitation != "" && (in.Slug+in.Name != "" || in.PublicReading || in.RetentionDays != 0):
		return fault.New(fault.Invalid, "onboarding_tenant_how", "a tenant is made by its slug and name, or joined by an invitation: one of the two").At("/invitation", "is to be given alone")
	case in.Invitation != "":
		return nil
	case in.Slug == "":
		return fault.New(fault.Invalid, "slug_invalid", "a tenant needs a slug").At("/slug", "is missing")
	case in.RetentionDays < 0 || in.RetentionDays > longestRetention:
		return fault.Newf(fault.Invalid, "retention_invalid", "payloads are kept for 1 to %d days, or for ever where retention_days is left out", longestRetention).
			At("/retention_days", "is out of bounds")
	}
	return nil
}

func (in *Tenant) do(ctx context.Context, t *turn) error {
	if t.memory().Key == "" { // the login may have ended since the session began
		if err := t.login(ctx, in.As); err != nil {
			return err
		}
	}
	if !t.step().Bound {
		release, err := t.claim(ctx, in.Slug)
		if err != nil {
			return err
		}
		if t.step().over() { // by another process
			return nil
		}
		if !t.step().Bound {
			err = in.bring(ctx, t)
			release(err)
		}
		if err != nil || t.step().over() {
			return err
		}
	}
	return t.settle(ctx, in.As)
}

// bring makes the tenant or joins it.
func (in *Tenant) bring(ctx context.Context, t *turn) error {
	ctx, cancel := context.WithTimeout(ctx, claimFor/2)
	defer cancel()
	if in.Invitation != "" {
		return in.join(ctx, t)
	}
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
	return t.record(ctx, status, func(m *memory, step *Step) {
		if !step.Bound { // another process may have been faster, and its drafts be signed
			m.Tenant, step.Bound, step.Drafts = made.ID, true, drafts
		}
	})
}

// join joins a tenant that is there: it has its contracts and its people already, and
// an auditor appends nothing.
func (in *Tenant) join(ctx context.Context, t *turn) error {
	joined, err := in.Join(ctx, t.memory().Identity)
	if err != nil {
		return err
	}
	return t.record(ctx, Done, func(m *memory, step *Step) {
		m.Tenant, step.Bound, step.Joined, step.Role = joined.Tenant.ID, true, true, joined.Role
		left := []string{StepTemplate, StepInvitations}
		if joined.Role == span.RoleAuditor {
			left = append(left, StepFirstSpan)
		}
		for _, name := range left {
			m.step(name).Status = Skipped
		}
	})
}

// found makes the tenant, or finds the one that was made before: where the answer was
// lost, or by another session, the slug is taken by what is asked for, and what admitted
// it may be spent.
func (in *Tenant) found(ctx context.Context, t *turn) (timeline.Tenant, error) {
	owner := t.memory().Identity
	made, err := t.s.Founder.CreateTenant(ctx, in.Admission, in.Slug, in.Name, owner, in.PublicReading)
	if kind := fault.KindOf(err); kind != fault.Conflict && kind != fault.Forbidden {
		return made, err
	}
	there, lost := t.s.Log.Tenant(ctx, in.Slug)
	switch {
	case fault.KindOf(lost) == fault.NotFound:
		return made, err
	case lost != nil:
		return made, lost
	case there.Owner != owner || there.Name != in.Name || there.PublicReading != in.PublicReading || there.ReadOnly:
		return made, err
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
