package tasks_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
)

func onTime(context.Context) (time.Time, error) { return time.Now(), nil }

func nothing(context.Context, *tasks.Task) ([]byte, error) { return nil, nil }

// A module's Go function is asked for, runs durably under the name, the queue and
// the limits that it was contributed with, and the timeline tells of it.
func TestAFunctionOfAModule(t *testing.T) {
	databases(t, func(w *world) {
		woken := make(chan struct{}, 1)
		f := tasks.NewFunctions(w.store, func() { woken <- struct{}{} }, onTime, rand.Reader)
		require.NoError(w.t, f.Register("sums", tasks.Kind{Name: "sum", Queue: "sums", Most: 2, Attempts: 3, First: time.Millisecond,
			Run: func(_ context.Context, t *tasks.Task) ([]byte, error) {
				if t.Attempt == 1 {
					return nil, fault.New(fault.Unavailable, "sums_away", "not now")
				}
				var in struct{ A, B int }
				if err := json.Unmarshal(t.Input, &in); err != nil {
					return nil, tasks.Final(err)
				}
				return json.Marshal(map[string]int{"sum": in.A + in.B})
			}}))
		kinds := f.Kinds()
		p := w.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond}, kinds["sum"])
		defer p.stop()
		asked, err := f.Ask(w.t.Context(), w.tenant.ID, w.owner.ID(), "sum", "one and two", []byte(`{"a":1,"b":2}`))
		require.NoError(w.t, err)
		<-woken
		require.Equal(w.t, []any{"sums", "sum", "one and two", w.owner.ID(), 3}, []any{asked.Queue, asked.Kind, asked.Name, asked.AskedBy, asked.Attempts})
		got := w.state(asked.Key, tasks.Completed)
		require.Equal(w.t, 2, got.Attempt)
		require.JSONEq(w.t, `{"sum":3}`, string(got.Output))
		for _, typ := range []string{"logline.task.queued", "logline.task.retrying", "logline.task.completed"} {
			require.Eventually(w.t, func() bool {
				for _, r := range w.typed(typ) {
					if bytes.Contains(r.Payload, []byte(asked.ID())) {
						return true
					}
				}
				return false
			}, patience, 10*time.Millisecond, typ)
		}
		_, err = f.Ask(w.t.Context(), w.tenant.ID, w.owner.ID(), "sun", "", nil)
		require.Equal(w.t, "task_kind_unknown", fault.CodeOf(err))
		_, err = f.Ask(w.t.Context(), w.tenant.ID, w.owner.ID(), "sum", "", make([]byte, tasks.MaxInput+1))
		require.Equal(w.t, "input_too_large", fault.CodeOf(err))
		_, err = f.Ask(w.t.Context(), w.tenant.ID, w.owner.ID(), "sum", "", []byte(`{`))
		require.Equal(w.t, "task_input", fault.CodeOf(err))
	})
}

// What modules contribute is refused where it cannot be meant; the program does
// not start then.
func TestFunctionsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := tasks.NewFunctions(nil, nil, onTime, rand.Reader)
	require.NoError(t, f.Register("one", tasks.Kind{Name: "mail", Queue: "post", Most: 5, Run: nothing}))
	require.NoError(t, f.Register("two", tasks.Kind{Name: "letter", Queue: "post", Most: 5, Run: nothing}), "a queue may be shared")
	for _, c := range []struct {
		kind tasks.Kind
		why  string
	}{
		{tasks.Kind{Name: "mail", Run: nothing}, "which module one has contributed"},
		{tasks.Kind{Name: "", Run: nothing}, "which is no name"},
		{tasks.Kind{Name: "Mail!", Run: nothing}, "which is no name"},
		{tasks.Kind{Name: "fax", Queue: "a queue", Run: nothing}, "whose queue has no name"},
		{tasks.Kind{Name: "fax"}, "which has no handler"},
		{tasks.Kind{Name: "fax", Run: nothing, Priority: 9}, "whose priority is none"},
		{tasks.Kind{Name: "fax", Run: nothing, Most: -1}, "whose limits are out of range"},
		{tasks.Kind{Name: "fax", Run: nothing, Timeout: -time.Second}, "whose limits are out of range"},
		{tasks.Kind{Name: "fax", Queue: "post", Most: 6, Run: nothing}, "which gives the queue post another limit than the kind "},
	} {
		err := f.Register("three", c.kind)
		require.ErrorContains(t, err, c.why)
		require.ErrorContains(t, err, "module three contributes")
	}
	require.Len(t, f.Kinds(), 2, "nothing of what was refused is there")
	require.Equal(t, time.Minute, f.Kinds()["mail"].Timeout, "what is not said is as usual")
}
