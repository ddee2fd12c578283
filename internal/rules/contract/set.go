package contract

import (
	"cmp"
	"slices"

	"github.com/danvoulez/logline/internal/rules/expr"
)

// Mode says what a contract of a Set does.
type Mode uint8

const (
	Enforced Mode = iota
	Shadowed      // evaluated and noted, decides nothing
	Pinned        // out of force, kept for the work that it began
)

// InForce is a contract of a Set.
type InForce struct {
	*Contract
	Mode Mode
}

// Set is the contracts that decide together about the spans of one tenant:
// those in force, node-wide ones first, and those that work in flight is pinned
// to. It is immutable and safe for concurrent use.
type Set struct {
	contracts []InForce
	byRef     map[string]int
	index     trie
	entries   []entry
	exact     map[string]*Match
}

// NewSet indexes contracts, in any order. Of one name at most one is Enforced
// and one Shadowed.
func NewSet(contracts []InForce) *Set {
	s := &Set{contracts: slices.Clone(contracts), byRef: map[string]int{}, exact: map[string]*Match{}}
	slices.SortStableFunc(s.contracts, func(a, b InForce) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.Ref(), b.Ref()))
	})
	for i, c := range s.contracts {
		s.byRef[c.Ref()] = i
	}
	s.collect()
	for i := range s.entries {
		for _, p := range s.entries[i].patterns {
			s.index.add(p, int32(i))
		}
	}
	for i := range s.entries {
		for _, p := range s.entries[i].patterns {
			if isExact(p) && s.exact[p] == nil {
				s.exact[p] = s.match(p)
			}
		}
	}
	return s
}

// rank puts node-wide contracts first.
func rank(c InForce) int {
	if c.Tenant == NodeWide {
		return 0
	}
	return 1
}

// Contracts are the contracts in the order in which they are asked. The caller
// does not change them.
func (s *Set) Contracts() []InForce { return s.contracts }

// NodeWide are those for every tenant that are in force or in the shadow, in the
// order of their names.
func (s *Set) NodeWide() []InForce {
	var out []InForce
	for _, c := range s.contracts {
		if rank(c) > 0 {
			break
		}
		if c.Mode != Pinned {
			out = append(out, c)
		}
	}
	return out
}

// ByRef is the contract with this name@version#hash, nil when it is not there.
func (s *Set) ByRef(ref string) *Contract {
	if i, ok := s.byRef[ref]; ok {
		return s.contracts[i].Contract
	}
	return nil
}

// ByName is the contract of this name that is in force, or else its shadow.
func (s *Set) ByName(name string) (InForce, bool) {
	for _, c := range s.contracts {
		if c.Name == name && c.Mode != Pinned {
			return c, true
		}
	}
	return InForce{}, false
}

// Workflow is the first workflow of that name, or of that contract/name, that
// is enforced.
func (s *Set) Workflow(name string) *Workflow {
	for _, c := range s.contracts {
		if c.Mode != Enforced {
			continue
		}
		for _, w := range c.Workflows {
			if w.Name == name || w.ID() == name {
				return w
			}
		}
	}
	return nil
}

// entry is one thing that concerns spans of some types; what is not nil is what
// it is.
type entry struct {
	in        InForce
	patterns  []string
	rule      *Rule
	permit    *Permit
	workflow  *Workflow
	add       *TrustAdd
	retain    *Retain
	schedule  *Schedule
	undoes    *Compensation
	aggregate *expr.Aggregate
}

// collect lists the entries in the order in which they are asked.
func (s *Set) collect() {
	for _, c := range s.contracts {
		for _, w := range c.Workflows {
			s.entries = append(s.entries, entry{in: c, workflow: w, patterns: w.patterns()})
		}
		if c.Mode == Pinned {
			continue
		}
		for _, r := range c.Rules {
			if r.Enabled {
				s.entries = append(s.entries, entry{in: c, rule: r, patterns: r.On})
			}
		}
		for i := range c.Permits {
			s.entries = append(s.entries, entry{in: c, permit: &c.Permits[i], patterns: []string{c.Permits[i].Pattern}})
		}
		for _, a := range c.Aggregates {
			s.entries = append(s.entries, entry{in: c, aggregate: a, patterns: []string{a.Pattern}})
		}
		if c.Mode == Shadowed {
			continue
		}
		if c.Trust != nil {
			for i := range c.Trust.Adds {
				s.entries = append(s.entries, entry{in: c, add: &c.Trust.Adds[i], patterns: []string{c.Trust.Adds[i].Pattern}})
			}
		}
		for _, r := range c.Compensations {
			s.entries = append(s.entries, entry{in: c, undoes: r, patterns: r.On})
		}
		for i := range c.Retains {
			s.entries = append(s.entries, entry{in: c, retain: &c.Retains[i], patterns: []string{c.Retains[i].Pattern}})
		}
		for _, sc := range c.Schedules {
			if len(sc.On) > 0 {
				s.entries = append(s.entries, entry{in: c, schedule: sc, patterns: sc.On})
			}
		}
	}
	// Only the order of rules goes across contracts.
	slices.SortStableFunc(s.entries, func(a, b entry) int {
		if a.rule == nil || b.rule == nil {
			return cmp.Compare(kind(a), kind(b))
		}
		return cmp.Or(cmp.Compare(rank(a.in), rank(b.in)), cmp.Compare(a.rule.Priority, b.rule.Priority),
			cmp.Compare(a.in.Name, b.in.Name), cmp.Compare(a.rule.Name, b.rule.Name))
	})
}

