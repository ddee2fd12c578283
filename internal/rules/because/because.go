// Package because says in words why a span was decided as it was: which rules of
// which contracts ran, what they did, and where that stands in their source.
//
// It takes what a decision tells (names of rules and branches) and the
// contracts, and judges nothing again: what it cannot find it leaves out.
package because

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// Sentence is one thing that was so, and the place in a contract that says it.
type Sentence struct {
	Contract *contract.Contract
	lll.Range
	Text string
	// Action says that it was done because of the sentence before it.
	Action bool
}

// Line is the number of the sentence's first line.
func (s Sentence) Line() int { return s.Contract.Source.Pos(s.Offset).Line }

// Source is the sentence's first line as written, without the blanks around it.
func (s Sentence) Source() string { return strings.TrimSpace(s.Contract.Source.Line(s.Line())) }

// Outcome explains a decision just made. find gives contracts by name.
func Outcome(find func(name string) *contract.Contract, o *rules.Outcome) []Sentence {
	e := explaining{find: find, waits: o.Verdict == rules.Pending}
	for _, step := range o.Trace {
		e.step(step)
	}
	if o.Refusal != nil {
		e.refusal(o.Refusal)
	}
	return e.out
}

// Rules explains the rules that a recorded decision names.
func Rules(find func(name string) *contract.Contract, names []string) []Sentence {
	e := explaining{find: find}
	for _, name := range names {
		branch := rules.BranchThen
		if whole, ok := strings.CutSuffix(name, "/"+rules.BranchElse); ok {
			name, branch = whole, rules.BranchElse
		}
		e.step(rules.Step{Rule: name, Branch: branch})
	}
	return e.out
}

// Recorded explains the decision of an entry of this type: what its rules did, and
// of a refused attempt (logline.decision) also what refused it where that is no
// rule. reasons are those beside the decision, none where they were erased.
func Recorded(find func(name string) *contract.Contract, typ string, d *span.Decision, reasons []string) []Sentence {
	if typ != span.TypeDecision || len(d.Contracts) == 0 || len(d.Rules) == 0 {
		return Rules(find, d.Rules)
	}
	refusal := &rules.Refusal{Contract: d.Contracts[0], Rule: d.Rules[0]}
	if len(reasons) > 0 {
		refusal.Reason = reasons[0]
	}
	return Outcome(find, &rules.Outcome{
		Verdict: rules.Reject, Refusal: refusal, Trace: []rules.Step{{Rule: refusal.Rule, Branch: rules.BranchThen}},
	})
}

type explaining struct {
	find  func(name string) *contract.Contract
	waits bool // for votes: workflows move later
	out   []Sentence
}

func (e *explaining) say(c *contract.Contract, at lll.Range, format string, args ...any) {
	e.out = append(e.out, Sentence{Contract: c, Range: at, Text: fmt.Sprintf(format, args...)})
}

func (e *explaining) step(s rules.Step) {
	of, name, _ := strings.Cut(s.Rule, "/")
	c := e.find(of)
	if c == nil {
		return
	}
	if r := c.Rule(name); r != nil {
		e.rule(r, s)
		return
	}
	if r := c.Compensation(name); r != nil {
		e.rule(&r.Rule, s)
		return
	}
	if w := c.Workflow(name); w != nil {
		e.workflow(w, s.Branch)
		return
	}
	for _, sc := range c.Schedules {
		if sc.Name == name {
			e.say(c, sc.Range, "the schedule %s runs", name)
			e.actions(c, sc.Then)
		}
	}
}

func (e *explaining) rule(r *contract.Rule, s rules.Step) {
	c, at := r.Contract, condition(r)
	name := r.Name
	if s.Shadow || r.Shadow {
		name = "in the shadow, which decides nothing: " + name
	}
	switch {
	case s.Branch == rules.BranchMissing:
		e.say(c, at, "%s asks for something that the span has not, and does nothing", name)
	case s.Branch == rules.BranchError:
		e.say(c, at, "%s could not be evaluated, and refuses therefore", name)
	case s.Branch == rules.BranchElse:
		e.say(c, at, "%s: its condition does not hold", name)
		e.actions(c, r.Else)
	case s.Branch != rules.BranchThen:
		// A step of the workflow that its action moved, which is told with the action.
	case r.When == nil:
		e.say(c, at, "%s is for every such span", name)
		e.actions(c, r.Then)
	default:
		e.say(c, at, "%s: its condition holds", name)
		e.actions(c, r.Then)
	}
}

