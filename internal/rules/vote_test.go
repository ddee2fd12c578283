package rules_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

func refusedVote(t *testing.T, l *timeline, by *id.Keys, sp *span.Span, code string) {
	t.Helper()
	_, err := l.decide(l.vote(by, sp, "approve"))
	assert.Equal(t, code, fault.CodeOf(err))
}

func TestVotesAreJudged(t *testing.T) {
	t.Parallel()
	l := with(t, `role finance`, `role boss`,
		`rule r { on: "a.b"  then { require approval { from: [finance, boss]  count: 3  weights: { boss: 2 }  within: 2d } } }`)
	author := l.member("boss", "finance", "member")
	asked := l.span(author, "a.b", object{})
	fin, boss, other := l.member("finance", "member"), l.member("boss", "finance", "member"), l.member("member")
	refusedVote(t, l, fin, asked, "approval_not_asked")
	require.Equal(t, rules.Pending, l.submit(asked).Verdict)

	refusedVote(t, l, author, asked, "approval_own")
	refusedVote(t, l, other, asked, "approval_role")
	o := l.submit(l.vote(boss, asked, "approve"))
	assert.Equal(t, `{"vote":{"roles":["boss","finance","member"],"span":"`+asked.ID+`","weights":[2]}}`, string(o.Decision.Effects), "the greatest weight among the voter's roles")
	assert.Empty(t, o.Settle)
	refusedVote(t, l, boss, asked, "approval_repeated")
	assert.Equal(t, l.state, l.refolded())

	_, err := rules.Resolve(context.Background(), l.world(), asked, l.at())
	assert.Equal(t, "resolution_early", fault.CodeOf(err))
	before := l.now
	l.now = l.now.Add(48 * time.Hour)
	refusedVote(t, l, fin, asked, "approval_late")
	l.now = before
	o = l.submit(l.vote(fin, asked, "approve"))
	require.Len(t, o.Settle, 1)
	assert.Equal(t, asked.ID, o.Settle[0].Span)
	assert.Nil(t, l.row("approval/"+asked.ID))
	_, err = rules.Resolve(context.Background(), l.world(), asked, l.at())
	assert.Equal(t, "not_pending", fault.CodeOf(err))
	assert.Empty(t, l.advance(72*time.Hour), "its deadline went with it")
	assert.Equal(t, l.state, l.refolded())
}

func TestOneVoteAgainstRejects(t *testing.T) {
	t.Parallel()
	l := with(t, order, `rule r { on: "cart.filled"  then { require approval { from: [admin] } } }`)
	asked := l.span(l.member("member"), "cart.filled", object{"id": "x"})
	l.submit(asked)
	l.submit(l.vote(l.member("admin"), asked, "reject"))
	last := l.entries[len(l.entries)-1].outcome
	assert.Equal(t, rules.Reject, last.Verdict)
	assert.Equal(t, "a vote was cast against it", last.Refusal.Reason)
	assert.Nil(t, l.row("workflow/c/order/x"))
	assert.Equal(t, l.state, l.refolded())
}

