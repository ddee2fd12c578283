package engine_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// types lists the types of a timeline from entry from on.
func (w *world) types(tenant string, from int) []string {
	w.t.Helper()
	var out []string
	for _, e := range w.entries(tenant)[from:] {
		out = append(out, e.Span.Type)
	}
	return out
}

func TestGrantEmbedsTheMemberFirst(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		keys := w.identity()
		event, phone, err := keys.Delegate("phone", []string{"test.**"}, "", w.clock.now(), rand.Reader)
		require.NoError(t, err)
		_, _, err = w.EmbedEvent(context.Background(), keys.ID(), event.Raw)
		require.NoError(t, err)

		// The grant and the first spans by both keys arrive in one batch.
		results := w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{
			w.member_(w.owner, keys.ID(), span.ActionGrant, span.RoleMember),
			w.note(keys, 1),
			w.sealBy(phone, keys.ID(), []byte(`{}`)),
		})
		for i, r := range results {
			require.NoError(t, r.Err, i)
		}
		require.Equal(t, []string{span.TypeIdentity, span.TypeIdentity, span.TypeMember, "test.happened", "test.happened"},
			w.types(w.tenant.ID, 5))
		// A second grant embeds nothing again.
		w.grant(keys, span.RoleAuditor)
		require.Equal(t, []string{span.TypeMember}, w.types(w.tenant.ID, 10))
	})
}

func TestGrantToUnknownIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	keys, err := id.NewKeys(id.SubjectPerson, w.clock.now(), rand.Reader)
	require.NoError(t, err)
	r := w.submit(w.member_(w.owner, keys.ID(), span.ActionGrant, span.RoleMember))
	requireCode(t, "identity_unknown", r.Err)
	require.Equal(t, fault.Invalid, fault.KindOf(r.Err))
}

func TestRefusedGrantEmbedsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	admin, stranger := w.member(span.RoleAdmin), w.identity()
	size := w.size()
	// An admin may administer, so the embedding is tried; but only an owner makes owners.
	results := w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{
		w.note(admin, 1), w.member_(admin, stranger.ID(), span.ActionGrant, span.RoleOwner), w.note(admin, 2),
	})
	require.NoError(t, results[0].Err)
	require.Equal(t, fault.Forbidden, fault.KindOf(results[1].Err), "%v", results[1].Err)
	require.NoError(t, results[2].Err)
	require.Equal(t, size+2, w.size())
	view, err := w.log.Standing(context.Background(), w.tenant.ID)
	require.NoError(t, err)
	_, embedded := view.Identity(stranger.ID())
	require.False(t, embedded)
}

func TestKeyEventReachesEveryTimelineBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		ctx := context.Background()
		keys := w.member(span.RoleMember)
		second, err := w.CreateTenant(ctx, "second", "Second", keys.ID(), false)
		require.NoError(t, err)
		third, err := w.CreateTenant(ctx, "third", "Third", w.owner.ID(), false)
		require.NoError(t, err)
		thirdSize := len(w.entries(third.ID))

		old := keys.Signer()
		event, err := keys.Rotate(w.clock.now(), rand.Reader)
		require.NoError(t, err)
		info, pending, err := w.EmbedEvent(ctx, keys.ID(), event.Raw)
		require.NoError(t, err)
		require.Empty(t, pending)
		require.Len(t, info.Events, 2)
		for _, tenant := range []string{w.tenant.ID, second.ID} {
			entries := w.entries(tenant)
			require.Equal(t, span.TypeIdentity, entries[len(entries)-1].Span.Type)
			r := w.Submit(ctx, tenant, w.sealIn(tenant, old, keys.ID(), []byte(`{}`)), engine.Options{})
			requireCode(t, "key_rotated", r.Err)
			r = w.Submit(ctx, tenant, w.sealIn(tenant, keys.Signer(), keys.ID(), []byte(`{}`)), engine.Options{})
			require.NoError(t, r.Err)
		}
		require.Len(t, w.entries(third.ID), thirdSize, "a timeline that does not hold the identity stays as it is")

		size := w.size()
		_, _, err = w.EmbedEvent(ctx, keys.ID(), event.Raw)
		require.NoError(t, err, "the same event again")
		require.Equal(t, size, w.size())
		_, _, err = w.EmbedEvent(ctx, keys.ID(), []byte(`{}`))
		require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
	})
}

func TestMissingEventsEnterBeforeTheNextSpan(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		keys := w.member(span.RoleMember)
		require.NoError(t, w.submit(w.note(keys, 1)).Err)
		size := len(w.entries(w.tenant.ID))

		// The directory took the rotation while the timeline was out of reach,
		// and then the process died.
		old := keys.Signer()
		event, err := keys.Rotate(w.clock.now(), rand.Reader)
		require.NoError(t, err)
		_, err = w.dir.Add(context.Background(), keys.ID(), event.Raw)
		require.NoError(t, err)
		restarted := w.newEngine(s, w.newLog())

		r := restarted.Submit(context.Background(), w.tenant.ID, w.sealBy(old, keys.ID(), []byte(`{}`)), engine.Options{})
		requireCode(t, "key_rotated", r.Err)
		r = restarted.Submit(context.Background(), w.tenant.ID, w.note(keys, 2), engine.Options{})
		require.NoError(t, r.Err)
		require.Equal(t, []string{span.TypeIdentity, "test.happened"}, w.types(w.tenant.ID, size))
	})
}

