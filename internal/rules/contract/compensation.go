package contract

import (
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// Compensation is what a contract does when a span that it had a say about is
// reverted: a rule whose On names the types that are undone, not the revert's.
type Compensation struct {
	Rule
	// Roles of those who may undo such spans, RoleAuthor among them; none: whoever
	// may revert at all.
	Roles []string
}

// RoleAuthor stands, among the roles of a compensation, for the author of the span
// that is undone.
const RoleAuthor = "author"

// Undoes says that it is about spans of this type.
func (c *Compensation) Undoes(typ string) bool { return names(c.On, typ) }

// compensation reads `compensate name { on, roles, when, then, else }`.
func (b *builder) compensation(n *lll.Node) {
	name, at := b.named(n, "a compensation")
	if !b.declare("rule", name, at) { // decisions name both in one way
		return
	}
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
	}
	c := &Compensation{Rule: Rule{Range: n.Range, Contract: b.c, Name: name, Doc: n.Doc(), Priority: DefaultPriority, Enabled: true, OnError: Reject}}
	if a := n.Attr("on"); a != nil {
		c.On = b.patterns(a)
		for _, p := range c.On {
			if span.IsReserved(p) && !span.Redactable(p) {
				b.errorf(valueRange(a), "name types that can be reverted", "a %s span cannot be reverted", p)
			}
		}
	} else {
		b.errorf(at, "write on: \"payment.executed\"", "the compensation %s says not which spans it undoes", name)
	}
	if c.Roles = b.words(n, "roles"); c.Roles != nil {
		var declared []string
		for _, r := range c.Roles {
			if r != RoleAuthor {
				declared = append(declared, r)
			}
		}
		b.refer(n.Value("roles"), declared)
	}
	c.Then, c.Else = b.actions(b.block(n, "then"), inUndoing), b.actions(b.block(n, "else"), inUndoing)
	if n.Child("then") == nil {
		b.errorf(at, "write then { … }", "the compensation %s undoes nothing", name)
	}
	when := n.Value("when")
	if when == nil && n.Child("else") != nil {
		b.errorf(n.Child("else").HeadRange, "write when: …, or take else out", "without a condition there is no else")
	}
	if when != nil {
		c.When = b.condition(when, expr.Condition, inUndoing.vars)
	}
	b.c.Compensations = append(b.c.Compensations, c)
}
