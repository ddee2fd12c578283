package contract

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// rules reads rules and policies, and puts them in the order in which they are
// asked.
func (b *builder) rules(n *lll.Node) {
	for _, r := range n.Children("rule") {
		b.rule(r)
	}
	for _, p := range n.Children("policy") {
		b.policy(p)
	}
	slices.SortStableFunc(b.c.Rules, func(x, y *Rule) int {
		return cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(x.Name, y.Name))
	})
}

func (b *builder) rule(n *lll.Node) {
	name, at := b.named(n, "a rule")
	if !b.declare("rule", name, at) {
		return
	}
	r := &Rule{Range: n.Range, Contract: b.c, Name: name, Doc: n.Doc(), Priority: DefaultPriority, Enabled: b.boolean(n, "enabled", true)}
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
	}
	if r.On = b.patterns(n.Attr("on")); n.Attr("on") == nil {
		b.errorf(at, "write on: \"payment.requested\"", "the rule %s says not on which spans", name)
	}
	if a := n.Attr("priority"); a != nil {
		r.Priority = b.whole(a, -1_000_000, 1_000_000)
	}
	r.Then, r.Else = b.actions(b.block(n, "then"), inRule), b.actions(b.block(n, "else"), inRule)
	if n.Child("then") == nil {
		b.errorf(at, "write then { … }", "the rule %s does nothing", name)
	}
	when := n.Value("when")
	if when == nil && n.Child("else") != nil {
		b.errorf(n.Child("else").HeadRange, "write when: …, or take else out", "without a condition there is no else")
	}
	b.decides(r, when)
	if a := n.Attr("on_error"); a != nil {
		b.onError(r, a)
	}
}

// decides compiles the condition of a rule and adds it to the contract.
func (b *builder) decides(r *Rule, when *lll.Value) {
	if when != nil {
		r.When = b.condition(when, expr.Condition, inRule.vars)
	}
	if refuses(r.Then) || refuses(r.Else) {
		r.OnError = Reject
	}
	b.c.Rules = append(b.c.Rules, r)
}

// refuses says that a rule stands in the way of spans, so that failing to
// evaluate it must not let them through.
func refuses(actions []Action) bool {
	found := false
	Walk(actions, func(a Action) {
		switch a.(type) {
		case *RejectAction, *SimulateAction, *ApprovalAction, *QuotaAction:
			found = true
		}
	})
	return found
}

func (b *builder) onError(r *Rule, a *lll.Attr) {
	word := ""
	if a.Value != nil {
		word = a.Value.Text
	}
	switch word {
	case "reject":
		r.OnError = Reject
	case "skip":
		r.OnError = Skip
	default:
		fix := "write on_error: reject, or skip"
		if near := lll.Nearest(word, []string{"reject", "skip"}); near != "" {
			fix = "did you mean " + near + "?"
		}
		b.errorf(valueRange(a), fix, "a rule whose evaluation fails cannot do that")
	}
}

// policy desugars into one rule for each `when`.
func (b *builder) policy(n *lll.Node) {
	name, at := b.named(n, "a policy")
	if !b.declare("rule", name, at) {
		return
	}
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
	}
	on := []string{"**"}
	if n.Attr("on") != nil {
		on = b.patterns(n.Attr("on"))
	}
	whens := n.Children("when")
	if len(whens) == 0 {
		b.errorf(at, "write when condition { … }", "the policy %s does nothing", name)
	}
	for i, when := range whens {
		r := &Rule{Range: when.Range, Contract: b.c, Name: name, Doc: n.Doc(), On: on, Priority: DefaultPriority, Enabled: true, Shadow: b.boolean(n, "shadow", false)}
		if len(whens) > 1 {
			r.Name = fmt.Sprintf("%s.%d", name, i+1)
			if !b.declare("rule", r.Name, when.HeadRange) {
				continue
			}
		}
		r.Then = b.actions(when.Body, inRule)
		if len(r.Then) == 0 {
			b.errorf(when.HeadRange, "write an action between the braces", "this does nothing")
		}
		if when.When == nil {
			b.errorf(when.HeadRange, "write when condition { … }", "when needs a condition")
		}
		b.decides(r, when.When)
	}
}
