package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
)

// payments has both example contracts in force.
func payments(t *testing.T) *timeline {
	t.Helper()
	l := newTimeline(t)
	l.activate(example(t, "identity_lifecycle.lll"))
	l.activate(example(t, "payments_approval.lll"))
	return l
}

// Test blocks of payments_approval.lll, one step after the other.
func TestTwoApprovalsCommitALargePayment(t *testing.T) {
	t.Parallel()
	l := payments(t)
	rafa, ana, rui := l.member("member"), l.member("member", "finance"), l.member("member", "finance")

	asked := l.span(rafa, "payment.requested", object{"payment_id": "p2", "amount": 1500})
	o := l.submit(asked)
	require.Equal(t, rules.Pending, o.Verdict)
	assert.Equal(t, []string{"needs-approval"}, o.Decision.Tags)
	assert.Equal(t, []string{"finance_inbox"}, o.Called)
	assert.Equal(t, []string{"payments.approval/two_approvals", "payments.approval/payment"}, o.Decision.Rules)
	assert.Empty(t, o.Decision.Transitions, "they happen at the resolution")
	assert.JSONEq(t, `{"risk": "medium"}`, string(o.Detail.Annotations))
	assert.Nil(t, l.row("workflow/payments.approval/payment/p2"))

	require.Equal(t, rules.Allow, l.submit(l.vote(ana, asked, "approve")).Verdict)
	require.NotNil(t, l.row("approval/"+asked.ID))
	require.Equal(t, rules.Allow, l.submit(l.vote(rui, asked, "approve")).Verdict)
	require.Nil(t, l.row("approval/"+asked.ID))
	assert.Equal(t, "submitted", l.row("workflow/payments.approval/payment/p2")["state"])

	late := l.span(rafa, "payment.requested", object{"payment_id": "p3", "amount": 9000})
	require.Equal(t, rules.Pending, l.submit(late).Verdict)
	outcomes := besideRuns(l.advance(49 * time.Hour))
	require.Len(t, outcomes, 1)
	require.Equal(t, rules.Reject, outcomes[0].Verdict)
	assert.Equal(t, "no quorum within 48h", outcomes[0].Refusal.Reason)
	assert.Nil(t, l.row("workflow/payments.approval/payment/p3"))
	assert.Equal(t, l.state, l.refolded())
}

func TestAGhostCannotPay(t *testing.T) {
	t.Parallel()
	l := payments(t)
	ghost := l.ghost("guest")
	o := l.submit(l.span(ghost, "payment.requested", object{"payment_id": "p4", "amount": 1}))
	require.Equal(t, rules.Reject, o.Verdict)
	assert.Equal(t, "payments.approval/no_ghost_payments", o.Refusal.Rule)
	assert.Equal(t, "@ghost is ghost and cannot move money", o.Refusal.Reason)
	assert.Contains(t, o.Decision.Rules, "payments.approval/no_ghost_payments")
}

func TestAGhostExpires(t *testing.T) {
	t.Parallel()
	l := payments(t)
	by := l.member("member")
	o := l.submit(l.span(by, "identity.ghost_created", object{"id": "logline-id://ghost-1", "handle": "@ghost_1", "entropy": 0.9}))
	require.Equal(t, rules.Allow, o.Verdict, "%+v", o.Refusal)
	assert.Equal(t, "ghost", l.row("workflow/identity.lifecycle/identity/logline-id://ghost-1")["state"])
	assert.JSONEq(t, `{"expires_at": "2026-03-04T09:00:00Z"}`, string(o.Detail.Annotations))

	outcomes := besideRuns(l.advance(49 * time.Hour))
	require.Len(t, outcomes, 1)
	assert.Equal(t, []string{"identity.deleted"}, outcomes[0].Emitted)
	assert.JSONEq(t, `{"0": {"type": "identity.deleted", "data": {"id": "logline-id://ghost-1"}}}`, string(outcomes[0].Detail.Actions))
	assert.Equal(t, "revoked", l.row("workflow/identity.lifecycle/identity/logline-id://ghost-1")["state"])
	assert.Equal(t, l.state, l.refolded())

	l.advance(73 * time.Hour)
	assert.Equal(t, "erased", l.row("workflow/identity.lifecycle/identity/logline-id://ghost-1")["state"])
	for key := range l.state {
		assert.NotContains(t, key, "/workflow/identity.lifecycle", "a final state has no timers")
	}
	assert.Equal(t, l.state, l.refolded())
}

func TestAGhostCannotBecomeInstitutional(t *testing.T) {
	t.Parallel()
	l := payments(t)
	by := l.member("member")
	require.Equal(t, rules.Allow, l.submit(l.span(by, "identity.ghost_created", object{"id": "g", "handle": "@ghost_2", "entropy": 0.9})).Verdict)
	o := l.submit(l.span(by, "contract.signed", object{"id": "g"}))
	require.Equal(t, rules.Reject, o.Verdict)
}

// besideRuns leaves the runs of schedules out.
func besideRuns(out []*rules.Outcome) []*rules.Outcome {
	return slices.DeleteFunc(out, func(o *rules.Outcome) bool { return o.Ran != nil })
}
