package httpapi_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
)

// heldInvitation is what whoever is in custody asks for: the node signs it.
func (w *world) heldInvitation(role string) invitation {
	w.t.Helper()
	token, err := invite.NewToken(rand.Reader)
	require.NoError(w.t, err)
	spanID, err := span.RandomID(w.clock.now(), rand.Reader)
	require.NoError(w.t, err)
	return invitation{Token: token, NewInvitation: client.NewInvitation{
		Id: spanID, Role: role, Expires: span.FormatTime(w.clock.now().Add(time.Hour)), TokenHash: token.Hash().String(),
	}}
}

// heldInviter is an API key of an admin in custody, for inviting.
func (w *world) heldInviter() (key, identity string) {
	w.t.Helper()
	held := w.held(w.owner, span.RoleAdmin)
	return w.apiKey(w.owner, held.Id, map[string]any{"types": []string{span.TypeMember}}).Key, held.Id
}

// invites is an invitation to a place.
func (p *place) invites(role string) (invitation, invite.Token) {
	p.t.Helper()
	if p.inviter == "" {
		p.inviter, _ = p.heldInviter()
	}
	i := p.heldInvitation(role)
	p.post(p.world.at("/invitations"), p.inviter, i.NewInvitation).want(p.t, http.StatusCreated)
	return i, i.Token
}

// invitationBy is an invitation by whoever asks, who signs it where it has keys.
func invitationBy(a *asking) *http.Request {
	i := a.heldInvitation(span.RoleMember)
	if a.who.keys != nil && a.who.name != "revoked" {
		i = a.invitation(a.who.keys, span.RoleMember, time.Hour)
	}
	return a.send(http.MethodPost, a.at("/invitations"), typeJSON, i.NewInvitation)
}

// For an inviter in custody the node signs: what tells of the invitation, the grant,
// and that it is withdrawn.
func TestInviterInCustody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, inviter := w.heldInviter()
	i := w.heldInvitation(span.RoleMember)
	for range 2 {
		w.post(w.at("/invitations"), key, i.NewInvitation).want(t, http.StatusCreated)
	}
	joiner := w.keys()
	var grant client.InvitationGrant
	w.accept(i.Token, joiner, false).want(t, http.StatusOK).decode(t, &grant)
	for _, which := range []string{i.Id, grant.Span} {
		told, err := w.log.Get(t.Context(), w.tenant.Id, which)
		require.NoError(t, err)
		require.Equal(t, inviter, told.Entry.Span.Author)
	}
	gone := w.heldInvitation(span.RoleMember)
	w.post(w.at("/invitations"), key, gone.NewInvitation).want(t, http.StatusCreated)
	for range 2 { // it tells of it once
		w.do(w.request(http.MethodDelete, w.at("/invitations/"+gone.Id), key, "", nil)).want(t, http.StatusOK)
	}
	page, err := w.client(w.owner, w.node.ID()).Query(t.Context(), w.tenant.Id, client.Filter{Types: []string{"invitation.revoked"}})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Contains(t, string(page.Items[0]), `"causes":["`+gone.Id+`"]`)
	w.accept(gone.Token, w.keys(), false).problem(t, http.StatusNotFound, "invitation_invalid")

	last := w.heldInvitation(span.RoleMember)
	w.post(w.at("/invitations"), key, last.NewInvitation).want(t, http.StatusCreated)
	w.append(w.withdrawal(inviter, span.RoleAdmin)).want(t, http.StatusCreated)
	w.accept(last.Token, w.keys(), false).problem(t, http.StatusNotFound, "invitation_invalid")
}
