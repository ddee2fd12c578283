package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

func TestActivationsAreJudged(t *testing.T) {
	t.Parallel()
	base := inContract("base", `role surveyor`)
	needs := inContract("needs", `requires: ["base ^1.0"]`)
	l := newTimeline(t)
	admin := l.member("admin")
	post := func(source, action string, edits ...func(*span.Contract)) error {
		sp := l.contractSpan(admin, source, action)
		p, err := span.ParseContract(sp.Payload)
		require.NoError(t, err)
		for _, edit := range edits {
			edit(p)
		}
		o, err := l.decide(l.span(admin, span.TypeContract, *p))
		if err == nil {
			l.record(sp, o)
		}
		return err
	}
	refused := func(code string, err error) {
		t.Helper()
		assert.Equal(t, code, fault.CodeOf(err))
	}
	refused("requirement_missing", post(needs, "activate"))
	require.NoError(t, post(base, "activate"))
	require.NoError(t, post(needs, "activate"))
	refused("contract_required", post(base, "retire"))
	refused("requirement_version", post(strings.Replace(base, "1.0.0", "2.0.0", 1), "activate"))
	refused("requirement_circle", post(strings.NewReplacer("1.0.0", "1.0.1", "{\n", "{\n  requires: [\"needs\"]\n").Replace(base), "activate"))
	require.NoError(t, post(strings.Replace(base, "1.0.0", "1.1.0", 1), "activate"))
	refused("contract_not_active", post(base, "retire"))
	refused("contract_tenant", post(inContract("x", `tenant: "*"`), "activate"))
	refused("contract_tenant", post(inContract("x", `tenant: "somebody"`), "activate"))
	require.NoError(t, post(inContract("x", `tenant: "voulezvous"`), "activate"))
	refused("contract_mismatch", post(base, "activate", func(p *span.Contract) { p.Name = "other" }))
	refused("contract_mismatch", post(base, "activate", func(p *span.Contract) { p.Version = "9.0.0" }))
	refused("contract_invalid", post(base, "activate", func(p *span.Contract) {
		p.Source = strings.Replace(base, "surveyor", "9", 1)
		p.Hash = span.Sum([]byte(p.Source)).String()
	}))
	require.NoError(t, post(needs, "retire"))
	require.NoError(t, post(strings.Replace(base, "1.0.0", "1.1.0", 1), "retire"))

	l.activate(inContract("everywhere", `tenant: "*"`))
	refused("contract_of_node", post(inContract("everywhere"), "activate"))
	refused("contract_of_node", post(inContract("everywhere", `tenant: "*"`), "retire"))
	assert.Equal(t, l.state, l.refolded())
}

// A version is one source for ever; the way back to an earlier one stays open.
func TestAVersionIsOneSource(t *testing.T) {
	t.Parallel()
	old := inContract("c", `rule r { on: "a.b"  then { tag "old" } }`)
	changed := strings.Replace(old, "old", "new", 1)
	l := newTimeline(t)
	admin := l.member("admin")
	l.activate(old)
	for _, action := range []string{span.ActionActivate, span.ActionShadow} {
		_, err := l.decide(l.contractSpan(admin, changed, action))
		assert.Equal(t, "contract_version_taken", fault.CodeOf(err), action)
	}
	l.activate(strings.Replace(changed, "1.0.0", "1.0.1", 1))
	assert.Equal(t, []string{"new"}, l.submit(l.span(admin, "a.b", object{})).Decision.Tags)
	l.activate(old)
	assert.Equal(t, []string{"old"}, l.submit(l.span(admin, "a.b", object{})).Decision.Tags)
}

// What stands in the shadow alone is not in force: nothing can rest on it, and it
// holds nothing back.
func TestShadowsAreNotRequired(t *testing.T) {
	t.Parallel()
	base, needs := inContract("base", `role surveyor`), inContract("needs", `requires: ["base ^1.0"]`)
	l := newTimeline(t)
	admin := l.member("admin")
	l.shadow(base)
	_, err := l.decide(l.contractSpan(admin, needs, span.ActionActivate))
	assert.Equal(t, "requirement_missing", fault.CodeOf(err))
	l.activate(base)
	l.shadow(needs)
	_, err = l.decide(l.contractSpan(admin, strings.Replace(base, "1.0.0", "2.0.0", 1), span.ActionActivate))
	require.NoError(t, err)
	_, err = l.decide(l.contractSpan(admin, base, span.ActionRetire))
	require.NoError(t, err)
}

