package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

const rehearsed = `contract shop version "1.0.0" {
  webhook till { endpoint: "the-till" }
  rule sold { on: "order.made"  when: data.n > 0.0  then {
    tag "sold"
    emit "receipt.issued" { data: { n: data.n } }
    call webhook "till" { body: { n: data.n } }
    schedule task "thank" { after: 1h  then { emit "thanks.said" { data: { n: data.n } } } }
  } }
  rule never { on: "order.made"  when: data.n > 100.0  then { reject "${data.n} is too many" } }
}`

// What spans would lead to is told with bodies, addresses' names and times, and none
// of it happens.
func TestSimulateOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := rules.Compile(rehearsed)
	require.NoError(t, err)
	payload, err := span.Canonical(span.Contract{Name: c.Name, Version: c.Version, Source: rehearsed, Hash: c.Hash.String(), Action: span.ActionActivate})
	require.NoError(t, err)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeContract })).want(t, http.StatusCreated)
	size := w.size()

	order := func(n string) []byte {
		return w.seal(w.owner, []byte(`{"n":`+n+`}`), func(h *span.Header) { h.Type, h.Status = "order.made", span.StatusSimulated })
	}
	send := func(tenant, kind string, body []byte) reply {
		return w.do(w.request(http.MethodPost, "/v1/tenants/"+tenant+"/simulations", "", kind, bytes.NewReader(body)))
	}
	first, many := order("5"), order("1000")
	var sim struct {
		Size  uint64
		Spans []struct {
			Line, Status int
			Decision     json.RawMessage
			Refusal      *struct{ Reason string }
			Effects      []map[string]any
		}
		Later []struct {
			Type    string
			At      string
			Effects []map[string]any
		}
	}
	send(w.tenant.Id, "application/x-ndjson", bytes.Join([][]byte{first, many, {}}, []byte("\n"))).want(t, http.StatusOK).decode(t, &sim)
	require.Equal(t, size, w.size())
	require.Equal(t, size, sim.Size)
	require.Len(t, sim.Spans, 2)
	require.Equal(t, http.StatusCreated, sim.Spans[0].Status)
	require.Equal(t, http.StatusUnprocessableEntity, sim.Spans[1].Status)
	require.Equal(t, "1000 is too many", sim.Spans[1].Refusal.Reason)
	effects := map[string]map[string]any{}
	for _, e := range sim.Spans[0].Effects {
		effects[e["kind"].(string)] = e
	}
	require.Equal(t, map[string]any{"data": map[string]any{"n": 5.0}, "type": "receipt.issued"}, effects["emit"]["body"])
	require.Equal(t, map[string]any{"outcome": "allow"}, effects["emit"]["decision"])
	require.Equal(t, "the-till", effects["call"]["endpoint"])
	message := effects["call"]["message"].(map[string]any)
	require.Equal(t, map[string]any{"n": 5.0}, message["data"])
	require.Equal(t, "till", message["type"])
	require.Equal(t, w.tenant.Id, message["tenant"])
	require.Equal(t, span.FormatTime(w.clock.now().Add(time.Hour)), effects["schedule"]["due"])
	require.Len(t, sim.Later, 1)
	require.Equal(t, "logline.task.fired", sim.Later[0].Type)
	require.Equal(t, effects["schedule"]["due"], sim.Later[0].At)
	require.Equal(t, "thanks.said", sim.Later[0].Effects[0]["name"])

	send(w.tenant.Id, "application/json", first).want(t, http.StatusOK)
	send(w.tenant.Id, "text/plain", first).problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	stranger := w.identity()
	one := w.seal(stranger, []byte(`{}`), func(h *span.Header) { h.Status = span.StatusSimulated })
	var refused struct {
		Spans []struct {
			Status   int
			Decision json.RawMessage
		}
	}
	send(w.tenant.Id, "application/json", one).want(t, http.StatusOK).decode(t, &refused)
	require.Equal(t, http.StatusForbidden, refused.Spans[0].Status)
	require.Nil(t, refused.Spans[0].Decision, "who may not append learns nothing of contracts")
	require.Equal(t, size, w.size())
	lines := bytes.Repeat(append(first, '\n'), 101)
	send(w.tenant.Id, "application/x-ndjson", lines).problem(t, http.StatusBadRequest, "simulation_size")
}

