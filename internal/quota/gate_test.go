package quota

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// still is a clock that does not move.
func still() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func gateOf(r Rates) *Gate { return NewGate(ratelimit.NewMemory(still, 1000), r) }

func TestAddresses(t *testing.T) {
	t.Parallel()
	g := gateOf(Rates{Address: ratelimit.Limit{Rate: 1, Burst: 1}})
	ask := func(text string) error {
		var a netip.Addr
		if text != "" {
			a = netip.MustParseAddr(text)
		}
		_, err := g.Address(context.Background(), a, 1)
		return err
	}
	for _, first := range []string{"192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"} {
		require.NoError(t, ask(first), first)
	}
	// What one customer can choose from is one bucket, however it is written.
	for _, again := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::1%eth0"} {
		require.Equal(t, "rate_address", fault.CodeOf(ask(again)), again)
	}
	for range 3 { // this machine's programs, and a proxy nobody told the node of
		for _, own := range []string{"", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"} {
			require.NoError(t, ask(own), own)
		}
	}
}

func TestRefusalsSayWhich(t *testing.T) {
	t.Parallel()
	few, many := ratelimit.Limit{Rate: 2, Burst: 2}, ratelimit.Limit{Rate: 10, Burst: 100}
	g := gateOf(Rates{Identity: many, Key: few, Tenant: few})
	ctx := context.Background()
	l, err := g.Caller(ctx, "ana", "k1", 2)
	require.NoError(t, err)
	require.Equal(t, Level{ByKey, few, ratelimit.Answer{Full: time.Second}}, l, "the one with the least left")
	_, err = g.Caller(ctx, "ana", "k1", 1)
	f := fault.From(err)
	require.Equal(t, []any{fault.Limited, "rate_key", 500 * time.Millisecond, "key"}, []any{f.Kind, f.Code, f.RetryAfter, f.Meta["limit"]})
	var r *Refusal
	require.True(t, errors.As(err, &r))
	require.Equal(t, ByKey, r.By)
	require.NoError(t, g.Author(ctx, "ana", "k2", 2), "by another key")
	require.Equal(t, "rate_identity", fault.CodeOf(g.Author(ctx, "ana", "k3", 97)), "by none of them any more")
	_, err = g.Tenant(ctx, "t", 2)
	require.NoError(t, err)
	_, err = g.Tenant(ctx, "t", 1)
	require.Equal(t, "rate_tenant", fault.CodeOf(err))
	seen := map[string]int64{}
	g.Refused(func(by string, n int64) { seen[by] = n })
	require.Equal(t, map[string]int64{ByAddress: 0, ByIdentity: 1, ByKey: 1, ByTenant: 1, ByTries: 0}, seen)
}

func TestNoGateLimitsNothing(t *testing.T) {
	t.Parallel()
	for _, g := range []*Gate{nil, gateOf(Rates{})} {
		for range 1000 {
			_, err := g.Address(context.Background(), netip.MustParseAddr("192.0.2.1"), 1000)
			require.NoError(t, err)
			require.NoError(t, g.Author(context.Background(), "ana", "k", 1000))
			l, err := g.Tenant(context.Background(), "t", 1000)
			require.NoError(t, err)
			require.Zero(t, l)
		}
	}
}

func TestOffCostsNothing(t *testing.T) { // alone: allocations are counted for the whole process
	g := gateOf(Rates{})
	a := netip.MustParseAddr("192.0.2.1")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = g.Address(context.Background(), a, 1)
		_, _ = g.Caller(context.Background(), "ana", "k", 1)
		_, _ = g.Tenant(context.Background(), "t", 1)
	}))
}
