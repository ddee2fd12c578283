package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// poisoned is an inbox that cannot take what one span asks for, or nothing while
// it is gone.
type poisoned struct {
	tasks.Inbox
	poison atomic.Pointer[string]
	panics atomic.Bool
	gone   atomic.Bool
	asked  atomic.Int64 // while it is gone
}

func (p *poisoned) Advance(ctx context.Context, now time.Time, tenant string, from, to uint64, drafts []tasks.Draft) (int, error) {
	if p.gone.Load() {
		p.asked.Add(1)
		return 0, fault.New(fault.Unavailable, "database_unavailable", "the database is gone")
	}
	if id := p.poison.Load(); id != nil && slices.ContainsFunc(drafts, func(d tasks.Draft) bool { return d.Origin == *id }) {
		if p.panics.Load() {
			panic("it makes no sense at all")
		}
		return 0, errors.New("it makes no sense")
	}
	return p.Inbox.Advance(ctx, now, tenant, from, to, drafts)
}

// watched is a follower in a process, and the board it is seen on.
func (w *world) watched(inbox tasks.Inbox) *followers.Board {
	w.t.Helper()
	scribe := tasks.NewScribe(w.eng, w.log, w.node.ID(), []byte(nodeSecret))
	b := followers.New(w.db, followers.Config{
		Look: 5 * time.Millisecond, Report: 20 * time.Millisecond, Tries: 3, First: time.Millisecond, Longest: 10 * time.Millisecond,
		Log: silent, Author: scribe, Wake: func(tenant string) { w.bus.Publish(bus.Appended{Tenant: tenant}) },
	})
	f := tasks.NewFollower(w.log, inbox, tasks.NewKinds(tasks.Kind{Name: rules.ActionEmit}), w.bus,
		tasks.FollowerConfig{Log: silent, Poll: 10 * time.Millisecond, Watch: b.Watch(followers.Tasks)})
	require.NoError(w.t, b.Begin(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	running.Go(func() { f.Run(ctx) })
	w.t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

// stands waits until a follower is in a state.
func (w *world) stands(b *followers.Board, tenant string, want followers.State) (s followers.Status) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		var err error
		s, err = b.Get(context.Background(), tenant, followers.Tasks)
		return err == nil && s.State == want
	}, patience, 5*time.Millisecond, "the follower is not %s", want)
	return s
}

func (w *world) has(tenant, origin string) bool {
	_, err := w.store.Get(context.Background(), tasks.Key{Tenant: tenant, Origin: origin})
	return err == nil
}

// An entry that cannot be followed parks the follower of that timeline, behind
// all that came before it. Other timelines go on; and so does this one, once
// somebody says how: by trying again, or by passing over the entry, knowingly.
func TestAPoisonedEntryStopsNobodyElse(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		other, err := w.eng.CreateTenant(w.t.Context(), "other", "Other", w.owner.ID(), false)
		require.NoError(w.t, err)
		mine := w.tenant
		w.tenant = other
		w.activate(echo)
		w.tenant = mine

		inbox := &poisoned{Inbox: w.store}
		before := w.submit("test.ping", ping(1))
		poison := w.submit("test.ping", ping(2))
		inbox.poison.Store(&poison)
		after := w.submit("test.ping", ping(3)) // all in one page
		b := w.watched(inbox)
		s := w.stands(b, mine.ID, followers.Parked)
		rec, err := w.log.Get(w.t.Context(), mine.ID, poison)
		require.NoError(w.t, err)
		require.Equal(w.t, rec.Seq, s.Entry)
		require.Equal(w.t, rec.Seq, s.Cursor)
		require.Equal(w.t, []any{3, "internal"}, []any{s.Tries, s.Code})
		require.True(w.t, w.has(mine.ID, before), "what came before it is a task")
		require.False(w.t, w.has(mine.ID, after), "nothing is passed over")

		w.tenant = other
		elsewhere := w.submit("test.ping", ping(4))
		w.tenant = mine
		w.state(tasks.Key{Tenant: other.ID, Origin: elsewhere}, tasks.Queued)

		_, err = b.Requeue(w.t.Context(), mine.ID, followers.Tasks, w.owner.ID())
		require.NoError(w.t, err)
		require.Eventually(w.t, func() bool {
			s, err = b.Get(w.t.Context(), mine.ID, followers.Tasks)
			return err == nil && s.State == followers.Parked && s.Step == 3
		}, patience, 5*time.Millisecond, "it fails again, and is parked again")
		inbox.panics.Store(true)
		_, err = b.Resume(w.t.Context(), mine.ID, followers.Tasks, w.owner.ID())
		require.NoError(w.t, err)
		require.Eventually(w.t, func() bool {
			s, err = b.Get(w.t.Context(), mine.ID, followers.Tasks)
			return err == nil && s.State == followers.Parked && s.Step == 5
		}, patience, 5*time.Millisecond, "a panic is an error of that timeline")
		require.Equal(w.t, "follower_panicked", s.Code)
		inbox.panics.Store(false)
		_, err = b.Resume(w.t.Context(), mine.ID, followers.Tasks, w.owner.ID())
		require.NoError(w.t, err)
		w.stands(b, mine.ID, followers.Parked)
		s, err = b.Skip(w.t.Context(), mine.ID, followers.Tasks, rec.Seq, w.owner.ID())
		require.NoError(w.t, err)
		require.Equal(w.t, followers.Running, s.State)
		w.state(tasks.Key{Tenant: mine.ID, Origin: after}, tasks.Queued)
		require.False(w.t, w.has(mine.ID, poison))
		cursor, err := w.store.Cursor(w.t.Context(), mine.ID)
		require.NoError(w.t, err)
		require.Greater(w.t, cursor, rec.Seq, "the cursor is behind it for good")

		// All of it is on the record.
		var whats []string
		require.Eventually(w.t, func() bool {
			whats = nil
			for _, r := range w.typed(followers.TypeFollower) {
				var told followers.Told
				require.NoError(w.t, json.Unmarshal(r.Payload, &told))
				require.Equal(w.t, w.node.ID(), r.Entry.Span.Author)
				whats = append(whats, told.What)
			}
			return len(whats) == 8
		}, patience, 10*time.Millisecond)
		require.Equal(w.t, []string{"parked", "requeued", "parked", "resumed", "parked", "resumed", "parked", "skipped"}, whats)
	})
}

