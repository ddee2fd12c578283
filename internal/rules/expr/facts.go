package expr

import (
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/danvoulez/logline/internal/span"
)

// Identity is what contracts may know of an identity. Handle and Name come from
// the directory, which is on no timeline: they may be shown in texts and never
// decide. An empty or zero member reads as absent, except Trust and Roles.
type Identity struct {
	ID             string
	Subject        string // person, organization, service or agent
	Status         string
	Roles          []string
	Trust          float64
	LastPositiveAt time.Time // when trust last rose

	Handle, Name string
}

// Tenant is the tenant of the timeline.
type Tenant struct{ ID, Slug, Name string }

// Approval is one vote on a span that waits.
type Approval struct {
	By     string // LogLine ID
	Vote   string
	Roles  []string // the voter's, when the vote was recorded
	At     time.Time
	Weight float64
}

// Facts are what an expression may see. What the scope does not declare may be
// left out.
type Facts struct {
	Span      *span.Header
	Data      Value // the payload; ParseData reads it
	Actor     *Identity
	Tenant    *Tenant
	Approvals []Approval
	Now       time.Time // the entry's recorded_at
	EnteredAt time.Time // when the workflow entered its state
	It        *Identity
	Supplier  Supplier
}

// Supplier answers what an expression asks of the timeline, as of its head with
// the spans before this one in the same batch. An evaluation asks in the order
// of its operands and not beyond what decides it. Answers must not change
// during one evaluation. An error ends the evaluation with Unsupplied.
type Supplier interface {
	// Aggregate is the value of one of the program's Aggregates.
	Aggregate(a *Aggregate, args Args) (float64, error)
	// Identity is the identity of this id, nil if the tenant has none.
	Identity(id string) (*Identity, error)
	// State is the state of the workflow's instance of this key, "" if there is
	// none.
	State(workflow, key string) (string, error)
}

// Ender is a Supplier that says when the time for a decision is over. From then on
// evaluations fail at once with TooCostly, and what is made of that counts for
// nothing.
type Ender interface{ Ended() bool }

// Args are the values of an aggregate's filters, zero for those it has not.
type Args struct {
	By, Subject string
	Within      time.Duration
}

// Input is facts made ready for evaluation. It is immutable and serves any
// number of programs.
type Input struct {
	span, data, actor, tenant, approvals, now, enteredAt, it ref.Val
	supplier                                                 *supplierVal
	ends                                                     Ender
	weight                                                   int // of the data
}

// over says that no evaluation is begun any more.
func (in *Input) over() bool { return in.ends != nil && in.ends.Ended() }

// noVotes is what most spans have.
var noVotes = newList(nil)

// Bind makes facts ready. What they point to must not be changed afterwards.
func Bind(f Facts) *Input {
	in := &Input{supplier: &supplierVal{f.Supplier}}
	in.ends, _ = f.Supplier.(Ender)
	if f.Span != nil {
		in.span = &spanVal{f.Span}
	}
	if f.Data.v != nil {
		in.data = f.Data.v
	}
	if f.Actor != nil {
		in.actor = (*identityVal)(f.Actor)
	}
	if f.Tenant != nil {
		in.tenant = (*tenantVal)(f.Tenant)
	}
	if f.It != nil {
		in.it = (*identityVal)(f.It)
	}
	if !f.Now.IsZero() {
		in.now = types.Timestamp{Time: f.Now.UTC()}
	}
	if !f.EnteredAt.IsZero() {
		in.enteredAt = types.Timestamp{Time: f.EnteredAt.UTC()}
	}
	in.approvals = noVotes
	if len(f.Approvals) > 0 {
		votes := make([]ref.Val, len(f.Approvals))
		for i := range f.Approvals {
			votes[i] = (*approvalVal)(&f.Approvals[i])
		}
		in.approvals = newList(votes)
	}
	in.weight = f.weight()
	return in
}

// weight is that of the data, and beyond all bounds where there are more votes
// or roles than costs are reckoned with.
func (f *Facts) weight() int {
	most := len(f.Approvals) > MaxApprovals
	for _, i := range []*Identity{f.Actor, f.It} {
		most = most || i != nil && len(i.Roles) > MaxHeaderList
	}
	for i := range f.Approvals {
		most = most || len(f.Approvals[i].Roles) > MaxHeaderList
	}
	if most || f.Span != nil && max(len(f.Span.Tags), len(f.Span.Causes)) > MaxHeaderList {
		return MaxData + 1
	}
	return weigh(f.Data.ref(), MaxData+1)
}
