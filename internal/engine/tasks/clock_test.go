package tasks_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/storage"
)

// tallied is a handler that counts what it did, and takes several heartbeats for it.
type tallied struct {
	mu   sync.Mutex // guards done
	done map[tasks.Key]int
}

func (c *tallied) run(ctx context.Context, t *tasks.Task) ([]byte, error) {
	c.mu.Lock()
	c.done[t.Key]++
	c.mu.Unlock()
	lasts := time.NewTimer(50 * time.Millisecond)
	defer lasts.Stop()
	select {
	case <-lasts.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func hours(n time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(n * time.Hour) }
}

// Processes whose clocks disagree by hours share a database server: they go by its
// clock. None takes another's tasks for abandoned, none waits for a time that is
// not its own, and what a process leaves behind whose clock is ahead runs again
// after its lease.
func TestClocksThatDisagree(t *testing.T) {
	databases(t, func(w *world) {
		if w.db.Dialect != storage.Postgres {
			w.t.Skip("with SQLite there is one machine, and one clock: see TestClockThatJumps")
		}
		// It claims, and is not heard of any more.
		away := newRunning()
		gone := tasks.NewWorker(w.store, tasks.NewKinds(tasks.Kind{Name: "tally", Run: away.run}),
			tasks.WorkerConfig{Name: "gone", Now: hours(3), Slots: 1, Lease: 300 * time.Millisecond, Beat: time.Hour, Log: silent})
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		group.Go(func() { gone.Run(ctx) })
		left := w.add("tally")
		gone.Wake()
		<-away.began

		c := &tallied{done: map[tasks.Key]int{}}
		for name, now := range map[string]func() time.Time{"right": time.Now, "ahead": hours(3), "behind": hours(-3)} {
			w.start(tasks.WorkerConfig{Name: name, Now: now, Slots: 2, Lease: time.Minute, Beat: 10 * time.Millisecond, Poll: 10 * time.Millisecond}, tasks.Kind{Name: "tally", Run: c.run})
		}
		var keys []tasks.Key
		for range 30 {
			keys = append(keys, w.add("tally"))
		}
		require.Equal(w.t, 2, w.state(left, tasks.Completed).Attempt)
		for _, k := range keys {
			require.Equal(w.t, 1, w.state(k, tasks.Completed).Attempt, "nobody took it for abandoned")
		}
		c.mu.Lock()
		require.Len(w.t, c.done, len(keys)+1)
		for _, n := range c.done {
			require.Equal(w.t, 1, n)
		}
		c.mu.Unlock()
		close(away.release)
		cancel()
		group.Wait()
	})
}

// The clock of a machine jumps by hours, forth and back, while its tasks run:
// none is lost, each effect is done at least once, and only a last run has ended
// its task.
func TestClockThatJumps(t *testing.T) {
	databases(t, func(w *world) {
		var jumped atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(jumped.Load())) }
		c := &tallied{done: map[tasks.Key]int{}}
		for range 2 {
			w.start(tasks.WorkerConfig{Now: now, Slots: 4, Lease: time.Minute, Beat: 5 * time.Millisecond, Poll: 10 * time.Millisecond},
				tasks.Kind{Name: "tally", Run: c.run, Attempts: 1000})
		}
		tried := 0
		for _, to := range []time.Duration{3 * time.Hour, 7 * time.Hour, 0} {
			var keys []tasks.Key
			for range 16 {
				keys = append(keys, w.add("tally", func(d *tasks.Draft) { d.Attempts = 1000 }))
			}
			require.Eventually(w.t, func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.done[keys[0]] > 0
			}, patience, time.Millisecond)
			jumped.Store(int64(to))
			for _, k := range keys {
				got := w.state(k, tasks.Completed)
				tried += got.Attempt
				c.mu.Lock()
				require.GreaterOrEqual(w.t, c.done[k], 1)
				require.GreaterOrEqual(w.t, got.Attempt, c.done[k])
				c.mu.Unlock()
			}
		}
		w.t.Logf("48 tasks took %d runs", tried)
	})
}

// A clock goes on by itself from what the server said, whatever this machine's
// says meanwhile.
func TestClockGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		var ahead time.Duration
		own := func() time.Time { return time.Now().Add(ahead) }
		c := tasks.NewClock(timekeeper(func() (time.Time, bool, error) { return server, true, nil }), own)
		require.Equal(t, own(), c.Now(), "not asked yet")
		require.NoError(t, c.Sync(t.Context()))
		ahead = 5 * time.Hour
		time.Sleep(time.Minute) // of the bubble's clock
		require.Equal(t, server.Add(time.Minute), c.Now())

		away := tasks.NewClock(timekeeper(func() (time.Time, bool, error) { return time.Time{}, false, context.DeadlineExceeded }), own)
		require.ErrorIs(t, away.Sync(t.Context()), context.DeadlineExceeded)
		require.Equal(t, own(), away.Now())
		here := tasks.NewClock(timekeeper(func() (time.Time, bool, error) { return time.Time{}, false, nil }), own)
		require.NoError(t, here.Sync(t.Context()))
		require.Equal(t, own(), here.Now(), "the database is this machine's")
	})
}

type timekeeper func() (time.Time, bool, error)

func (f timekeeper) Time(context.Context) (time.Time, bool, error) { return f() }

// What a process recorded whose clock is ahead is due at once, by the clock that
// workers go by.
func TestRecordedAheadIsDueNow(t *testing.T) {
	databases(t, func(w *world) {
		// As a worker's clock that is behind the one that records.
		p := w.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond})
		p.stop()
		w.activate(echo)
		cause := w.submit("test.ping", ping(1))
		behind := tasks.NewKinds(tasks.Kind{Name: "emit", Run: nothing})
		early := time.Now().Add(-time.Hour)
		follower := tasks.NewFollower(w.log, w.store, behind, w.bus, tasks.FollowerConfig{Log: silent, Now: func() time.Time { return early }})
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		group.Go(func() { follower.Run(ctx) })
		got := w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Queued)
		cancel()
		group.Wait()
		require.WithinDuration(w.t, early, got.RunAt, time.Millisecond, "it is not due when its recorder's clock says so")
	})
}
