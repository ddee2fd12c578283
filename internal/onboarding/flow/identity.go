package flow

import (
	"context"
	"encoding/json"

	"github.com/danvoulez/logline/internal/fault"
)

// Identity is the step that says who is brought in: with key events of one's own, or
// by a login as an identity whose keys this node holds.
type Identity struct {
	Events []json.RawMessage `json:"events,omitempty"`
	Login  bool              `json:"login,omitempty"`
	Handle string            `json:"handle,omitempty"`
	Name   string            `json:"name,omitempty"`

	// Prove checks that whoever asks is this identity, and that it may be registered
	// here. It is asked only where the step is open.
	Prove func(ctx context.Context) (Proven, error) `json:"-"`
}

// Proven is who somebody showed to be.
type Proven struct {
	Identity string // LogLine ID
	Key      string // public key by which; "" for a login
}

func (in *Identity) step() string         { return StepIdentity }
func (in *Identity) skips() bool          { return false }
func (in *Identity) ready(*memory) string { return "" }

func (in *Identity) check() error {
	switch {
	case in.Login == (len(in.Events) > 0):
		return fault.New(fault.Invalid, "onboarding_identity_how",
			"an identity is given by its own key events, or by session where this node holds its keys: by one of the two").At("/events", "is to be given where session is not")
	case in.Login && in.Handle+in.Name != "":
		return fault.New(fault.Invalid, "onboarding_identity_names", "an identity that is logged in has its handle and name already; change them at /v1/identities").At("/handle", "is not asked for with session")
	}
	return nil
}

func (in *Identity) do(ctx context.Context, t *turn) error {
	who, err := in.Prove(ctx)
	if err != nil {
		return err
	}
	if len(in.Events) > 0 {
		events := make([][]byte, len(in.Events))
		for i := range in.Events {
			events[i] = in.Events[i]
		}
		info, _, err := t.s.Directory.Register(ctx, events, in.Handle, in.Name)
		if err != nil {
			return err
		}
		if info.ID != who.Identity {
			return fault.New(fault.Internal, "onboarding_proof_other", "the proof is of another identity than was registered")
		}
	}
	held := true
	if _, err := t.s.Custody.Maker(ctx, who.Identity); fault.KindOf(err) == fault.NotFound {
		held = false
	} else if err != nil {
		return err
	}
	return t.record(ctx, Done, func(m *memory, step *Step) {
		m.Identity, m.Key, m.Held = who.Identity, who.Key, held
		step.Identity, step.Held = who.Identity, held
	})
}
