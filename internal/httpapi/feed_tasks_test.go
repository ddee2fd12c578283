package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// aboutTasks are the tasks shown until the server says that a filter holds or,
// with one, until the first.
func (c *tap) aboutTasks(one bool) (shown []openapi.Task) {
	c.t.Helper()
	for begun := time.Now(); ; {
		_ = c.conn.SetReadDeadline(time.Now().Add(feedPatience))
		require.Less(c.t, time.Since(begun), 2*feedPatience, "no word about tasks comes")
		_, raw, err := c.conn.ReadMessage()
		require.NoError(c.t, err)
		var m struct {
			Type string
			Task openapi.Task
		}
		require.NoError(c.t, json.Unmarshal(raw, &m))
		switch m.Type {
		case "tasks":
			return shown
		case "task":
			if shown = append(shown, m.Task); one {
				return shown
			}
		}
	}
}

// tasked is a world with a working source of news.
func tasked(t *testing.T) (*world, *tasks.News) {
	news := tasks.NewNews()
	return newWorld(t, quick, func(d *httpapi.Deps) { d.News = news }), news
}

// Whoever may see tasks is shown each change that passes the filter: at once
// where it happens in this process, once, and those of other processes when the
// timeline tells of them. Other tenants' never come.
func TestTasksInAFeed(t *testing.T) {
	t.Parallel()
	w, news := tasked(t)
	for _, who := range []*id.Keys{w.owner, w.member("auditor")} {
		origins := w.made(2)
		claimed, err := w.tasks.Claim(t.Context(), tasks.Claim{Now: w.clock.now(), Until: w.clock.now().Add(time.Minute), Most: 2, Queues: []string{"emit"}, Worker: "host/1"})
		require.NoError(t, err)
		first, second := claimed[0], claimed[1]
		require.Equal(t, origins[0], first.Origin)
		c := w.socket("", w.token(who))
		c.send(`{"type":"tasks","states":["running","completed"],"queues":["emit"]}`)
		require.Empty(t, c.aboutTasks(false))

		other := first
		other.Tenant = "0b000000-0000-8000-8000-000000000000"
		queued, elsewhere := first, first
		queued.State, queued.Step = tasks.Queued, 0
		elsewhere.Queue = "call"
		elsewhere.Origin = origins[1]
		news.Tell(other, queued, elsewhere, first, first)
		shown := c.aboutTasks(true)
		require.Equal(t, []any{first.ID(), openapi.TaskState("running"), "host/1"}, []any{shown[0].Id, shown[0].State, shown[0].Worker})

		// Another process ends both.
		_, err = w.tasks.Settle(t.Context(), w.clock.now(), false, []tasks.Settlement{
			{Lease: first.Lease(), State: tasks.Completed, Output: []byte(`{"span":"x"}`)}, {Lease: second.Lease(), State: tasks.Failed, Code: "down"},
		})
		require.NoError(t, err)
		w.tell(tasks.ToldCompleted, first)
		shown = c.aboutTasks(true)
		require.Equal(t, []any{first.ID(), openapi.TaskState("completed")}, []any{shown[0].Id, shown[0].State})

		// What was shown is not shown again, and a new filter holds from then on.
		w.tell(tasks.ToldCompleted, first)
		w.tell(tasks.ToldFailed, second)
		c.send(`{"type":"tasks","tasks":["` + second.ID() + `"]}`)
		require.Empty(t, c.aboutTasks(false))
		again, err := w.tasks.Requeue(t.Context(), w.clock.now(), second.Key, 1)
		require.NoError(t, err)
		news.Tell(again)
		shown = c.aboutTasks(true)
		if shown[0].State == "failed" { // the timeline's word of it came after the filter
			shown = c.aboutTasks(true)
		}
		require.Equal(t, []any{second.ID(), openapi.TaskState("queued")}, []any{shown[0].Id, shown[0].State})
		_, err = w.tasks.Cancel(t.Context(), w.clock.now(), second.Key)
		require.NoError(t, err)
		c.stop()
	}
}

// The Go client asks for tasks again after each reconnection.
func TestClientWatchesTasks(t *testing.T) {
	t.Parallel()
	w, news := tasked(t)
	b := newBridge(t, w.url)
	c, err := client.New(b.url, client.WithSigner(w.owner.Signer(), w.owner.ID(), w.node.ID()), client.WithClock(w.clock.now))
	require.NoError(t, err)
	task := tasks.Task{Key: tasks.Key{Tenant: w.tenant.Id, Origin: span.NewID(w.clock.now(), [10]byte{1})}, Kind: "emit", Queue: "emit", State: tasks.Failed, Code: "down", RunAt: w.clock.now(), MadeAt: w.clock.now(), ChangedAt: w.clock.now()}
	begun, shown := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), 2*feedPatience)
	defer cancel()
	for e, err := range c.Follow(ctx, w.tenant.Id, client.FeedOptions{From: client.FeedNow, Tasks: &client.TaskWatch{States: []string{"failed"}}}) {
		require.NoError(t, err)
		switch e.Type {
		case client.FeedTasks:
			require.False(t, e.Missed)
			begun++
			task.Step++
			other := task
			other.State = tasks.Completed
			other.Origin = span.NewID(w.clock.now(), [10]byte{2})
			news.Tell(other, task)
		case client.FeedTask:
			require.Equal(t, []string{task.ID(), "failed", "down"}, []string{e.Task.Id, string(e.Task.State), e.Task.Code})
			if shown++; shown == 2 {
				require.Equal(t, 2, begun)
				return
			}
			b.cut()
		}
	}
	require.Fail(t, "the feed ended", "%v", ctx.Err())
}

