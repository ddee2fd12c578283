package httpapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// door is an invitation of many uses, to guests.
func (w *world) door(by *id.Keys, uses int, life time.Duration) invitation {
	w.t.Helper()
	d := w.invitation(by, span.RoleGuest, life, func(d *invite.Told, _ *span.Header) { d.Uses = uses })
	d.Uses = uses
	w.post(w.at("/invitations"), w.token(by), d.NewInvitation).want(w.t, http.StatusCreated)
	return d
}

// ghost makes a visitor whom the node does not know.
func (w *world) ghost(life time.Duration) *id.Keys {
	w.t.Helper()
	keys, err := id.NewGhost(span.FormatTime(w.clock.now().Add(life)), w.clock.now(), rand.Reader)
	require.NoError(w.t, err)
	return keys
}

// sealed says whether a door's key is still there.
func (w *world) sealed(door string) (there bool) {
	w.t.Helper()
	require.NoError(w.t, w.db.Read.QueryRowContext(w.t.Context(), `SELECT sealed IS NOT NULL FROM invitations WHERE id = $1`, door).Scan(&there))
	return there
}

// Visitors come by one link, as many as it says, each as a ghost that ends with it;
// they are guests, with the quota of guests, until they end.
func TestVisitors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration, d.Registration = false, httpapi.RegistrationInvite })
	door := w.door(w.owner, 2, time.Hour)
	var preview client.InvitationPreview
	w.lookAt(door.Token).want(t, http.StatusOK).decode(t, &preview)
	require.True(t, preview.Visitors)
	require.Equal(t, span.RoleGuest, preview.Role)

	w.accept(door.Token, w.keys(), false).problem(t, http.StatusForbidden, "visitor_not_ghost")
	w.accept(door.Token, w.identity(), true).problem(t, http.StatusForbidden, "visitor_not_ghost")
	w.accept(door.Token, w.ghost(time.Hour+time.Millisecond), false).problem(t, http.StatusBadRequest, "visitor_expires")
	w.accept(door.Token, w.ghost(0), false).problem(t, http.StatusBadRequest, "visitor_expires")
	require.Zero(t, w.listed(door.Id).Used, "what was refused spends nothing")

	one, two, three := w.ghost(time.Hour), w.ghost(time.Minute), w.ghost(time.Hour)
	// Registered is not accepted yet: the key stays for whoever has spent a use.
	r := registration(two, "", "")
	r.Admission = door.Reveal()
	w.post("/v1/identities", "", r).want(t, http.StatusCreated)
	w.post("/v1/identities", "", r).want(t, http.StatusOK)
	require.Equal(t, 1, w.listed(door.Id).Used)
	var grant, again client.InvitationGrant
	w.accept(door.Token, one, false).want(t, http.StatusOK).decode(t, &grant)
	for _, signed := range []bool{false, true} {
		w.accept(door.Token, one, signed).want(t, http.StatusOK).decode(t, &again)
		require.Equal(t, grant, again)
	}
	require.Equal(t, 2, w.listed(door.Id).Used)
	entry, err := w.log.Get(t.Context(), w.tenant.Id, grant.Span)
	require.NoError(t, err)
	require.Equal(t, []string{door.Id}, entry.Entry.Span.Causes)
	require.Equal(t, door.signer, entry.Entry.Span.Signature.Key)
	require.JSONEq(t, `{"identity":"`+one.ID()+`","roles":["guest"],"action":"grant"}`, string(entry.Payload))

	w.accept(door.Token, three, false).problem(t, http.StatusNotFound, "invitation_invalid")
	require.True(t, w.sealed(door.Id))
	w.accept(door.Token, two, true).want(t, http.StatusOK)
	require.False(t, w.sealed(door.Id), "the last use destroys the key")
	require.EqualValues(t, "accepted", w.listed(door.Id).State)
	w.lookAt(door.Token).problem(t, http.StatusNotFound, "invitation_invalid")

	// A guest's rights, quota and end.
	for n := range 60 {
		w.append(w.note(one, n)).want(t, http.StatusCreated)
	}
	w.append(w.note(one, 60)).problem(t, http.StatusTooManyRequests, "guest_quota")
	w.append(w.note(two, 1)).want(t, http.StatusCreated)
	w.append(w.seal(two, []byte(`{}`), func(h *span.Header) { h.OnBehalfOf = w.owner.ID() })).problem(t, http.StatusForbidden, "guest_on_behalf")
	w.clock.advance(time.Minute)
	w.append(w.note(two, 2)).problem(t, http.StatusForbidden, "key_expired")
	w.append(w.note(one, 61)).want(t, http.StatusCreated)
}

