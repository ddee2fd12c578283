package httpapi_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
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

// invitation is one as its inviter's client makes it.
type invitation struct {
	invite.Token
	client.NewInvitation
	signer string
}

// invitation makes one to a role, and changes it before it is signed.
func (w *world) invitation(by *id.Keys, role string, life time.Duration, change ...func(*invite.Told, *span.Header)) invitation {
	w.t.Helper()
	token, err := invite.NewToken(rand.Reader)
	require.NoError(w.t, err)
	out := invitation{Token: token, NewInvitation: client.NewInvitation{Role: role, Expires: span.FormatTime(w.clock.now().Add(life)), TokenHash: token.Hash().String()}}
	out.Id, err = span.RandomID(w.clock.now(), rand.Reader)
	require.NoError(w.t, err)
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	out.signer = id.NewSecretKey(seed).Public()
	event, err := by.DelegateKey(out.signer, invite.Label, []string{span.TypeMember}, out.Expires, "", w.clock.now())
	require.NoError(w.t, err)
	out.Delegation = event.Raw
	sealed, err := token.Seal(w.tenant.Id, out.Id, seed, rand.Reader)
	require.NoError(w.t, err)
	out.Sealed = span.B64(sealed)
	told := invite.Told{Invitation: out.Id, Role: role, Expires: out.Expires}
	header := func(h *span.Header) {
		h.ID, h.Type = out.Id, invite.TypeCreated
		for _, c := range change {
			c(&told, h)
		}
	}
	header(new(span.Header))
	payload, err := span.Canonical(told)
	require.NoError(w.t, err)
	out.Span = w.seal(by, payload, header)
	return out
}

func (w *world) invite(by *id.Keys, role string) invitation {
	w.t.Helper()
	i := w.invitation(by, role, time.Hour)
	w.post(w.at("/invitations"), w.token(by), i.NewInvitation).want(w.t, http.StatusCreated)
	return i
}

// accept asks by key events, and by a token of keys where signed.
func (w *world) accept(t invite.Token, keys *id.Keys, signed bool) reply {
	w.t.Helper()
	body := client.InvitationAcceptance{Token: t.Reveal()}
	for _, e := range keys.Events() {
		body.Events = append(body.Events, json.RawMessage(e))
	}
	token := ""
	if signed {
		token = w.token(keys)
	}
	return w.post("/v1/invitations/accept", token, body)
}

func (w *world) lookAt(t invite.Token) reply {
	w.t.Helper()
	return w.post("/v1/invitations/look", "", client.InvitationToken{Token: t.Reveal()})
}

// listed is a tenant's invitation as its owner sees it.
func (w *world) listed(which string) client.Invitation {
	w.t.Helper()
	var page struct{ Items []client.Invitation }
	w.get(w.at("/invitations"), w.token(w.owner)).want(w.t, http.StatusOK).decode(w.t, &page)
	for _, i := range page.Items {
		if i.Id == which {
			return i
		}
	}
	w.t.Fatalf("no invitation %s among %d", which, len(page.Items))
	return client.Invitation{}
}

