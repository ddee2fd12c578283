package rules_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// inContract is a contract with these lines.
func inContract(name string, lines ...string) string {
	return "contract " + name + " version \"1.0.0\" {\n" + strings.Join(lines, "\n") + "\n}\n"
}

// with has one contract in force.
func with(t testing.TB, lines ...string) *timeline {
	t.Helper()
	l := newTimeline(t)
	l.activate(inContract("c", lines...))
	return l
}

func TestRulesMerge(t *testing.T) {
	t.Parallel()
	const (
		tags     = `rule a_tags { on: "a.*"  priority: 1  then { tag "first"  note "seen ${data.x}"  emit "x.y" { data: { a: 1 } } } }`
		waits    = `rule b_waits { on: "a.*"  priority: 2  then { require approval { from: [admin]  count: 1 } } }`
		imagines = `rule c_simulates { on: "a.*"  priority: 3  then { simulate "only a trial" } }`
		refuses  = `rule d_refuses { on: "a.*"  priority: 4  then { reject "no: ${data.x}" } }`
		never    = `rule e_tags { on: "a.*"  priority: 5  then { tag "last" } }`
		allows   = `rule f_allows { on: "a.*"  priority: 6  then { allow } }`
	)
	for _, c := range []struct {
		lines []string
		want  rules.Verdict
		tags  []string
	}{
		{[]string{tags, allows}, rules.Allow, []string{"first"}},
		{[]string{tags, waits, allows}, rules.Pending, []string{"first"}},
		{[]string{tags, waits, imagines, never}, rules.Simulate, []string{"first", "last"}},
		{[]string{tags, waits, imagines, refuses, never}, rules.Reject, []string{"first"}},
	} {
		l := with(t, c.lines...)
		o, err := l.decide(l.span(l.member("member"), "a.b", object{"x": 7}))
		require.NoError(t, err)
		assert.Equal(t, c.want, o.Verdict)
		assert.Equal(t, c.want.String(), o.Decision.Outcome)
		assert.Equal(t, c.tags, o.Decision.Tags)
		assert.Equal(t, []string{"seen 7"}, o.Detail.Notes)
		if c.want == rules.Reject {
			assert.Empty(t, o.Decision.Effects, "a refused span does nothing")
			assert.Equal(t, l.set.Contracts()[0].Ref(), o.Refusal.Contract)
			assert.Equal(t, "c/d_refuses", o.Refusal.Rule)
			assert.Equal(t, "no: 7", o.Refusal.Reason)
			f := o.Refusal.Fault()
			assert.Equal(t, fault.Invalid, f.Kind)
			assert.Equal(t, "c/d_refuses", f.Meta["rule"])
		} else {
			assert.Nil(t, o.Refusal)
		}
	}
}

func TestNothingConcernsTheSpan(t *testing.T) {
	t.Parallel()
	l := with(t, `rule r { on: "a.b"  then { reject "no" } }`)
	o, err := l.decide(l.span(l.member("member"), "z.z", object{}))
	require.NoError(t, err)
	assert.Equal(t, span.Decision{Outcome: "allow"}, o.Decision)
	assert.Nil(t, o.Detail)
}

// A wildcard reaches no reserved type; a rule that names one does.
func TestReservedTypesAreNamedExactly(t *testing.T) {
	t.Parallel()
	l := with(t, `rule all { on: ["**", "logline.*", "*.member"]  then { reject "no" } }`)
	member := l.span(l.member("owner"), span.TypeMember, object{"identity": l.people.node.ID(), "roles": []string{"member"}, "action": "grant"})
	o, err := l.decide(member)
	require.NoError(t, err)
	assert.Equal(t, rules.Allow, o.Verdict)

	l = with(t, `rule members { on: "logline.member"  when: "owner" in data.roles  then { reject "owners are made elsewhere" } }`)
	o, err = l.decide(l.span(l.member("owner"), span.TypeMember, object{"identity": l.people.node.ID(), "roles": []string{"owner"}, "action": "grant"}))
	require.NoError(t, err)
	assert.Equal(t, rules.Reject, o.Verdict)
}

