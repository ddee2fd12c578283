package rules_test

import (
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
	kinds := []string{"above", "above", "role", "trust", "sum", "sum", "count"}
	if flow {
		kinds = append(kinds, "state")
	}
	if depth > 0 {
		kinds = append(kinds, "and", "or", "not", "and", "or")
	}
	w := &naive.Cond{Kind: anyOf(t, kinds), N: tenths(t)}
	switch w.Kind {
	case "and", "or":
		w.Left, w.Right = someCondition(t, depth-1, flow), someCondition(t, depth-1, flow)
	case "not":
		w.Left = someCondition(t, depth-1, flow)
	case "above":
		w.Name = anyOf(t, []string{"n", "m"})
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

func someActs(t *rapid.T) []naive.Act {
	var out []naive.Act
	for range rapid.IntRange(1, 2).Draw(t, "actions") {
		a := naive.Act{Kind: anyOf(t, []string{"tag", "tag", "tag", "tag", "reject", "simulate", "approve", "trust", "quota", "quota"}), N: tenths(t)}
		switch a.Kind {
		case "tag":
			a.Name = anyOf(t, []string{"t1", "t2"})
		case "quota":
			a.Name, a.N = anyOf(t, []string{"q1", "q2"}), float64(rapid.IntRange(1, 4).Draw(t, "limit"))
		}
		if out = append(out, a); a.Kind == "reject" {
			break
		}
	}
	return out
}

func someContract(t *rapid.T, name string) naive.Contract {
	c := naive.Contract{Name: name, NodeWide: rapid.IntRange(0, 3).Draw(t, "node") == 0, Least: -1, Most: 1.5}
	if rapid.IntRange(0, 2).Draw(t, "permit") == 0 {
		c.Permits = append(c.Permits, naive.Permit{On: anyOf(t, somePatterns[5:]), Role: anyOf(t, someRoles)}, naive.Permit{On: anyOf(t, somePatterns), Role: anyOf(t, someRoles)})
	}
	if rapid.Bool().Draw(t, "flow") {
		c.Flow = &naive.Flow{Name: "flow", States: someStates}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			s := naive.Step{From: anyOf(t, someStates), To: anyOf(t, someStates), On: anyOf(t, somePatterns[3:])}
			if rapid.IntRange(0, 2).Draw(t, "roled") == 0 {
				s.Role = anyOf(t, someRoles)
			}
			c.Flow.Steps = append(c.Flow.Steps, s)
		}
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
		r := naive.Rule{Name: fmt.Sprintf("r%d", i), On: []string{anyOf(t, somePatterns)}, Priority: rapid.IntRange(1, 3).Draw(t, "priority"), Then: someActs(t)}
		if rapid.IntRange(0, 6).Draw(t, "when") > 0 {
			r.When = someCondition(t, 2, c.Flow != nil)
			if rapid.IntRange(0, 2).Draw(t, "else") == 0 {
				r.Else = someActs(t)
			}
		}
		c.Rules = append(c.Rules, r)
	}
	for range rapid.IntRange(0, 2).Draw(t, "adds") {
		c.Trust = append(c.Trust, naive.Add{On: anyOf(t, somePatterns), Amount: tenths(t)})
	}
	return c
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
// who refused, what ran, tags, steps, and after each span scores and states.
func TestBothInterpretersAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		a := &agreement{t: r, l: newTimeline(t), slow: &naive.Timeline{}}
		for i := range rapid.IntRange(1, 3).Draw(r, "contracts") {
			c := someContract(r, fmt.Sprintf("c%d", i))
			a.slow.Contracts = append(a.slow.Contracts, c)
			a.l.activate(c.Source())
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
		if rapid.IntRange(0, 3).Draw(a.t, "has") > 0 {
			s.Data[name] = tenths(a.t)
		}
	}
	if rapid.IntRange(0, 5).Draw(a.t, "keyed") > 0 {
		s.Data["id"] = anyOf(a.t, []string{"k1", "k2"})
	}
	sp := a.l.span(by, s.Type, s.Data, func(h *span.Header) { h.Subject = s.Subject })
	s.ID = sp.ID
	want, got := a.slow.Submit(s), a.l.submit(sp)
	if got.Verdict == rules.Pending {
		a.asked = append(a.asked, sp)
	}
	by1 := ""
	if got.Refusal != nil {
		by1 = got.Refusal.Rule
	}
	var moves [][3]string
	for _, m := range got.Decision.Transitions {
		moves = append(moves, [3]string{m.Key, m.From, m.To})
	}
	require.Equal(a.t, want, naive.Result{Verdict: got.Verdict.String(), By: by1, Tags: got.Decision.Tags, Ran: got.Decision.Rules, Moves: moves}, "%s %v\n%s", s.Type, s.Data, a.sources())
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
	want := a.slow.Approve(sp.ID, a.l.now)
	a.l.submit(a.l.vote(a.voter, sp, "approve"))
	p, err := span.ParseResolution(a.l.entries[len(a.l.entries)-1].payload)
	require.NoError(a.t, err)
	require.Equal(a.t, want, p.Outcome == span.ResolutionExecuted)
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
