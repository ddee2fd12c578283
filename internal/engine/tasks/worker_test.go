package tasks_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
)

// running is a handler that waits to be released and says how it was ended.
type running struct {
	began   chan struct{}
	release chan struct{}
	mu      sync.Mutex // guards causes
	causes  []string
}

func newRunning() *running {
	return &running{began: make(chan struct{}, 100), release: make(chan struct{})}
}

func (r *running) run(ctx context.Context, _ *tasks.Task) ([]byte, error) {
	r.began <- struct{}{}
	select {
	case <-r.release:
		return []byte(`{"done":true}`), nil
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		r.causes = append(r.causes, context.Cause(ctx).Error())
		return nil, ctx.Err()
	}
}

func (r *running) endedBy() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.causes...)
}

func TestATaskRunsAndEnds(t *testing.T) {
	databases(t, func(w *world) {
		w.start(tasks.WorkerConfig{Name: "one"}, tasks.Kind{Name: "sum", Run: func(_ context.Context, t *tasks.Task) ([]byte, error) {
			return t.Input, nil
		}})
		k := w.add("sum", func(d *tasks.Draft) { d.Input = []byte(`{"x":1}`) })
		got := w.state(k, tasks.Completed)
		require.JSONEq(w.t, `{"x":1}`, string(got.Output))
		require.Equal(w.t, "one", got.Worker)
		require.Equal(w.t, 1, got.Attempt)
	})
}

// What fails is tried again, as often as it may be; what is of no use is not.
func TestFailures(t *testing.T) {
	databases(t, func(w *world) {
		var tries atomic.Int32
		down := fault.New(fault.Unavailable, "down", "it is down")
		quick := func(k tasks.Kind) tasks.Kind { k.First, k.Attempts = time.Millisecond, 3; return k }
		p := w.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond},
			quick(tasks.Kind{Name: "mends", Run: func(_ context.Context, t *tasks.Task) ([]byte, error) {
				if tries.Add(1) < 3 {
					return nil, down
				}
				return nil, nil
			}}),
			quick(tasks.Kind{Name: "never", Run: func(context.Context, *tasks.Task) ([]byte, error) { return nil, down }}),
			quick(tasks.Kind{Name: "useless", Run: func(context.Context, *tasks.Task) ([]byte, error) {
				return nil, fault.New(fault.Gone, "erased", "it is erased")
			}}),
			quick(tasks.Kind{Name: "final", Run: func(context.Context, *tasks.Task) ([]byte, error) { return nil, tasks.Final(errors.New("no")) }}),
			quick(tasks.Kind{Name: "panics", Run: func(context.Context, *tasks.Task) ([]byte, error) { panic("dreadful") }}),
			quick(tasks.Kind{Name: "slow", Timeout: 10 * time.Millisecond, Run: func(ctx context.Context, _ *tasks.Task) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}),
		)
		defer p.stop()
		keys := map[string]tasks.Key{}
		for _, kind := range []string{"mends", "never", "useless", "final", "panics", "slow"} {
			keys[kind] = w.add(kind, func(d *tasks.Draft) { d.Attempts = 3 })
		}
		require.Equal(w.t, 3, w.state(keys["mends"], tasks.Completed).Attempt)
		for kind, want := range map[string]struct {
			attempts    int
			code, error string
		}{
			"never":   {3, "down", "it is down"},
			"useless": {1, "erased", "it is erased"},
			"final":   {1, "internal", "something failed that has no message of its own; the node's log says what"}, // "no" may be what a database said
			"panics":  {3, "task_panicked", "the handler panicked: dreadful"},
			"slow":    {3, "task_timeout", "the task took longer than it may"},
		} {
			got := w.state(keys[kind], tasks.Failed)
			require.Equal(w.t, want.attempts, got.Attempt, kind)
			require.Equal(w.t, want.code, got.Code)
			require.Equal(w.t, want.error, got.Error)
		}
		again, err := w.store.Requeue(w.t.Context(), time.Now(), keys["never"], 2)
		require.NoError(w.t, err)
		require.Equal(w.t, 5, again.Attempts)
		require.Equal(w.t, 5, w.state(keys["never"], tasks.Failed).Attempt)
	})
}

