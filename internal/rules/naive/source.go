package naive

import (
	"fmt"
	"strconv"
	"strings"
)

// Contract is a contract as a value.
type Contract struct {
	Name        string
	NodeWide    bool
	Least, Most float64 // of trust
	Permits     []Permit
	Rules       []Rule
	Flow        *Flow
	Trust       []Add
}

// Permit gives a type to a role.
type Permit struct{ On, Role string }

// Rule is a rule. On are its patterns.
type Rule struct {
	Name       string
	On         []string
	Priority   int
	When       *Cond // nil: always
	Then, Else []Act
}

// Cond is a condition: and, or, not; above (data.Name > N), role, trust (> N),
// state (of the contract's own workflow), sum (of Name over an hour > N) and
// count (of the subject's > N).
type Cond struct {
	Kind, Name, On string
	N              float64
	Left, Right    *Cond
}

// Act is an action: tag, reject, simulate, approve, trust, quota.
type Act struct {
	Kind, Name string
	N          float64
}

// Flow is a workflow, its first state the initial one, keyed by data.id.
type Flow struct {
	Name   string
	States []string
	Steps  []Step
}

// Step is a transition.
type Step struct{ From, To, On, Role string }

// Add is a line of the trust table.
type Add struct {
	On     string
	Amount float64
}

func number(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Source writes the contract as text.
func (c Contract) Source() string {
	var b strings.Builder
	fmt.Fprintf(&b, "contract %s version \"1.0.0\" {\n", c.Name)
	if c.NodeWide {
		b.WriteString("  tenant: \"*\"\n")
	}
	for _, p := range c.Permits {
		fmt.Fprintf(&b, "  permit append %q to [%s]\n", p.On, p.Role)
	}
	for _, r := range c.Rules {
		b.WriteString(r.source())
	}
	if f := c.Flow; f != nil {
		fmt.Fprintf(&b, "  workflow %s {\n    key: data.id\n    initial: %s\n", f.Name, f.States[0])
		for _, s := range f.States {
			fmt.Fprintf(&b, "    state %s\n", s)
		}
		for _, s := range f.Steps {
			fmt.Fprintf(&b, "    transition %s -> %s on %q", s.From, s.To, s.On)
			if s.Role != "" {
				fmt.Fprintf(&b, " { roles: [%s] }", s.Role)
			}
			b.WriteString("\n")
		}
		b.WriteString("  }\n")
	}
	fmt.Fprintf(&b, "  trust {\n    range: [%s, %s]\n", number(c.Least), number(c.Most))
	for _, a := range c.Trust {
		fmt.Fprintf(&b, "    add %q %s\n", a.On, number(a.Amount))
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

func (r Rule) source() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  rule %s {\n    on: [\"%s\"]\n    priority: %d\n", r.Name, strings.Join(r.On, `", "`), r.Priority)
	if r.When != nil {
		fmt.Fprintf(&b, "    when: %s\n", r.When.source())
	}
	fmt.Fprintf(&b, "    then {\n%s    }\n", acts(r.Then))
	if len(r.Else) > 0 {
		fmt.Fprintf(&b, "    else {\n%s    }\n", acts(r.Else))
	}
	b.WriteString("  }\n")
	return b.String()
}

func acts(list []Act) string {
	var b strings.Builder
	for _, a := range list {
		switch a.Kind {
		case "tag":
			fmt.Fprintf(&b, "      tag %q\n", a.Name)
		case "reject":
			b.WriteString("      reject \"no\"\n")
		case "simulate":
			b.WriteString("      simulate\n")
		case "approve":
			b.WriteString("      require approval { from: [auditor]  count: 1 }\n")
		case "trust":
			fmt.Fprintf(&b, "      trust actor { add: %s }\n", number(a.N))
		case "quota":
			fmt.Fprintf(&b, "      consume quota %q { limit: %s  per: 1h  key: actor.id }\n", a.Name, number(a.N))
		}
	}
	return b.String()
}

func (w *Cond) source() string {
	switch w.Kind {
	case "and":
		return "(" + w.Left.source() + " && " + w.Right.source() + ")"
	case "or":
		return "(" + w.Left.source() + " or " + w.Right.source() + ")"
	case "not":
		return "!(" + w.Left.source() + ")"
	case "above":
		return "data." + w.Name + " > " + number(w.N)
	case "role":
		return "\"" + w.Name + "\" in actor.roles"
	case "trust":
		return "actor.trust > " + number(w.N)
	case "state":
		return "state(\"flow\", data.id) == \"" + w.Name + "\""
	case "sum":
		return "spans(\"" + w.On + "\").by(actor.id).within(1h).sum(\"" + w.Name + "\") > " + number(w.N)
	}
	return "spans(\"" + w.On + "\").subject(span.subject).count() > " + number(w.N)
}
