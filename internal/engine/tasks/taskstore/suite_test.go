package taskstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
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

func TestPriority(t *testing.T) {
	each(t, func(b *bench) {
		b.put(tenantA, 1, 2, func(d *tasks.Draft) { d.Priority, d.RunAt = tasks.Idle, t0.Add(-time.Hour) })
		b.put(tenantA, 3, 2)
		b.put(tenantA, 5, 1, func(d *tasks.Draft) { d.RunAt = t0.Add(-time.Minute) })
		b.put(tenantA, 6, 1, func(d *tasks.Draft) { d.Priority, d.RunAt = tasks.Urgent, t0.Add(time.Hour) })
		b.put(tenantA, 7, 1, func(d *tasks.Draft) { d.Priority, d.Queue = tasks.Low, "other" })
		var order []uint64
		for range 7 {
			for _, task := range b.claim(t0, 1, "", "emit", "other") {
				order = append(order, *task.Seq)
			}
		}
		require.Equal(b.t, []uint64{5, 3, 4, 7, 1, 2}, order)
	})
}

// A tenant with very many tasks keeps another waiting for one slot at most.
func TestTenantsTakeTurns(t *testing.T) {
	each(t, func(b *bench) {
		b.put(tenantB, 1, 100_000)
		after, served := "", func(list []tasks.Task) string { return list[len(list)-1].Tenant }
		for range 3 {
			list := b.claim(t0, 1, after)
			require.Equal(b.t, tenantB, list[0].Tenant)
			after = served(list)
		}
		b.put(tenantA, 1, 2)
		b.put(tenantC, 1, 2)
		var order []string
		for range 6 {
			list := b.claim(t0, 1, after)
			require.Len(b.t, list, 1)
			after = served(list)
			order = append(order, after)
		}
		require.Equal(b.t, []string{tenantC, tenantA, tenantB, tenantC, tenantA, tenantB}, order)

		// Claims of several slots are shared, and what one leaves the others get.
		b.put(tenantA, 10, 50)
		b.put(tenantC, 10, 2)
		require.Equal(b.t, map[string]int{tenantA: 4, tenantB: 4, tenantC: 2}, tenantsOf(b.claim(t0, 10, "")))
		require.Equal(b.t, map[string]int{tenantA: 15, tenantB: 15}, tenantsOf(b.claim(t0, 30, tenantA)))
	})
}

// What is to run later, or has reached its limit, stands in nobody's way.
func TestWhatCannotRunStandsInNobodysWay(t *testing.T) {
	each(t, func(b *bench) {
		for n := range 20 {
			tenant := fmt.Sprintf("0d000000-0000-8000-8000-%012d", n)
			b.put(tenant, 1, 2, func(d *tasks.Draft) { d.RunAt = t0.Add(time.Hour) })
			full := fmt.Sprintf("0e000000-0000-8000-8000-%012d", n)
			b.put(full, 1, 2, func(d *tasks.Draft) { d.Most = 1 })
		}
		require.Len(b.t, b.claim(t0, 100, ""), 20)
		b.put("0f000000-0000-8000-8000-000000000000", 1, 1)
		require.Len(b.t, b.claim(t0, 1, ""), 1)
		require.Empty(b.t, b.claim(t0, 100, ""))
		require.Len(b.t, b.claim(t0.Add(time.Hour), 100, ""), 40)
	})
}

// However many claim at once: nothing is given out twice, and no queue gets
// beyond its limit.
func TestManyClaim(t *testing.T) {
	each(t, func(b *bench) {
		const count, most, workers = 400, 7, 8
		for _, tenant := range []string{tenantA, tenantB, tenantC} {
			b.put(tenant, 1, count, func(d *tasks.Draft) { d.Most = most })
		}
		// Another process.
		other, err := storage.Open(b.t.Context(), b.url)
		require.NoError(b.t, err)
		b.t.Cleanup(func() { require.NoError(b.t, other.Close()) })
		stores := []tasks.Store{b.Store, taskstore.New(other)}
		var mu sync.Mutex
		seen, at, greatest := map[tasks.Key]int{}, map[string]int{}, 0
		var group sync.WaitGroup
		failed, settled := make(chan error, workers), make(chan struct{}, 1)
		for n := range workers {
			group.Go(func() {
				failed <- drain(b.t.Context(), stores[n%2], settled, func(list []tasks.Task, by int) {
					mu.Lock()
					defer mu.Unlock()
					for i := range list {
						if by > 0 {
							seen[list[i].Key]++
						}
						at[list[i].Tenant] += by
						greatest = max(greatest, at[list[i].Tenant])
					}
				})
			})
		}
		group.Wait()
		for range workers {
			require.NoError(b.t, <-failed)
		}
		require.Len(b.t, seen, 3*count)
		for k, times := range seen {
			require.Equal(b.t, 1, times, k)
		}
		require.LessOrEqual(b.t, greatest, most)
		require.Equal(b.t, []int64{0, 0, count, 0, 0}, b.counts(tenantB, "emit"))
	})
}

