package taskstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/storage"
)

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