// Doors are for guests, of a bounded number, and what was signed is what is asked
// for; one that was withdrawn or has ended gives nothing.
func TestDoorRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refuse := func(role string, uses, told int, code string) {
		t.Helper()
		d := w.invitation(w.owner, role, time.Hour, func(d *invite.Told, _ *span.Header) { d.Uses = told })
		d.Uses = uses
		w.post(w.at("/invitations"), w.token(w.owner), d.NewInvitation).problem(t, http.StatusBadRequest, code)
	}
	refuse(span.RoleMember, 2, 2, "invitation_uses_role")
	refuse(span.RoleGuest, invite.MaxUses+1, invite.MaxUses+1, "invitation_uses")
	refuse(span.RoleGuest, -1, 0, "invitation_uses")
	refuse(span.RoleGuest, 2, 1, "invitation_mismatch")
	refuse(span.RoleGuest, 0, 1, "invitation_mismatch")

	withdrawn, short := w.door(w.owner, 5, time.Hour), w.door(w.owner, 5, time.Minute)
	came := w.ghost(time.Minute)
	w.accept(withdrawn.Token, came, false).want(t, http.StatusOK)
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+withdrawn.Id), w.token(w.owner), "", nil)).want(t, http.StatusOK)
	require.False(t, w.sealed(withdrawn.Id))
	w.accept(withdrawn.Token, w.ghost(time.Minute), false).problem(t, http.StatusNotFound, "invitation_invalid")
	w.accept(withdrawn.Token, came, false).want(t, http.StatusOK)
	w.append(w.note(came, 1)).want(t, http.StatusCreated) // the role is withdrawn by itself
	w.clock.advance(time.Minute)
	w.accept(short.Token, w.ghost(time.Minute), false).problem(t, http.StatusNotFound, "invitation_invalid")
}

// Two processes on one PostgreSQL: of many who come by one door at once, at either,
// exactly as many get in as it says.
func TestDoorCountsInTwoProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t).URL
	db, store := backend.Open(t, url)
	same := func(d *id.Directory) engine.Directory { return d }
	invited := func(d *httpapi.Deps) { d.OpenRegistration, d.Registration = false, httpapi.RegistrationInvite }
	one := newNodeOn(t, db, store, same, nil, invited)
	one.owner = one.identity()
	one.tenant = one.newTenant(bootstrapToken, "acme", false)
	db2, store2 := backend.Open(t, url)
	two := newProcess(t, one.node, db2, store2, same, nil, invited)
	two.owner, two.tenant = one.owner, one.tenant

	// One has spent a use and is no guest yet, so that the key stays: the count alone
	// keeps the others out.
	const uses = 3
	door := one.door(one.owner, uses+1, time.Hour)
	r := registration(one.ghost(time.Hour), "", "")
	r.Admission = door.Reveal()
	one.post("/v1/identities", "", r).want(t, http.StatusCreated)
	var wg sync.WaitGroup
	replies := make([]reply, 10)
	all := make([]*id.Keys, len(replies))
	for n := range replies {
		all[n] = one.ghost(time.Hour)
		one.register(all[n])
		at := one
		if n%2 == 1 {
			at = two
		}
		wg.Go(func() { replies[n] = at.accept(door.Token, all[n], true) })
	}
	wg.Wait()
	view, err := two.log.Standing(t.Context(), one.tenant.Id)
	require.NoError(t, err)
	in := 0
	for n, r := range replies {
		if len(view.Roles(all[n].ID())) == 0 {
			r.problem(t, http.StatusNotFound, "invitation_invalid")
			continue
		}
		in++
		var got, again client.InvitationGrant
		r.want(t, http.StatusOK).decode(t, &got)
		for _, at := range []*world{one, two} {
			at.accept(door.Token, all[n], false).want(t, http.StatusOK).decode(t, &again)
			require.Equal(t, got, again)
		}
	}
	require.Equal(t, uses, in)
	require.Equal(t, uses+1, one.listed(door.Id).Used)
}

func (w *world) claim(ghost, by *id.Keys) reply {
	w.t.Helper()
	event, err := ghost.ClaimBy(by, w.clock.now())
	require.NoError(w.t, err)
	return w.post(pathOf(ghost.ID(), "/events"), "", json.RawMessage(event.Raw))
}