// An auditor is invited, comes as somebody whom the node does not know, reads and
// verifies, and appends nothing. All that happened is in the timeline.
func TestInvitedAuditor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) {
		d.OpenRegistration, d.Registration, d.PublicURL = false, httpapi.RegistrationInvite, "https://log.example"
	})
	secret := w.note(w.owner, 1, visible(span.VisibilityPrivate))
	w.append(secret).want(t, http.StatusCreated)

	i := w.invitation(w.owner, span.RoleAuditor, time.Hour)
	var made client.Invitation
	w.post(w.at("/invitations"), w.token(w.owner), i.NewInvitation).want(t, http.StatusCreated).decode(t, &made)
	require.EqualValues(t, "open", made.State)
	require.Equal(t, "https://log.example", made.Page)
	require.Equal(t, i.signer, made.Signer)
	w.post(w.at("/invitations"), w.token(w.owner), i.NewInvitation).want(t, http.StatusCreated) // whoever lost the answer

	var preview client.InvitationPreview
	w.lookAt(i.Token).want(t, http.StatusOK).decode(t, &preview)
	require.Equal(t, client.InvitationPreview{Tenant: w.tenant.Id, Slug: "acme", Name: "A tenant", Role: span.RoleAuditor, Inviter: w.owner.ID(), Expires: i.Expires, Registration: true}, preview)

	auditor := w.keys()
	w.post("/v1/identities", "", registration(auditor, "", "")).problem(t, http.StatusForbidden, "registration_closed")
	var grant client.InvitationGrant
	w.accept(i.Token, auditor, false).want(t, http.StatusOK).decode(t, &grant)
	require.Equal(t, auditor.ID(), grant.Identity)
	require.Equal(t, w.tenant.Id, grant.Tenant)
	require.False(t, grant.Pending)

	var again client.InvitationGrant
	for _, signed := range []bool{false, true} {
		w.accept(i.Token, auditor, signed).want(t, http.StatusOK).decode(t, &again)
		require.Equal(t, grant, again, "asked again, it is the same grant")
	}
	require.EqualValues(t, "accepted", w.listed(i.Id).State)
	require.Equal(t, auditor.ID(), w.listed(i.Id).AcceptedBy)
	require.Equal(t, grant.Span, w.listed(i.Id).Grant)

	// It reads all, verifies, and appends nothing.
	w.get(w.at("/spans/"+spanID(t, secret)), w.token(auditor)).want(t, http.StatusOK)
	receipt := w.get(w.at("/spans/"+spanID(t, secret)+"/receipt"), w.token(auditor)).want(t, http.StatusOK)
	require.Contains(t, string(receipt.body), `"inclusion"`)
	w.append(w.note(auditor, 2)).problem(t, http.StatusForbidden, "append_forbidden")

	// The grant is the inviter's, by the key delegated for it, and names its cause.
	entry, err := w.log.Get(t.Context(), w.tenant.Id, grant.Span)
	require.NoError(t, err)
	require.Equal(t, w.owner.ID(), entry.Entry.Span.Author)
	require.Equal(t, i.signer, entry.Entry.Span.Signature.Key)
	require.Equal(t, []string{i.Id}, entry.Entry.Span.Causes)
	require.JSONEq(t, `{"identity":"`+auditor.ID()+`","roles":["auditor"],"action":"grant"}`, string(entry.Payload))
	told, err := w.log.Get(t.Context(), w.tenant.Id, i.Id)
	require.NoError(t, err)
	require.Equal(t, w.owner.ID(), told.Entry.Span.Author)
	require.JSONEq(t, `{"invitation":"`+i.Id+`","role":"auditor","expires":"`+i.Expires+`"}`, string(told.Payload))
}

