package taskstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	tenantA = "0a000000-0000-8000-8000-000000000000"
	tenantB = "0b000000-0000-8000-8000-000000000000"
	tenantC = "0c000000-0000-8000-8000-000000000000"
)

// bench is a store and the database it is in.
type bench struct {
	tasks.Store
	t   *testing.T
	db  *storage.DB
	url string
}

// each runs a test on both databases: the conformance suite of tasks.Store.
func each(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		db, err := storage.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		test(&bench{taskstore.New(db), t, db, url})
	}, backend.SQLite, backend.Postgres)
}

func origin(n int) string { return fmt.Sprintf("019c0000-0000-7000-8000-%012d", n) }

func draft(n int, change ...func(*tasks.Draft)) tasks.Draft {
	seq := uint64(n)
	d := tasks.Draft{Origin: origin(n), Queue: "emit", Kind: "emit", Name: "a.b", Priority: tasks.Normal, Attempts: 3, Most: 1000, RunAt: t0, Seq: &seq}
	for _, c := range change {
		c(&d)
	}
	return d
}

// put makes tasks from n on.
func (b *bench) put(tenant string, from, count int, change ...func(*tasks.Draft)) {
	b.t.Helper()
	cursor, err := b.Cursor(b.t.Context(), tenant)
	require.NoError(b.t, err)
	var list []tasks.Draft
	for n := range count {
		list = append(list, draft(from+n, change...))
	}
	made, err := b.Advance(b.t.Context(), t0, tenant, cursor, cursor+uint64(count), list)
	require.NoError(b.t, err)
	require.Equal(b.t, count, made)
}

func (b *bench) claim(now time.Time, most int, after string, queues ...string) []tasks.Task {
	b.t.Helper()
	if queues == nil {
		queues = []string{"emit"}
	}
	list, err := b.Claim(b.t.Context(), tasks.Claim{Now: now, Until: now.Add(time.Minute), Most: most, After: after, Queues: queues, Worker: "w"})
	require.NoError(b.t, err)
	return list
}

func (b *bench) settle(now time.Time, state tasks.State, list ...tasks.Task) []tasks.Key {
	b.t.Helper()
	var ends []tasks.Settlement
	for i := range list {
		ends = append(ends, tasks.Settlement{Lease: list[i].Lease(), State: state, RunAt: now})
	}
	done, err := b.Settle(b.t.Context(), now, false, ends)
	require.NoError(b.t, err)
	return done
}

func (b *bench) get(tenant string, n int) tasks.Task {
	b.t.Helper()
	t, err := b.Get(b.t.Context(), tasks.Key{Tenant: tenant, Origin: origin(n)})
	require.NoError(b.t, err)
	return t
}

// counts are those of one queue: queued, running, completed, failed, cancelled.
func (b *bench) counts(tenant, queue string) []int64 {
	b.t.Helper()
	list, err := b.Counts(b.t.Context(), tenant)
	require.NoError(b.t, err)
	for _, c := range list {
		if c.Queue == queue {
			return []int64{c.Queued, c.Running, c.Completed, c.Failed, c.Cancelled}
		}
	}
	return nil
}

func tenantsOf(list []tasks.Task) map[string]int {
	out := map[string]int{}
	for i := range list {
		out[list[i].Tenant]++
	}
	return out
}

func TestAdvance(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		list := []tasks.Draft{draft(1), draft(2), draft(2, func(d *tasks.Draft) { d.Action = 1 })}
		made, err := b.Advance(ctx, t0, tenantA, 0, 7, list)
		require.NoError(b.t, err)
		require.Equal(b.t, 3, made)

		_, err = b.Advance(ctx, t0, tenantA, 0, 9, []tasks.Draft{draft(3)})
		require.ErrorIs(b.t, err, tasks.ErrMoved)
		_, err = b.Advance(ctx, t0, tenantB, 5, 9, []tasks.Draft{draft(3)})
		require.ErrorIs(b.t, err, tasks.ErrMoved)
		cursor, err := b.Cursor(ctx, tenantA)
		require.NoError(b.t, err)
		require.EqualValues(b.t, 7, cursor)
		_, err = b.Get(ctx, tasks.Key{Tenant: tenantA, Origin: origin(3)})
		require.ErrorIs(b.t, err, tasks.ErrUnknown, "a cursor that did not move made nothing")

		made, err = b.Advance(ctx, t0, tenantA, 7, 8, append(list, draft(3)))
		require.NoError(b.t, err)
		require.Equal(b.t, 1, made, "what is there stays as it is")
		require.Equal(b.t, []int64{4, 0, 0, 0, 0}, b.counts(tenantA, "emit"))

		got := b.get(tenantA, 3)
		seq := uint64(3)
		require.Equal(b.t, tasks.Task{
			Key: tasks.Key{Tenant: tenantA, Origin: origin(3)}, Queue: "emit", Kind: "emit", Name: "a.b", Priority: tasks.Normal,
			State: tasks.Queued, Attempts: 3, RunAt: t0, Seq: &seq, MadeAt: t0, ChangedAt: t0,
		}, got)
		_, err = b.Get(ctx, tasks.Key{Tenant: tenantB, Origin: origin(3)})
		require.ErrorIs(b.t, err, tasks.ErrUnknown, "another tenant's")
	})
}