// drain claims and completes until nothing is queued. Who finds nothing to claim
// waits until another has settled something.
func drain(ctx context.Context, s tasks.Store, settled chan struct{}, count func(list []tasks.Task, by int)) error {
	tell := func() {
		select {
		case settled <- struct{}{}:
		default:
		}
	}
	defer tell() // the next one looks, and ends too
	after := ""
	for {
		list, err := s.Claim(ctx, tasks.Claim{Now: t0, Until: t0.Add(time.Minute), Most: 5, After: after, Queues: []string{"emit"}, Worker: "w"})
		if err != nil {
			return err
		}
		count(list, 1)
		var ends []tasks.Settlement
		for i := range list {
			ends = append(ends, tasks.Settlement{Lease: list[i].Lease(), State: tasks.Completed})
			after = list[i].Tenant
		}
		count(list, -1) // before others may know
		if len(list) > 0 {
			done, err := s.Settle(ctx, t0, false, ends)
			if err != nil || len(done) != len(list) {
				return fmt.Errorf("settled %d of %d: %w", len(done), len(list), err)
			}
			tell()
			continue
		}
		left := int64(0)
		for _, tenant := range []string{tenantA, tenantB, tenantC} {
			counts, err := s.Counts(ctx, tenant)
			if err != nil {
				return err
			}
			left += counts[0].Queued
		}
		if left == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestLimit(t *testing.T) {
	each(t, func(b *bench) {
		b.put(tenantA, 1, 10, func(d *tasks.Draft) { d.Most = 2 })
		got := b.claim(t0, 10, "")
		require.Len(b.t, got, 2)
		require.Empty(b.t, b.claim(t0, 10, ""))
		require.NoError(b.t, b.Limit(b.t.Context(), "emit", 3))
		require.Len(b.t, b.claim(t0, 10, ""), 1)
		b.settle(t0, tasks.Completed, got...)
		require.Len(b.t, b.claim(t0, 10, ""), 2)
	})
}

func TestCancel(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 2)
		running := b.claim(t0, 1, "")[0]
		key := func(n int) tasks.Key { return tasks.Key{Tenant: tenantA, Origin: origin(n)} }
		later := t0.Add(time.Second)

		for range 2 { // a repeat changes nothing
			got, err := b.Cancel(ctx, later, key(2))
			require.NoError(b.t, err)
			require.Equal(b.t, tasks.Cancelled, got.State)
			require.Equal(b.t, 1, got.Step)
		}
		got, err := b.Cancel(ctx, later, running.Key)
		require.NoError(b.t, err)
		require.Equal(b.t, tasks.Running, got.State)
		require.True(b.t, got.Cancelling)
		beats, err := b.Heartbeat(ctx, later.Add(time.Minute), []tasks.Lease{running.Lease()})
		require.NoError(b.t, err)
		require.Equal(b.t, []tasks.Beat{{Lease: running.Lease(), Cancelling: true}}, beats)
		require.Equal(b.t, []int64{0, 1, 0, 0, 1}, b.counts(tenantA, "emit"))
		require.Len(b.t, b.settle(later, tasks.Cancelled, running), 1)
		require.Equal(b.t, []int64{0, 0, 0, 0, 2}, b.counts(tenantA, "emit"))
		require.Empty(b.t, b.claim(later, 10, ""))

		b.put(tenantA, 3, 1)
		b.settle(later, tasks.Completed, b.claim(later, 1, "")...)
		_, err = b.Cancel(ctx, later, key(3))
		require.ErrorIs(b.t, err, tasks.ErrEnded)
		_, err = b.Cancel(ctx, later, key(9))
		require.ErrorIs(b.t, err, tasks.ErrUnknown)
		_, err = b.Cancel(ctx, later, tasks.Key{Tenant: tenantB, Origin: origin(3)})
		require.ErrorIs(b.t, err, tasks.ErrUnknown)
	})
}

