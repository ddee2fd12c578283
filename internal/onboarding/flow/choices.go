package flow

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
)

// How an identity is recovered when its key is lost.
const (
	BySheet    = "sheet"    // the next key on paper
	ByCeremony = "ceremony" // the next key in parts, with several people
	ByNode     = "held"     // the node holds the keys, and whoever runs it helps
	ByNothing  = "none"
)

// Recovery is the step that says how the identity is recovered. What makes a sheet
// or holds a ceremony has the key, so this is the client's word.
type Recovery struct {
	Method string `json:"method"`
}

func (in *Recovery) step() string           { return StepRecovery }
func (in *Recovery) skips() bool            { return false }
func (in *Recovery) ready(m *memory) string { return after(m, StepIdentity) }

func (in *Recovery) check() error {
	if !slices.Contains([]string{BySheet, ByCeremony, ByNode, ByNothing}, in.Method) {
		return fault.New(fault.Invalid, "recovery_method_unknown", "an identity is recovered by sheet, ceremony, held or none").At("/method", "is none of them")
	}
	return nil
}

func (in *Recovery) do(ctx context.Context, t *turn) error {
	switch held := t.memory().Held; {
	case in.Method == ByNode && !held:
		return fault.New(fault.Invalid, "recovery_not_held", "this node does not hold the keys of this identity: you do. Take sheet, ceremony or none").At("/method", "is held")
	case held && (in.Method == BySheet || in.Method == ByCeremony):
		return fault.New(fault.Invalid, "recovery_held", "this node holds the keys of this identity and shows its next key to nobody; take held or none").At("/method", "needs the next key")
	}
	return t.record(ctx, Done, func(_ *memory, step *Step) { step.Method = in.Method })
}

// Invitations is the step in which others are asked in, or nobody is.
type Invitations struct {
	Skip bool `json:"skip,omitempty"`
	Done bool `json:"done,omitempty"`
}

func (in *Invitations) step() string           { return StepInvitations }
func (in *Invitations) skips() bool            { return in.Skip }
func (in *Invitations) ready(m *memory) string { return inTenant(m) }

func (in *Invitations) check() error {
	if in.Skip == in.Done {
		return fault.New(fault.Invalid, "onboarding_invitations_how", "say that invitations are done, or skip them: one of the two").At("/done", "is to be given where skip is not")
	}
	return nil
}

func (in *Invitations) do(ctx context.Context, t *turn) error {
	status := Done
	if in.Skip {
		status = Skipped
	}
	return t.record(ctx, status, func(*memory, *Step) {})
}
