package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/naive"
	"github.com/danvoulez/logline/internal/span"
)

// Random contracts are few words in many combinations, so that they meet.
var (
	someTypes    = []string{"a.x", "a.y", "b.x", "flow.go", "flow.end", "flow"}
	somePatterns = append([]string{"a.*", "**", "*.x", "flow.*", "b.**"}, someTypes...)
	someRoles    = []string{"member", "admin", "agent"}
	someStates   = []string{"new", "mid", "done"}
)

func anyOf[T any](t *rapid.T, list []T) T { return rapid.SampledFrom(list).Draw(t, "of") }

func tenths(t *rapid.T) float64 { return float64(rapid.IntRange(-5, 15).Draw(t, "tenths")) / 10 }

func someCondition(t *rapid.T, depth int, flow bool) *naive.Cond {
	kinds := []string{"above", "above", "compare", "compare", "has", "in", "starts", "role", "trust", "sum", "sum", "count"}
	if flow {
		kinds = append(kinds, "state", "state")
	}
	if depth > 0 {
		kinds = append(kinds, "and", "or", "not", "if", "and", "or", "and", "or")
	}
	w := &naive.Cond{Kind: anyOf(t, kinds), N: tenths(t)}
	deeper := func() *naive.Cond { return someCondition(t, depth-1, flow) }
	switch w.Kind {
	case "and", "or":
		w.Left, w.Right = deeper(), deeper()
	case "if":
		w.Left, w.Right, w.Third = deeper(), deeper(), deeper()
	case "not":
		w.Left = deeper()
	case "above":
		w.Name = anyOf(t, []string{"n", "m"})
	case "compare":
		w.Op = anyOf(t, []string{">", ">=", "<", "<=", "==", "!="})
		w.A, w.B = someTerm(t), &naive.Term{Kind: "data", Text: anyOf(t, []string{"n", "m", "s"})}
	case "has":
		w.Name = anyOf(t, []string{"n", "s"})
	case "in", "starts":
		w.Name, w.Texts = anyOf(t, []string{"s", "s", "s", "n"}), []string{anyOf(t, someTexts[1:]), anyOf(t, someTexts[1:])}
	case "role":
		w.Name = anyOf(t, someRoles)
	case "state":
		w.Name = anyOf(t, someStates)
	case "sum":
		w.Name, w.On, w.N = "n", anyOf(t, somePatterns[:5]), max(w.N, 0.1)
	case "count":
		w.On = anyOf(t, somePatterns)
	}
	return w
}

var someTexts = []string{"", "one", "on", "two"}

func someTerm(t *rapid.T) *naive.Term {
	data := &naive.Term{Kind: "data", Text: anyOf(t, []string{"n", "m", "s"})}
	switch anyOf(t, []string{"number", "text", "data", "plus", "more"}) {
	case "number":
		return &naive.Term{Kind: "number", N: tenths(t)}
	case "text":
		return &naive.Term{Kind: "text", Text: anyOf(t, someTexts)}
	case "plus":
		return &naive.Term{Kind: "plus", A: data, B: &naive.Term{Kind: "number", N: tenths(t)}}
	case "more":
		return &naive.Term{Kind: "plus", A: data, B: &naive.Term{Kind: "data", Text: anyOf(t, []string{"n", "s"})}}
	}
	return data
}

func someActs(t *rapid.T, name string, flow bool) []naive.Act {
	kinds := []string{"tag", "tag", "tag", "tag", "reject", "simulate", "approve", "trust", "score", "quota", "quota"}
	if flow {
		kinds = append(kinds, "move", "move")
	}
	var out []naive.Act
	for range rapid.IntRange(1, 2).Draw(t, "actions") {
		a := someAct(t, anyOf(t, kinds), name)
		if out = append(out, a); a.Kind == "reject" {
			break
		}
	}
	return out
}

func someAct(t *rapid.T, kind, name string) naive.Act {
	a := naive.Act{Kind: kind, N: tenths(t)}
	switch kind {
	case "tag":
		a.Name = anyOf(t, []string{"t1", "t2"})
	case "reject":
		a.Name = "said by " + name
	case "move":
		a.Name = anyOf(t, someStates)
	case "quota":
		a.Name, a.N = anyOf(t, []string{"q1", "q1", "q2"}), float64(rapid.IntRange(1, 3).Draw(t, "limit"))
		if rapid.Bool().Draw(t, "warns") {
			a.Warn = []float64{0.5, 0.75}
		}
		if rapid.Bool().Draw(t, "exceeds") {
			a.Exceeded = []naive.Act{someAct(t, anyOf(t, []string{"tag", "reject", "simulate", "trust"}), name+", exceeded")}
		}
	}
	return a
}