// A replay is asked for by who may see everything, and run by a worker.
func TestReplayOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor := w.member("auditor")
	for n := range 3 {
		w.append(w.note(w.owner, n)).want(t, http.StatusCreated)
	}
	const source = `contract no.tests version "1.0.0" { rule no { on: "test.**" when: data.n > 0.0 then { reject "not today" } } }`
	ask := func(body map[string]any) reply { return w.post(w.at("/replays"), w.token(auditor), body) }
	w.post(w.at("/replays"), w.token(w.owner), map[string]any{}).problem(t, http.StatusForbidden, "role_forbidden")
	ask(map[string]any{"mode": "selective"}).problem(t, http.StatusBadRequest, "selection_missing")
	ask(map[string]any{"select": []string{"a.*"}}).problem(t, http.StatusBadRequest, "selection_unused")
	ask(map[string]any{"from": 7, "to": 3}).problem(t, http.StatusBadRequest, "range_invalid")
	ask(map[string]any{"to": 1000}).problem(t, http.StatusBadRequest, "range_invalid")
	ask(map[string]any{"sources": []string{"contract {"}}).want(t, http.StatusBadRequest)
	run := func(body map[string]any) (out struct {
		Replay struct {
			Decided, Same    int
			Difference_count int
			Mode             string
		}
	}) {
		var task openapi.Task
		ask(body).want(t, http.StatusAccepted).decode(t, &task)
		require.Equal(t, "replay", task.Kind)
		kind := w.backtests.ReplayKind()
		claimed, err := w.tasks.Claim(t.Context(), tasks.Claim{Now: w.clock.now(), Until: w.clock.now().Add(time.Minute), Most: 2, Queues: []string{kind.Queue}, Worker: "w"})
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		result, err := kind.Run(t.Context(), &claimed[0])
		require.NoError(t, err)
		_, err = w.tasks.Settle(t.Context(), w.clock.now(), false, []tasks.Settlement{{Lease: claimed[0].Lease(), State: tasks.Completed, Output: result}})
		require.NoError(t, err)
		w.get(w.at("/tasks/"+task.Id), w.token(auditor)).want(t, http.StatusOK).decode(t, &task)
		require.NoError(t, json.Unmarshal(task.Output, &out))
		return out
	}
	whole := run(map[string]any{})
	require.Equal(t, int(w.size()), whole.Replay.Same)
	require.Equal(t, "validate", whole.Replay.Mode)
	other := run(map[string]any{"mode": "full", "from": 1, "sources": []string{source}, "show": 5})
	require.Equal(t, 2, other.Replay.Difference_count)
}

// Whoever held a role once may no more be told by a name that there is such a
// tenant than a stranger: a simulation is answered as where there is none. By its
// id it says what they may not.
func TestASimulationByNameTellsTheFormerNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left := w.member("member")
	payload, err := span.Canonical(span.Member{Identity: left.ID(), Roles: []string{"member"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	simulate := func(by *id.Keys, tenant string) reply {
		return w.post("/v1/tenants/"+tenant+"/simulations", "", w.note(by, 1))
	}
	simulate(left, w.tenant.Slug).want(t, http.StatusOK)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	for _, by := range []*id.Keys{left, w.identity()} {
		simulate(by, w.tenant.Slug).problem(t, http.StatusNotFound, "tenant_unknown")
		simulate(by, absentSlug).problem(t, http.StatusNotFound, "tenant_unknown")
	}
	simulate(left, w.tenant.Id).want(t, http.StatusOK)
}