// A task that runs elsewhere is ended by a mark that its heartbeat sees.
func TestCancelWhileRunning(t *testing.T) {
	databases(t, func(w *world) {
		r := newRunning()
		w.start(tasks.WorkerConfig{Beat: 10 * time.Millisecond}, tasks.Kind{Name: "long", Run: r.run})
		k := w.add("long")
		<-r.began
		// As another process does it: by the store alone.
		_, err := w.store.Cancel(w.t.Context(), time.Now(), k)
		require.NoError(w.t, err)
		got := w.state(k, tasks.Cancelled)
		require.Equal(w.t, "task_cancelled", got.Code)
		require.Equal(w.t, []string{"the task was cancelled"}, r.endedBy())
	})
}

// A process that is gone is replaced after its lease; if it was only away, it
// finds its lease lost and ends nothing.
func TestALeaseThatIsLost(t *testing.T) {
	databases(t, func(w *world) {
		away, here := newRunning(), newRunning()
		ended := make(chan struct{})
		// One whose heart does not beat.
		gone := tasks.NewWorker(w.store, tasks.NewKinds(tasks.Kind{Name: "long", Run: away.run}),
			tasks.WorkerConfig{Name: "gone", Lease: 300 * time.Millisecond, Beat: time.Hour, Log: silent, Settled: func() { ended <- struct{}{} }})
		ctx, cancel := context.WithCancel(w.t.Context())
		var group sync.WaitGroup
		group.Go(func() { gone.Run(ctx) })
		k := w.add("long")
		gone.Wake()
		<-away.began

		w.start(tasks.WorkerConfig{Name: "here", Lease: time.Minute, Beat: 10 * time.Millisecond}, tasks.Kind{Name: "long", Run: here.run})
		<-here.began // after the lease
		close(away.release)
		<-ended // which changes nothing
		got, err := w.store.Get(w.t.Context(), k)
		require.NoError(w.t, err)
		require.Equal(w.t, tasks.Running, got.State)
		require.Equal(w.t, "here", got.Worker)
		require.Equal(w.t, 2, got.Attempt)
		require.Nil(w.t, got.Output)
		close(here.release)
		w.state(k, tasks.Completed)
		go func() { // what ends at the end tells too
			for range ended {
			}
		}()
		cancel()
		group.Wait()
		close(ended)
	})
}

// At the end what runs may finish, and what does not is given back at once and
// loses no try by it.
func TestDrain(t *testing.T) {
	databases(t, func(w *world) {
		r := newRunning()
		p := w.start(tasks.WorkerConfig{Drain: 50 * time.Millisecond}, tasks.Kind{Name: "long", Run: r.run})
		k := w.add("long", func(d *tasks.Draft) { d.Attempts = 1 })
		<-r.began
		p.stop()
		got, err := w.store.Get(w.t.Context(), k)
		require.NoError(w.t, err)
		require.Equal(w.t, tasks.Queued, got.State)
		require.Equal(w.t, "worker_stopping", got.Code)
		require.Equal(w.t, []string{"the process is stopping"}, r.endedBy())

		finishing := newRunning()
		p = w.start(tasks.WorkerConfig{Drain: time.Minute}, tasks.Kind{Name: "long", Run: finishing.run})
		<-finishing.began
		stopped := make(chan struct{})
		go func() { p.stop(); close(stopped) }()
		close(finishing.release)
		<-stopped
		got, err = w.store.Get(w.t.Context(), k)
		require.NoError(w.t, err)
		require.Equal(w.t, tasks.Completed, got.State)
		require.Equal(w.t, 2, got.Attempt)
	})
}