// tell is the entry with which another process tells of a change.
func (w *world) tell(what string, t tasks.Task) {
	w.t.Helper()
	payload, err := span.Canonical(tasks.Told{Tasks: []tasks.ToldTask{{Task: t.ID(), Step: t.Step + 1, Attempt: 1, At: span.FormatTime(w.clock.now())}}})
	require.NoError(w.t, err)
	require.NoError(w.t, w.engine.SubmitOwn(w.t.Context(), w.tenant.Id, tasks.TypePrefix+what, payload, engine.OwnOptions{}).Err)
}

// tasklessEnd reads until the feed ends, without a word about tasks.
func (c *tap) tasklessEnd() *websocket.CloseError {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(feedPatience))
		_, raw, err := c.conn.ReadMessage()
		if err != nil {
			var closed *websocket.CloseError
			require.True(c.t, errors.As(err, &closed), "%v", err)
			return closed
		}
		require.NotContains(c.t, string(raw), `{"type":"task`)
	}
}

// Whoever may not see tasks is not shown any, be it from the beginning or from
// when the right is withdrawn.
func TestWhoSeesTasksInAFeed(t *testing.T) {
	t.Parallel()
	w, news := tasked(t)
	w.made(1)
	task, err := w.tasks.Claim(t.Context(), tasks.Claim{Now: w.clock.now(), Until: w.clock.now().Add(time.Minute), Most: 1, Queues: []string{"emit"}, Worker: "host/1"})
	require.NoError(t, err)
	limited := w.apiKey(w.owner, w.owner.ID(), map[string]any{"types": []string{"a.*"}}).Key
	for who, token := range map[string]string{"member": w.token(w.member("member")), "guest": w.token(w.member("guest")), "a limited key": limited} {
		c := w.socket("", token)
		c.send(`{"type":"tasks"}`)
		closed := c.tasklessEnd()
		require.Equal(t, feed.CodeForbidden, closed.Code, who)
		require.Contains(t, closed.Text, "tasks are for the tenant's owners")
	}
	auditor := w.member("auditor", "member")
	c := w.socket("", w.token(auditor))
	c.send(`{"type":"tasks"}`)
	require.Empty(t, c.aboutTasks(false))
	news.Tell(task[0])
	require.Len(t, c.aboutTasks(true), 1)
	payload, err := span.Canonical(span.Member{Identity: auditor.ID(), Roles: []string{"auditor"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	withdrawn := w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })
	w.append(withdrawn).want(t, http.StatusCreated)
	for shown := false; !shown; { // the feed has heard of it
		_, raw, err := c.conn.ReadMessage()
		require.NoError(t, err)
		shown = strings.Contains(string(raw), spanID(t, withdrawn))
	}
	task[0].Step++
	news.Tell(task[0])
	require.Equal(t, feed.CodeForbidden, c.tasklessEnd().Code)

	for _, bad := range []string{`{"type":"tasks","states":["done"]}`, `{"type":"tasks","colour":"red"}`, `{"type":"tasks","kinds":"emit"}`} {
		c := w.socket("", w.token(w.owner))
		c.send(bad)
		code, _ := c.ended()
		require.Equal(t, feed.CodeMessage, code, bad)
	}
}

// A listener that does not keep up is told that it missed something, and never
// keeps others waiting.
func TestMissedTasksAreToldOf(t *testing.T) {
	t.Parallel()
	news := tasks.NewNews()
	slow := news.Listen("a")
	for range 5000 {
		news.Tell(tasks.Task{Key: tasks.Key{Tenant: "a"}}, tasks.Task{Key: tasks.Key{Tenant: "b"}})
	}
	require.True(t, slow.Missed())
	require.False(t, slow.Missed())
	require.False(t, news.Silent())
	slow.Close()
	slow.Close()
	require.True(t, news.Silent())
	var none *tasks.News
	none.Tell(tasks.Task{})
	none.Listen("a").Close()
}

// What is taken for a filter of tasks means the same when it is written again;
// all else is refused as invalid, or is no message about tasks.
func FuzzTaskFilter(f *testing.F) {
	for _, s := range []string{
		`{"type":"tasks"}`, `{"type":"tasks","states":["queued"],"kinds":["emit"],"queues":["emit","call"],"tasks":["019a0000-0000-7000-8000-000000000000.0"]}`,
		`{"type":"tasks","states":["done"]}`, `{"type":"tasks","states":null}`, `{"type":"filter"}`, `{"type":"tasks","type":"filter"}`, "[]", "{", "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		lets, text, mine, err := httpapi.ParseTaskFilter(raw)
		if !mine || err != nil {
			require.True(t, err == nil || fault.KindOf(err) == fault.Invalid)
			return
		}
		again, _, mine, err := httpapi.ParseTaskFilter(text)
		require.NoError(t, err)
		require.True(t, mine)
		var said struct{ States, Kinds, Queues []string }
		require.NoError(t, json.Unmarshal(text, &said))
		for _, kind := range append(said.Kinds, "emit", "") {
			for _, queue := range append(said.Queues, "emit", "") {
				for state := range tasks.States {
					task := &tasks.Task{Kind: kind, Queue: queue, State: tasks.State(state)}
					require.Equal(t, lets(task), again(task))
				}
			}
		}
	})
}
