package flow

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// heldFounder says when it is asked for a tenant, and waits with making it.
type heldFounder struct {
	Founder
	asked, may chan struct{}
}

func (f heldFounder) CreateTenant(ctx context.Context, token, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	f.asked <- struct{}{}
	<-f.may
	return f.Founder.CreateTenant(ctx, token, slug, name, owner, publicReading)
}

// TestTwoTenantsAtOnce asks two processes of a node for two tenants in one session at
// once: one is made, and the other request is told so, while the first is at work and
// afterwards.
func TestTwoTenantsAtOnce(t *testing.T) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		one := newWorld(t, url)
		db, store := backend.Open(t, url)
		two := newProcess(t, one.node, db, store, Config{})
		g := one.guest(false)
		g.must(g.who(), Done)
		h := *g
		h.w = two

		// The first is held where it makes its tenant.
		open := one.Founder
		held := heldFounder{open, make(chan struct{}), make(chan struct{})}
		one.Founder = held
		var first error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = g.do(&Tenant{Slug: "one", Name: "One"}) })
		<-held.asked
		_, err := h.do(&Tenant{Slug: "two", Name: "Two"})
		require.Equal(t, "onboarding_step_recorded", fault.CodeOf(err), "%v", err)
		close(held.may)
		wg.Wait()
		require.NoError(t, first)
		_, err = h.do(&Tenant{Slug: "two", Name: "Two"})
		require.Equal(t, "onboarding_step_recorded", fault.CodeOf(err), "%v", err)
		h.must(&Tenant{Slug: "one", Name: "One"}, Done)
		_, err = one.log.Tenant(t.Context(), "two")
		require.Equal(t, fault.NotFound, fault.KindOf(err))
		one.Founder = open

		// Nobody is held: whichever is first.
		for i := range 10 {
			g := one.guest(false)
			g.must(g.who(), Done)
			h := *g
			h.w = two
			names := []string{slugOf(i) + "-one", slugOf(i) + "-two"}
			errs := make([]error, 2)
			var wg sync.WaitGroup
			for k, g := range []*guest{g, &h} {
				wg.Go(func() { _, errs[k] = g.do(&Tenant{Slug: names[k], Name: "Guests"}) })
			}
			wg.Wait()
			won := 0
			for k, err := range errs {
				_, there := one.log.Tenant(t.Context(), names[k])
				if err == nil {
					won++
					require.NoError(t, there)
					continue
				}
				require.Equal(t, "onboarding_step_recorded", fault.CodeOf(err), "%v", err)
				require.Equal(t, fault.NotFound, fault.KindOf(there))
			}
			require.Equal(t, 1, won, "%v", errs)
		}
	}, backend.SQLite, backend.Postgres)
}

// TestClaimOfARequestThatWasCutOff: what nobody knows the end of keeps others from the
// step for a while, and for good where its tenant was made; what was refused does not.
func TestClaimOfARequestThatWasCutOff(t *testing.T) {
	t.Parallel()
	for what, made := range map[storetest.Fault]bool{storetest.FailsBefore: false, storetest.FailsAfter: true} {
		w := newWorld(t, backend.URL(t, backend.Memory))
		g := w.guest(false)
		g.must(g.who(), Done)
		refused := func(in Input) {
			t.Helper()
			_, err := g.do(in)
			require.Equal(t, "onboarding_step_recorded", fault.CodeOf(err), "%v", err)
		}
		_, err := g.do(&Tenant{Slug: "first", Name: "Another's"})
		require.Equal(t, timeline.ErrTenantTaken.Code, fault.CodeOf(err))
		mine, other := &Tenant{Slug: "mine", Name: "Mine"}, &Tenant{Slug: "other", Name: "Other"}
		w.Founder = cutFounder{w.Founder, what}
		_, err = g.do(mine)
		require.Equal(t, fault.Unavailable, fault.KindOf(err))
		w.Founder = w.Founder.(cutFounder).Founder
		refused(other)
		w.now.Add((claimFor + time.Second).Milliseconds())
		if made {
			refused(other)
			g.must(mine, Done)
		} else {
			g.must(other, Done)
			refused(mine)
		}
	}
}

// cutFounder answers that nobody knows what came of it.
type cutFounder struct {
	Founder
	what storetest.Fault
}

func (f cutFounder) CreateTenant(ctx context.Context, token, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	if f.what == storetest.FailsAfter {
		if _, err := f.Founder.CreateTenant(ctx, token, slug, name, owner, publicReading); err != nil {
			return timeline.Tenant{}, err
		}
	}
	return timeline.Tenant{}, fault.New(fault.Unavailable, "cut_off", "the connection is gone")
}
