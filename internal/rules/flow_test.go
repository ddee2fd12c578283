package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

const order = `workflow order {
  key: data.id
  initial: open
  starts_on: "cart.filled"
  state open { after 2d -> dropped }
  state sent { after 30d -> lost
    after 10d -> dropped }
  state paid { final: true }
  state lost { final: true }
  state dropped
  transition open -> sent on "order.sent" { guard: data.weight > 0.0 }
  transition open -> paid on "order.paid" { roles: [admin] }
  transition sent -> paid on "order.paid" { guard: now - entered_at >= 1h  then { tag "paid late" } }
  transition dropped -> open on ["order.renewed", "cart.renewed"]
  forbid sent -> open "what was sent stays sent"
  on_exit open { note "left ${data.id}" }
  on_enter paid { emit "receipt.made" { data: { id: data.id } } }
}`

func flows(t *testing.T, lines ...string) (*timeline, func(typ string, data object) *rules.Outcome) {
	t.Helper()
	l := with(t, append(lines, order)...)
	by := l.member("member")
	return l, func(typ string, data object) *rules.Outcome {
		t.Helper()
		return l.submit(l.span(by, typ, data))
	}
}

func TestWorkflowsMove(t *testing.T) {
	t.Parallel()
	l, post := flows(t)
	state := func(key string) any { return l.row("workflow/c/order/" + key)["state"] }

	o := post("cart.filled", object{"id": "a"})
	require.Equal(t, rules.Allow, o.Verdict)
	assert.Equal(t, []span.Transition{{Workflow: "c/order", Key: "a", From: "open", To: "open"}}, o.Decision.Transitions)
	assert.Equal(t, "open", state("a"))
	assert.Equal(t, l.set.Contracts()[0].Ref(), l.row("workflow/c/order/a")["contract"])

	l.now = l.now.Add(time.Minute)
	o = post("order.sent", object{"id": "a", "weight": 2})
	assert.Equal(t, []span.Transition{{Workflow: "c/order", Key: "a", From: "open", To: "sent"}}, o.Decision.Transitions)
	assert.Equal(t, []string{"left a"}, o.Detail.Notes)

	for _, c := range []struct {
		typ    string
		data   object
		reason string
	}{
		{"order.paid", object{"id": "a"}, "order cannot move from sent to paid yet: its guard does not hold"},
		{"order.sent", object{"id": "a", "weight": 2}, "order is sent, and order.sent moves it only from open"},
		{"order.renewed", object{"id": "a"}, "what was sent stays sent"},
		{"order.sent", object{"weight": 2}, `c/order could not be evaluated: there is no "id"`},
		{"order.sent", object{"id": object{}, "weight": 2}, "c/order could not be evaluated: a key is a text or a number, and this is an object"},
		{"order.sent", object{"id": strings.Repeat("k", 257), "weight": 2}, "c/order could not be evaluated: a key has 1 to 256 bytes"},
		{"order.sent", object{"id": "b"}, `c/order could not be evaluated: there is no "weight"`},
		{"order.paid", object{"id": "b"}, "order moves from open to paid only by admin"},
		{"cart.renewed", object{"id": "nobody"}, "there is no order with this key that cart.renewed could move"},
	} {
		o := post(c.typ, c.data)
		require.Equal(t, rules.Reject, o.Verdict, "%s %v", c.typ, c.data)
		assert.Equal(t, c.reason, o.Refusal.Reason)
		assert.Equal(t, "c/order", o.Refusal.Rule)
	}
	assert.Nil(t, state("b"), "what was refused began nothing")

	l.now = l.now.Add(time.Hour)
	o = post("order.paid", object{"id": "a"})
	require.Equal(t, rules.Allow, o.Verdict)
	assert.Equal(t, []string{"paid late"}, o.Decision.Tags)
	assert.Equal(t, []string{"receipt.made"}, o.Emitted)
	require.Equal(t, rules.Reject, post("order.renewed", object{"id": "a"}).Verdict, "it is final")
	require.Equal(t, rules.Allow, post("order.asked.about", object{"no": "key"}).Verdict, "none of the workflow's")
	assert.Equal(t, l.state, l.refolded())
	for key := range l.state {
		assert.NotContains(t, key, "timer/")
	}
}