// Whatever gives nothing is answered alike, to the byte but for the request's id.
func TestInvitationsThatGiveNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.member(span.RoleAdmin)
	used, revoked, lost, other := w.invite(w.owner, span.RoleMember), w.invite(w.owner, span.RoleMember), w.invite(admin, span.RoleMember), w.invite(w.owner, span.RoleMember)
	short := w.invitation(w.owner, span.RoleMember, time.Minute)
	w.post(w.at("/invitations"), w.token(w.owner), short.NewInvitation).want(t, http.StatusCreated)
	unknown, err := invite.NewToken(rand.Reader)
	require.NoError(t, err)

	w.accept(used.Token, w.identity(), true).want(t, http.StatusOK)
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+revoked.Id), w.token(w.owner), "", nil)).want(t, http.StatusOK)
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+revoked.Id), w.token(w.owner), "", nil)).want(t, http.StatusOK)
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+used.Id), w.token(w.owner), "", nil)).problem(t, http.StatusConflict, "invitation_accepted")
	payload, err := span.Canonical(span.Member{Identity: admin.ID(), Roles: []string{span.RoleAdmin}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	event, err := w.owner.Undelegate(other.signer, w.clock.now())
	require.NoError(t, err)
	_, _, err = w.engine.EmbedEvent(t.Context(), w.owner.ID(), event.Raw)
	require.NoError(t, err)
	w.clock.advance(time.Minute)

	newcomer := w.identity()
	var first client.Problem
	for name, token := range map[string]invite.Token{
		"unknown": unknown, "used": used.Token, "revoked": revoked.Token, "of one who lost the right": lost.Token, "expired": short.Token, "its key withdrawn": other.Token,
	} {
		for _, r := range []reply{w.lookAt(token), w.accept(token, newcomer, true)} {
			p := r.problem(t, http.StatusNotFound, "invitation_invalid")
			p.Instance = ""
			if first.Code == "" {
				first = p
			}
			require.Equal(t, first, p, name)
		}
	}
	view, err := w.log.Standing(t.Context(), w.tenant.Id)
	require.NoError(t, err)
	require.Empty(t, view.Roles(newcomer.ID()))
	states := map[string]string{used.Id: "accepted", revoked.Id: "revoked", short.Id: "expired", lost.Id: "open"}
	for id, state := range states {
		require.EqualValues(t, state, w.listed(id).State)
	}
	for _, text := range []string{"", "lli_", unknown.Reveal()[:46], unknown.Reveal() + "A", "llb_" + unknown.Reveal()[4:], unknown.Reveal()[:46] + "B"} {
		w.post("/v1/invitations/look", "", client.InvitationToken{Token: text}).problem(t, http.StatusBadRequest, "invitation_malformed")
	}
}

// What somebody else knows of an identity lets nobody take a role for it.
func TestAcceptanceIsProven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.invite(w.owner, span.RoleMember)
	known, other := w.identity(), w.identity()
	w.accept(i.Token, known, false).problem(t, http.StatusUnauthorized, "credential_required")
	body := client.InvitationAcceptance{Token: i.Reveal(), Events: registration(known, "", "").Events}
	w.post("/v1/invitations/accept", w.token(other), body).problem(t, http.StatusForbidden, "identity_not_yours")
	w.post("/v1/invitations/accept", "", client.InvitationToken{Token: i.Reveal()}).problem(t, http.StatusUnauthorized, "credential_required")
	event, device, err := known.Delegate("phone", []string{id.TypeAPI, "a.*"}, "", w.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, _, err = w.engine.EmbedEvent(t.Context(), known.ID(), event.Raw)
	require.NoError(t, err)
	token, err := id.SignToken(device, known.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(t, err)
	w.post("/v1/invitations/accept", token, client.InvitationToken{Token: i.Reveal()}).problem(t, http.StatusForbidden, "key_cannot_manage")
	w.post("/v1/invitations/accept", w.token(known), client.InvitationToken{Token: i.Reveal()}).want(t, http.StatusOK)
}

// Of many who use one token at once one gets the role.
func TestInvitationIsForOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.invite(w.owner, span.RoleMember)
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	all := make([]*id.Keys, len(statuses))
	for n := range statuses {
		all[n] = w.identity()
		wg.Go(func() { statuses[n] = w.accept(i.Token, all[n], true).status })
	}
	wg.Wait()
	got := 0
	view, err := w.log.Standing(t.Context(), w.tenant.Id)
	require.NoError(t, err)
	for n, keys := range all {
		member := len(view.Roles(keys.ID())) > 0
		require.Equal(t, member, statuses[n] == http.StatusOK, "%d", statuses[n])
		if member {
			got++
		} else {
			require.Equal(t, http.StatusNotFound, statuses[n])
		}
	}
	require.Equal(t, 1, got)
}

// Who invites, and to what; and what was signed is what is asked for.
func TestInvitationRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin, member := w.member(span.RoleAdmin), w.member(span.RoleMember)
	refuse := func(by *id.Keys, i invitation, status int, code string) {
		t.Helper()
		w.post(w.at("/invitations"), w.token(by), i.NewInvitation).problem(t, status, code)
	}
	refuse(member, w.invitation(member, span.RoleMember, time.Hour), http.StatusForbidden, "role_forbidden")
	refuse(admin, w.invitation(admin, span.RoleOwner, time.Hour), http.StatusForbidden, "role_forbidden")
	refuse(w.owner, w.invitation(w.owner, "No Role", time.Hour), http.StatusBadRequest, "role_malformed")
	refuse(w.owner, w.invitation(w.owner, span.RoleMember, -time.Hour), http.StatusBadRequest, "expires_malformed")
	refuse(w.owner, w.invitation(w.owner, span.RoleMember, 31*24*time.Hour), http.StatusBadRequest, "expires_too_late")
	for name, change := range map[string]func(*invite.Told, *span.Header){
		"another role": func(d *invite.Told, _ *span.Header) { d.Role = span.RoleGuest },
		"another type": func(_ *invite.Told, h *span.Header) { h.Type = "invitation.made" },
		"a simulation": func(_ *invite.Told, h *span.Header) { h.Status = span.StatusSimulated },
	} {
		t.Log(name)
		refuse(w.owner, w.invitation(w.owner, span.RoleMember, time.Hour, change), http.StatusBadRequest, "invitation_mismatch")
	}
	i := w.invitation(w.owner, span.RoleMember, time.Hour)
	wider, err := w.keys().DelegateKey(i.signer, invite.Label, []string{span.TypeMember, span.TypeContract}, i.Expires, "", w.clock.now())
	require.NoError(t, err)
	good := i.Delegation
	i.Delegation = wider.Raw
	refuse(w.owner, i, http.StatusBadRequest, "invitation_mismatch")
	i.Delegation, i.Sealed = good, "AAAA"
	refuse(w.owner, i, http.StatusBadRequest, "invitation_mismatch")
	i.Sealed = ""
	i.Span, i.Delegation = nil, nil
	refuse(w.owner, i, http.StatusNotFound, "not_in_custody")

	made := w.invite(w.owner, span.RoleMember)
	other := w.invitation(w.owner, span.RoleMember, time.Hour)
	other.Id = made.Id
	refuse(w.owner, other, http.StatusConflict, "invitation_conflict")
	w.get(w.at("/invitations"), w.token(member)).problem(t, http.StatusForbidden, "role_forbidden")
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+made.Id), w.token(member), "", nil)).problem(t, http.StatusForbidden, "role_forbidden")
	w.do(w.request(http.MethodDelete, w.at("/invitations/"+w.tenant.Id), w.token(admin), "", nil)).problem(t, http.StatusNotFound, "invitation_unknown")
}

