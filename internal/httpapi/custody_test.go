package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// held has the node make an identity for maker and gives it a role.
func (w *world) held(maker *id.Keys, roles ...string) openapi.Identity {
	w.t.Helper()
	var out openapi.Identity
	w.post("/v1/identities", w.token(maker), map[string]any{"custody": true, "subject": "service"}).want(w.t, http.StatusCreated).decode(w.t, &out)
	if len(roles) > 0 {
		w.append(w.grant(out.Id, roles...)).want(w.t, http.StatusCreated)
	}
	return out
}

// apiKey makes an API key of an identity by maker's right.
func (w *world) apiKey(maker *id.Keys, identity string, terms map[string]any) openapi.APIKey {
	w.t.Helper()
	var out openapi.APIKey
	w.post(pathOf(identity, "/keys"), w.token(maker), terms).want(w.t, http.StatusCreated).decode(w.t, &out)
	return out
}

func pathOf(identity, rest string) string {
	return "/v1/identities/" + strings.TrimPrefix(identity, span.IdentityScheme) + rest
}

func TestCustodyOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.held(w.owner, span.RoleAgent)
	require.Equal(t, openapi.IdentitySubject("service"), made.Subject)
	var inception struct{ Custody, Subject string }
	require.NoError(t, json.Unmarshal(made.Events[0], &inception))
	require.Equal(t, w.node.ID(), inception.Custody)

	key := w.apiKey(w.owner, made.Id, map[string]any{"label": "ci", "types": []string{"orders.*"}})
	require.True(t, strings.HasPrefix(key.Key, "llk_"+key.Id))
	require.Equal(t, w.owner.ID(), key.CreatedBy)

	// The key reads as the identity, and manages nothing.
	w.get(w.at(""), key.Key).want(t, http.StatusOK)
	w.get(w.at("/spans"), key.Key).want(t, http.StatusOK)
	w.get(pathOf(made.Id, ""), key.Key).want(t, http.StatusOK)
	for _, r := range []reply{
		w.post(pathOf(made.Id, "/rotate"), key.Key, nil), w.post(pathOf(made.Id, "/revoke"), key.Key, map[string]string{}),
		w.get(pathOf(made.Id, "/keys"), key.Key), w.post(pathOf(made.Id, "/keys"), key.Key, map[string]string{}),
		w.post("/v1/identities", key.Key, map[string]any{"custody": true, "subject": "agent"}),
		w.post("/v1/tenants", key.Key, map[string]any{"slug": "b", "name": "B", "owner": made.Id}),
	} {
		r.problem(t, http.StatusForbidden, "api_key_cannot_manage")
	}

	// Its maker rotates it, and the timeline holds that before the answer.
	size := w.size()
	w.post(pathOf(made.Id, "/rotate"), w.token(w.owner), nil).want(t, http.StatusCreated)
	require.Equal(t, size+1, w.size())
	var events openapi.KeyEvents
	w.get(pathOf(made.Id, "/events"), "").want(t, http.StatusOK).decode(t, &events)
	require.Len(t, events.Events, 2)

	// So does a key that names logline.identity.
	manager := w.apiKey(w.owner, made.Id, map[string]any{"types": []string{"logline.identity"}})
	w.post(pathOf(made.Id, "/rotate"), manager.Key, nil).want(t, http.StatusCreated)

	// A stranger does not, nor the identity where its own keys are its own.
	stranger := w.member(span.RoleMember)
	w.post(pathOf(made.Id, "/rotate"), w.token(stranger), nil).problem(t, http.StatusForbidden, "identity_not_yours")
	w.get(pathOf(made.Id, "/keys"), w.token(stranger)).problem(t, http.StatusForbidden, "identity_not_yours")
	w.post(pathOf(made.Id, "/rotate"), "", nil).problem(t, http.StatusUnauthorized, "credential_required")
	w.post(pathOf(stranger.ID(), "/rotate"), w.token(stranger), nil).problem(t, http.StatusNotFound, "not_in_custody")
	w.post("/v1/identities/nobody/rotate", w.token(stranger), nil).problem(t, http.StatusNotFound, "identity_unknown")

	// Revocation ends its keys too.
	w.post(pathOf(made.Id, "/revoke"), w.token(w.owner), map[string]string{"reason": "left"}).want(t, http.StatusCreated)
	w.get(w.at(""), key.Key).problem(t, http.StatusUnauthorized, "credential_invalid")
}

// A delegated key that may sign tokens reads as its identity. What outlives the
// delegation, such as an API key, takes one that names logline.identity too.
func TestDelegatedKeysManageNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.ProtectNames = true })
	own := w.member(span.RoleMember)
	held := w.held(own)
	token := func(types ...string) string {
		event, device, err := own.Delegate("device", types, "", w.clock.now(), randReader)
		require.NoError(t, err)
		w.post(pathOf(own.ID(), "/events"), "", event.Raw).want(t, http.StatusCreated)
		text, err := id.SignToken(device, own.ID(), w.node.ID(), w.clock.now(), time.Minute)
		require.NoError(t, err)
		return text
	}
	device := token("logline.api")
	w.get(w.at("/spans"), device).want(t, http.StatusOK)
	for _, r := range []reply{
		w.post(pathOf(own.ID(), "/keys"), device, map[string]any{}), w.post(pathOf(held.Id, "/keys"), device, map[string]any{"types": []string{"**"}}),
		w.get(pathOf(held.Id, "/keys"), device), w.post(pathOf(held.Id, "/rotate"), device, nil), w.post(pathOf(held.Id, "/revoke"), device, map[string]string{}),
		w.do(w.request(http.MethodDelete, pathOf(own.ID(), ""), device, "", nil)),
		w.post("/v1/identities", device, map[string]any{"custody": true, "subject": "agent"}),
		w.post("/v1/tenants", device, map[string]any{"slug": "b", "name": "B", "owner": own.ID()}),
		w.importBundle(w.tenant.Id, "", device, nil),
		w.post("/v1/identities", device, registration(own, "taken", "")),
	} {
		r.problem(t, http.StatusForbidden, "key_cannot_manage")
	}
	manager := token("logline.api", "logline.identity")
	w.post(pathOf(held.Id, "/keys"), manager, map[string]any{"types": []string{"**"}}).want(t, http.StatusCreated)
	w.post(pathOf(held.Id, "/rotate"), manager, nil).want(t, http.StatusCreated)
	w.post("/v1/identities", manager, registration(own, "", "")).want(t, http.StatusOK)
}

