package tasks_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
)

// What a process does to tasks it passes on as it stands in the store, each
// change once and in order.
func TestNews(t *testing.T) {
	databases(t, func(w *world) {
		news := tasks.NewNews()
		l := news.Listen(w.tenant.ID)
		w.t.Cleanup(l.Close)
		tries := 0
		w.start(tasks.WorkerConfig{Name: "host/1", News: news, Poll: 10 * time.Millisecond}, tasks.Kind{Name: "twice", First: time.Millisecond, Run: func(context.Context, *tasks.Task) ([]byte, error) {
			if tries++; tries == 1 {
				return nil, fault.New(fault.Unavailable, "not_yet", "not yet")
			}
			return []byte(`{"done":true}`), nil
		}})
		k := w.add("twice")
		for step, want := range []tasks.State{tasks.Running, tasks.Queued, tasks.Running, tasks.Completed} {
			var got tasks.Task
			select {
			case got = <-l.C:
			case <-time.After(patience):
				require.Fail(w.t, "no news", "step %d", step+1)
			}
			require.Equal(w.t, []any{k, want, step + 1, "twice"}, []any{got.Key, got.State, got.Step, got.Kind})
			if want == tasks.Queued {
				require.Equal(w.t, "not yet", got.Error)
			}
			if want == tasks.Completed {
				stored := w.state(k, tasks.Completed)
				got.ChangedAt, got.RunAt, stored.ChangedAt, stored.RunAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
				require.Equal(w.t, stored, got)
			}
		}
		recent := []tasks.Tally(nil)
		require.Eventually(w.t, func() bool {
			var err error
			recent, err = w.store.Recent(context.Background(), w.tenant.ID, time.Now().Add(-2*time.Minute))
			return err == nil && len(recent) > 0
		}, patience, 10*time.Millisecond, "what runs came to is counted")
		sum := tasks.Tally{}
		for _, r := range recent {
			sum.Completed, sum.Retried, sum.Failed = sum.Completed+r.Completed, sum.Retried+r.Retried, sum.Failed+r.Failed
		}
		require.Equal(w.t, tasks.Tally{Completed: 1, Retried: 1}, sum)
	})
}
