package tasks_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/rules"
)

// A tenant that has set a webhook for alerts hears of tasks that failed for good,
// once; one that has none is not bothered, and neither is anybody by alerts that
// fail.
func TestAlerts(t *testing.T) {
	callings(t, func(w *calling) {
		in := &inbox{done: map[string]string{}, answer: func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }}
		addr := in.serve(w.t, "127.0.0.1:0")
		scribe := tasks.NewScribe(w.eng, w.log, w.node.ID(), []byte(nodeSecret))
		alerter := tasks.NewAlerter(w.store, scribe, w.book, w.sender, func() {}, time.Now)
		w.alert = alerter.Alert
		w.world.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond}, alerter.Kind(), tasks.Kind{
			Name: rules.ActionCall, Attempts: tasks.MaxCalls, First: time.Millisecond, Longest: time.Millisecond, Run: tasks.NewCaller(w.log, w.book, w.sender).Run,
		})
		dead := func() tasks.Key { // the webhook is not set
			k := tasks.Key{Tenant: w.tenant.ID, Origin: w.submit("test.ping", ping(1))}
			w.state(k, tasks.Failed)
			require.Eventually(w.t, func() bool {
				left, _, err := w.store.Backlog(w.t.Context(), w.tenant.ID)
				return err == nil && left == 0
			}, patience, 10*time.Millisecond, "the timeline is told")
			return k
		}
		dead()
		alertsMade, err := w.store.List(w.t.Context(), tasks.List{Tenant: w.tenant.ID, Queue: tasks.KindAlert, Limit: 10})
		require.NoError(w.t, err)
		require.Empty(w.t, alertsMade, "nobody wants any")

		_, secret, err := w.book.Set(w.t.Context(), w.tenant.ID, tasks.AlertWebhook, "http://"+addr+"/in", w.owner.ID())
		require.NoError(w.t, err)
		in.mu.Lock()
		in.secret = secret
		in.mu.Unlock()
		second := dead()
		got := func() (bodies []string) {
			in.mu.Lock()
			defer in.mu.Unlock()
			for _, body := range in.done {
				bodies = append(bodies, body)
			}
			return bodies
		}
		require.Eventually(w.t, func() bool { return len(got()) == 1 }, patience, 10*time.Millisecond, "the tenant is alerted")
		var m struct {
			Type, Tenant, Timestamp string
			Data                    tasks.Told
		}
		require.NoError(w.t, json.Unmarshal([]byte(got()[0]), &m))
		require.Equal(w.t, []string{"logline.task.failed", w.tenant.ID, second.ID(), "webhook_unknown"}, []string{m.Type, m.Tenant, m.Data.Tasks[0].Task, m.Data.Tasks[0].Code})

		// Told again, as after the end of a process, it is the same alert.
		at, err := time.Parse(time.RFC3339Nano, m.Timestamp)
		require.NoError(w.t, err)
		for range 2 {
			require.NoError(w.t, alerter.Alert(w.t.Context(), w.tenant.ID, "logline.task.follower", []byte(`{}`), at, "follower", "tasks", "3"))
		}
		require.Eventually(w.t, func() bool { return len(got()) == 2 }, patience, 10*time.Millisecond)
		alertsMade, err = w.store.List(w.t.Context(), tasks.List{Tenant: w.tenant.ID, Queue: tasks.KindAlert, Limit: 10})
		require.NoError(w.t, err)
		require.Len(w.t, alertsMade, 2)
	})
}
