package rules

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// World is what deciding may ask. Its members answer as of the position that is
// decided, the spans before it in the same batch included, and do not change
// during one call.
type World struct {
	Standing standing.View
	State    State
	// Contracts are those of Sources: in force, in the shadow, and those whose
	// workflow instances are in flight. nil: none.
	Contracts *contract.Set
	// Version gives another that work is pinned to, by name@version#hash, and asks
	// nothing of any state but the one it is given; nil, or a nil contract: there is
	// none.
	Version func(ctx context.Context, state State, ref string) (*contract.Contract, error)
	Tenant  expr.Tenant
	// Home says that owners of this timeline speak for the node: the contracts
	// for every tenant (tenant: "*") are activated and retired by them here.
	Home bool
	// Directory gives handle and name of an identity, for texts; nil: nobody has
	// one.
	Directory func(identity string) (handle, name string)
	// Compile gives the contract of a source that a logline.contract span
	// carries; nil compiles it each time.
	Compile func(source string) (*contract.Contract, error)
	// NextCron is the first time after another that a cron line names in a time
	// zone; nil refuses tasks with one, and lets no schedule with one run. Zones come
	// from tables outside.
	NextCron func(line, timezone string, after time.Time) (time.Time, error)
	// CronBetween are the last times, at most keep, after one and not after another
	// that a cron line names in a time zone, and how many there are; nil where the
	// clock leaves nothing out.
	CronBetween func(line, timezone string, after, until time.Time, keep int) ([]time.Time, int, error)
	// Past gives a span of the timeline as it was recorded, which a revert may ask
	// for; nil: there is none, or, where it is no function, nothing is undone.
	Past func(ctx context.Context, spanID string) (*Past, error)
	// Explain has the Trace of an Outcome name rules too that were asked and do
	// nothing.
	Explain bool
}

func (w *World) contracts() *contract.Set {
	if w.Contracts == nil {
		return contract.NewSet(nil)
	}
	return w.Contracts
}

// version is the contract that work is pinned to.
func (w *World) version(ctx context.Context, ref string) (*contract.Contract, error) {
	c := w.contracts().ByRef(ref)
	if c == nil && w.Version != nil {
		var err error
		if c, err = w.Version(ctx, w.State, ref); err != nil {
			return nil, err
		}
	}
	if c == nil {
		return nil, fault.Newf(fault.Internal, "contract_missing", "the contract %s, to which work in flight is pinned, is not known here", ref)
	}
	return c, nil
}

// facts answers what expressions ask of the timeline. It lives for one
// decision.
type facts struct {
	ctx context.Context
	w   *World
	at  standing.Position
	now time.Time
	own *contract.Contract // whose expression is evaluated

	evaluations uint // begun so far
	ended       bool
}

var (
	_ expr.Supplier = (*facts)(nil)
	_ expr.Ender    = (*facts)(nil)
)

// lookEvery is after how many evaluations it is asked whether the time is over: to
// ask costs as much as a small one, and a large one takes a tenth of a second.
const lookEvery = 8

// Ended implements expr.Ender: whoever asks for the decision waits no longer.
func (f *facts) Ended() bool {
	if f.evaluations++; !f.ended && f.evaluations%lookEvery == 0 {
		f.ended = f.ctx.Err() != nil
	}
	return f.ended
}

// Identity is an identity of the tenant with all that expressions may see.
func (f *facts) Identity(id string) (*expr.Identity, error) { return f.identity(id, true, true) }

// State is the state of an instance, "" if there is none. A contract means its
// own workflow by a name, before others'.
func (f *facts) State(workflow, key string) (string, error) {
	if f.own != nil {
		if w := f.own.Workflow(workflow); w != nil {
			return f.stateOf(w, key)
		}
	}
	return f.stateOf(f.w.contracts().Workflow(workflow), key)
}

func (f *facts) stateOf(w *contract.Workflow, key string) (string, error) {
	if w == nil {
		return "", nil
	}
	var r workflowRow
	_, err := load(f.ctx, f.w.State, workflowKey(w.ID(), key), &r)
	return r.State, err
}

// identity builds an identity, nil if the tenant has none of this id. What
// nobody will look at is not looked up.
func (f *facts) identity(id string, trust, status bool) (*expr.Identity, error) {
	chain, ok := f.w.Standing.Identity(id)
	if !ok {
		return nil, nil
	}
	i := &expr.Identity{ID: id, Subject: chain.Subject(), Roles: f.w.Standing.Roles(id)}
	if f.w.Directory != nil {
		i.Handle, i.Name = f.w.Directory(id)
	}
	if trust {
		var r trustRow
		if _, err := load(f.ctx, f.w.State, trustKey(id), &r); err != nil {
			return nil, err
		}
		i.Trust, i.LastPositiveAt = r.Score, instant(r.Rose)
	}
	if status {
		var err error
		if i.Status, err = f.statusOf(id, chain.Subject(), chain.Status()); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// Statuses of identities that no workflow named `identity` knows.
const (
	StatusGhost     = "ghost"
	StatusValidated = "validated"
)

// identityWorkflow is the workflow whose states are the statuses of
// identities, by their ids.
const identityWorkflow = "identity"

// statusOf is the state that a workflow named identity gives it, where its keys
// still stand; else what its keys say.
func (f *facts) statusOf(identity, subject, chain string) (string, error) {
	if chain != id.StatusActive {
		return chain, nil
	}
	state, err := f.stateOf(f.w.contracts().Workflow(identityWorkflow), identity)
	switch {
	case err != nil || state != "":
		return state, err
	case subject == id.SubjectGhost:
		return StatusGhost, nil
	}
	return StatusValidated, nil
}

// instant reads a time that this package wrote; "" is the zero time.
func instant(s string) time.Time {
	t, err := span.ParseTime(s)
	if err != nil {
		return time.Time{}
	}
	return t
}