func TestRequeue(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 3)
		got := b.claim(t0, 3, "")
		b.settle(t0, tasks.Failed, got[0])
		b.settle(t0, tasks.Cancelled, got[1])
		require.Equal(b.t, []int64{0, 1, 0, 1, 1}, b.counts(tenantA, "emit"))
		_, err := b.Requeue(ctx, t0, got[2].Key, 5)
		require.ErrorIs(b.t, err, tasks.ErrNotEnded)
		later := t0.Add(time.Hour)
		for i := range 2 {
			again, err := b.Requeue(ctx, later, got[i].Key, 5)
			require.NoError(b.t, err)
			require.Equal(b.t, tasks.Queued, again.State)
			require.Equal(b.t, 6, again.Attempts, "five more")
			_, err = b.Requeue(ctx, later, got[i].Key, 5)
			require.ErrorIs(b.t, err, tasks.ErrNotEnded)
		}
		require.Equal(b.t, []int64{2, 1, 0, 0, 0}, b.counts(tenantA, "emit"))
		require.Len(b.t, b.claim(later, 10, ""), 2)
		require.Empty(b.t, b.settle(later, tasks.Completed, got[0]), "the run before")
		_, err = b.Requeue(ctx, t0, tasks.Key{Tenant: tenantA, Origin: origin(9)}, 1)
		require.ErrorIs(b.t, err, tasks.ErrUnknown)
	})
}

func TestAdd(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		d := draft(1, func(d *tasks.Draft) { d.Seq, d.AskedBy, d.Input = nil, "logline-id://x", []byte(`{"a":1}`) })
		require.NoError(b.t, b.Add(ctx, t0, tenantA, d))
		require.NoError(b.t, b.Add(ctx, t0, tenantA, d))
		got := b.claim(t0, 10, "")
		require.Len(b.t, got, 1)
		require.JSONEq(b.t, `{"a":1}`, string(got[0].Input))
		require.Equal(b.t, "logline-id://x", got[0].AskedBy)
		require.Nil(b.t, got[0].Seq)
	})
}

func TestList(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 5)
		b.put(tenantA, 10, 1, func(d *tasks.Draft) { d.Queue = "other" })
		b.settle(t0, tasks.Completed, b.claim(t0, 2, "")...)
		b.put(tenantB, 20, 1)
		seqs := func(l tasks.List) (out []uint64) {
			l.Tenant, l.Limit = tenantA, 2
			for {
				page, err := b.List(ctx, l)
				require.NoError(b.t, err)
				for i := range page {
					out = append(out, *page[i].Seq)
				}
				if len(page) < l.Limit {
					return out
				}
				l.Before = &page[len(page)-1].Key
			}
		}
		require.Equal(b.t, []uint64{10, 5, 4, 3, 2, 1}, seqs(tasks.List{}))
		state := tasks.Completed
		require.Equal(b.t, []uint64{2, 1}, seqs(tasks.List{State: &state}))
		state = tasks.Queued
		require.Equal(b.t, []uint64{10, 5, 4, 3}, seqs(tasks.List{State: &state}))
		require.Equal(b.t, []uint64{5, 4, 3}, seqs(tasks.List{State: &state, Queue: "emit"}))
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

func TestForget(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		b.put(tenantA, 1, 3)
		b.put(tenantB, 1, 1)
		got := b.claim(t0, 3, "")
		b.settle(t0, tasks.Completed, got...)
		b.put(tenantA, 5, 1)
		made := time.UnixMilli(0x019c00000000)
		n, err := b.Forget(ctx, tenantA, made.Add(-time.Millisecond), 100)
		require.NoError(b.t, err)
		require.Zero(b.t, n, "not that old")
		n, err = b.Forget(ctx, tenantA, made.Add(time.Millisecond), 1)
		require.NoError(b.t, err)
		require.Equal(b.t, 1, n)
		n, err = b.Forget(ctx, tenantA, made.Add(time.Millisecond), 100)
		require.NoError(b.t, err)
		require.Positive(b.t, n)
		left, err := b.List(ctx, tasks.List{Tenant: tenantA, Limit: 10})
		require.NoError(b.t, err)
		for i := range left {
			require.NotEqual(b.t, tasks.Completed, left[i].State)
		}
		require.Positive(b.t, len(left))
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