// condition is where the condition of a rule stands, else the rule.
func condition(r *contract.Rule) lll.Range {
	for _, n := range r.Contract.Node.Children("rule", "policy", "quota", "compensate") {
		if n.Range == r.Range {
			if v := n.Value("when"); v != nil {
				return v.Range
			}
		}
		for _, when := range n.Children("when") {
			if when.Range == r.Range && when.When != nil {
				return when.When.Range
			}
		}
	}
	return r.Range
}

func (e *explaining) workflow(w *contract.Workflow, branch string) {
	from, to, moves := strings.Cut(branch, " -> ")
	if !moves {
		if st := w.State(branch); st != nil {
			e.say(w.Contract, st.Range, "%s begins: it is %s", w.Name, st.Name)
			e.actions(w.Contract, w.Enter[st.Name])
		}
		return
	}
	at := w.Range
	if st := w.State(to); st != nil {
		at = st.Range
	}
	var then []contract.Action
	for _, t := range w.Transitions {
		if t.From == from && t.To == to {
			at, then = t.Range, t.Then
		}
	}
	when := ""
	if e.waits {
		when = "once it has its votes, "
	}
	e.say(w.Contract, at, "%s%s goes from %s to %s", when, w.Name, from, to)
	e.actions(w.Contract, w.Exit[from])
	e.actions(w.Contract, then)
	e.actions(w.Contract, w.Enter[to])
}

// refusal says what refused, where no rule that ran has said it.
func (e *explaining) refusal(r *rules.Refusal) {
	of, name, _ := strings.Cut(r.Rule, "/")
	c := e.find(of)
	if c == nil {
		return
	}
	if name == "permit" {
		for _, p := range c.Permits {
			e.say(c, p.Range, "%s is only for %s", p.Pattern, orList(p.Roles))
		}
		return
	}
	w := c.Workflow(name)
	if w == nil {
		return
	}
	for _, f := range w.Forbidden {
		if f.Why == r.Reason {
			e.say(c, f.Range, "%s never goes from %s to %s", w.Name, f.From, f.To)
			return
		}
	}
	e.say(c, w.Range, "%s", r.Reason)
}

func (e *explaining) actions(c *contract.Contract, list []contract.Action) {
	for _, a := range list {
		e.out = append(e.out, Sentence{Contract: c, Range: a.Span(), Text: words(a), Action: true})
		if _, rejects := a.(*contract.RejectAction); rejects {
			return // what follows did not run
		}
	}
}

// words is what an action does.
func words(a contract.Action) string {
	switch a := a.(type) {
	case *contract.AllowAction:
		return "it is allowed"
	case *contract.RejectAction:
		return "it is rejected"
	case *contract.SimulateAction:
		return "it is decided and not recorded"
	case *contract.TagAction:
		return "it is tagged " + a.Tag
	case *contract.NoteAction:
		return "a note is made"
	case *contract.AnnotateAction:
		return "it is annotated with " + fields(a.Fields)
	case *contract.EmitAction:
		return "the node emits " + a.Type
	case *contract.CallAction:
		return "the webhook " + a.Webhook + " is called"
	case *contract.TaskAction:
		return "the task " + a.Name + " is scheduled"
	case *contract.ApprovalAction:
		return "it waits for " + votes(a)
	case *contract.TransitionAction:
		return "the " + a.Workflow + " goes to " + a.To
	case *contract.TrustAction:
		return "trust moves"
	case *contract.QuotaAction:
		return "it counts against the quota " + a.Name + " per " + expr.FormatDuration(a.Per)
	}
	return "something is done"
}

func votes(a *contract.ApprovalAction) string {
	n := strconv.FormatFloat(a.Count, 'f', -1, 64)
	word := " votes"
	if a.Count == 1 {
		word = " vote"
	}
	return n + word + " of " + orList(a.From)
}

func fields(o *contract.Object) string {
	var names []string
	if o != nil {
		for _, f := range o.Fields {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
