package contract

import (
	"slices"

	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// check is what needs the whole contract.
func (b *builder) check() {
	if b.c.Node == nil {
		return
	}
	b.checkNames()
	b.checkMoves()
	b.checkTenant()
	if lll.Failed(b.diagnostics) {
		return // what could never run is worth saying of what could run
	}
	b.checkReachable()
	for _, w := range b.c.Workflows {
		b.checkStates(w)
	}
}

// checkNames says which roles and workflows are declared nowhere. Where what
// the contract requires is not at hand, they may be declared there.
func (b *builder) checkNames() {
	roles := []string{span.RoleOwner, span.RoleAdmin, span.RoleMember, span.RoleAgent, span.RoleAuditor, span.RoleGuest}
	var flows []string
	learn := func(c *Contract) {
		for _, r := range c.Roles {
			roles = append(roles, r.Name)
		}
		for _, w := range c.Workflows {
			flows = append(flows, w.Name, c.Name+"/"+w.Name)
		}
	}
	learn(b.c)
	elsewhere := false
	for _, r := range b.c.Requires {
		var found *Contract
		if b.options.Required != nil {
			found = b.options.Required(r.Name)
		}
		if found == nil {
			elsewhere = true
			continue
		}
		learn(found)
	}
	missing := func(name string, known []string) bool {
		return !contains(known, name) && (!elsewhere || lll.Nearest(name, known) != "")
	}
	for _, r := range b.roles {
		if !span.IsIdentity(r.name) && missing(r.name, roles) {
			b.unknown(r.Range, "role", r.name, roles)
		}
	}
	for _, r := range b.flows {
		if missing(r.name, flows) {
			b.unknown(r.Range, "workflow", r.name, flows)
		}
	}
}

// checkMoves says which actions move a workflow that is not there, or to a
// state it has not.
func (b *builder) checkMoves() {
	known := make([]string, len(b.c.Workflows))
	for i, w := range b.c.Workflows {
		known[i] = w.Name
	}
	for _, m := range b.moves {
		if w := b.c.Workflow(m.workflow); w == nil {
			b.unknown(m.Range, "workflow", m.workflow, known)
		} else {
			b.stateAt(w, m.to, m.Range)
		}
	}
}

func (b *builder) checkTenant() {
	if a := b.c.Node.Attr("tenant"); a != nil && b.c.Tenant == "" && a.Value != nil {
		b.errorf(a.Value.Range, "write tenant: \"name\", \"*\", or leave it out", "the contract names no tenant")
	}
}

// checkReachable warns of rules and branches that can never run.
func (b *builder) checkReachable() {
	for i, r := range b.c.Rules {
		holds, constant := b.constant[r.When]
		constant = constant && r.When != nil
		switch {
		case constant && !holds && len(r.Else) == 0:
			b.warnf(r.Range, "correct the condition, or take the rule out", "the rule %s never runs: its condition never holds", r.Name)
		case constant && !holds:
			b.warnf(r.Range, "correct the condition", "then is never reached in %s: its condition never holds", r.Name)
		case constant && holds && len(r.Else) > 0:
			b.warnf(r.Range, "correct the condition, or take else out", "else is never reached in %s: its condition always holds", r.Name)
		}
		b.checkShadowed(r, b.c.Rules[:i])
		if r.Enabled && !r.Shadow && b.rejectsAll(r) && contains(r.On, span.TypeContract) {
			b.warnf(r.Range, "give it a condition that somebody can meet, or ask for approval instead of rejecting",
				"once this is in force no contract can be activated or retired any more, this one included")
		}
	}
}

// checkShadowed warns of a rule behind one that has refused already whatever
// this one is asked about.
func (b *builder) checkShadowed(r *Rule, before []*Rule) {
	if !r.Enabled {
		return
	}
	for _, other := range before {
		if !other.Enabled || other.Shadow || !coversAll(other.On, r.On) {
			continue
		}
		if b.rejectsAll(other) {
			b.warnf(r.Range, "take one of them out, or give this one a lower priority", "the rule %s never runs: %s rejects every such span before it", r.Name, other.Name)
			b.also(other.Range, "it is rejected here")
			return
		}
		if ends(other.Then) && ends(r.Then) && r.When != nil && other.When != nil && b.sameCondition(r, other) {
			b.warnf(r.Range, "take one of them out", "the reject of %s is never reached: %s rejects on the same condition before it", r.Name, other.Name)
			b.also(other.Range, "it is rejected here")
			return
		}
	}
}

// rejectsAll says that a rule refuses every span it is asked about.
func (b *builder) rejectsAll(r *Rule) bool {
	holds, constant := b.constant[r.When]
	switch {
	case r.When == nil, constant && holds:
		return ends(r.Then)
	case constant:
		return ends(r.Else)
	}
	return ends(r.Then) && ends(r.Else)
}

// ends says that the actions reject.
func ends(actions []Action) bool {
	return slices.ContainsFunc(actions, func(a Action) bool {
		_, rejects := a.(*RejectAction)
		return rejects
	})
}

func (b *builder) sameCondition(r, other *Rule) bool {
	return b.conditions[r.When] != "" && b.conditions[r.When] == b.conditions[other.When]
}

// checkStates warns of states that nothing reaches.
func (b *builder) checkStates(w *Workflow) {
	reached := map[string]bool{w.Initial: true}
	for _, m := range b.moves {
		if m.workflow == w.Name {
			reached[m.to] = true
		}
	}
	for grown := true; grown; {
		grown = false
		reach := func(from, to string) {
			if reached[from] && !reached[to] {
				reached[to], grown = true, true
			}
		}
		for _, t := range w.Transitions {
			reach(t.From, t.To)
		}
		for _, s := range w.States {
			for _, a := range s.After {
				reach(s.Name, a.To)
			}
		}
	}
	for _, s := range w.States {
		if !reached[s.Name] {
			b.warnf(s.Range, "add a transition to it, or take it out", "nothing reaches the state %s", s.Name)
		}
	}
}
