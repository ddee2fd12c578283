package followers_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

const (
	tenantA = "0a000000-0000-8000-8000-000000000000"
	tenantB = "0b000000-0000-8000-8000-000000000000"
	ana     = "logline-id://ana"
)

// clock stands still until a test moves it.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()).UTC() }

// author keeps what is told.
type author struct {
	mu   sync.Mutex
	told []followers.Told
	fail error
	of   string // which timeline takes nothing, where fail is set; "": none does
}

func (a *author) Tell(_ context.Context, tenant, typ string, payload []byte, at time.Time, of ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil && (a.of == "" || a.of == tenant) {
		return a.fail
	}
	var t followers.Told
	if err := json.Unmarshal(payload, &t); err != nil || typ != followers.TypeFollower {
		return errors.Join(errors.New(typ), err)
	}
	a.told = append(a.told, t)
	return nil
}

func (a *author) whats() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.told {
		out = append(out, t.Follower+" "+t.What)
	}
	return out
}

// house is a database that boards of several processes share.
type house struct {
	t     *testing.T
	db    *storage.DB
	clock clock
}

func each(t *testing.T, test func(h *house)) {
	t.Helper()
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		db, err := storage.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		h := &house{t: t, db: db}
		h.clock.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
		test(h)
	}, backend.SQLite, backend.Postgres)
}

