package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// undoing knows to undo what it did; a large one needs a vote for that.
const undoing = `contract till version "1.0.0" {
  role boss
  trust { range: [-10.0, 10.0] }
  rule paid { on: "sale.paid"  then { trust actor { add: 2.0 } } }
  rule counted { on: "sale.paid"  then { consume quota "sales" { limit: 50  per: 1d  key: actor.id } } }
  rule asked { on: "logline.revert"  when: "boss" in actor.roles  then { require approval { from: [owner]  count: 1  within: 1h } } }
  workflow sale {
    key: data.id
    initial: open
    state open
    state paid { final: true }
    transition open -> paid on "sale.paid"
  }
  compensate unpay {
    on: "sale.paid"
    when: data.amount < 100
    then {
      transition sale to open
      trust actor { add: -1.5 }
      emit "receipt.withdrawn" { data: { of: span.id } }
    }
    else { reject "it is too much to be undone" }
  }
}`

// revert is a logline.revert of a span as it was sent.
func (w *world) revert(author *id.Keys, raw []byte) []byte {
	sp := spanOf(w.t, raw)
	payload, err := span.Canonical(span.Revert{Span: sp.ID, HeaderHash: sp.Hash().String(), Reason: "wrong"})
	require.NoError(w.t, err)
	return w.seal(author, payload, typed(span.TypeRevert))
}

func (w *world) stateOf(workflow, key string) string {
	w.t.Helper()
	c, err := rules.Compile(undoing)
	require.NoError(w.t, err)
	set := contract.NewSet([]contract.InForce{{Contract: c}})
	state, err := rules.StateOf(context.Background(), &rules.World{State: w.log.Committed(w.tenant.ID), Contracts: set}, workflow, key)
	require.NoError(w.t, err)
	return state
}

func TestRevertDoesWhatTheContractSays(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		require.NoError(t, w.activate(undoing).Err)
		ana, eva := w.member(span.RoleMember), w.member(span.RoleAdmin, "boss")
		sale := func(id string, amount int) []byte {
			return w.seal(ana, fmt.Appendf(nil, `{"amount":%d,"id":%q}`, amount, id), typed("sale.paid"))
		}
		first, large, third, fourth := sale("a", 10), sale("b", 1000), sale("c", 20), sale("d", 30)
		for _, raw := range [][]byte{first, large, third} {
			require.NoError(t, w.submit(raw).Err)
		}
		require.Equal(t, "paid", w.stateOf("sale", "a"))

		// Its author undoes it, and the contract says what that means.
		back := w.revert(ana, first)
		r := w.submit(back)
		require.NoError(t, r.Err)
		require.Equal(t, []string{"till/unpay"}, r.Decision.Rules)
		require.Equal(t, []span.Transition{{Workflow: "till/sale", Key: "a", From: "paid", To: "open"}}, r.Decision.Transitions)
		effects := string(r.Decision.Effects)
		require.Contains(t, effects, `"undoes":"`+spanOf(t, first).ID+`"`)
		require.Contains(t, effects, `"score":4.5`)
		require.Contains(t, effects, `"name":"receipt.withdrawn"`)
		require.NotContains(t, effects, "quotas", "what it does not say stays as it is")
		require.Equal(t, timeline.StatusReverted, w.status(first))
		require.Equal(t, "open", w.stateOf("sale", "a"))

		// Once, and a revert is not reverted: the sale is made anew.
		requireCode(t, "target_not_executed", w.submit(w.revert(ana, first)).Err)
		requireCode(t, "target_not_revertible", w.submit(w.revert(ana, back)).Err)
		require.NoError(t, w.submit(sale("a", 11)).Err)
		require.Equal(t, "paid", w.stateOf("sale", "a"))

		// What the contract refuses to undo stays.
		size := w.size()
		requireCode(t, rules.CodeRefused, w.submit(w.revert(ana, large)).Err)
		require.Equal(t, size+1, w.size(), "the attempt is on the record")
		require.Equal(t, timeline.StatusExecuted, w.status(large))
		require.Equal(t, "paid", w.stateOf("sale", "b"))
		rui := w.member(span.RoleMember)
		requireCode(t, "role_forbidden", w.submit(w.revert(rui, third)).Err)

		// One that waits for a vote undoes nothing before.
		waits := w.revert(eva, third)
		r = w.submit(waits)
		require.NoError(t, r.Err)
		require.Equal(t, span.OutcomePending, r.Decision.Outcome)
		require.Equal(t, timeline.StatusExecuted, w.status(third))
		require.NoError(t, w.submit(w.vote(w.owner, waits, span.VoteApprove)).Err)
		require.Equal(t, timeline.StatusReverted, w.status(third))
		require.Equal(t, "open", w.stateOf("sale", "c"))

		// In the batch of what it undoes, and by the contract that had a say then.
		results := w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{fourth, w.revert(ana, fourth)})
		for _, r := range results {
			require.NoError(t, r.Err)
		}
		require.Equal(t, "open", w.stateOf("sale", "d"))
		fifth := sale("e", 40)
		require.NoError(t, w.submit(fifth).Err)
		require.NoError(t, w.submit(w.seal(w.owner, contractOf(t, undoing, span.ActionRetire), typed(span.TypeContract))).Err)
		r = w.submit(w.revert(ana, fifth))
		require.NoError(t, r.Err)
		require.Equal(t, []string{"till/unpay"}, r.Decision.Rules)

		w.verify()
		for _, mode := range []replay.Mode{replay.Validate, replay.Full} {
			report := w.replayed(replay.Options{Mode: mode})
			require.Empty(t, report.Differences, text(t, report))
			require.Empty(t, report.Extra, text(t, report))
		}
	})
}

// What undoes a span by its payload cannot, once that is erased, and says so.
func TestRevertOfWhatIsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	require.NoError(t, w.activate(undoing).Err)
	ana := w.member(span.RoleMember)
	sale := w.seal(ana, []byte(`{"amount":1,"id":"a"}`), typed("sale.paid"))
	require.NoError(t, w.submit(sale).Err)
	sp := spanOf(t, sale)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Hash().String()}}, Reason: "asked"})
	require.NoError(t, err)
	require.NoError(t, w.submit(w.seal(w.owner, payload, typed(span.TypeRedaction))).Err)
	refused := w.submit(w.revert(ana, sale)).Err
	requireCode(t, rules.CodeRefused, refused)
	require.ErrorContains(t, refused, "erased")
	require.Equal(t, timeline.StatusExecuted, w.status(sale))
}
