package engine

import (
	"context"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Options are the conditions of one append.
type Options struct {
	// ExpectedSize, when set, refuses the span with conflict expected_seq
	// unless the timeline holds exactly that many entries before it.
	ExpectedSize *uint64
}

// Outcomes of a submission that was not refused.
const (
	Created   = "created"   // a new entry; Decision.Outcome may still be "pending"
	Repeat    = "repeat"    // the same span was recorded before; Receipt is its first one
	Simulated = "simulated" // decided only; no entry was made and Receipt is nil
)

// Result answers one span. Exactly one of Outcome and Err is set.
type Result struct {
	Outcome  string
	Receipt  *timeline.Receipt
	Decision span.Decision
	Err      error // *fault.Error
}

// Submit records one span, given as the bytes received, in tenant (id or slug).
// It answers after the commit. When ctx ends while the span still waits, the
// span is dropped and the answer is unavailable request_cancelled; once its
// batch has begun it completes and is answered whatever ctx says.
func (e *Engine) Submit(ctx context.Context, tenant string, raw []byte, opt Options) Result {
	panic("TODO")
}

// SubmitMany records spans in order and answers each at its index. A refused
// span does not stop those after it, with one exception: when the queue is
// full, that span and all after it are answered limited queue_full.
func (e *Engine) SubmitMany(ctx context.Context, tenant string, lines [][]byte) []Result {
	panic("TODO")
}

// OwnOptions are the optional header members of a span by the node.
type OwnOptions struct {
	Subject    string
	Tags       []string
	Causes     []string
	Visibility string // "public" when empty
}

// SubmitOwn records a span signed by the node itself; payload is JCS.
func (e *Engine) SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt OwnOptions) Result {
	panic("TODO")
}

// CreateTenant begins a timeline in one batch: genesis, the node's key events,
// the owner's, and the owner's grant. The owner must be registered here.
func (e *Engine) CreateTenant(ctx context.Context, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	panic("TODO")
}

// EmbedEvent takes a key event of a registered identity: it checks it, adds it
// to the directory, and appends it to every timeline that holds the identity
// before it returns. Tenants whose timeline could not be reached are named in
// pending; they get the event before that identity's next span.
func (e *Engine) EmbedEvent(ctx context.Context, identity string, event []byte) (info id.Info, pending []string, err error) {
	panic("TODO")
}