// process is the board of one process; it runs where run is set.
func (h *house) process(run bool, change ...func(*followers.Config)) *followers.Board {
	h.t.Helper()
	cfg := followers.Config{Look: 5 * time.Millisecond, Report: 10 * time.Millisecond, Tries: 3, Now: h.clock.now, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	b := followers.New(h.db, cfg)
	require.NoError(h.t, b.Begin(h.t.Context()))
	if run {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		h.t.Cleanup(func() { cancel(); running.Wait() })
	}
	return b
}

func (h *house) get(b *followers.Board, tenant, name string) followers.Status {
	h.t.Helper()
	s, err := b.Get(h.t.Context(), tenant, name)
	require.NoError(h.t, err)
	return s
}

var errPoison = errors.New("the entry makes no sense")

// fail fails as often as it takes.
func (h *house) fail(w *followers.Watch, tenant string, entry uint64, times int) {
	for range times {
		h.clock.ms.Add(time.Hour.Milliseconds())
		w.Failed(h.t.Context(), tenant, entry, errPoison)
	}
}

const patience = time.Minute

func (h *house) eventually(ok func() bool, why string) {
	h.t.Helper()
	require.Eventually(h.t, ok, patience, 5*time.Millisecond, why)
}

// What fails at one entry as often as it may is parked there, with its error, in
// that timeline alone; it stays so in other processes and later ones, until
// somebody lets it try again.
func TestParking(t *testing.T) {
	each(t, func(h *house) {
		var log bytes.Buffer
		told := &author{}
		b := h.process(true, func(c *followers.Config) {
			c.Author, c.Log = told, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		})
		w, other := b.Watch(followers.Tasks), b.Watch(followers.Words)
		w.At(tenantA, 4, 9)
		w.At(tenantB, 1, 1)
		require.True(h.t, w.May(tenantA, 9))
		h.fail(w, tenantA, 4, 2)
		s := h.get(b, tenantA, followers.Tasks)
		require.Equal(h.t, followers.Failing, s.State)
		require.Equal(h.t, 2, s.Tries)
		require.Equal(h.t, "internal", s.Code)
		require.NotContains(h.t, s.Error, errPoison.Error(), "what was said inside is for the log")
		require.False(h.t, w.May(tenantA, 9), "it waits after a failure")
		h.clock.ms.Add(-time.Hour.Milliseconds())
		require.True(h.t, w.May(tenantA, 9), "the clock was put back")
		h.clock.ms.Add(time.Hour.Milliseconds())
		require.False(h.t, w.May(tenantA, 9))
		h.clock.ms.Add(time.Hour.Milliseconds())
		require.True(h.t, w.May(tenantA, 9))

		h.fail(w, tenantA, 5, 2) // another place
		require.Equal(h.t, followers.Failing, h.get(b, tenantA, followers.Tasks).State)
		h.fail(w, tenantA, 5, 1)
		s = h.get(b, tenantA, followers.Tasks)
		require.Equal(h.t, followers.Parked, s.State)
		require.Equal(h.t, []any{uint64(5), 3, "internal"}, []any{s.Entry, s.Tries, s.Code})
		require.False(h.t, s.FailingSince.IsZero())
		require.Contains(h.t, log.String(), "a follower is parked")
		h.clock.ms.Add(time.Hour.Milliseconds())
		require.False(h.t, w.May(tenantA, 9), "it is parked")
		require.True(h.t, w.May(tenantB, 1), "the follower goes on in another timeline")
		require.True(h.t, other.May(tenantA, 9), "another follower goes on in this one")

		second := h.process(false) // one that begins now
		later := second.Watch(followers.Tasks)
		require.NoError(h.t, second.Begin(h.t.Context()))
		require.False(h.t, later.May(tenantA, 9))
		require.Equal(h.t, followers.Parked, h.get(second, tenantA, followers.Tasks).State)
		require.Equal(h.t, 1, measured(second, followers.Tasks).Parked)

		// Whoever still reports it does not hide why it is parked.
		third := h.process(true, func(c *followers.Config) { c.Look = time.Hour }) // it has not heard of it
		third.Watch(followers.Tasks).At(tenantA, 6, 9)
		h.eventually(func() bool { return h.get(second, tenantA, followers.Tasks).Cursor == 6 }, "the third process reports")
		require.Equal(h.t, "something failed that has no message of its own; the node's log says what", h.get(second, tenantA, followers.Tasks).Error)

		_, err := second.Requeue(h.t.Context(), tenantA, followers.Tasks, ana)
		require.NoError(h.t, err)
		require.True(h.t, later.May(tenantA, 9))
		h.eventually(func() bool { return w.May(tenantA, 9) }, "the first process hears of it")
		require.Equal(h.t, followers.Running, h.get(b, tenantA, followers.Tasks).State)
		h.eventually(func() bool { return len(told.whats()) == 2 }, "both changes are told")
		require.Equal(h.t, []string{"tasks parked", "tasks requeued"}, told.whats())
		require.Equal(h.t, uint64(5), *told.told[0].Entry)
		require.Equal(h.t, "internal", told.told[0].Code)
		require.Empty(h.t, told.told[0].Error, "more people read the timeline than may see what a database says")
		require.Equal(h.t, ana, told.told[1].By)
		require.Nil(h.t, told.told[1].Entry)
		_, err = second.Requeue(h.t.Context(), tenantA, followers.Tasks, ana)
		require.ErrorIs(h.t, err, followers.ErrNotHeld)
	})
}

func measured(b *followers.Board, name string) followers.Measure {
	for _, m := range b.Measure() {
		if m.Name == name {
			return m
		}
	}
	return followers.Measure{}
}

// A database that is gone parks nothing, however long; what is counted is only
// what does not pass.
func TestUnavailableIsNotParked(t *testing.T) {
	each(t, func(h *house) {
		b := h.process(false)
		w := b.Watch(followers.Tasks)
		for range 100 {
			h.clock.ms.Add(time.Hour.Milliseconds())
			w.Failed(h.t.Context(), tenantA, 3, fault.New(fault.Unavailable, "database_unavailable", "it is gone"))
		}
		s := h.get(b, tenantA, followers.Tasks)
		require.Equal(h.t, followers.Failing, s.State)
		require.Zero(h.t, s.Tries)
		require.Equal(h.t, "database_unavailable", s.Code)
		require.False(h.t, w.May(tenantA, 5))
		h.clock.ms.Add(time.Minute.Milliseconds())
		require.True(h.t, w.May(tenantA, 5), "it waits no longer than a minute")
		w.At(tenantA, 5, 5)
		require.Equal(h.t, followers.Running, h.get(b, tenantA, followers.Tasks).State)
		require.Empty(h.t, h.get(b, tenantA, followers.Tasks).Error)
	})
}

// Who pauses a follower in one process holds it in all of them.
func TestPauseHoldsInAnotherProcess(t *testing.T) {
	each(t, func(h *house) {
		var woken sync.Map
		here, there := h.process(true), h.process(true, func(c *followers.Config) { c.Wake = func(tenant string) { woken.Store(tenant, true) } })
		w := there.Watch(followers.Tasks)
		w.At(tenantA, 2, 2)
		w.At(tenantB, 2, 2)
		h.eventually(func() bool {
			_, err := here.Get(h.t.Context(), tenantA, followers.Tasks)
			return err == nil
		}, "what one process reports, another sees")
		s, err := here.Pause(h.t.Context(), tenantA, followers.Tasks, ana)
		require.NoError(h.t, err)
		require.Equal(h.t, followers.Paused, s.State)
		require.Equal(h.t, ana, s.ChangedBy)
		h.eventually(func() bool { return !w.May(tenantA, 4) }, "the other process holds it")
		require.True(h.t, w.May(tenantB, 4))
		again, err := here.Pause(h.t.Context(), tenantA, followers.Tasks, "logline-id://other")
		require.NoError(h.t, err)
		require.Equal(h.t, s.Step, again.Step, "a repeat changes nothing")
		require.Equal(h.t, followers.Measure{Name: followers.Tasks, Entries: 4, Paused: 1}, measured(there, followers.Tasks), "what waits is counted")
		h.clock.ms.Add(1500)
		require.Equal(h.t, 1500*time.Millisecond, measured(there, followers.Tasks).Oldest)

		_, woke := woken.Load(tenantA)
		require.False(h.t, woke)
		_, err = here.Resume(h.t.Context(), tenantA, followers.Tasks, ana)
		require.NoError(h.t, err)
		h.eventually(func() bool { return w.May(tenantA, 4) }, "the other process lets it go")
		h.eventually(func() bool { _, woke := woken.Load(tenantA); return woke }, "it is woken")
		again, err = here.Resume(h.t.Context(), tenantA, followers.Tasks, ana)
		require.NoError(h.t, err)
		require.Equal(h.t, s.Step+1, again.Step)
	})
}

// However much there is to be told to a timeline that takes nothing now, others
// are told theirs.
func TestOthersAreTold(t *testing.T) {
	each(t, func(h *house) {
		a := &author{fail: errors.New("not now"), of: tenantA}
		b := h.process(false)
		for _, tenant := range []string{tenantA, tenantB} {
			b.Watch(followers.Tasks).At(tenant, 4, 9)
		}
		for range 70 {
			for _, change := range []func(context.Context, string, string, string) (followers.Status, error){b.Pause, b.Resume} {
				h.clock.ms.Add(1)
				_, err := change(h.t.Context(), tenantA, followers.Tasks, ana)
				require.NoError(h.t, err)
			}
		}
		_, err := b.Pause(h.t.Context(), tenantB, followers.Tasks, ana)
		require.NoError(h.t, err)
		h.process(true, func(c *followers.Config) { c.Author = a })
		h.eventually(func() bool { return len(a.whats()) == 1 }, "the other timeline is told")
		a.mu.Lock()
		a.of = tenantB
		a.mu.Unlock()
		h.eventually(func() bool { return len(a.whats()) == 141 }, "and this one, when it takes it")
	})
}

// Files are the operator's: a tenant does not pause them, but lets them go on.
func TestMirrorIsTheOperators(t *testing.T) {
	each(t, func(h *house) {
		b := h.process(false)
		w := b.Watch(followers.Mirror)
		w.At(tenantA, 4, 9)
		_, err := b.Pause(h.t.Context(), tenantA, followers.Mirror, ana)
		require.ErrorIs(h.t, err, followers.ErrOperators)
		require.True(h.t, w.May(tenantA, 9))
		w.Park(h.t.Context(), tenantA, followers.Nowhere, errPoison)
		s := h.get(b, tenantA, followers.Mirror)
		require.Equal(h.t, followers.Parked, s.State)
		require.NotContains(h.t, s.Error, errPoison.Error(), "what was said inside is for the log")
		require.Equal(h.t, "internal", s.Code)
		_, err = b.Requeue(h.t.Context(), tenantA, followers.Mirror, ana)
		require.NoError(h.t, err)
		require.True(h.t, w.May(tenantA, 9))
	})
}

// Of what is parked a tenant is alerted, as often as it takes until the alert is
// made, and once; of nothing else.
func TestParkingAlerts(t *testing.T) {
	each(t, func(h *house) {
		a := &author{}
		var mu sync.Mutex
		tries, made := 0, map[string]int{}
		alert := func(_ context.Context, tenant, typ string, payload []byte, _ time.Time, of ...string) error {
			mu.Lock()
			defer mu.Unlock()
			if tries++; tries < 3 {
				return fault.New(fault.Unavailable, "database_busy", "not now")
			}
			made[tenant+" "+typ+" "+strings.Join(of, " ")+" "+string(payload[:12])]++
			return nil
		}
		b := h.process(true, func(c *followers.Config) { c.Author, c.Alert = a, alert })
		w := b.Watch(followers.Tasks)
		w.At(tenantA, 4, 9)
		h.fail(w, tenantA, 4, 3)
		_, err := b.Requeue(h.t.Context(), tenantA, followers.Tasks, ana)
		require.NoError(h.t, err)
		h.eventually(func() bool { return slices.Contains(a.whats(), "tasks requeued") }, "all is told")
		mu.Lock()
		defer mu.Unlock()
		require.Equal(h.t, map[string]int{tenantA + " logline.task.follower follower tasks 1 " + `{"at":"2026-`: 1}, made)
	})
}

// An entry is passed over where the follower is parked, and nowhere else.
func TestSkip(t *testing.T) {
	each(t, func(h *house) {
		b, other := h.process(true), h.process(true)
		w := b.Watch(followers.Tasks)
		w.At(tenantA, 4, 9)
		_, err := b.Skip(h.t.Context(), tenantA, followers.Tasks, 4, ana)
		require.ErrorIs(h.t, err, followers.ErrEntry)
		h.fail(w, tenantA, 4, 3)
		_, err = b.Skip(h.t.Context(), tenantA, followers.Tasks, 5, ana)
		require.ErrorIs(h.t, err, followers.ErrEntry)
		require.False(h.t, w.Skips(tenantA, 4))
		_, err = b.Skip(h.t.Context(), tenantA, followers.Tasks, 4, ana)
		require.NoError(h.t, err)
		require.True(h.t, w.May(tenantA, 9))
		require.True(h.t, w.Skips(tenantA, 4))
		require.False(h.t, w.Skips(tenantA, 5))
		require.False(h.t, w.Skips(tenantB, 4))
		h.eventually(func() bool { return other.Watch(followers.Tasks).Skips(tenantA, 4) }, "other processes pass over it too")
		w.At(tenantA, 5, 9)
		h.eventually(func() bool { return !w.Skips(tenantA, 4) && !other.Watch(followers.Tasks).Skips(tenantA, 4) }, "what lies behind is forgotten")

		words := b.Watch(followers.Words)
		h.fail(words, tenantA, followers.Nowhere, 3)
		_, err = b.Skip(h.t.Context(), tenantA, followers.Words, 0, ana)
		require.ErrorIs(h.t, err, followers.ErrUnskipped)
		_, err = b.Pause(h.t.Context(), tenantA, followers.Mirror, ana)
		require.ErrorIs(h.t, err, followers.ErrUnknown)
		_, err = b.Pause(h.t.Context(), tenantB, followers.Tasks, ana)
		require.ErrorIs(h.t, err, followers.ErrUnknown)
	})
}

// Several processes that fail at the same entry park it once.
func TestParkedOnce(t *testing.T) {
	each(t, func(h *house) {
		told := &author{fail: fault.New(fault.Unavailable, "x", "not yet")}
		one, two := h.process(true, func(c *followers.Config) { c.Author = told }), h.process(false)
		h.fail(one.Watch(followers.Tasks), tenantA, 4, 3)
		h.fail(two.Watch(followers.Tasks), tenantA, 4, 3)
		two.Watch(followers.Mirror).Park(h.t.Context(), tenantB, followers.Nowhere, errPoison)
		require.Equal(h.t, followers.Parked, h.get(one, tenantB, followers.Mirror).State, "what cannot go on is parked at once")
		told.mu.Lock()
		told.fail = nil
		told.mu.Unlock()
		h.eventually(func() bool { return len(told.whats()) == 2 }, "what could not be told at first is told")
		require.ElementsMatch(h.t, []string{"tasks parked", "mirror parked"}, told.whats())
		require.Equal(h.t, 1, h.get(two, tenantA, followers.Tasks).Step)
	})
}

// On PostgreSQL the rows of one tenant are closed to whoever works for another.
func TestRowsAreKeptApart(t *testing.T) {
	each(t, func(h *house) {
		if h.db.Dialect != storage.Postgres {
			return // it has one user
		}
		b := h.process(false)
		h.fail(b.Watch(followers.Tasks), tenantA, 4, 3)
		for scope, want := range map[string]int{tenantA: 1, tenantB: 0, "": 0, "*": 1} {
			for _, table := range []string{"followers", "follower_events"} {
				require.NoError(h.t, h.db.InTx(h.t.Context(), func(tx *sql.Tx) error {
					_, err := tx.ExecContext(h.t.Context(), storage.SetTasks, scope)
					require.NoError(h.t, err)
					var n int
					require.NoError(h.t, tx.QueryRowContext(h.t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
					require.Equal(h.t, want, n, table+" as "+scope)
					return nil
				}))
			}
		}
	})
}

// Without a watch everything passes.
func TestNobodyWatches(t *testing.T) {
	t.Parallel()
	var w *followers.Watch
	w.At(tenantA, 1, 1)
	w.Failed(t.Context(), tenantA, 1, errPoison)
	w.Park(t.Context(), tenantA, 1, errPoison)
	require.True(t, w.May(tenantA, 1))
	require.False(t, w.Skips(tenantA, 1))
}