func TestWhatCannotBeEvaluated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, rule string
		data      object
		want      rules.Verdict
		errors    string
	}{
		{"a missing field does not match", `rule r { on: "a.b"  when: data.x > 1  then { tag "t" } }`, object{}, rules.Allow, ""},
		{"and refuses where the rule does", `rule r { on: "a.b"  when: data.x > 1  then { reject "no" } }`, object{}, rules.Reject, "c/r missing"},
		{"in else too", `rule r { on: "a.b"  when: data.x > 1  then { tag "t" }  else { reject "no" } }`, object{}, rules.Reject, "c/r missing"},
		{"or asks for votes", `rule r { on: "a.b"  when: data.x > 1  then { require approval { from: [admin] } } }`, object{}, rules.Reject, "c/r missing"},
		{"or simulates", `rule r { on: "a.b"  when: data.x > 1  then { simulate } }`, object{}, rules.Reject, "c/r missing"},
		{"unless it says skip", `rule r { on: "a.b"  on_error: skip  when: data.x > 1  then { reject "no" } }`, object{}, rules.Allow, ""},
		{"a mismatch is noted", `rule r { on: "a.b"  when: data.x > 1  then { tag "t" } }`, object{"x": "one"}, rules.Allow, "c/r mismatch"},
		{"and refuses", `rule r { on: "a.b"  when: data.x > 1  then { reject "no" } }`, object{"x": "one"}, rules.Reject, "c/r mismatch"},
		{"a tag may refuse if told to", `rule r { on: "a.b"  on_error: reject  when: data.x > 1  then { tag "t" } }`, object{}, rules.Reject, "c/r missing"},
		{"what is or-ed with a truth holds", `rule r { on: "a.b"  when: data.x > 1 or data.y == 2  then { reject "no" } }`, object{"y": 2}, rules.Reject, ""},
		{"an annotation fails alone", `rule r { on: "a.b"  then { annotate { a: data.x  b: 1 } } }`, object{}, rules.Allow, "c/r missing"},
		{"a reason with a hole is a reason", `rule r { on: "a.b"  then { reject "no ${data.x}" } }`, object{}, rules.Reject, ""},
		{"a quota without a key refuses", `rule r { on: "a.b"  then { consume quota "q" { limit: 1  per: 1d  key: data.x } } }`, object{}, rules.Reject, "c/r missing"},
		{"an emitted span without its data is not emitted", `rule r { on: "a.b"  then { emit "x.y" { data: { a: data.x } } } }`, object{}, rules.Allow, "c/r missing"},
	} {
		l := with(t, c.rule)
		o, err := l.decide(l.span(l.member("member"), "a.b", c.data))
		require.NoError(t, err, c.why)
		assert.Equal(t, c.want, o.Verdict, c.why)
		assert.Empty(t, o.Emitted, c.why)
		if c.errors == "" {
			assert.NotContains(t, string(o.Decision.Effects), "errors", c.why)
		} else {
			assert.JSONEq(t, `{"errors": ["`+c.errors+`"]}`, string(o.Decision.Effects), c.why)
		}
	}
}

func TestPermits(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	l.activate(inContract("node", `tenant: "*"`, `permit append "pay.*" to [finance, admin]`, `role finance`))
	l.activate(inContract("c", `role clerk`, `role finance`, `permit append "pay.done" to [clerk]`, `permit append "pay.done" to [finance]`))
	for _, c := range []struct {
		roles []string
		typ   string
		want  string // the rule that refuses
	}{
		{[]string{"member"}, "pay.asked", "node/permit"},
		{[]string{"finance", "member"}, "pay.asked", ""},
		{[]string{"clerk", "member"}, "pay.done", "node/permit"}, // a tenant's contract widens nothing
		{[]string{"admin"}, "pay.done", "c/permit"},
		{[]string{"finance", "member"}, "pay.done", ""},
		{[]string{"member"}, "other.done", ""},
	} {
		o, err := l.decide(l.span(l.member(c.roles...), c.typ, object{}))
		require.NoError(t, err)
		if c.want == "" {
			assert.Equal(t, rules.Allow, o.Verdict, "%v %s", c.roles, c.typ)
		} else if assert.Equal(t, rules.Reject, o.Verdict, "%v %s", c.roles, c.typ) {
			assert.Equal(t, c.want, o.Refusal.Rule)
		}
	}
}

// A shadow decides like a contract: in the order of its rules, each seeing what
// those before it moved, and nothing of it moves.
func TestAShadowSeesWhatItMoved(t *testing.T) {
	t.Parallel()
	l := with(t, `policy first { on: "f.go"  shadow: true  when true { transition w to mid } }`,
		`policy second { on: "f.go"  shadow: true  when true { transition w to done } }`,
		`rule third { on: "f.go"  when: state("w", data.id) == ""  then { transition w to new } }`,
		"workflow w { key: data.id  initial: new\n state new\n state mid\n state done\n transition new -> mid on \"w.x\"\n transition mid -> done on \"w.y\"\n forbid new -> done \"not yet\" }")
	o := l.submit(l.span(l.member("member"), "f.go", object{"id": "k"}))
	assert.Equal(t, []span.Transition{{Workflow: "c/w", Key: "k", From: "new", To: "new"}}, o.Decision.Transitions)
	assert.Contains(t, string(o.Decision.Effects), `"outcome":"allow","rules":["c/first","c/second"]`)
}