func TestWhoMayHaveIdentitiesHeld(t *testing.T) {
	t.Parallel()
	want := map[string]any{"custody": true, "subject": "agent"}
	w := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	member, admin := w.member(span.RoleMember), w.member(span.RoleAdmin)
	w.post("/v1/identities", "", want).problem(t, http.StatusUnauthorized, "credential_required")
	w.post("/v1/identities", w.token(member), want).problem(t, http.StatusForbidden, "custody_closed")
	w.post("/v1/identities", w.token(admin), want).want(t, http.StatusCreated)

	open := newWorld(t)
	stranger := open.identity()
	open.post("/v1/identities", open.token(stranger), want).want(t, http.StatusCreated)
	open.post("/v1/identities", "", want).problem(t, http.StatusUnauthorized, "credential_required")
	open.post("/v1/identities", open.token(stranger), map[string]any{"custody": true, "subject": "ghost"}).problem(t, http.StatusBadRequest, "subject_unknown")
	open.post("/v1/identities", open.token(stranger), map[string]any{"custody": true, "subject": "agent", "events": []any{map[string]any{}}}).problem(t, http.StatusBadRequest, "custody_events")
	open.post("/v1/identities", "", map[string]any{"subject": "agent"}).problem(t, http.StatusBadRequest, "custody_events")
	open.post("/v1/identities", "", map[string]any{}).problem(t, http.StatusBadRequest, "events_missing")

	without := newWorld(t, func(d *httpapi.Deps) { d.Custody = noMaster(t, d) })
	without.post("/v1/identities", without.token(without.owner), want).problem(t, http.StatusServiceUnavailable, "master_key_required")
}

func TestAPIKeysOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.member(span.RoleMember)
	expires := span.FormatTime(w.clock.now().Add(time.Hour))
	key := w.apiKey(own, own.ID(), map[string]any{"expires": expires, "tenant": "acme"})
	require.Equal(t, w.tenant.Id, key.Tenant)
	w.get(w.at("/spans"), key.Key).want(t, http.StatusOK)

	// Everything but the key itself can be listed.
	var page openapi.APIKeyPage
	w.get(pathOf(own.ID(), "/keys"), w.token(own)).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 1)
	require.Empty(t, page.Items[0].Key)
	require.Equal(t, expires, page.Items[0].Expires)
	require.Equal(t, "2026-03-01T12:00:00.000Z", page.Items[0].UsedAt)
	second := w.apiKey(own, own.ID(), map[string]any{})
	seen := map[string]bool{}
	for path := pathOf(own.ID(), "/keys?limit=1"); ; path = pathOf(own.ID(), "/keys?limit=1&cursor="+*page.Next) {
		page = openapi.APIKeyPage{}
		w.get(path, w.token(own)).want(t, http.StatusOK).decode(t, &page)
		require.Len(t, page.Items, 1)
		seen[page.Items[0].Id] = true
		if page.Next == nil {
			break
		}
	}
	require.Equal(t, map[string]bool{key.Id: true, second.Id: true}, seen)

	// It counts in its tenant alone, as if the others were not there.
	w.owner = own
	other := w.newTenant(w.token(own), "other", false)
	w.get("/v1/tenants/"+other.Id, w.token(own)).want(t, http.StatusOK)
	w.get("/v1/tenants/"+other.Id, second.Key).want(t, http.StatusOK)
	w.get("/v1/tenants/"+other.Id, key.Key).problem(t, http.StatusNotFound, "tenant_unknown")
	require.Equal(t, 1, strings.Count(string(w.get("/v1/tenants", key.Key).want(t, http.StatusOK).body), `"slug"`))
	require.Equal(t, 2, strings.Count(string(w.get("/v1/tenants", second.Key).want(t, http.StatusOK).body), `"slug"`))
	w.post(pathOf(own.ID(), "/keys"), w.token(own), map[string]any{"tenant": "nowhere"}).problem(t, http.StatusNotFound, "tenant_unknown")

	// Mistyped, unknown, revoked, expired: 401 and why.
	w.get(w.at(""), key.Key[:len(key.Key)-1]).problem(t, http.StatusUnauthorized, "api_key_malformed")
	w.do(w.request(http.MethodDelete, pathOf(own.ID(), "/keys/"+second.Id), key.Key, "", nil)).problem(t, http.StatusForbidden, "api_key_cannot_manage")
	w.do(w.request(http.MethodDelete, pathOf(own.ID(), "/keys/"+second.Id), second.Key, "", nil)).want(t, http.StatusOK)
	w.get(w.at(""), second.Key).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.do(w.request(http.MethodDelete, pathOf(own.ID(), "/keys/none"), w.token(own), "", nil)).problem(t, http.StatusNotFound, "api_key_unknown")
	w.clock.advance(time.Hour)
	w.get(w.at(""), key.Key).problem(t, http.StatusUnauthorized, "credential_invalid")
}