// What a pending span does happens at its resolution, and not before.
func TestResolutionsDoWhatWasHeld(t *testing.T) {
	t.Parallel()
	l := with(t, order,
		`webhook inbox { endpoint: "x"  retries: 2 }`,
		`trust { add "cart.filled" 2.5 }`,
		`retain "cart.*" 30d`,
		`rule r { on: "cart.filled"  then { require approval { from: [admin] }  call webhook "inbox" { body: { id: data.id } } } }`,
		`rule s { on: "cart.filled"  then { emit "cart.seen" { data: { id: data.id } }  consume quota "carts" { limit: 5  per: 1d  key: actor.id }
  schedule task "remind" { after: 1d  unless: data.id == "y"  then { note "still there" } } } }`,
		`rule many { on: "cart.asked"  when: spans("cart.filled").by(actor.id).sum("n") > 3  then { tag "many" } }`)
	by := l.member("member")
	trust := "trust/" + by.ID()[len(span.IdentityScheme):]
	asked := l.span(by, "cart.filled", object{"id": "x", "n": 4})
	o := l.submit(asked)
	assert.Equal(t, []string{"inbox"}, o.Called)
	assert.Empty(t, o.Emitted)
	assert.Empty(t, o.Scheduled)
	assert.Empty(t, o.Decision.Values)
	assert.Nil(t, l.row(trust))
	assert.Nil(t, l.row("quota/c/carts/"+by.ID()))
	assert.Empty(t, l.submit(l.span(by, "cart.asked", object{})).Decision.Tags)

	l.now = l.now.Add(time.Hour)
	l.submit(l.vote(l.member("admin"), asked, "approve"))
	r := l.entries[len(l.entries)-1].outcome
	assert.Equal(t, []string{"cart.seen"}, r.Emitted)
	assert.Equal(t, []string{"remind"}, r.Scheduled)
	assert.Contains(t, string(r.Decision.Effects), `{"index":1,"kind":"emit","name":"cart.seen","of":"`+asked.ID+`","rule":"c/s"}`)
	assert.Contains(t, string(o.Detail.Actions), `"1":{"data":{"id":"x"},"type":"cart.seen"}`, "the body is in the detail of the span that asked")
	assert.JSONEq(t, `{"cart.filled by author sum n": 4}`, string(r.Decision.Values))
	assert.Equal(t, 2.5, l.row(trust)["score"], "the author's, not the node's")
	assert.Equal(t, 1.0, l.row("quota/c/carts/" + by.ID())["used"])
	assert.Equal(t, "open", l.row("workflow/c/order/x")["state"])
	assert.Equal(t, span.FormatTime(l.now), l.row("workflow/c/order/x")["entered_at"])
	assert.Equal(t, []string{"many"}, l.submit(l.span(by, "cart.asked", object{})).Decision.Tags)

	done := l.advance(24 * time.Hour)
	require.Len(t, done, 1)
	assert.Equal(t, []string{"still there"}, done[0].Detail.Notes)
	l.advance(3 * 24 * time.Hour)
	assert.Equal(t, "dropped", l.row("workflow/c/order/x")["state"])
	assert.Len(t, l.advance(40*24*time.Hour), 3, "the payloads of the cart and of both questions are erased")
	assert.Equal(t, l.state, l.refolded())
}

func TestAResolutionThatCameTooLateForItsWorkflowRejects(t *testing.T) {
	t.Parallel()
	l := with(t, order, `rule r { on: "order.sent"  when: data.big  then { require approval { from: [admin] } } }`)
	by := l.member("member")
	l.submit(l.span(by, "cart.filled", object{"id": "x"}))
	asked := l.span(by, "order.sent", object{"id": "x", "weight": 1, "big": true})
	require.Equal(t, rules.Pending, l.submit(asked).Verdict)
	require.Equal(t, rules.Allow, l.submit(l.span(by, "order.sent", object{"id": "x", "weight": 1, "big": false})).Verdict)
	l.submit(l.vote(l.member("admin"), asked, "approve"))
	last := l.entries[len(l.entries)-1].outcome
	require.NotNil(t, last.Refusal)
	assert.Equal(t, "c/order has moved since the votes were asked for", last.Refusal.Reason)
	p, err := span.ParseResolution(l.entries[len(l.entries)-1].payload)
	require.NoError(t, err)
	assert.Equal(t, span.ResolutionRejected, p.Outcome)
	assert.Equal(t, l.state, l.refolded())
}

func TestTimeForVotesEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ onTimeout, outcome, reason string }{
		{``, span.ResolutionExpired, "the time for votes is over"},
		{`on_timeout { reject "too late in ${tenant.slug}" }`, span.ResolutionExpired, "too late in voulezvous"},
		{`on_timeout { allow }`, span.ResolutionExecuted, ""},
		{`on_timeout { emit "vote.missed" { data: { votes: size(approvals) } } }`, span.ResolutionExpired, "the time for votes is over"},
	} {
		l := with(t, order, `rule r { on: "cart.filled"  then { require approval { from: [admin]  count: 2  within: 1h  `+c.onTimeout+` } } }`)
		asked := l.span(l.member("member"), "cart.filled", object{"id": "x"})
		l.submit(asked)
		l.submit(l.vote(l.member("admin"), asked, "approve"))
		l.advance(2 * time.Hour)
		last := l.entries[len(l.entries)-1]
		p, err := span.ParseResolution(last.payload)
		require.NoError(t, err)
		assert.Equal(t, c.outcome, p.Outcome, c.onTimeout)
		if c.reason == "" {
			assert.NotNil(t, l.row("workflow/c/order/x"))
		} else {
			assert.Equal(t, c.reason, last.outcome.Refusal.Reason)
			assert.Contains(t, last.outcome.Detail.Reasons, c.reason)
		}
		assert.Equal(t, l.state, l.refolded())
	}
}

func TestRepeatedVotesCountWhereTheyMay(t *testing.T) {
	t.Parallel()
	l := with(t, `rule r { on: "a.b"  then { require approval { from: [admin]  count: 2  distinct: false } } }`)
	asked, admin := l.span(l.member("member"), "a.b", object{}), l.member("admin")
	l.submit(asked)
	assert.Empty(t, l.submit(l.vote(admin, asked, "approve")).Settle)
	assert.Len(t, l.submit(l.vote(admin, asked, "approve")).Settle, 1)
}

// Two rules ask two roles; one vote serves both where it may.
func TestEveryApprovalIsNeeded(t *testing.T) {
	t.Parallel()
	l := with(t, `role law`, `rule a { on: "a.b"  then { require approval { from: [admin] } } }`,
		`rule b { on: "a.b"  then { require approval { from: [law] } } }`)
	asked := l.span(l.member("member"), "a.b", object{})
	l.submit(asked)
	assert.Empty(t, l.submit(l.vote(l.member("admin"), asked, "approve")).Settle)
	assert.Len(t, l.submit(l.vote(l.member("law", "member"), asked, "approve")).Settle, 1)
	asked = l.span(l.member("member"), "a.b", object{})
	l.submit(asked)
	assert.Len(t, l.submit(l.vote(l.member("admin", "law"), asked, "approve")).Settle, 1)
	asked = l.span(l.member("member"), "a.b", object{})
	l.submit(asked)
	r, err := rules.Abandon(context.Background(), l.world(), asked, l.at(), "it cannot be done any more")
	require.NoError(t, err)
	assert.Equal(t, span.ResolutionRejected, r.Payload.Outcome)
	assert.Equal(t, "it cannot be done any more", r.Outcome.Refusal.Reason)
}

// An approval that has its votes waits for the others without its deadline.
func TestADeadlineEndsWithItsVotes(t *testing.T) {
	t.Parallel()
	l := with(t, `role law`, `rule a { on: "a.b"  then { require approval { from: [admin]  within: 1h  on_timeout { reject "admin was late" } } } }`,
		`rule b { on: "a.b"  then { require approval { from: [law]  within: 2h  on_timeout { reject "law was late" } } } }`)
	asked := l.span(l.member("member"), "a.b", object{})
	l.submit(asked)
	l.submit(l.vote(l.member("admin"), asked, "approve"))
	assert.Empty(t, l.advance(90*time.Minute))
	done := l.advance(time.Hour)
	require.Len(t, done, 1)
	assert.Equal(t, "law was late", done[0].Refusal.Reason)
	assert.Equal(t, l.state, l.refolded())
}

func TestLinesOfAnotherEvaluatorAreNotFolded(t *testing.T) {
	t.Parallel()
	e := &span.Entry{Decision: span.Decision{Outcome: span.OutcomeAllow, Evaluator: "lll/2", Effects: []byte(`{"ran":"c/s"}`)}}
	_, err := rules.Fold(context.Background(), rows{}, e, nil)
	assert.Equal(t, "decision_unreadable", fault.CodeOf(err))
}