func TestShadowsDecideNothing(t *testing.T) {
	t.Parallel()
	l := with(t,
		`policy noted { on: "a.b"  shadow: true  when data.x > 1 { reject "no"  tag "never" } }`,
		`rule tags { on: "a.b"  then { tag "t" } }`)
	l.shadow(inContract("s",
		`permit append "a.b" to [admin]`,
		`rule strict { on: "a.b"  when: data.x > 5  then { reject "no" } }`,
		`rule eats { on: "a.b"  priority: 1  then { consume quota "q" { limit: 1  per: 1d  key: actor.id }  tag "eaten" } }`,
		"workflow a { key: data.id  initial: open  state open\n state shut\n transition open -> shut on \"a.shut\" }",
		`trust { add "a.b" 3.0 }`))
	for role, shadow := range map[string]string{"member": `["s/permit"]`, "admin": `["s/eats","s/strict"]`} {
		o := l.submit(l.span(l.member(role), "a.b", object{"x": 9, "id": "k"}))
		require.Equal(t, rules.Allow, o.Verdict)
		assert.Equal(t, []string{"t"}, o.Decision.Tags)
		assert.Equal(t, []string{"c/tags"}, o.Decision.Rules)
		assert.Len(t, o.Decision.Contracts, 1)
		assert.Equal(t, fmt.Sprintf(`{"shadow":[{"contract":"%s","outcome":"reject","rules":%s},{"contract":"%s","outcome":"reject","rules":["c/noted"]}]}`,
			l.set.Contracts()[1].Ref(), shadow, l.set.Contracts()[0].Ref()), string(o.Decision.Effects))
	}
	for key := range l.state {
		prefix, _, _ := strings.Cut(key, "/")
		assert.Contains(t, []string{"contract", "shadow", "version"}, prefix)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	l := with(t, `rule limited { on: "a.*"  then { consume quota "posts" { limit: 4  per: 1d  key: actor.id  warn_at: [50%, 75%] } } }`)
	ana, rui := l.member("member"), l.member("member")
	post := func(by any) *rules.Outcome {
		if by == "rui" {
			return l.submit(l.span(rui, "a.b", object{}))
		}
		return l.submit(l.span(ana, "a.b", object{}))
	}
	used := func(o *rules.Outcome) string {
		e := string(o.Decision.Effects)
		return e[strings.Index(e, `"used"`):strings.Index(e, `,"window"`)]
	}
	assert.Equal(t, `"used":1`, used(post("ana")))
	assert.Equal(t, `"used":2,"warn":0.5`, used(post("ana")))
	assert.Equal(t, `"used":3,"warn":0.75`, used(post("ana")))
	assert.Equal(t, `"used":4`, used(post("ana")))
	o := post("ana")
	require.Equal(t, rules.Reject, o.Verdict)
	assert.Equal(t, "the quota posts is used up", o.Refusal.Reason)
	assert.Equal(t, `"used":1`, used(post("rui")), "each key counts alone")
	l.now = l.now.Add(24 * time.Hour)
	assert.Equal(t, `"used":1`, used(post("ana")), "a new window")
	assert.Equal(t, l.state, l.refolded())
}

func TestQuotasSayWhatHappensWhenTheyAreUsedUp(t *testing.T) {
	t.Parallel()
	l := with(t,
		`quota "q" { limit: 1  per: 1h  key: data.k  exceeded { reject "enough of ${data.k}" } }`,
		`quota "own" { on: "b.*"  when: data.k != "free"  limit: 1  per: 1h  key: data.k }`,
		`rule hard { on: "a.hard"  then { consume quota "q" { } } }`,
		`rule soft { on: "a.soft"  then { consume quota "q" { limit: 2  exceeded { tag "over" } } } }`,
		`rule twice { on: "a.twice"  then { consume quota "q" { limit: 9 }  consume quota "q" { limit: 9 } } }`)
	by := l.member("member")
	post := func(typ, k string) *rules.Outcome { return l.submit(l.span(by, typ, object{"k": k})) }
	require.Equal(t, rules.Allow, post("a.hard", "x").Verdict)
	o := post("a.hard", "x")
	require.Equal(t, rules.Reject, o.Verdict)
	assert.Equal(t, "enough of x", o.Refusal.Reason)
	assert.Empty(t, post("a.soft", "x").Decision.Tags)
	o = post("a.soft", "x")
	require.Equal(t, rules.Allow, o.Verdict)
	assert.Equal(t, []string{"over"}, o.Decision.Tags)
	assert.Equal(t, 3.0, l.row("quota/c/q/x")["used"])
	post("a.twice", "y")
	assert.Equal(t, 2.0, l.row("quota/c/q/y")["used"])
	require.Equal(t, rules.Allow, post("b.x", "z").Verdict)
	require.Equal(t, rules.Allow, post("b.x", "free").Verdict)
	require.Equal(t, rules.Allow, post("b.x", "free").Verdict)
	require.Equal(t, "c/quota.own", post("b.x", "z").Refusal.Rule)
	assert.Equal(t, l.state, l.refolded())
}

// What a shadow could not evaluate stands in the line, beside what it would have
// decided.
func TestTheErrorsOfShadowsAreNoted(t *testing.T) {
	t.Parallel()
	l := with(t, `rule live { on: "a.b"  then { tag "seen" } }`, `policy quiet { on: "a.b"  shadow: true  when data.s > 1.0 { tag "never" } }`)
	shadow := inContract("s", `rule strict { on: "a.b"  when: data.n > 1.0  then { reject "no" } }`)
	l.shadow(shadow)
	o := l.submit(l.span(l.member("member"), "a.b", object{"s": "text"}))
	require.Equal(t, rules.Allow, o.Verdict)
	live, ref := o.Decision.Contracts[0], compileOnce(t, shadow).Ref()
	assert.JSONEq(t, `{"shadow": [
	  {"contract": "`+live+`", "outcome": "allow", "errors": ["c/quiet mismatch"]},
	  {"contract": "`+ref+`", "outcome": "reject", "rules": ["s/strict"], "errors": ["s/strict missing"]}
	]}`, string(o.Decision.Effects))
	errors, shadows, err := rules.Noted(&o.Decision)
	require.NoError(t, err)
	assert.Empty(t, errors)
	assert.Equal(t, []rules.ShadowSaid{
		{Contract: live, Outcome: "allow", Errors: []string{"c/quiet mismatch"}},
		{Contract: ref, Outcome: "reject", Rules: []string{"s/strict"}, Errors: []string{"s/strict missing"}},
	}, shadows)
	assert.Equal(t, l.state, l.refolded())
}

func TestTrustMoves(t *testing.T) {
	t.Parallel()
	l := with(t,
		"trust { range: [0.0, 10.0]\nadd \"good.*\" 0.1\nadd \"bad.*\" -3.0 }",
		`rule sets { on: "set.it"  then { trust data.who { set: data.to  because: "told" } } }`,
		`rule needs { on: "needs.trust"  when: actor.trust < 0.3  then { reject "trust is ${actor.trust}" } }`)
	by, other := l.member("member"), l.member("member")
	score := func() any { return l.row("trust/" + strings.TrimPrefix(by.ID(), span.IdentityScheme))["score"] }
	for range 3 {
		l.submit(l.span(by, "good.deed", object{}))
	}
	assert.Equal(t, 0.3, score(), "tenths add up exactly")
	require.Equal(t, rules.Allow, l.submit(l.span(by, "needs.trust", object{})).Verdict)
	require.Equal(t, "trust is 0", l.submit(l.span(other, "needs.trust", object{})).Refusal.Reason)
	l.submit(l.span(by, "bad.deed", object{}))
	assert.Equal(t, 0.0, score(), "not below the range")
	o := l.submit(l.span(other, "set.it", object{"who": by.ID(), "to": 99}))
	assert.Equal(t, 10.0, score(), "nor above")
	assert.Equal(t, []string{"told"}, o.Detail.Reasons)
	o = l.submit(l.span(other, "set.it", object{"who": "nobody", "to": 1}))
	assert.JSONEq(t, `{"errors": ["c/sets mismatch"]}`, string(o.Decision.Effects))
	assert.Equal(t, l.state, l.refolded())
}

func TestSpansAreSummedExactly(t *testing.T) {
	t.Parallel()
	l := with(t,
		`rule cap { on: "pay.done"  when: spans("pay.done").by(actor.id).within(24h).sum("amount") >= 0.6  then { reject "over" } }`,
		`rule seen { on: "ask.*"  then { annotate {
  all: spans("pay.*").count()
  subject: spans("pay.*").subject(span.subject).count()
  deep: spans("pay.done").sum("a.b")
  both: spans("pay.done").by(data.who).subject("s/1").within(2h).sum("amount")
} } }`)
	ana, rui := l.member("member"), l.member("member")
	subject := func(s string) func(*span.Header) { return func(h *span.Header) { h.Subject = s } }
	for range 3 {
		require.Equal(t, rules.Allow, l.submit(l.span(ana, "pay.done", object{"amount": 0.2, "a": object{"b": 1}}, subject("s/1"))).Verdict)
		l.now = l.now.Add(time.Hour)
	}
	require.Equal(t, rules.Reject, l.submit(l.span(ana, "pay.done", object{"amount": 0.1})).Verdict, "0.2 three times is 0.6")
	require.Equal(t, rules.Allow, l.submit(l.span(rui, "pay.done", object{"amount": 0.6}, subject("s"))).Verdict, "by another")

	o := l.submit(l.span(rui, "ask.now", object{"who": ana.ID()}, subject("s/1")))
	assert.JSONEq(t, `{"all": 4, "subject": 3, "deep": 3, "both": 0.2}`, string(o.Detail.Annotations), "a window ends where the clock stood: two hours ago is outside")
	l.now = l.now.Add(21 * time.Hour)
	require.Equal(t, rules.Allow, l.submit(l.span(ana, "pay.done", object{"amount": 0.2})).Verdict, "the first is a day old")
	assert.Equal(t, l.state, l.refolded())
	values := string(l.submit(l.span(rui, "pay.other", object{"amount": "much"})).Decision.Values)
	assert.JSONEq(t, `{"pay.* count": 1, "pay.* by subject count": 1}`, values)
}

func TestADecisionFitsItsLine(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf(`rule r%03d { on: "a.b"  then { tag "%s%d" } }`, i, strings.Repeat("x", 200), i))
	}
	l := with(t, lines...)
	o, err := l.decide(l.span(l.member("member"), "a.b", object{}))
	require.NoError(t, err)
	require.Equal(t, rules.Reject, o.Verdict)
	assert.Contains(t, o.Refusal.Reason, "32768 bytes")
	require.NoError(t, o.Decision.CheckSize())
}