// stepActs are actions of a transition, most often none.
func stepActs(t *rapid.T) []naive.Act {
	if rapid.IntRange(0, 2).Draw(t, "acts") > 0 {
		return nil
	}
	return []naive.Act{someAct(t, anyOf(t, []string{"tag", "trust", "score", "reject", "quota", "approve"}), "step")}
}

// onTheWay are actions on entering or leaving a state, most often none.
func onTheWay(t *rapid.T) []naive.Act {
	if rapid.IntRange(0, 2).Draw(t, "acts") > 0 {
		return nil
	}
	return []naive.Act{someAct(t, anyOf(t, []string{"tag", "trust", "score"}), "")}
}

func someFlow(t *rapid.T) *naive.Flow {
	f := &naive.Flow{Name: "flow", States: someStates, Enter: map[string][]naive.Act{}, Exit: map[string][]naive.Act{}}
	steps := map[[2]string]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		s := naive.Step{From: anyOf(t, someStates), To: anyOf(t, someStates), On: anyOf(t, somePatterns[3:]), Then: stepActs(t)}
		if rapid.IntRange(0, 2).Draw(t, "roled") == 0 {
			s.Role = anyOf(t, someRoles)
		}
		switch rapid.IntRange(0, 4).Draw(t, "guarded") {
		case 0:
			s.Guard = someCondition(t, 1, true)
		case 1:
			s.Guard = &naive.Cond{Kind: "aged", N: 20}
		}
		steps[[2]string{s.From, s.To}] = true
		f.Steps = append(f.Steps, s)
	}
	for _, from := range someStates {
		f.Enter[from], f.Exit[from] = onTheWay(t), onTheWay(t)
		for _, to := range someStates {
			if !steps[[2]string{from, to}] && from != to && rapid.IntRange(0, 2).Draw(t, "forbidden") == 0 {
				f.Forbidden = append(f.Forbidden, naive.Forbidden{From: from, To: to, Why: from + " never becomes " + to})
			}
		}
	}
	return f
}

func someContract(t *rapid.T, name string) naive.Contract {
	c := naive.Contract{Name: name, NodeWide: rapid.IntRange(0, 3).Draw(t, "node") == 0, Shadow: rapid.IntRange(0, 3).Draw(t, "mode") == 0, Least: -1, Most: 1.5}
	if rapid.IntRange(0, 2).Draw(t, "permit") == 0 {
		c.Permits = append(c.Permits, naive.Permit{On: anyOf(t, somePatterns[5:]), Role: anyOf(t, someRoles)}, naive.Permit{On: anyOf(t, somePatterns), Role: anyOf(t, someRoles)})
	}
	if rapid.IntRange(0, 2).Draw(t, "flow") > 0 {
		c.Flow = someFlow(t)
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
		c.Rules = append(c.Rules, someRule(t, fmt.Sprintf("r%d", i), c.Flow != nil))
	}
	for range rapid.IntRange(0, 2).Draw(t, "adds") {
		c.Trust = append(c.Trust, naive.Add{On: anyOf(t, somePatterns), Amount: tenths(t)})
	}
	return c
}

func someRule(t *rapid.T, name string, flow bool) naive.Rule {
	r := naive.Rule{Name: name, On: []string{anyOf(t, somePatterns)}, Priority: rapid.IntRange(1, 3).Draw(t, "priority"), Then: someActs(t, name, flow)}
	if r.Shadow = rapid.IntRange(0, 4).Draw(t, "shadow") == 0; r.Shadow {
		r.Priority, r.When = 100, someCondition(t, 2, flow)
		return r
	}
	r.Off = rapid.IntRange(0, 9).Draw(t, "off") == 0
	r.OnError = anyOf(t, []string{"", "", "", "skip", "reject"})
	if rapid.IntRange(0, 6).Draw(t, "when") > 0 {
		r.When = someCondition(t, 2, flow)
		if rapid.IntRange(0, 2).Draw(t, "else") == 0 {
			r.Else = someActs(t, name+", else", flow)
		}
	}
	return r
}

// agreement runs one timeline under both interpreters.
type agreement struct {
	t     *rapid.T
	l     *timeline
	slow  *naive.Timeline
	who   []*id.Keys
	voter *id.Keys
	asked []*span.Span
}

// Both interpreters say the same of random contracts and timelines: verdict,
// who refused and why, what ran, tags, steps, what could not be evaluated, what
// shadows would have decided, uses and warnings of quotas, and scores; and after
// each span scores and states.
func TestBothInterpretersAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		a := &agreement{t: r, l: newTimeline(t), slow: &naive.Timeline{}}
		for i := range rapid.IntRange(1, 3).Draw(r, "contracts") {
			c := someContract(r, fmt.Sprintf("c%d", i))
			a.slow.Contracts = append(a.slow.Contracts, c)
			if c.Shadow {
				a.l.shadow(c.Source())
			} else {
				a.l.activate(c.Source())
			}
		}
		a.who = []*id.Keys{a.l.member("member"), a.l.member("admin"), a.l.member("agent", "member")}
		a.voter = a.l.member("auditor")
		for range rapid.IntRange(20, 45).Draw(r, "spans") {
			a.l.now = a.l.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(r, "minutes")) * time.Minute)
			if len(a.asked) > 0 && rapid.IntRange(0, 2).Draw(r, "vote") == 0 {
				a.vote()
			} else {
				a.submit()
			}
			a.same()
		}
	})
}