func TestTimeMovesWorkflows(t *testing.T) {
	t.Parallel()
	l, post := flows(t)
	row := func() object { return l.row("workflow/c/order/7") }
	post("cart.filled", object{"id": 7})
	l.advance(47 * time.Hour)
	assert.Equal(t, "open", row()["state"])
	l.advance(2 * time.Hour)
	assert.Equal(t, "dropped", row()["state"])
	assert.Equal(t, span.FormatTime(began.Add(48*time.Hour)), row()["entered_at"], "at the time it was due")
	post("cart.renewed", object{"id": 7})
	post("order.sent", object{"id": 7, "weight": 1})
	l.advance(100 * 24 * time.Hour)
	assert.Equal(t, "dropped", row()["state"], "the earlier of two")
	assert.Equal(t, l.state, l.refolded())
}

func TestATimerOfAStateThatWasLeftDoesNothing(t *testing.T) {
	t.Parallel()
	l, post := flows(t)
	post("cart.filled", object{"id": "x"})
	due, err := rules.Due(t.Context(), l.state, began.Add(72*time.Hour), 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	assert.Equal(t, "c/order", due[0].Workflow)
	assert.Equal(t, "x", due[0].Instance)
	post("order.sent", object{"id": "x", "weight": 1})
	l.now = began.Add(72 * time.Hour)
	o := l.answer(due[0])
	assert.Empty(t, o.Decision.Transitions)
	assert.Equal(t, "sent", l.row("workflow/c/order/x")["state"])
	next, ok, err := rules.NextDue(t.Context(), l.state)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, began.Add(10*24*time.Hour), next)
}

func TestRulesMoveWorkflows(t *testing.T) {
	t.Parallel()
	l, post := flows(t,
		`rule ships { on: "truck.left"  then { transition order to sent } }`,
		`rule loses { on: "truck.lost"  then { transition order to lost } }`,
		`rule opens { on: "truck.back"  then { transition order to open } }`)
	state := func() any { return l.row("workflow/c/order/a")["state"] }
	o := post("truck.left", object{"id": "a"})
	require.Equal(t, rules.Allow, o.Verdict)
	assert.Equal(t, "sent", state(), "it began and moved")
	assert.Equal(t, "what was sent stays sent", post("truck.back", object{"id": "a"}).Refusal.Reason)
	require.Equal(t, rules.Allow, post("truck.left", object{"id": "a"}).Verdict, "it is there already")
	post("truck.lost", object{"id": "a"})
	assert.Equal(t, "order is lost, which is final", post("truck.left", object{"id": "a"}).Refusal.Reason)
	assert.Equal(t, l.state, l.refolded())
}

// An instance goes on under the version that began it.
func TestInstancesArePinned(t *testing.T) {
	t.Parallel()
	l, post := flows(t)
	post("cart.filled", object{"id": "old"})
	newer := strings.NewReplacer(`version "1.0.0"`, `version "2.0.0"`, `on "order.sent" { guard: data.weight > 0.0 }`, `on "order.posted"`).Replace(inContract("c", order))
	l.activate(newer)
	post("cart.filled", object{"id": "new"})

	require.Equal(t, rules.Allow, post("order.sent", object{"id": "old", "weight": 1}).Verdict)
	require.Equal(t, rules.Allow, post("order.posted", object{"id": "new"}).Verdict)
	assert.Equal(t, "sent", l.row("workflow/c/order/old")["state"])
	assert.Equal(t, "sent", l.row("workflow/c/order/new")["state"])
	assert.Contains(t, l.row("workflow/c/order/old")["contract"], "c@1.0.0#")
	assert.Contains(t, l.row("workflow/c/order/new")["contract"], "c@2.0.0#")

	// Out of force, it begins nothing and still goes on.
	retire := l.contractSpan(l.people.node, newer, span.ActionRetire)
	_, err := rules.Activate(t.Context(), l.world(), retire, l.at())
	require.NoError(t, err)
	l.record(retire, &rules.Outcome{Decision: span.Decision{Outcome: "allow"}})
	assert.Empty(t, l.state["contract/c"])
	require.Equal(t, rules.Allow, post("cart.filled", object{"id": "late"}).Verdict)
	assert.Nil(t, l.row("workflow/c/order/late"))
	l.now = l.now.Add(2 * time.Hour)
	require.Equal(t, rules.Allow, post("order.paid", object{"id": "new"}).Verdict)
	assert.Equal(t, "paid", l.row("workflow/c/order/new")["state"])
	assert.Equal(t, l.state, l.refolded())
}
