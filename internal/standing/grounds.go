package standing

import (
	"slices"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Ground is the entry that gave somebody a role or a key.
type Ground struct {
	Seq  uint64 `json:"seq"`
	Span string `json:"span"`
	By   string `json:"by"` // its author
}

// Grounds follows entries that were judged before, from the first one on, and
// knows where the rights at a place come from: which entry granted a role that is
// held there, and which holds the event that made a key current. The fold itself
// needs none of that. Not safe for concurrent use.
type Grounds struct {
	roles map[string]map[string]Ground // by LogLine ID and role
	keys  map[string]map[string]Ground // by LogLine ID and public key
	heads map[string]string            // hash of an event that later ones name -> LogLine ID
	waits map[string]waiting           // by span id: changes of roles that wait for votes
}

type waiting struct {
	payload []byte
	ground  Ground
}

// NewGrounds begins before the first entry.
func NewGrounds() *Grounds {
	return &Grounds{
		roles: map[string]map[string]Ground{}, keys: map[string]map[string]Ground{},
		heads: map[string]string{}, waits: map[string]waiting{},
	}
}

// Take goes past an entry. What cannot be read gives nobody anything.
func (o *Grounds) Take(e *span.Entry, payload []byte) {
	ground := Ground{Seq: e.Seq, Span: e.Span.ID, By: e.Span.Author}
	switch e.Span.Type {
	case span.TypeIdentity:
		o.embed(payload, ground)
	case span.TypeMember:
		if e.Decision.Outcome == span.OutcomePending {
			o.waits[e.Span.ID] = waiting{payload, ground}
			return
		}
		o.member(payload, ground)
	case span.TypeResolution:
		p, err := span.ParseResolution(payload)
		if err != nil {
			return
		}
		if w, ok := o.waits[p.Span]; ok && p.Outcome == span.ResolutionExecuted {
			o.member(w.payload, w.ground)
		}
		delete(o.waits, p.Span)
	}
}

func (o *Grounds) member(payload []byte, ground Ground) {
	p, err := span.ParseMember(payload)
	if err != nil {
		return
	}
	held := o.roles[p.Identity]
	if held == nil {
		held = map[string]Ground{}
		o.roles[p.Identity] = held
	}
	for _, role := range p.Roles {
		if _, ok := held[role]; p.Action == span.ActionWithdraw {
			delete(held, role)
		} else if !ok { // granting what is held changes nothing
			held[role] = ground
		}
	}
}

func (o *Grounds) embed(payload []byte, ground Ground) {
	p, err := span.ParseIdentity(payload)
	if err != nil {
		return
	}
	ev, err := id.ParseEvent(p.Event)
	if err != nil {
		return
	}
	identity := o.heads[ev.Prev+ev.Under] // an event has one of the two, or neither
	switch ev.Kind {
	case id.KindInception:
		identity = ev.IdentityID()
	case id.KindUndelegate:
		delete(o.keys[identity], ev.Key)
		return
	}
	if ev.Kind != id.KindDelegate {
		o.heads[ev.SealedHash().String()] = identity
		o.keys[identity] = map[string]Ground{} // a rotation ends what was delegated before it
	}
	if _, ok := o.keys[identity][ev.Key]; ev.Key != "" && !ok {
		o.keys[identity][ev.Key] = ground
	}
}

// Key is where an identity has a key from that is current.
func (o *Grounds) Key(identity, key string) (Ground, bool) {
	ground, ok := o.keys[identity][key]
	return ground, ok
}

// RoleGround is where an identity has a role from.
type RoleGround struct {
	Role string `json:"role"`
	Ground
}

// Roles are where an identity has its roles from, in order of their names.
func (o *Grounds) Roles(identity string) []RoleGround {
	out := make([]RoleGround, 0, len(o.roles[identity]))
	for role, ground := range o.roles[identity] {
		out = append(out, RoleGround{role, ground})
	}
	slices.SortFunc(out, func(a, b RoleGround) int {
		if a.Role < b.Role {
			return -1
		}
		return 1
	})
	return out
}
