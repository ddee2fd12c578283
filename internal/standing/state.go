package standing

import (
	"maps"
	"slices"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Ref is what the rules need to know of an entry that another span names.
type Ref struct {
	ID         string
	Seq        uint64
	Author     string
	OnBehalfOf string
	Type       string
	Visibility string
	Status     string // effective: executed, pending, rejected, reverted, ghost
	HeaderHash span.Hash
}

// Lookup finds an entry of the same timeline by span id, those before it in
// the same batch included.
type Lookup func(spanID string) (Ref, bool)

// Effective statuses of an entry (PROTOCOL §4).
const (
	StatusExecuted = "executed"
	StatusPending  = "pending"
	StatusRejected = "rejected" // by a resolution, or expired
	StatusReverted = "reverted"
	StatusGhost    = "ghost" // a logline.decision: evidence of a refused attempt
)

// InitialStatus is the effective status of an entry when it is appended.
func InitialStatus(e *span.Entry) string {
	switch {
	case e.Span.Type == span.TypeDecision:
		return StatusGhost
	case e.Decision.Outcome == span.OutcomePending:
		return StatusPending
	}
	return StatusExecuted
}

// Position is where an entry stands or would stand.
type Position struct {
	Seq        uint64
	RecordedAt string
}

// Member is an identity with at least one role, in order of names.
type Member struct {
	Identity string
	Roles    []string
}

// View is the standing at one position. Implementations are safe for
// concurrent reading while nobody changes them; what they return is not to be
// changed.
type View interface {
	Genesis() *span.Genesis // nil before entry 0
	Tenant() string
	Node() string                    // the node that writes now
	Owner() string                   // named in genesis
	LogKey() string                  // b64u(0x01 || public key) of the current epoch
	Epoch() (n uint64, first uint64) // and the position of its first entry
	Halted() string                  // "" while spans are taken, Suspended or Closed
	Identity(id string) (*id.Chain, bool)
	Roles(id string) []string // sorted; nil for no member
	Can(id string, r Right) bool
	Members() []Member // sorted by identity
}

var (
	_ View = (*State)(nil)
	_ View = (*Tx)(nil)
)

// founding is what a timeline has one of.
type founding struct {
	genesis      *span.Genesis // immutable once set
	genesisKey   string        // that signed entry 0, judged by entry 1
	ownerGranted bool
	node         string
	logKey       string
	epoch        uint64
	epochFirst   uint64
	handedTo     string // after logline.handover, until the next epoch
	halted       string // "", Suspended or Closed
}

// Genesis is the payload of entry 0, nil before it.
func (f *founding) Genesis() *span.Genesis { return f.genesis }

// Tenant is the tenant id, "" before entry 0.
func (f *founding) Tenant() string {
	if f.genesis == nil {
		return ""
	}
	return f.genesis.Tenant
}

// Node is the LogLine ID of the node that writes the timeline now.
func (f *founding) Node() string { return f.node }

// Owner is the LogLine ID that genesis names as owner.
func (f *founding) Owner() string {
	if f.genesis == nil {
		return ""
	}
	return f.genesis.Owner
}

// LogKey is the log key of the current epoch, in the form genesis has it.
func (f *founding) LogKey() string { return f.logKey }

// Halted says whether the tenant takes no more spans, and how: Suspended or Closed.
func (f *founding) Halted() string { return f.halted }

// Epoch is the current epoch and the position of its first entry.
func (f *founding) Epoch() (n, first uint64) { return f.epoch, f.epochFirst }

// held is a pending span whose effect waits for its resolution.
type held struct {
	Type    string
	Author  string
	Payload []byte // JCS
}

// State is the standing after some entry. It changes only by Tx.Commit; the
// caller sees to it that nobody reads meanwhile.
type State struct {
	founding
	verifier id.Verifier
	chains   map[string]*id.Chain // by LogLine ID; never changed in place
	heads    map[span.Hash]string // head of each chain -> LogLine ID
	members  map[string][]string  // LogLine ID -> roles, sorted, never empty
	pending  map[string]held      // span id -> effect that waits
}

// New is the standing of an empty timeline. v checks the signatures of
// embedded key events.
func New(v id.Verifier) *State {
	return &State{
		verifier: v,
		chains:   map[string]*id.Chain{},
		heads:    map[span.Hash]string{},
		members:  map[string][]string{},
		pending:  map[string]held{},
	}
}

// Identity is the chain embedded so far.
func (s *State) Identity(identity string) (*id.Chain, bool) {
	c, ok := s.chains[identity]
	return c, ok
}

// Roles are the roles of an identity, sorted.
func (s *State) Roles(identity string) []string { return s.members[identity] }

// Can reports whether one of identity's roles has the right.
func (s *State) Can(identity string, r Right) bool { return rolesAllow(s.members[identity], r) }

// Members are all identities with a role, sorted.
func (s *State) Members() []Member { return sortMembers(s.members) }

func sortMembers(roles map[string][]string) []Member {
	ms := make([]Member, 0, len(roles))
	for _, identity := range slices.Sorted(maps.Keys(roles)) {
		ms = append(ms, Member{identity, roles[identity]})
	}
	return ms
}