// A contract may itself wait for votes, and comes into force with them.
func TestActivationsMayWait(t *testing.T) {
	t.Parallel()
	l := with(t, `rule guarded { on: "logline.contract"  then { require approval { from: [owner]  within: 1d } } }`)
	admin, owner := l.member("admin"), l.member("owner")
	first := l.contractSpan(admin, inContract("d", `rule r { on: "a.b"  then { reject "no" } }`), "activate")
	require.Equal(t, rules.Pending, l.submit(first).Verdict)
	require.Equal(t, rules.Allow, l.submit(l.span(admin, "a.b", object{})).Verdict)
	l.submit(l.vote(owner, first, "approve"))
	require.Equal(t, rules.Reject, l.submit(l.span(admin, "a.b", object{})).Verdict)
	assert.Equal(t, 1.0, l.row("contract/d")["seq"], "where its source stands")

	second := l.contractSpan(admin, inContract("e", `requires: ["d"]`), "activate")
	require.Equal(t, rules.Pending, l.submit(second).Verdict)
	retire := l.contractSpan(l.people.node, inContract("d", `rule r { on: "a.b"  then { reject "no" } }`), "retire")
	l.record(retire, &rules.Outcome{Decision: span.Decision{Outcome: "allow"}})
	l.submit(l.vote(owner, second, "approve"))
	last := l.entries[len(l.entries)-1].outcome
	assert.Contains(t, last.Refusal.Reason, "the contract cannot be activated any more: the contract requires d")
	assert.Nil(t, l.row("contract/e"))

	third := l.contractSpan(admin, inContract("f"), "activate")
	l.submit(third)
	l.advance(25 * time.Hour)
	assert.Nil(t, l.row("contract/f"))
	assert.Equal(t, l.state, l.refolded())
}

func TestTasksAndWhatFollowsASpan(t *testing.T) {
	t.Parallel()
	l := with(t,
		`trust { range: [0.0, 100.0]  add "work.done" 10.0 }`,
		`rule later { on: "work.asked"  then { schedule task "check" { after: 2h  unless: spans("work.done").subject(span.subject).count() > 0
    then { emit "work.missing" { data: { id: data.id } }  trust actor { add: -1.5  because: "not done" } } } } }`,
		`schedule greet { on: "work.done"  delay: 30m  then { note "thanks, ${data.id}" } }`)
	by := l.member("member")
	trust := "trust/" + by.ID()[len(span.IdentityScheme):]
	subject := func(h *span.Header) { h.Subject = "job/1" }
	asked := l.span(by, "work.asked", object{"id": "one"}, subject)
	assert.Equal(t, []string{"check"}, l.submit(asked).Scheduled)
	done := l.advance(3 * time.Hour)
	require.Len(t, done, 1)
	assert.Equal(t, []string{"work.missing"}, done[0].Emitted)
	assert.Equal(t, 0.0, l.row(trust)["score"])

	l.submit(l.span(by, "work.asked", object{"id": "two"}, subject))
	assert.Equal(t, []string{"greet"}, l.submit(l.span(by, "work.done", object{"id": "two"}, subject)).Scheduled)
	done = l.advance(3 * time.Hour)
	require.Len(t, done, 2)
	assert.Equal(t, []string{"thanks, two"}, done[0].Detail.Notes)
	assert.Empty(t, done[1].Emitted, "it was done, so nothing is missing")

	// Where the payload was erased, what needs it is left undone and noted.
	l.submit(l.span(by, "work.asked", object{"id": "three"}, func(h *span.Header) { h.Subject = "job/3" }))
	for _, sp := range l.spans {
		sp.Payload = nil
	}
	done = l.advance(3 * time.Hour)
	assert.Empty(t, done[0].Emitted)
	assert.Contains(t, string(done[0].Decision.Effects), `"errors":["c/later missing"]`)

	assert.Equal(t, l.state, l.refolded())
}

// A version on trial changes nothing about the one in force.
func TestAShadowStandsBesideWhatIsInForce(t *testing.T) {
	t.Parallel()
	old := inContract("c", `rule r { on: "a.b"  when: data.x > 5  then { reject "no" } }`)
	next := strings.NewReplacer("1.0.0", "1.1.0", "> 5", "> 1").Replace(old)
	l := newTimeline(t)
	by := l.member("admin")
	verdicts := func(x int) (rules.Verdict, bool) {
		o, err := l.decide(l.span(by, "a.b", object{"x": x}))
		require.NoError(t, err)
		return o.Verdict, strings.Contains(string(o.Decision.Effects), `"shadow":[{"contract":"c@1.1.0#`)
	}
	expect := func(x int, want rules.Verdict, noted bool) {
		t.Helper()
		got, shadow := verdicts(x)
		assert.Equal(t, want, got)
		assert.Equal(t, noted, shadow)
	}
	l.activate(old)
	l.shadow(next)
	expect(3, rules.Allow, true)
	expect(9, rules.Reject, true)
	retire := func(source string) {
		sp := l.contractSpan(by, source, span.ActionRetire)
		o, err := l.decide(sp)
		require.NoError(t, err)
		l.record(sp, o)
	}
	retire(next)
	expect(3, rules.Allow, false)
	l.shadow(next)
	l.activate(next)
	expect(3, rules.Reject, false)
	assert.Empty(t, l.row("shadow/c"), "it is no shadow any more")
	l.shadow(next)
	expect(3, rules.Allow, true)
	assert.Empty(t, l.row("contract/c"), "the same version decides no more")
	assert.Equal(t, l.state, l.refolded())
}