// kind keeps the entries of one kind together.
func kind(e entry) int {
	switch {
	case e.permit != nil:
		return 0
	case e.rule != nil:
		return 1
	}
	return 2
}

// patterns are the types that may concern a workflow: those of its transitions,
// those that start it, and those that begin with its name.
func (w *Workflow) patterns() []string {
	out := append([]string{w.Name, w.Name + ".**"}, w.StartsOn...)
	for _, t := range w.Transitions {
		out = append(out, t.On...)
	}
	return out
}

// Match is what concerns the spans of one type, in the order in which it is
// asked. It is immutable.
type Match struct {
	Permits    []BoundPermit
	Rules      []BoundRule
	Workflows  []BoundWorkflow
	Adds       []BoundAdd
	Retain     *Retain // the first that names the type
	Schedules  []*Schedule
	Undoes     []*Compensation   // should the span be reverted
	Aggregates []*expr.Aggregate // each AggregateID once

	// Whether anything asked may look at trust or status.
	Trust, Status bool
}

// What belongs to a contract of the set.
type (
	BoundPermit struct {
		In InForce
		*Permit
	}
	BoundRule struct {
		In InForce
		*Rule
	}
	BoundWorkflow struct {
		In InForce
		*Workflow
	}
	BoundAdd struct {
		In InForce
		*TrustAdd
	}
)

// Match is what concerns spans of this type. Patterns with wildcards match no
// reserved type.
func (s *Set) Match(typ string) *Match {
	if m := s.exact[typ]; m != nil {
		return m
	}
	return s.match(typ)
}

func (s *Set) match(typ string) *Match {
	var buf [64]int32
	found := s.index.find(typ, buf[:0])
	slices.Sort(found)
	m := &Match{}
	var seen map[string]bool
	last := int32(-1)
	for _, i := range found {
		if i == last {
			continue // two patterns of one entry
		}
		last = i
		e := &s.entries[i]
		m.Trust, m.Status = m.Trust || e.in.usesTrust, m.Status || e.in.usesStatus
		switch {
		case e.permit != nil:
			m.Permits = append(m.Permits, BoundPermit{e.in, e.permit})
		case e.rule != nil:
			m.Rules = append(m.Rules, BoundRule{e.in, e.rule})
		case e.workflow != nil:
			m.Workflows = append(m.Workflows, BoundWorkflow{e.in, e.workflow})
		case e.add != nil:
			m.Adds = append(m.Adds, BoundAdd{e.in, e.add})
		case e.retain != nil:
			if m.Retain == nil {
				m.Retain = e.retain
			}
		case e.schedule != nil:
			m.Schedules = append(m.Schedules, e.schedule)
		case e.undoes != nil:
			m.Undoes = append(m.Undoes, e.undoes)
		case e.aggregate != nil:
			if id := AggregateID(e.aggregate); !seen[id] {
				if seen == nil {
					seen = map[string]bool{}
				}
				seen[id] = true
				m.Aggregates = append(m.Aggregates, e.aggregate)
			}
		}
	}
	return m
}

// Empty says that nothing concerns the type.
func (m *Match) Empty() bool {
	return len(m.Permits)+len(m.Rules)+len(m.Workflows)+len(m.Adds)+len(m.Schedules)+len(m.Undoes)+len(m.Aggregates) == 0 && m.Retain == nil
}

// Names says that a pattern of t matches the type.
func (t *Transition) Names(typ string) bool { return names(t.On, typ) }

// Starts says that a span of this type may begin an instance: its type is named
// by starts_on, a transition out of the initial state matches it, or its first
// segment is the workflow's name.
func (w *Workflow) Starts(typ string) bool {
	if names(w.StartsOn, typ) || names([]string{w.Name, w.Name + ".**"}, typ) {
		return true
	}
	for _, t := range w.Transitions {
		if t.From == w.Initial && t.Names(typ) {
			return true
		}
	}
	return false
}

// Asks says that a span of this type asks for a transition from some state.
func (w *Workflow) Asks(typ string) bool {
	for _, t := range w.Transitions {
		if t.Names(typ) {
			return true
		}
	}
	return false
}
