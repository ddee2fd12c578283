package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
)

func TestExamplesCompile(t *testing.T) {
	t.Parallel()
	identity := read(t, "identity_lifecycle.lll", contract.Options{})
	payments := read(t, "payments_approval.lll", contract.Options{Required: func(name string) *contract.Contract {
		if name == "identity.lifecycle" {
			return identity
		}
		return nil
	}})

	assert.Equal(t, "identity.lifecycle", identity.Name)
	assert.Equal(t, contract.NodeWide, identity.Tenant)
	assert.Equal(t, "1.0.0", identity.Version)
	w := identity.Workflow("identity")
	require.NotNil(t, w)
	assert.Equal(t, "ghost", w.Initial)
	assert.Equal(t, []contract.After{{Delay: 48 * time.Hour, To: "revoked"}}, w.State("ghost").After)
	assert.True(t, w.State("erased").Final)
	assert.Len(t, w.Transitions, 6)
	why, forbidden := w.Forbids("ghost", "institutional")
	assert.True(t, forbidden)
	assert.Equal(t, "a ghost must be validated first", why)
	assert.Len(t, w.Enter["validated"], 2)
	assert.Equal(t, &contract.Trust{Range: identity.Trust.Range, Min: 0, Max: 100, Adds: []contract.TrustAdd{{Pattern: "contract.signed", Amount: 5}, {Pattern: "audit.failed", Amount: -5}}}, identity.Trust)
	assert.Equal(t, 90*24*time.Hour, identity.Retains[0].For)
	assert.True(t, identity.Retains[1].Forever)
	assert.Equal(t, "identities", identity.Schedules[0].Foreach)
	assert.Equal(t, contract.Retry{Max: 3, Backoff: 15 * time.Minute}, identity.Schedules[0].Retry)

	order := make([]string, 0, 3)
	for _, r := range payments.Rules {
		order = append(order, r.ID())
		assert.Equal(t, contract.Reject, r.OnError, r.Name)
	}
	assert.Equal(t, []string{"payments.approval/no_ghost_payments", "payments.approval/sane_amount", "payments.approval/two_approvals"}, order)
	two := payments.Rule("two_approvals")
	require.Len(t, two.Then, 4)
	ask, ok := two.Then[0].(*contract.ApprovalAction)
	require.True(t, ok)
	assert.Equal(t, []string{"finance", "admin"}, ask.From)
	assert.InDelta(t, 2, ask.Count, 0)
	assert.True(t, ask.Distinct)
	assert.Len(t, ask.OnTimeout, 1)
	call, ok := two.Then[3].(*contract.CallAction)
	require.True(t, ok)
	assert.Equal(t, contract.Retry{Max: 5, Backoff: 30 * time.Second}, call.Retry)
	require.Len(t, payments.Aggregates, 1)
	assert.Equal(t, "payment.executed by author sum amount", contract.AggregateID(payments.Aggregates[0]))
	assert.Len(t, payments.Tests, 2)
	assert.Equal(t, "payments.approval@1.2.0#"+payments.Hash.String(), payments.Ref())
}