type broken struct{ rows }

func (broken) Get(context.Context, string) ([]byte, bool, error) {
	return nil, false, fmt.Errorf("disk")
}

// A store that fails decides nothing.
func TestAFailingStateDecidesNothing(t *testing.T) {
	t.Parallel()
	l := with(t,
		`rule r { on: "a.b"  when: actor.trust > 5.0  then { reject "no" } }`,
		`rule s { on: "c.d"  when: state("flow", data.x) == "y"  then { reject "no" } }`,
		`workflow flow { key: data.x  initial: y  state y }`)
	w := l.world()
	w.State = broken{l.state}
	for _, typ := range []string{"a.b", "c.d", "flow.begin"} {
		_, err := rules.Decide(context.Background(), w, l.span(l.member("member"), typ, object{"x": "k"}), l.at())
		assert.Equal(t, "decision_unavailable", fault.CodeOf(err), typ)
	}
}

// What keeps a refused attempt is never erased, so the reason in it shows nothing
// of the span, and of nobody's name.
func TestEvidenceShowsNothingOfTheSpan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, reason, kept string }{
		{`then { reject "no" }`, "no", "no"},
		{`then { reject "${data.x} is over ${params.most} of ${span.subject} for ${actor.handle}, ${1 + 1}" }`, "7 is over 5 of s for @person, 2", "… is over 5 of … for …, 2"},
		{`then { reject "${has(data.x) ? "there" : "not there"}" }`, "there", "…"},
		{`when: data.name > 3  then { tag "t" reject "no" }`, "c/r could not be evaluated: this does not work on a text and a number", "c/r could not be evaluated (mismatch)"},
		{`when: data["x" + data.name] > 3  then { reject "no" }`, "c/r could not be evaluated: there is no \"xBob\"", "c/r could not be evaluated (missing)"},
	} {
		l := with(t, `params { most: 5 }`, `rule r { on: "a.b"  `+c.rule+` }`)
		o := l.submit(l.span(l.member("member"), "a.b", object{"x": 7, "name": "Bob"}, func(h *span.Header) { h.Subject = "s" }))
		require.NotNil(t, o.Refusal, c.rule)
		assert.Equal(t, c.reason, o.Refusal.Reason)
		e := o.Evidence()
		assert.Equal(t, []string{c.kept}, e.Detail.Reasons)
		assert.Equal(t, []string{"c/r"}, e.Decision.Rules)
	}
}