// While the database is gone nothing is parked, and all goes on when it is back.
func TestFollowersOutlastTheDatabase(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		inbox := &poisoned{Inbox: w.store}
		inbox.gone.Store(true)
		b := w.watched(inbox)
		cause := w.submit("test.ping", ping(1))
		require.Eventually(w.t, func() bool { return inbox.asked.Load() > 10 }, patience, time.Millisecond, "it goes on trying")
		s := w.stands(b, w.tenant.ID, followers.Failing)
		require.Equal(w.t, []any{0, "database_unavailable"}, []any{s.Tries, s.Code})
		inbox.gone.Store(false)
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Queued)
		w.stands(b, w.tenant.ID, followers.Running)
	})
}

// Whoever pauses the follower in one process stops it in another; it goes on from
// its cursor.
func TestPausedFollowers(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		b := w.watched(w.store)
		first := w.submit("test.ping", ping(1))
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: first}, tasks.Queued)
		elsewhere := followers.New(w.db, followers.Config{Log: silent}) // a process that only serves requests
		require.Eventually(w.t, func() bool {
			_, err := elsewhere.Pause(w.t.Context(), w.tenant.ID, followers.Tasks, w.owner.ID())
			return err == nil
		}, patience, 5*time.Millisecond)
		w.stands(b, w.tenant.ID, followers.Paused)
		require.Eventually(w.t, func() bool { return len(b.Measure()) == 1 && b.Measure()[0].Paused == 1 }, patience, time.Millisecond)
		second := w.submit("test.ping", ping(2))
		require.Eventually(w.t, func() bool { return b.Measure()[0].Entries > 0 }, patience, time.Millisecond, "what waits is counted")
		require.False(w.t, w.has(w.tenant.ID, second))
		_, err := elsewhere.Resume(w.t.Context(), w.tenant.ID, followers.Tasks, w.owner.ID())
		require.NoError(w.t, err)
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: second}, tasks.Queued)
		require.Eventually(w.t, func() bool { return b.Measure()[0].Entries == 0 }, patience, time.Millisecond)
	})
}

// Where the teller is held, a tenant's events wait, and those of others do not.
func TestPausedTeller(t *testing.T) {
	databases(t, func(w *world) {
		b := followers.New(w.db, followers.Config{Log: silent})
		b.Watch(followers.Teller).At(w.tenant.ID, 0, 0)
		_, err := b.Pause(w.t.Context(), w.tenant.ID, followers.Teller, w.owner.ID())
		require.NoError(w.t, err)
		mine := w.add("nothing")
		other := "0b000000-0000-8000-8000-000000000000"
		originID := span.NewID(time.Now(), [10]byte{1})
		k := tasks.NewKinds(tasks.Kind{Name: "nothing"})["nothing"]
		require.NoError(w.t, w.store.Add(w.t.Context(), time.Now(), other, k.Draft(originID, 0, "nothing", time.Now())))
		events, err := w.store.Untold(w.t.Context(), time.Now(), time.Now(), 10)
		require.NoError(w.t, err)
		require.Len(w.t, events, 1)
		require.Equal(w.t, other, events[0].Tenant)
		changes, oldest, err := w.store.Backlog(w.t.Context(), w.tenant.ID)
		require.NoError(w.t, err)
		require.EqualValues(w.t, 1, changes)
		require.WithinDuration(w.t, time.Now(), oldest, patience)
		_, err = b.Resume(w.t.Context(), w.tenant.ID, followers.Teller, w.owner.ID())
		require.NoError(w.t, err)
		events, err = w.store.Untold(w.t.Context(), time.Now(), time.Now(), 10)
		require.NoError(w.t, err)
		require.Len(w.t, events, 2)
		require.ElementsMatch(w.t, []string{mine.Origin, originID}, []string{events[0].Origin, events[1].Origin}, "in the order of their milliseconds")
	})
}