func TestRun(t *testing.T) {
	each(t, func(b *bench) {
		b.put(tenantA, 1, 3)
		require.Empty(b.t, b.claim(t0.Add(-time.Millisecond), 10, ""), "not before its time")
		require.Empty(b.t, b.claim(t0, 10, "", "other"))
		got := b.claim(t0, 2, "")
		require.Len(b.t, got, 2)
		first := got[0]
		require.Equal(b.t, tasks.Running, first.State)
		require.Equal(b.t, 1, first.Attempt)
		require.Equal(b.t, t0.Add(time.Minute), first.LeaseUntil)
		require.Equal(b.t, "w", first.Worker)
		require.Equal(b.t, first, b.get(tenantA, int(*first.Seq)))
		require.Equal(b.t, []int64{1, 2, 0, 0, 0}, b.counts(tenantA, "emit"))

		later := t0.Add(time.Second)
		done, err := b.Settle(b.t.Context(), later, false, []tasks.Settlement{
			{Lease: got[0].Lease(), State: tasks.Completed, Output: []byte(`{"x":1}`)},
			{Lease: got[1].Lease(), State: tasks.Queued, RunAt: later.Add(time.Hour), Code: "c", Error: "e"},
		})
		require.NoError(b.t, err)
		require.ElementsMatch(b.t, []tasks.Key{got[0].Key, got[1].Key}, done)
		require.Equal(b.t, []int64{2, 0, 1, 0, 0}, b.counts(tenantA, "emit"))
		ended := b.get(tenantA, int(*got[0].Seq))
		require.Equal(b.t, tasks.Completed, ended.State)
		require.JSONEq(b.t, `{"x":1}`, string(ended.Output))
		require.True(b.t, ended.LeaseUntil.IsZero())
		waits := b.get(tenantA, int(*got[1].Seq))
		require.Equal(b.t, tasks.Queued, waits.State)
		require.Equal(b.t, later.Add(time.Hour), waits.RunAt)
		require.Equal(b.t, "c e", waits.Code+" "+waits.Error)

		require.Len(b.t, b.claim(later, 10, ""), 1, "the third")
		require.Empty(b.t, b.claim(later, 10, ""))
		again := b.claim(later.Add(time.Hour), 10, "")
		require.Len(b.t, again, 1)
		require.Equal(b.t, 2, again[0].Attempt)
	})
}

// Only the last run may end a task, whoever else believes to have it.
func TestFencing(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 1)
		old := b.claim(t0, 1, "")[0]
		lapsed, err := b.Lapsed(ctx, t0.Add(time.Minute), 10)
		require.NoError(b.t, err)
		require.Empty(b.t, lapsed, "a lease holds to its end")
		after := t0.Add(time.Minute + time.Millisecond)
		lapsed, err = b.Lapsed(ctx, after, 10)
		require.NoError(b.t, err)
		require.Len(b.t, lapsed, 1)
		end := []tasks.Settlement{{Lease: old.Lease(), State: tasks.Queued, RunAt: after, Code: "lease_lapsed"}}

		// A heartbeat that comes in between saves the run.
		beats, err := b.Heartbeat(ctx, after.Add(time.Minute), []tasks.Lease{old.Lease()})
		require.NoError(b.t, err)
		require.Equal(b.t, []tasks.Beat{{Lease: old.Lease()}}, beats)
		done, err := b.Settle(ctx, after, true, end)
		require.NoError(b.t, err)
		require.Empty(b.t, done)

		after = after.Add(2 * time.Minute)
		done, err = b.Settle(ctx, after, true, end)
		require.NoError(b.t, err)
		require.Len(b.t, done, 1)
		current := b.claim(after, 1, "")[0]
		require.Equal(b.t, 2, current.Attempt)

		require.NoError(b.t, b.Note(ctx, old.Lease(), []byte(`{"old":1}`)))
		require.Nil(b.t, b.get(tenantA, 1).Output, "the run that lost its lease")
		require.NoError(b.t, b.Note(ctx, current.Lease(), []byte(`{"done":1}`)))
		require.JSONEq(b.t, `{"done":1}`, string(b.get(tenantA, 1).Output))
		require.Empty(b.t, b.settle(after, tasks.Completed, old), "the run that lost its lease")
		beats, err = b.Heartbeat(ctx, after.Add(time.Hour), []tasks.Lease{old.Lease(), current.Lease()})
		require.NoError(b.t, err)
		require.ElementsMatch(b.t, []tasks.Beat{{Lease: old.Lease(), Lost: true}, {Lease: current.Lease()}}, beats)
		require.Equal(b.t, after.Add(time.Hour), b.get(tenantA, 1).LeaseUntil)
		require.Equal(b.t, []int64{0, 1, 0, 0, 0}, b.counts(tenantA, "emit"))
		require.Len(b.t, b.settle(after, tasks.Completed, current), 1)
		require.Empty(b.t, b.settle(after, tasks.Failed, current), "once")
		require.Equal(b.t, []int64{0, 0, 1, 0, 0}, b.counts(tenantA, "emit"))
	})
}

