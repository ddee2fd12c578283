package httpapi_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// made makes tasks as the follower does, one for each origin.
func (w *world) made(n int, change ...func(*tasks.Draft)) (origins []string) {
	w.t.Helper()
	cursor, err := w.tasks.Cursor(w.t.Context(), w.tenant.Id)
	require.NoError(w.t, err)
	var list []tasks.Draft
	for i := range n {
		origin := span.NewID(w.clock.now(), [10]byte{byte(cursor), byte(i)})
		seq := uint64(i)
		d := tasks.Draft{Origin: origin, Queue: "emit", Kind: "emit", Name: "a.b", Priority: tasks.Normal, Attempts: 3, Most: 5, RunAt: w.clock.now(), Seq: &seq}
		for _, c := range change {
			c(&d)
		}
		list, origins = append(list, d), append(origins, origin)
	}
	_, err = w.tasks.Advance(w.t.Context(), w.clock.now(), w.tenant.Id, cursor, cursor+1, list)
	require.NoError(w.t, err)
	return origins
}

func TestTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(w.owner)
	origins := w.made(3)
	w.made(1, func(d *tasks.Draft) { d.Queue = "other" })
	claimed, err := w.tasks.Claim(t.Context(), tasks.Claim{Now: w.clock.now(), Until: w.clock.now().Add(time.Minute), Most: 2, Queues: []string{"emit"}, Worker: "host/1"})
	require.NoError(t, err)
	_, err = w.tasks.Settle(t.Context(), w.clock.now(), false, []tasks.Settlement{
		{Lease: claimed[0].Lease(), State: tasks.Completed, Output: []byte(`{"span":"x"}`)},
		{Lease: claimed[1].Lease(), State: tasks.Failed, Code: "down", Error: "it is down"},
	})
	require.NoError(t, err)

	var page openapi.TaskPage
	var seen []openapi.Task
	for query := "?limit=3"; query != ""; {
		w.get(w.at("/tasks"+query), token).want(t, http.StatusOK).decode(t, &page)
		seen = append(seen, page.Items...)
		if query = ""; page.Next != nil {
			query = "?limit=3&cursor=" + *page.Next
		}
	}
	require.Len(t, seen, 4)
	require.Equal(t, origins[0]+".0", seen[3].Id, "the newest origin comes first")
	for query, want := range map[string]int{"?state=queued": 2, "?state=failed": 1, "?state=queued&queue=emit": 1, "?queue=nothing": 0} {
		w.get(w.at("/tasks"+query), token).want(t, http.StatusOK).decode(t, &page)
		require.Len(t, page.Items, want, query)
	}
	for _, query := range []string{"?state=done", "?limit=0", "?limit=1001", "?cursor=x", "?colour=red"} {
		w.get(w.at("/tasks"+query), token).want(t, http.StatusBadRequest)
	}

	var one openapi.Task
	completed, failed, queued := w.at("/tasks/"+claimed[0].ID()), w.at("/tasks/"+claimed[1].ID()), w.at("/tasks/"+origins[2]+".0")
	w.get(completed, token).want(t, http.StatusOK).decode(t, &one)
	require.EqualValues(t, "completed", one.State)
	require.Equal(t, claimed[0].Origin, one.Span)
	require.JSONEq(t, `{"span":"x"}`, string(one.Output))
	w.get(failed, token).want(t, http.StatusOK).decode(t, &one)
	require.Equal(t, "down it is down host/1 1", one.Code+" "+one.Error+" "+one.Worker+" "+string(rune('0'+one.Attempt)))
	for _, name := range []string{origins[0] + ".7", origins[0], "x", span.NewID(time.Now(), [10]byte{}) + ".0"} {
		w.get(w.at("/tasks/"+name), token).problem(t, http.StatusNotFound, "task_unknown")
	}

	w.post(queued+"/cancel", token, nil).want(t, http.StatusOK).decode(t, &one)
	require.EqualValues(t, "cancelled", one.State)
	w.post(completed+"/cancel", token, nil).problem(t, http.StatusConflict, "task_ended")
	w.post(completed+"/requeue", token, nil).problem(t, http.StatusConflict, "task_not_ended")
	w.post(failed+"/requeue", token, nil).want(t, http.StatusOK).decode(t, &one)
	require.EqualValues(t, "queued", one.State)
	require.Equal(t, 21, one.Attempts)

	var queues openapi.QueuePage
	w.get(w.at("/queues"), token).want(t, http.StatusOK).decode(t, &queues)
	quiet := openapi.QueueRecent{Minutes: 5}
	due := span.FormatTime(w.clock.now())
	require.Equal(t, []openapi.Queue{
		{Queue: "emit", Limit: 5, Queued: 1, Completed: 1, Cancelled: 1, DueAt: due, Recent: quiet}, {Queue: "other", Limit: 5, Queued: 1, DueAt: due, Recent: quiet},
	}, queues.Items)

	// For how long they wait, and how runs ended in the last minutes.
	w.clock.advance(90 * time.Second)
	token = w.token(w.owner)
	minute := w.clock.now().Truncate(time.Minute)
	require.NoError(t, w.tasks.Tally(t.Context(), []tasks.Tally{
		{Tenant: w.tenant.Id, Queue: "emit", Minute: minute.Add(-5 * time.Minute), Completed: 1000},
		{Tenant: w.tenant.Id, Queue: "emit", Minute: minute.Add(-4 * time.Minute), Completed: 5, Failed: 1},
	}, minute.Add(-time.Hour)))
	require.NoError(t, w.tasks.Tally(t.Context(), []tasks.Tally{
		{Tenant: "0b000000-0000-8000-8000-000000000000", Queue: "emit", Minute: minute, Completed: 7},
		{Tenant: w.tenant.Id, Queue: "emit", Minute: minute, Completed: 4, Retried: 2},
	}, minute.Add(-time.Hour)))
	w.get(w.at("/queues"), token).want(t, http.StatusOK).decode(t, &queues)
	require.Equal(t, openapi.QueueRecent{Minutes: 5, Completed: 9, Retried: 2, Failed: 1, PerMinute: 2, FailureRate: 0.25}, queues.Items[0].Recent)
	require.Equal(t, 90.0, queues.Items[0].WaitSeconds)
	require.Equal(t, quiet, queues.Items[1].Recent)
}

