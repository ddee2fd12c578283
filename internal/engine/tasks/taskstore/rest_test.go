package taskstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
)

// TestRest: of a tenant that rests nothing is given out and nothing told, also of
// what it gets meanwhile and whatever limits are set; others go on.
func TestRest(t *testing.T) {
	each(t, func(b *bench) {
		ctx := b.t.Context()
		byRequest := func(d *tasks.Draft) { d.Seq = nil }
		b.put(tenantA, 1, 2)
		b.put(tenantB, 10, 1)
		running := b.claim(t0, 1, tenantC)
		require.Equal(b.t, tenantA, running[0].Tenant)
		for range 2 { // a repeat changes nothing
			require.NoError(b.t, b.Rest(ctx, tenantA, true))
		}
		require.NoError(b.t, b.Add(ctx, t0, tenantA, draft(3, byRequest)))
		require.NoError(b.t, b.Add(ctx, t0, tenantA, draft(4, byRequest, func(d *tasks.Draft) { d.Queue = "other" })))
		require.NoError(b.t, b.Limit(ctx, "emit", 7))
		require.NoError(b.t, b.Limit(ctx, "other", 8))
		require.Equal(b.t, map[string]int{tenantB: 1}, tenantsOf(b.claim(t0.Add(time.Hour), 100, "", "emit", "other")))
		require.Len(b.t, b.settle(t0, tasks.Completed, running[0]), 1, "what has begun ends")
		untold := func() map[string]int {
			list, err := b.Untold(ctx, t0, t0, 100)
			require.NoError(b.t, err)
			out := map[string]int{}
			for _, e := range list {
				out[e.Tenant]++
			}
			return out
		}
		require.Zero(b.t, untold()[tenantA])
		counts, err := b.Counts(ctx, tenantA)
		require.NoError(b.t, err)
		require.Equal(b.t, 7, counts[0].Most, "as people see it")

		require.NoError(b.t, b.Rest(ctx, tenantA, false))
		require.Positive(b.t, untold()[tenantA])
		require.Equal(b.t, map[string]int{tenantA: 3}, tenantsOf(b.claim(t0.Add(time.Hour), 100, "", "emit", "other")))
		require.NoError(b.t, b.Hush(ctx, tenantA))
		changes, _, err := b.Backlog(ctx, tenantA)
		require.NoError(b.t, err)
		require.Zero(b.t, changes)
		require.Positive(b.t, untold()[tenantB])
	})
}
