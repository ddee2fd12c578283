package tasks_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
)

// crowded is a store where others are writing whenever something is settled, so
// many times.
type crowded struct {
	tasks.Store
	left atomic.Int32
}

func (c *crowded) Settle(ctx context.Context, now time.Time, lapsed bool, ends []tasks.Settlement) ([]tasks.Key, error) {
	if c.left.Add(-1) >= 0 {
		return nil, fault.New(fault.Unavailable, "database_busy", "the database is locked by another writer")
	}
	return c.Store.Settle(ctx, now, lapsed, ends)
}

// What came of a run is not lost because others are writing, for longer than a
// lease: heartbeats keep it, and the task does not run again.
func TestResultsOutliveACrowd(t *testing.T) {
	databases(t, func(w *world) {
		store, ran := &crowded{Store: w.store}, atomic.Int32{}
		store.left.Store(6) // which takes longer than the lease
		settled := make(chan struct{}, 10)
		worker := tasks.NewWorker(store, tasks.NewKinds(tasks.Kind{Name: "once", Run: func(context.Context, *tasks.Task) ([]byte, error) {
			ran.Add(1)
			return nil, nil
		}}), tasks.WorkerConfig{Slots: 2, Lease: 3 * time.Second, Beat: 100 * time.Millisecond, Poll: 100 * time.Millisecond, Log: silent,
			Settled: func() { settled <- struct{}{} }})
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		group.Go(func() { worker.Run(ctx) })
		k := w.add("once")
		worker.Wake()
		<-settled
		got := w.state(k, tasks.Completed)
		cancel()
		group.Wait()
		require.Equal(w.t, []any{1, int32(1), int32(-1)}, []any{got.Attempt, ran.Load(), store.left.Load()}, "it ran once")
	})
}

// A process that runs no tasks goes by the clock that workers go by: it asks the
// store, and not its own, which may be wrong.
func TestClockWhereNothingRuns(t *testing.T) {
	databases(t, func(w *world) {
		own := hours(3)
		worker := tasks.NewWorker(w.store, tasks.NewKinds(), tasks.WorkerConfig{Now: own, Log: silent})
		now, err := worker.Time(w.t.Context())
		require.NoError(w.t, err)
		_, shared, err := w.store.Time(w.t.Context())
		require.NoError(w.t, err)
		want := time.Now()
		if !shared {
			want = own()
		}
		require.WithinDuration(w.t, want, now, time.Hour)
	})
}