func TestClaimEmbedsTheClaimerAsItStoodThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	ctx := context.Background()
	ghost, err := id.GhostKeys(w.owner.Secret(), w.tenant.ID, "git", "ana@example.org")
	require.NoError(t, err)
	_, _, err = w.dir.Register(ctx, ghost.Events(), "", "")
	require.NoError(t, err)
	w.grant(ghost, span.RoleGuest)
	size := len(w.entries(w.tenant.ID))

	claimer := w.identity()
	claim, err := ghost.ClaimBy(claimer, w.clock.now())
	require.NoError(t, err)
	_, err = w.dir.Add(ctx, ghost.ID(), claim.Raw)
	require.NoError(t, err)
	rotation, err := claimer.Rotate(w.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, err = w.dir.Add(ctx, claimer.ID(), rotation.Raw)
	require.NoError(t, err)

	_, pending, err := w.EmbedEvent(ctx, ghost.ID(), claim.Raw)
	require.NoError(t, err)
	require.Empty(t, pending)
	require.Equal(t, []string{span.TypeIdentity, span.TypeIdentity}, w.types(w.tenant.ID, size), "the claimer's inception, the claim")
	view, err := w.log.Standing(ctx, w.tenant.ID)
	require.NoError(t, err)
	chain, ok := view.Identity(ghost.ID())
	require.True(t, ok)
	require.Equal(t, claimer.ID(), chain.ClaimedBy())
}

// deafDirectory fails when asked for an identity's events.
type deafDirectory struct {
	*id.Directory
	deaf atomic.Bool
}

func (d *deafDirectory) Get(ctx context.Context, identity string) (id.Info, error) {
	if d.deaf.Load() {
		return id.Info{}, fault.New(fault.Unavailable, "database_busy", "test")
	}
	return d.Directory.Get(ctx, identity)
}

func TestUnreachableTimelineIsPendingAndCatchesUp(t *testing.T) {
	t.Parallel()
	deaf := &deafDirectory{}
	w := newWorld(t, setup{dir: func(d *id.Directory) engine.Directory { deaf.Directory = d; return deaf }})
	keys := w.member(span.RoleMember)
	size := w.size()
	event, err := keys.Rotate(w.clock.now(), rand.Reader)
	require.NoError(t, err)

	deaf.deaf.Store(true)
	info, pending, err := w.EmbedEvent(context.Background(), keys.ID(), event.Raw)
	require.NoError(t, err, "the event itself is taken")
	require.Len(t, info.Events, 2)
	require.Equal(t, []string{w.tenant.ID}, pending)
	r := w.submit(w.note(keys, 1))
	requireCode(t, "identity_not_embedded", r.Err)
	require.Equal(t, fault.Unavailable, fault.KindOf(r.Err))
	require.NoError(t, w.submit(w.note(w.owner, 1)).Err, "others are not held up")

	deaf.deaf.Store(false)
	require.NoError(t, w.submit(w.note(keys, 1)).Err)
	require.Equal(t, []string{"test.happened", span.TypeIdentity, "test.happened"}, w.types(w.tenant.ID, int(size)))
}

func TestSubmitOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	r := w.SubmitOwn(context.Background(), "acme", "logline.task.started", []byte(`{}`), engine.OwnOptions{Tags: []string{"x"}})
	require.NoError(t, r.Err)
	entries := w.entries(w.tenant.ID)
	last := entries[len(entries)-1].Span
	require.Equal(t, w.node.ID(), last.Author)
	require.Equal(t, []string{"x"}, last.Tags)
}

// TestKeyEventsAreLimited: whoever holds no more than a guest's role must not
// grow every timeline without end.
func TestKeyEventsAreLimited(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t, setup{cfg: engine.Config{EventQuota: 3}}), context.Background()
	guest, other := w.member(span.RoleGuest), w.identity()
	delegate := func(keys *id.Keys) (*id.Event, error) {
		event, _, err := keys.Delegate("k", nil, "", w.clock.now(), rand.Reader)
		require.NoError(t, err)
		_, _, err = w.EmbedEvent(ctx, keys.ID(), event.Raw)
		return event, err
	}
	var last *id.Event
	for range 3 {
		var err error
		last, err = delegate(guest)
		require.NoError(t, err)
	}
	size := w.size()
	refused, err := delegate(guest)
	requireCode(t, "key_event_quota", err)
	require.Equal(t, size, w.size())
	_, _, err = w.EmbedEvent(ctx, guest.ID(), last.Raw)
	require.NoError(t, err, "a repeat costs nothing")
	_, err = delegate(other)
	require.NoError(t, err)

	w.clock.advance(20 * time.Second)
	_, _, err = w.EmbedEvent(ctx, guest.ID(), refused.Raw)
	require.NoError(t, err)
	require.Equal(t, size+1, w.size())
}
