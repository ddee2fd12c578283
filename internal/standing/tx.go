package standing

import (
	"bytes"
	"maps"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Tx is an overlay on a State: entries checked and applied in it are seen by
// what follows in it, and by nobody else until Commit. Dropping it undoes it.
// One at a time per State; not safe for concurrent use.
type Tx struct {
	founding
	s       *State
	refound bool // founding differs from the State's
	chains  map[string]*id.Chain
	heads   map[span.Hash]string
	members map[string][]string // nil roles: no member any more
	pending map[string]*held    // nil: settled
	judged  judged              // what the last Check found, for the Apply that follows it
}

// Begin opens an overlay on s.
func (s *State) Begin() *Tx {
	return &Tx{founding: s.founding, s: s}
}

// Identity is the chain embedded so far.
func (t *Tx) Identity(identity string) (*id.Chain, bool) {
	if c, ok := t.chains[identity]; ok {
		return c, true
	}
	return t.s.Identity(identity)
}

// Roles are the roles of an identity, sorted.
func (t *Tx) Roles(identity string) []string {
	if roles, ok := t.members[identity]; ok {
		return roles
	}
	return t.s.Roles(identity)
}

// Can reports whether one of identity's roles has the right.
func (t *Tx) Can(identity string, r Right) bool { return rolesAllow(t.Roles(identity), r) }

// Members are all identities with a role, sorted.
func (t *Tx) Members() []Member {
	all := maps.Clone(t.s.members)
	for identity, roles := range t.members {
		if roles == nil {
			delete(all, identity)
		} else {
			all[identity] = roles
		}
	}
	return sortMembers(all)
}

func (t *Tx) held(spanID string) (held, bool) {
	if h, ok := t.pending[spanID]; ok {
		if h == nil {
			return held{}, false
		}
		return *h, true
	}
	h, ok := t.s.pending[spanID]
	return h, ok
}

// chainAt finds the chain whose head is hash, which an event's `prev` or
// `under` names.
func (t *Tx) chainAt(hash span.Hash) (*id.Chain, bool) {
	identity, ok := t.heads[hash]
	if !ok {
		identity, ok = t.s.heads[hash]
	}
	if !ok {
		return nil, false
	}
	c, ok := t.Identity(identity)
	return c, ok && c.Head() == hash // a later event of this Tx may have moved it
}

// StatusChange is a new effective status of an earlier entry.
type StatusChange struct {
	SpanID string
	Seq    uint64
	Status string
}

// Change is what an entry does to earlier entries.
type Change struct {
	Statuses []StatusChange
	Redacted []Ref // whose payload, salt and detail are to be erased
}

// effect is what a span does once it is executed; nil does nothing.
type effect struct {
	founding *founding
	chain    *id.Chain
	member   string
	roles    []string // of member; nil ends the membership
	settles  string   // span id that stops being pending
	change   Change
}

// judged remembers one Check, so that what follows for the same span, another
// Check or Apply, need not judge it twice.
type judged struct {
	header  span.Header
	payload []byte
	at      Position
	effect  *effect
	ok      bool
}

// covers reports whether the judgement holds for this span too: everything
// that judge looks at is the same.
func (j *judged) covers(h *span.Header, payload []byte, at Position) bool {
	k := &j.header
	return j.ok && j.at == at && k.ID == h.ID && k.Signature == h.Signature && k.Tenant == h.Tenant && k.Author == h.Author &&
		k.Type == h.Type && k.Visibility == h.Visibility && k.OnBehalfOf == h.OnBehalfOf && bytes.Equal(j.payload, payload)
}

// Check applies every rule on keys, roles, reserved types, founding entries
// and targets to a span that would stand at the position (PROTOCOL §2, §4,
// §7). It changes nothing. A simulated span is judged like an executed one.
//
// payload is JCS; nil means withheld, which is an error (payload_missing) for
// the types whose payloads the fold needs. look may be nil where no target is
// known; every target is then unknown.
func (t *Tx) Check(h *span.Header, payload []byte, at Position, look Lookup) error {
	if t.judged.covers(h, payload, at) {
		return nil // nothing was applied since
	}
	t.judged = judged{}
	e, err := t.judge(h, payload, at, look)
	if err != nil {
		return err
	}
	t.judged = judged{*h, payload, at, e, true}
	return nil
}

// Apply takes an entry into the overlay and says what it changes in earlier
// ones. It judges the span as Check does (at once after a Check of the same
// span it is not judged again), and refuses what never is an entry: a
// simulated span, a pending one by the node. After an error the overlay is as
// before.
func (t *Tx) Apply(e *span.Entry, payload []byte, look Lookup) (Change, error) {
	if e.Span.Status != span.StatusExecuted {
		return Change{}, fault.New(fault.Invalid, "entry_simulated", "a simulated span is never an entry")
	}
	at := Position{e.Seq, e.RecordedAt}
	j := t.judged
	t.judged = judged{}
	if !j.covers(&e.Span, payload, at) {
		var err error
		if j.effect, err = t.judge(&e.Span, payload, at, look); err != nil {
			return Change{}, err
		}
	}
	if e.Decision.Outcome != span.OutcomePending {
		return t.take(j.effect), nil
	}
	if e.Span.Author == t.node || span.NodeOnly(e.Span.Type) {
		return Change{}, fault.New(fault.Invalid, "node_span_pending", "contracts never decide spans of the node, so none can be pending")
	}
	if j.effect != nil {
		t.hold(e.Span.ID, &held{Type: e.Span.Type, Author: e.Span.Author, Payload: bytes.Clone(payload)})
	}
	return Change{}, nil
}

// take writes an effect into the overlay.
func (t *Tx) take(e *effect) Change {
	if e == nil {
		return Change{}
	}
	if e.founding != nil {
		t.founding, t.refound = *e.founding, true
	}
	if e.chain != nil {
		if t.chains == nil {
			t.chains, t.heads = map[string]*id.Chain{}, map[span.Hash]string{}
		}
		t.chains[e.chain.ID()] = e.chain
		t.heads[e.chain.Head()] = e.chain.ID()
	}
	if e.member != "" {
		if t.members == nil {
			t.members = map[string][]string{}
		}
		t.members[e.member] = e.roles
	}
	if e.settles != "" {
		if _, ok := t.held(e.settles); ok {
			t.hold(e.settles, nil)
		}
	}
	return e.change
}

func (t *Tx) hold(spanID string, h *held) {
	if t.pending == nil {
		t.pending = map[string]*held{}
	}
	t.pending[spanID] = h
}

// Commit makes the overlay the State's own and leaves t empty on top of it.
func (t *Tx) Commit() {
	s := t.s
	s.founding = t.founding
	for identity, c := range t.chains {
		if old, ok := s.chains[identity]; ok {
			delete(s.heads, old.Head())
		}
		s.chains[identity] = c
		s.heads[c.Head()] = identity
	}
	for identity, roles := range t.members {
		if roles == nil {
			delete(s.members, identity)
		} else {
			s.members[identity] = roles
		}
	}
	for spanID, h := range t.pending {
		if h == nil {
			delete(s.pending, spanID)
		} else {
			s.pending[spanID] = *h
		}
	}
	*t = Tx{founding: s.founding, s: s}
}