// Every change of state is an event, given out to one at a time.
func TestJournal(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 1)
		require.NoError(b.t, b.Add(ctx, t0, tenantA, draft(2, func(d *tasks.Draft) { d.Seq, d.RunAt = nil, t0.Add(time.Hour) })))
		first := b.claim(t0, 1, "")[0]
		done, err := b.Settle(ctx, t0.Add(1*time.Second), false, []tasks.Settlement{{Lease: first.Lease(), State: tasks.Queued, RunAt: t0.Add(2 * time.Second), Code: "c", Error: "e"}})
		require.NoError(b.t, err)
		require.Len(b.t, done, 1)
		second := b.claim(t0.Add(2*time.Second), 1, "")[0]
		done, err = b.Settle(ctx, t0.Add(3*time.Second), false, []tasks.Settlement{{Lease: second.Lease(), State: tasks.Failed, Output: []byte(`{}`)}})
		require.NoError(b.t, err)
		require.Len(b.t, done, 1)
		_, err = b.Requeue(ctx, t0.Add(4*time.Second), first.Key, 1)
		require.NoError(b.t, err)
		_, err = b.Cancel(ctx, t0.Add(5*time.Second), first.Key)
		require.NoError(b.t, err)

		events, err := b.Untold(ctx, t0, t0.Add(time.Minute), 100)
		require.NoError(b.t, err)
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprintf("%s %d %s %d %v %s %v", e.Origin[35:], e.Step, e.What, e.Attempt, e.Caused, e.At.Sub(t0), !e.RunAt.IsZero()))
		}
		require.Equal(b.t, []string{
			"1 1 started 1 true 0s false", "2 0 queued 0 false 0s true", "1 2 retrying 1 true 1s true", "1 3 started 2 true 2s false",
			"1 4 failed 2 true 3s false", "1 5 queued 2 true 4s true", "1 6 cancelled 2 true 5s false",
		}, got)
		require.Equal(b.t, "c e", events[2].Code+" "+events[2].Error)
		require.JSONEq(b.t, `{}`, string(events[4].Result))

		again, err := b.Untold(ctx, t0.Add(time.Minute-1), t0.Add(2*time.Minute), 100)
		require.NoError(b.t, err)
		require.Empty(b.t, again, "somebody is telling them")
		require.NoError(b.t, b.Told(ctx, events[:3]))
		again, err = b.Untold(ctx, t0.Add(time.Minute), t0.Add(2*time.Minute), 2)
		require.NoError(b.t, err)
		require.Equal(b.t, events[3:5], again)
	})
}

// Who tells gets something of every tenant, whatever waits at one; and nothing of
// those where the teller is held.
func TestEveryTenantIsToldOf(t *testing.T) {
	each(t, func(b *bench) {
		for n, tenant := range []string{tenantA, tenantB, tenantC} {
			b.put(tenant, 1, []int{300, 3, 1}[n], func(d *tasks.Draft) { d.Most = 1000 })
		}
		require.Len(b.t, b.claim(t0, 304, ""), 304) // an event each
		taken := func(limit int) map[string]int {
			events, err := b.Untold(b.t.Context(), t0, t0.Add(time.Minute), limit)
			require.NoError(b.t, err)
			out := map[string]int{}
			for i := range events {
				out[events[i].Tenant]++
			}
			return out
		}
		require.Equal(b.t, map[string]int{tenantA: 8, tenantB: 3, tenantC: 1}, taken(12), "what others leave of their share goes round")
		require.Equal(b.t, map[string]int{tenantA: 100}, taken(100))
		require.NoError(b.t, b.db.InTx(b.t.Context(), func(tx *sql.Tx) error {
			if b.db.Dialect == storage.Postgres {
				if _, err := tx.Exec(storage.SetTasks, tenantA); err != nil {
					return err
				}
			}
			_, err := tx.Exec(`INSERT INTO followers (tenant, name, state, step, cursor, tries, code, error, changed_by, seen_at) VALUES ('` + tenantA + `', 'teller', 1, 1, 0, 0, '', '', '', 0)`)
			return err
		}))
		require.Empty(b.t, taken(100), "it is held")
	})
}

func TestErrorsAreClassified(t *testing.T) {
	each(t, func(b *bench) {
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		_, err := b.Claim(ctx, tasks.Claim{Now: t0, Until: t0, Most: 1, Queues: []string{"emit"}})
		require.Equal(b.t, fault.Unavailable, fault.KindOf(err))
	})
}
