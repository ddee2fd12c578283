package taskstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
)

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
