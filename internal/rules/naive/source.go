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
	Shadow      bool    // in force as a shadow
	Least, Most float64 // of trust
	Permits     []Permit
	Rules       []Rule
	Flow        *Flow
	Trust       []Add
}

// Permit gives a type to a role.
type Permit struct{ On, Role string }

// Rule is a rule. On are its patterns. A shadow is written as a policy, which
// has a condition, no else and the usual priority.
type Rule struct {
	Name       string
	On         []string
	Priority   int
	Off        bool
	Shadow     bool
	OnError    string // skip, reject, or "" for what its actions imply
	When       *Cond  // nil: always
	Then, Else []Act
}

// Cond is a condition: and, or, not; if (Left ? Right : Third); above (data.Name
// > N), compare (two terms by Op), has (data.Name), in (data.Name of Texts),
// starts (data.Name with Texts[0]), role, trust (> N), state (of the contract's
// own workflow), sum (of Name over an hour > N), count (of the subject's > N),
// and of guards alone aged (longer than N minutes in its state).
type Cond struct {
	Kind, Name, On, Op string
	N                  float64
	Texts              []string
	A, B               *Term
	Left, Right, Third *Cond
}

// Term is a value: number, text, data (a member), plus (of two).
type Term struct {
	Kind, Text string
	N          float64
	A, B       *Term
}

// Act is an action: tag, reject (for the reason Name), simulate, approve, trust
// (add N), score (set N), quota (of N an hour), move (the workflow to Name).
type Act struct {
	Kind, Name string
	N          float64
	Warn       []float64
	Exceeded   []Act
}

// Flow is a workflow, its first state the initial one, keyed by data.id.
type Flow struct {
	Name        string
	States      []string
	Steps       []Step
	Forbidden   []Forbidden
	Enter, Exit map[string][]Act
}

// Step is a transition.
type Step struct {
	From, To, On, Role string
	Guard              *Cond
	Then               []Act
}

// Forbidden is a step that is refused for a reason.
type Forbidden struct{ From, To, Why string }

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
	if c.Flow != nil {
		b.WriteString(c.Flow.source())
	}
	fmt.Fprintf(&b, "  trust {\n    range: [%s, %s]\n", number(c.Least), number(c.Most))
	for _, a := range c.Trust {
		fmt.Fprintf(&b, "    add %q %s\n", a.On, number(a.Amount))
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

func (f *Flow) source() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  workflow %s {\n    key: data.id\n    initial: %s\n", f.Name, f.States[0])
	for _, s := range f.States {
		fmt.Fprintf(&b, "    state %s\n", s)
	}
	for _, s := range f.Steps {
		fmt.Fprintf(&b, "    transition %s -> %s on %q {\n", s.From, s.To, s.On)
		if s.Guard != nil {
			fmt.Fprintf(&b, "      guard: %s\n", s.Guard.source())
		}
		if s.Role != "" {
			fmt.Fprintf(&b, "      roles: [%s]\n", s.Role)
		}
		if len(s.Then) > 0 {
			fmt.Fprintf(&b, "      then {\n%s      }\n", acts(s.Then))
		}
		b.WriteString("    }\n")
	}
	for _, x := range f.Forbidden {
		fmt.Fprintf(&b, "    forbid %s -> %s %q\n", x.From, x.To, x.Why)
	}
	for _, s := range f.States {
		if list := f.Enter[s]; len(list) > 0 {
			fmt.Fprintf(&b, "    on_enter %s {\n%s    }\n", s, acts(list))
		}
		if list := f.Exit[s]; len(list) > 0 {
			fmt.Fprintf(&b, "    on_exit %s {\n%s    }\n", s, acts(list))
		}
	}
	return b.String() + "  }\n"
}

func (r Rule) source() string {
	var b strings.Builder
	on := `["` + strings.Join(r.On, `", "`) + `"]`
	if r.Shadow {
		fmt.Fprintf(&b, "  policy %s {\n    on: %s\n    shadow: true\n    when %s {\n%s    }\n  }\n", r.Name, on, r.When.source(), acts(r.Then))
		return b.String()
	}
	fmt.Fprintf(&b, "  rule %s {\n    on: %s\n    priority: %d\n", r.Name, on, r.Priority)
	if r.Off {
		b.WriteString("    enabled: false\n")
	}
	if r.OnError != "" {
		fmt.Fprintf(&b, "    on_error: %s\n", r.OnError)
	}
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
		b.WriteString("      " + a.source() + "\n")
	}
	return b.String()
}

func (a Act) source() string {
	switch a.Kind {
	case "tag":
		return fmt.Sprintf("tag %q", a.Name)
	case "reject":
		return fmt.Sprintf("reject %q", a.Name)
	case "simulate":
		return "simulate"
	case "approve":
		return "require approval { from: [auditor]  count: 1 }"
	case "trust":
		return "trust actor { add: " + number(a.N) + " }"
	case "score":
		return "trust actor { set: " + number(a.N) + " }"
	case "move":
		return "transition flow to " + a.Name
	}
	out := fmt.Sprintf("consume quota %q { limit: %s  per: 1h  key: actor.id", a.Name, number(a.N))
	if len(a.Warn) > 0 {
		shares := make([]string, len(a.Warn))
		for i, w := range a.Warn {
			shares[i] = number(w)
		}
		out += "  warn_at: [" + strings.Join(shares, ", ") + "]"
	}
	if len(a.Exceeded) > 0 {
		out += "  exceeded {\n" + acts(a.Exceeded) + "      }"
	}
	return out + " }"
}

func (w *Cond) source() string {
	switch w.Kind {
	case "and":
		return "(" + w.Left.source() + " && " + w.Right.source() + ")"
	case "or":
		return "(" + w.Left.source() + " or " + w.Right.source() + ")"
	case "not":
		return "!(" + w.Left.source() + ")"
	case "if":
		return "(" + w.Left.source() + " ? " + w.Right.source() + " : " + w.Third.source() + ")"
	case "above":
		return "data." + w.Name + " > " + number(w.N)
	case "compare":
		return w.A.source() + " " + w.Op + " " + w.B.source()
	case "has":
		return "has(data." + w.Name + ")"
	case "in":
		return "data." + w.Name + ` in ["` + strings.Join(w.Texts, `", "`) + `"]`
	case "starts":
		return "data." + w.Name + ".startsWith(\"" + w.Texts[0] + "\")"
	case "role":
		return "\"" + w.Name + "\" in actor.roles"
	case "trust":
		return "actor.trust > " + number(w.N)
	case "state":
		return "state(\"flow\", data.id) == \"" + w.Name + "\""
	case "sum":
		return "spans(\"" + w.On + "\").by(actor.id).within(1h).sum(\"" + w.Name + "\") > " + number(w.N)
	case "aged":
		return "now - entered_at > " + strconv.Itoa(int(w.N)) + "m"
	}
	return "spans(\"" + w.On + "\").subject(span.subject).count() > " + number(w.N)
}

func (t *Term) source() string {
	switch t.Kind {
	case "number":
		return number(t.N)
	case "text":
		return strconv.Quote(t.Text)
	case "data":
		return "data." + t.Text
	}
	return "(" + t.A.source() + " + " + t.B.source() + ")"
}