// Tasks tell of private spans too: they are for those who may see all, and a
// request for whoever made it.
func TestWhoSeesTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task := w.at("/tasks/" + w.made(1)[0] + ".0")
	member, auditor := w.member("member"), w.member("auditor")
	own := span.NewID(w.clock.now(), [10]byte{9})
	require.NoError(t, w.tasks.Add(t.Context(), w.clock.now(), w.tenant.Id, tasks.Draft{
		Origin: own, Queue: "backtest", Kind: "backtest", Attempts: 1, Most: 1, RunAt: w.clock.now(), AskedBy: member.ID(),
	}))
	limited := w.apiKey(w.owner, w.owner.ID(), map[string]any{"types": []string{"a.*"}}).Key
	for _, c := range []struct {
		who                         string
		token                       string
		list, see, cancel, own, end int
	}{
		{"nobody", "", 401, 401, 401, 401, 401},
		{"guest", w.token(w.member("guest")), 403, 403, 403, 403, 403},
		{"member", w.token(member), 403, 404, 404, 200, 200},
		{"auditor", w.token(auditor), 200, 200, 403, 200, 403},
		{"limited key", limited, 403, 404, 403, 404, 403},
		{"admin", w.token(w.member("admin")), 200, 200, 200, 200, 200},
	} {
		w.get(w.at("/tasks"), c.token).want(t, c.list)
		w.get(w.at("/queues"), c.token).want(t, c.list)
		w.get(task, c.token).want(t, c.see)
		w.post(task+"/cancel", c.token, nil).want(t, c.cancel)
		w.get(w.at("/tasks/"+own+".0"), c.token).want(t, c.own)
		w.post(w.at("/tasks/"+own+".0/cancel"), c.token, nil).want(t, c.end)
		if c.cancel != 200 {
			w.post(task+"/requeue", c.token, nil).want(t, c.cancel)
		}
	}
}

// A backtest is asked for by who may see everything, run by a worker, and its
// report shown to who asked, as long as it may see what it is made of.
func TestBacktestOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor, other := w.member("auditor"), w.member("auditor")
	for n := range 3 {
		w.append(w.note(w.owner, n)).want(t, http.StatusCreated)
	}
	const source = `contract no.tests version "1.0.0" { rule no { on: "test.**" when: data.n > 0.0 then { reject "not today" } } }`
	ask := func(who *id.Keys, body map[string]any) reply { return w.post(w.at("/backtests"), w.token(who), body) }
	ask(w.owner, map[string]any{"source": source}).problem(t, http.StatusForbidden, "role_forbidden")
	ask(auditor, map[string]any{"source": "contract {"}).want(t, http.StatusBadRequest)
	ask(auditor, map[string]any{"source": source, "clock": "sundial"}).problem(t, http.StatusBadRequest, "clock_unknown")
	ask(auditor, map[string]any{"source": source, "show": 1001}).problem(t, http.StatusBadRequest, "parameter_invalid")
	ask(auditor, map[string]any{"source": `contract x version "1.0.0" { requires: ["y ^1.0"] rule r { on: "a.b" then { tag "t" } } }`}).
		problem(t, http.StatusBadRequest, "contract_missing")
	var task openapi.Task
	ask(auditor, map[string]any{"source": source, "show": 5}).want(t, http.StatusAccepted).decode(t, &task)
	require.Equal(t, "backtest no.tests queued "+auditor.ID(), task.Kind+" "+task.Name+" "+string(task.State)+" "+task.AskedBy)

	// As a worker does it.
	kind := w.backtests.TaskKind()
	claimed, err := w.tasks.Claim(t.Context(), tasks.Claim{Now: w.clock.now(), Until: w.clock.now().Add(time.Minute), Most: 2, Queues: []string{kind.Name}, Worker: "w"})
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	out, err := kind.Run(t.Context(), &claimed[0])
	require.NoError(t, err)
	_, err = w.tasks.Settle(t.Context(), w.clock.now(), false, []tasks.Settlement{{Lease: claimed[0].Lease(), State: tasks.Completed, Output: out}})
	require.NoError(t, err)

	show := func(who *id.Keys) (t2 openapi.Task) {
		w.get(w.at("/tasks/"+task.Id), w.token(who)).want(t, http.StatusOK).decode(t, &t2)
		return t2
	}
	var report struct {
		Report struct {
			Outcomes         map[string]int
			Difference_count int
		}
	}
	require.NoError(t, json.Unmarshal(show(auditor).Output, &report))
	require.Equal(t, 2, report.Report.Outcomes["reject"])
	require.Equal(t, 2, report.Report.Difference_count)
	require.Nil(t, show(other).Output, "it is for who asked")
	require.Nil(t, show(w.owner).Output)
	payload, err := span.Canonical(span.Member{Identity: auditor.ID(), Roles: []string{"auditor"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	w.append(w.grant(auditor.ID(), "member")).want(t, http.StatusCreated)
	require.Nil(t, show(auditor).Output, "who may see everything no more")
	_, err = kind.Run(t.Context(), &claimed[0])
	require.True(t, tasks.IsFinal(err), "nor is it run for that one: %v", err)
}
