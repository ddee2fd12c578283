package engine_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// cutOff is a store in which one tenant's timeline cannot be appended to.
type cutOff struct {
	timeline.Store
	tenant atomic.Pointer[string]
}

func (c *cutOff) Append(ctx context.Context, b *timeline.Batch) error {
	if cut := c.tenant.Load(); cut != nil && *cut == b.Tenant {
		return storetest.ErrInjected
	}
	return c.Store.Append(ctx, b)
}

// TestEveryKindOfKeyEventNamesWhatItDidNotReach: of two timelines that hold an
// identity one is out of reach. The other has the event before the answer, the
// answer names the one, and that one gets everything it missed, in order, with
// the next event once it can be reached.
func TestEveryKindOfKeyEventNamesWhatItDidNotReach(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		cut := &cutOff{}
		s.wrap = func(inner timeline.Store) timeline.Store { cut.Store = inner; return cut }
		w, ctx := newWorld(t, s), context.Background()
		second, err := w.CreateTenant(ctx, "second", "Second", w.owner.ID(), false)
		require.NoError(t, err)
		first := w.tenant
		hold := func(keys *id.Keys, role string) {
			t.Helper()
			for _, tenant := range []timeline.Tenant{first, second} {
				payload, err := span.Canonical(span.Member{Identity: keys.ID(), Roles: []string{role}, Action: span.ActionGrant})
				require.NoError(t, err)
				raw := w.sealIn(tenant.ID, w.owner.Signer(), w.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeMember })
				require.NoError(t, w.Submit(ctx, tenant.ID, raw, engine.Options{}).Err)
			}
		}
		keys, claimer := w.identity(), w.identity()
		hold(keys, span.RoleMember)
		ghost, err := id.GhostKeys(w.owner.Secret(), first.ID, "git", "ana@example.org")
		require.NoError(t, err)
		_, _, err = w.dir.Register(ctx, ghost.Events(), "", "")
		require.NoError(t, err)
		hold(ghost, span.RoleGuest)

		now := w.clock.now()
		delegate, key, err := keys.Delegate("phone", nil, "", now, rand.Reader)
		require.NoError(t, err)
		undelegate, err := keys.Undelegate(key.Public(), now)
		require.NoError(t, err)
		rotation, err := keys.Rotate(now, rand.Reader)
		require.NoError(t, err)
		revocation, err := keys.Revoke("lost", now)
		require.NoError(t, err)
		claim, err := ghost.ClaimBy(claimer, now)
		require.NoError(t, err)

		cut.tenant.Store(&second.ID)
		for _, c := range []struct {
			identity string
			event    *id.Event
			entries  int // in the timeline that is reached
		}{{keys.ID(), delegate, 1}, {keys.ID(), undelegate, 1}, {keys.ID(), rotation, 1}, {keys.ID(), revocation, 1}, {ghost.ID(), claim, 2}} {
			before, other := len(w.entries(first.ID)), len(w.entries(second.ID))
			_, pending, err := w.EmbedEvent(ctx, c.identity, c.event.Raw)
			require.NoError(t, err, c.event.Kind)
			require.Equal(t, []string{second.ID}, pending, c.event.Kind)
			require.Len(t, w.entries(first.ID), before+c.entries, c.event.Kind)
			require.Len(t, w.entries(second.ID), other, c.event.Kind)
		}

		// Sent again, each is taken for what it is, and the rest follows.
		cut.tenant.Store(nil)
		size := len(w.entries(second.ID))
		for identity, event := range map[string]*id.Event{keys.ID(): revocation, ghost.ID(): claim} {
			_, pending, err := w.EmbedEvent(ctx, identity, event.Raw)
			require.NoError(t, err)
			require.Empty(t, pending)
		}
		require.Len(t, w.entries(second.ID), size+4+2)
		view, err := w.log.Standing(ctx, second.ID)
		require.NoError(t, err)
		for identity, status := range map[string]string{keys.ID(): id.StatusRevoked, ghost.ID(): id.StatusClaimed} {
			chain, ok := view.Identity(identity)
			require.True(t, ok)
			require.Equal(t, status, chain.Status())
		}
		w.verify()
		w.tenant = second
		w.verify()
	})
}