func (a *agreement) submit() {
	by := anyOf(a.t, a.who)
	s := naive.Span{Author: by.ID(), Type: anyOf(a.t, someTypes), Subject: anyOf(a.t, []string{"s1", "s2"}), Roles: a.l.people.roles[by.ID()], At: a.l.now, Data: map[string]any{}}
	for _, name := range []string{"n", "m"} {
		switch rapid.IntRange(0, 9).Draw(a.t, "has") {
		case 0, 1:
		case 2:
			s.Data[name] = anyOf(a.t, someTexts)
		default:
			s.Data[name] = tenths(a.t)
		}
	}
	if rapid.IntRange(0, 3).Draw(a.t, "says") > 0 {
		s.Data["s"] = anyOf(a.t, someTexts)
	}
	switch rapid.IntRange(0, 9).Draw(a.t, "keyed") {
	case 0:
	case 1:
		s.Data["id"] = true
	default:
		s.Data["id"] = anyOf(a.t, []string{"k1", "k2"})
	}
	sp := a.l.span(by, s.Type, s.Data, func(h *span.Header) { h.Subject = s.Subject })
	s.ID = sp.ID
	want, got := a.slow.Submit(s), a.l.submit(sp)
	if got.Verdict == rules.Pending {
		a.asked = append(a.asked, sp)
	}
	result := naive.Result{Verdict: got.Verdict.String(), Tags: got.Decision.Tags, Ran: got.Decision.Rules, Effects: a.effects(got)}
	if got.Refusal != nil {
		if result.By = got.Refusal.Rule; want.Why != "" {
			result.Why = got.Refusal.Reason
		}
	}
	for _, m := range got.Decision.Transitions {
		result.Moves = append(result.Moves, [3]string{m.Key, m.From, m.To})
	}
	require.Equal(a.t, want, result, "%s %v\n%s", s.Type, s.Data, a.sources())
}

// effects are those of a line, as far as the naive interpreter knows them.
func (a *agreement) effects(o *rules.Outcome) (e naive.Effects) {
	var line struct {
		Errors []string
		Shadow []naive.Shadow
		Quotas []naive.Use
		Trust  []struct {
			Identity string
			Score    float64
			Rose     bool
		}
	}
	if o.Decision.Effects != nil {
		require.NoError(a.t, json.Unmarshal(o.Decision.Effects, &line))
	}
	for i := range line.Shadow {
		line.Shadow[i].Contract, _, _ = strings.Cut(line.Shadow[i].Contract, "@")
	}
	for _, t := range line.Trust {
		e.Trust = append(e.Trust, naive.Score{Who: t.Identity, Score: t.Score, Rose: t.Rose})
	}
	e.Errors, e.Shadow, e.Quotas = line.Errors, line.Shadow, line.Quotas
	return e
}

func (a *agreement) sources() string {
	var b strings.Builder
	for _, c := range a.slow.Contracts {
		b.WriteString(c.Source())
	}
	return b.String()
}

// vote settles the span that waits longest.
func (a *agreement) vote() {
	sp := a.asked[0]
	a.asked = a.asked[1:]
	want, effects := a.slow.Approve(sp.ID, a.l.now)
	a.l.submit(a.l.vote(a.voter, sp, "approve"))
	last := a.l.entries[len(a.l.entries)-1]
	p, err := span.ParseResolution(last.payload)
	require.NoError(a.t, err)
	require.Equal(a.t, want, p.Outcome == span.ResolutionExecuted)
	require.Equal(a.t, effects, a.effects(last.outcome), a.sources())
}

// same compares scores and states.
func (a *agreement) same() {
	for _, k := range a.who {
		got := 0.0
		if row := a.l.row("trust/" + strings.TrimPrefix(k.ID(), span.IdentityScheme)); row != nil {
			got = row["score"].(float64)
		}
		require.InDelta(a.t, a.slow.Trust(k.ID()), got, 0)
	}
	for _, c := range a.slow.Contracts {
		for _, key := range []string{"k1", "k2"} {
			got := ""
			if row := a.l.row("workflow/" + c.Name + "/flow/" + key); row != nil {
				got = row["state"].(string)
			}
			require.Equal(a.t, a.slow.State(c.Name+"/flow", key), got)
		}
	}
}
