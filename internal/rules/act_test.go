package rules_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

func TestActionsCarryData(t *testing.T) {
	t.Parallel()
	l := with(t,
		`params { place: "Lisbon"  wait: 36h }`,
		`webhook desk { endpoint: "front-desk"  timeout: 5s  retries: 2  backoff: 30s }`,
		`rule r { on: "a.b"  then {
  emit "x.y" {
    data: { id: data.id  list: [1, data.n + 1, "n is ${data.n}", { deep: true }]  at: now + params.wait  at_place: "${params.place}!"  inner: { empty: [] } }
    title: "about ${data.id}"
    subject: data.id
    tags: ["t", data.id]
    visibility: data.open ? "public" : "private"
  }
  call webhook "desk" { body: { n: data.n }  backoff: 1m }
  schedule task "soon" { at: timestamp("2026-03-02T10:30:00Z")  then { note "now" } }
  schedule task "nightly" { cron: "0 3 * * *"  then { note "night" } }
  schedule task "past" { at: timestamp("2020-01-01T00:00:00Z")  then { note "at once" } }
} }`)
	by := l.member("member")
	o := l.submit(l.span(by, "a.b", object{"id": "i", "n": 2, "open": true}))
	require.Equal(t, rules.Allow, o.Verdict)
	assert.Equal(t, []string{"x.y"}, o.Emitted)
	assert.Equal(t, []string{"desk"}, o.Called)
	assert.Equal(t, []string{"soon", "nightly", "past"}, o.Scheduled)
	assert.JSONEq(t, `{
		"0": {"type": "x.y", "title": "about i", "subject": "i", "tags": ["t", "i"], "visibility": "public",
			"data": {"id": "i", "list": [1, 3, "n is 2", {"deep": true}], "at": "2026-03-03T21:00:00Z", "at_place": "Lisbon!", "inner": {"empty": []}}},
		"1": {"webhook": "desk", "endpoint": "front-desk", "timeout": "5s", "retries": 2, "backoff": "1m", "body": {"n": 2}}
	}`, string(o.Detail.Actions))

	due, err := rules.Due(t.Context(), l.state, began.Add(24*time.Hour), 10)
	require.NoError(t, err)
	require.Len(t, due, 3)
	for i, want := range []struct {
		task string
		at   time.Time
	}{{"past", began}, {"soon", began.Add(90 * time.Minute)}, {"nightly", began.Add(18 * time.Hour)}} {
		assert.Equal(t, want.task, due[i].Task)
		assert.Equal(t, want.at, due[i].Due)
		assert.Equal(t, rules.TimerTask, due[i].Kind)
	}
	require.Len(t, l.advance(18*time.Hour), 3)
	assert.Equal(t, l.state, l.refolded())

	o = l.submit(l.span(by, "a.b", object{"id": "i", "n": 2, "open": "perhaps"}))
	assert.Empty(t, o.Emitted, "a visibility that is none")
	assert.Equal(t, []string{"desk"}, o.Called, "what follows is done all the same")
	w := l.world()
	w.NextCron = nil
	o, err = rules.Decide(t.Context(), w, l.span(by, "a.b", object{"id": "i", "n": 2, "open": true}), l.at())
	require.NoError(t, err)
	assert.Equal(t, []string{"soon", "past"}, o.Scheduled)
	assert.Contains(t, string(o.Decision.Effects), `"errors":["c/r undefined"]`)
}

func TestSealing(t *testing.T) {
	t.Parallel()
	l := with(t, `rule r { on: "a.b"  then { note "n" } }`, `rule s { on: "c.d"  then { tag "t" } }`)
	by := l.member("member")
	o, err := l.decide(l.span(by, "a.b", object{}))
	require.NoError(t, err)
	d, detail := o.Seal([16]byte{7})
	parsed, _, err := span.ParseDetail(detail)
	require.NoError(t, err)
	assert.Equal(t, []string{"n"}, parsed.Notes)
	assert.Equal(t, parsed.Hash().String(), d.DetailHash)
	assert.Empty(t, o.Decision.DetailHash, "the outcome is not changed")
	other, _ := o.Seal([16]byte{8})
	assert.NotEqual(t, d.DetailHash, other.DetailHash)
	o, err = l.decide(l.span(by, "c.d", object{}))
	require.NoError(t, err)
	d, detail = o.Seal([16]byte{7})
	assert.Nil(t, detail)
	assert.Empty(t, d.DetailHash)
}

// A contract means its own workflow by a name that others have too.
func TestStatesAreOfTheOwnWorkflow(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	flow := func(name, initial string) string {
		return inContract(name, "workflow flow { key: data.id\n initial: "+initial+"\n state "+initial+" }",
			`rule asks { on: "ask"  when: state("flow", data.id) == "`+initial+`"  then { tag "`+name+`" } }`)
	}
	l.activate(flow("a", "one"))
	l.activate(flow("b", "two"))
	by := l.member("member")
	require.Equal(t, rules.Allow, l.submit(l.span(by, "flow.begin", object{"id": "k"})).Verdict)
	assert.Equal(t, []string{"a", "b"}, l.submit(l.span(by, "ask", object{"id": "k"})).Decision.Tags)
	assert.Empty(t, l.submit(l.span(by, "ask", object{"id": "other"})).Decision.Tags)
}