// A key that was sealed is worth nothing where another was delegated.
func TestSealedKeyIsTheDelegatedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.invitation(w.owner, span.RoleMember, time.Hour)
	sealed, err := i.Token.Seal(w.tenant.Id, i.Id, [32]byte{7}, rand.Reader)
	require.NoError(t, err)
	i.Sealed = span.B64(sealed)
	w.post(w.at("/invitations"), w.token(w.owner), i.NewInvitation).want(t, http.StatusCreated)
	w.accept(i.Token, w.identity(), true).problem(t, http.StatusNotFound, "invitation_invalid")
}

const typeJSON = "application/json"

// Two processes on one PostgreSQL: of many who use one token at once, at either,
// one gets the role, and the other process says what it got.
func TestInvitationIsForOneInTwoProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t).URL
	db, store := backend.Open(t, url)
	same := func(d *id.Directory) engine.Directory { return d }
	one := newNodeOn(t, db, store, same, nil)
	one.owner = one.identity()
	one.tenant = one.newTenant(bootstrapToken, "acme", false)
	db2, store2 := backend.Open(t, url)
	two := newProcess(t, one.node, db2, store2, same, nil)
	two.owner, two.tenant = one.owner, one.tenant

	i := one.invite(one.owner, span.RoleMember)
	var wg sync.WaitGroup
	replies := make([]reply, 8)
	all := make([]*id.Keys, len(replies))
	for n := range replies {
		all[n] = one.identity()
		at := one
		if n%2 == 1 {
			at = two
		}
		wg.Go(func() { replies[n] = at.accept(i.Token, all[n], true) })
	}
	wg.Wait()
	view, err := two.log.Standing(t.Context(), one.tenant.Id)
	require.NoError(t, err)
	winner := -1
	for n, r := range replies {
		if len(view.Roles(all[n].ID())) > 0 {
			require.Equal(t, -1, winner, "two have the role")
			winner = n
			r.want(t, http.StatusOK)
			continue
		}
		r.problem(t, http.StatusNotFound, "invitation_invalid")
	}
	require.GreaterOrEqual(t, winner, 0, "nobody has the role")
	var got, again client.InvitationGrant
	replies[winner].decode(t, &got)
	for _, at := range []*world{one, two} {
		at.accept(i.Token, all[winner], false).want(t, http.StatusOK).decode(t, &again)
		require.Equal(t, got, again)
	}
}