// spansOf are the payloads of who's spans, page by page.
func (w *world) spansOf(reader *id.Keys, query string) (payloads []string) {
	w.t.Helper()
	cursor := ""
	for {
		var page struct {
			Items []struct {
				Span struct {
					Author  string
					Payload json.RawMessage
				}
			}
			Next *string
		}
		w.get(w.at("/spans?type=test.happened&"+query+cursor), w.token(reader)).want(w.t, http.StatusOK).decode(w.t, &page)
		for _, item := range page.Items {
			payloads = append(payloads, string(item.Span.Payload))
		}
		if page.Next == nil {
			return payloads
		}
		cursor = "&cursor=" + *page.Next
	}
}

// A visitor becomes somebody: who it was is theirs from then on, in all views,
// while the bytes say who signed. Roles stay behind.
func TestClaimedGhosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	door := w.door(w.owner, 5, time.Hour)
	seed, ends := bytes.Repeat([]byte{7}, 32), span.FormatTime(w.clock.now().Add(time.Hour))
	first, err := id.NewGhost(ends, w.clock.now(), bytes.NewReader(seed))
	require.NoError(t, err)
	twin, err := id.NewGhost(ends, w.clock.now(), bytes.NewReader(seed))
	require.NoError(t, err)
	second, late := w.ghost(time.Hour), w.ghost(time.Minute)
	person, auditor, other := w.member(span.RoleMember), w.member(span.RoleAuditor), w.identity()
	for _, ghost := range []*id.Keys{first, second, late} {
		w.accept(door.Token, ghost, false).want(t, http.StatusOK)
	}
	hidden := visible(span.VisibilityPrivate)
	for n := range 12 {
		by := []*id.Keys{first, person, w.owner, second}[n%4]
		if n == 4 {
			w.append(w.note(by, n, hidden)).want(t, http.StatusCreated)
			continue
		}
		w.append(w.note(by, n)).want(t, http.StatusCreated)
	}
	author := "author=" + url.QueryEscape(person.ID())
	own := w.spansOf(person, author)
	require.Len(t, own, 3)
	require.Equal(t, own, w.spansOf(person, author+"&claimed=true"), "nothing is claimed yet")

	w.claim(first, person).want(t, http.StatusCreated)
	w.claim(second, person).want(t, http.StatusCreated)
	event, err := w.dir.Get(t.Context(), first.ID())
	require.NoError(t, err)
	w.post(pathOf(first.ID(), "/events"), "", json.RawMessage(event.Events[1])).want(t, http.StatusCreated) // whoever lost the answer
	w.claim(twin, other).problem(t, http.StatusConflict, "identity_claimed")
	w.clock.advance(time.Minute)
	w.claim(late, person).problem(t, http.StatusConflict, "ghost_expired")

	// What the directory says of both.
	var ghost, whole client.Identity
	w.get(pathOf(first.ID(), ""), w.token(other)).want(t, http.StatusOK).decode(t, &ghost)
	require.Equal(t, person.ID(), ghost.ClaimedBy)
	require.EqualValues(t, "claimed", ghost.Status)
	w.get(pathOf(person.ID(), ""), w.token(other)).want(t, http.StatusOK).decode(t, &whole)
	require.ElementsMatch(t, []string{first.ID(), second.ID()}, whole.Claimed)

	// The spans, in order, in pages of whatever size, as far as each may see.
	var want []string
	for _, n := range []int{0, 1, 3, 5, 7, 8, 9, 11} { // not 4, which is the ghost's own
		want = append(want, fmt.Sprintf(`{"n":%d}`, n))
	}
	for _, limit := range []string{"", "&limit=1", "&limit=3"} {
		require.Equal(t, want, w.spansOf(person, author+"&claimed=true"+limit), limit)
		down := w.spansOf(person, author+"&claimed=true&order=desc"+limit)
		require.Len(t, down, len(want))
		for i := range want {
			require.Equal(t, want[len(want)-1-i], down[i])
		}
	}
	require.Len(t, w.spansOf(auditor, author+"&claimed=true"), len(want)+1, "an auditor reads what is private")
	require.Equal(t, own, w.spansOf(person, author))
	w.get(w.at("/spans?claimed=true"), w.token(person)).problem(t, http.StatusBadRequest, "parameter_invalid")

	// Roles stay behind, and the ghost is over.
	w.append(w.note(first, 99)).problem(t, http.StatusForbidden, "key_revoked")
	third := w.ghost(time.Minute)
	w.accept(door.Token, third, false).want(t, http.StatusOK)
	w.claim(third, other).want(t, http.StatusCreated)
	view, err := w.log.Standing(t.Context(), w.tenant.Id)
	require.NoError(t, err)
	require.Equal(t, []string{span.RoleMember}, view.Roles(person.ID()))
	require.Empty(t, view.Roles(other.ID()))
	w.append(w.note(other, 1)).problem(t, http.StatusForbidden, "not_a_member")
}
