package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func registration(keys *id.Keys, handle, name string) client.Registration {
	r := client.Registration{Handle: handle, Name: name}
	for _, e := range keys.Events() {
		r.Events = append(r.Events, json.RawMessage(e))
	}
	return r
}

func bare(identity string) string { return strings.TrimPrefix(identity, span.IdentityScheme) }

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	keys := w.keys()
	var info client.Identity
	r := w.post("/v1/identities", "", registration(keys, "ana", "Ana"))
	r.want(t, http.StatusCreated).decode(t, &info)
	require.Equal(t, keys.ID(), info.Id)
	require.Equal(t, "ana", info.Handle)
	require.EqualValues(t, "person", info.Subject)
	require.EqualValues(t, "active", info.Status)
	require.Equal(t, string(keys.Events()[0]), string(info.Events[0]))
	w.post("/v1/identities", "", registration(keys, "ana", "Ana")).want(t, http.StatusOK)
	w.post("/v1/identities", "", registration(w.keys(), "ana", "")).problem(t, http.StatusConflict, "handle_taken")

	token := w.token(keys)
	for _, by := range []string{bare(keys.ID()), "@ana"} {
		w.get("/v1/identities/"+by, token).want(t, http.StatusOK).decode(t, &info)
		require.Equal(t, keys.ID(), info.Id)
		w.get("/v1/identities/"+by, "").problem(t, http.StatusUnauthorized, "credential_required")
		w.get("/v1/identities/"+by+"/events", token).want(t, http.StatusOK)
	}
	w.get("/v1/identities/"+bare(keys.ID())+"/events", "").want(t, http.StatusOK)
	w.get("/v1/identities/@ana/events", "").problem(t, http.StatusUnauthorized, "credential_required")
	w.get("/v1/identities/@nobody", token).problem(t, http.StatusNotFound, "identity_unknown")
	w.get("/v1/identities/"+bare(w.keys().ID()), token).problem(t, http.StatusNotFound, "identity_unknown")
	w.get("/v1/identities/not-an-id/events", "").problem(t, http.StatusNotFound, "identity_unknown")
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	for body, code := range map[string]string{
		"":                                  "body_malformed",
		"[]":                                "body_malformed",
		`{"events":[],"extra":1}`:           "body_malformed",
		`{"events":[],"events":[]}`:         "body_malformed",
		`{"events":[]}`:                     "events_missing",
		`{"events":[{}]}`:                   "member_missing",
		`{"events":[],"handle":7}`:          "body_malformed",
		"{\"events\":[],\"name\":\"\xff\"}": "body_malformed",
	} {
		w.post("/v1/identities", "", []byte(body)).problem(t, http.StatusBadRequest, code)
	}
	w.post("/v1/identities", "", registration(w.keys(), "Bad Handle", "")).problem(t, http.StatusBadRequest, "handle_malformed")
	for _, contentType := range []string{"", "text/plain", "application/x-ndjson", "application/json; charset=latin1", ";;"} {
		w.do(w.request(http.MethodPost, "/v1/identities", "", contentType, strings.NewReader("{}"))).
			problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	}
	big := `{"events":["` + strings.Repeat("x", 1<<20) + `"]}`
	w.post("/v1/identities", "", []byte(big)).problem(t, http.StatusRequestEntityTooLarge, "body_too_large")
	chunked := w.request(http.MethodPost, "/v1/identities", "", "application/json", struct{ *strings.Reader }{strings.NewReader(big)})
	chunked.ContentLength = -1
	w.do(chunked).problem(t, http.StatusRequestEntityTooLarge, "body_too_large")
}

func TestRegistrationClosed(t *testing.T) {
	t.Parallel()
	w := newNode(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	keys := w.keys()
	w.post("/v1/identities", "", registration(keys, "", "")).problem(t, http.StatusForbidden, "registration_closed")
	w.post("/v1/identities", w.token(keys), registration(keys, "", "")).problem(t, http.StatusForbidden, "registration_closed")
	w.register(keys) // by other means
	w.post("/v1/identities", w.token(keys), registration(keys, "", "")).want(t, http.StatusOK)
	w.post("/v1/identities", w.token(keys), registration(w.keys(), "", "")).problem(t, http.StatusForbidden, "name_not_proven")
	var n client.Node
	w.get("/v1/node", "").decode(t, &n)
	require.EqualValues(t, "closed", n.Registration)

	// The first owner comes with the bootstrap token, until it has made its tenant.
	first := w.keys()
	w.post("/v1/identities", "llb_wrong-wrong-wrong-wrong-wrong", registration(first, "ana", "")).problem(t, http.StatusForbidden, "registration_closed")
	w.post("/v1/identities", bootstrapToken, registration(first, "ana", "Ana")).want(t, http.StatusCreated)
	w.post("/v1/tenants", bootstrapToken, client.NewTenant{Slug: "acme", Name: "Acme", Owner: first.ID()}).want(t, http.StatusCreated)
	w.post("/v1/identities", bootstrapToken, registration(w.keys(), "", "")).problem(t, http.StatusForbidden, "registration_closed")
}

func TestProtectedNames(t *testing.T) {
	t.Parallel()
	w := newNode(t, func(d *httpapi.Deps) { d.ProtectNames = true })
	w.post("/v1/identities", "", registration(w.keys(), "", "")).want(t, http.StatusCreated)
	keys := w.keys()
	w.post("/v1/identities", "", registration(keys, "ana", "")).problem(t, http.StatusForbidden, "name_not_proven")
	w.post("/v1/identities", "", registration(keys, "", "Ana")).problem(t, http.StatusForbidden, "name_not_proven")
	other := w.keys()
	w.post("/v1/identities", w.token(other), registration(keys, "ana", "")).problem(t, http.StatusForbidden, "name_not_proven")
	w.post("/v1/identities", w.token(keys), registration(keys, "ana", "Ana")).want(t, http.StatusCreated)
}

func TestKeyEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/v1/identities/" + bare(w.owner.ID()) + "/events"
	event, phone, err := w.owner.Delegate("phone", []string{"test.**"}, "", w.clock.now(), randReader)
	require.NoError(t, err)
	var added client.KeyEventAdded
	w.post(path, "", event.Raw).want(t, http.StatusCreated).decode(t, &added)
	require.Equal(t, w.owner.ID(), added.Id)
	require.EqualValues(t, "active", added.Status)
	require.Empty(t, added.Pending)

	// The event stands in the timeline before the answer: the key may sign at once.
	w.append(w.sealBy(phone, w.owner.ID(), []byte(`{}`))).want(t, http.StatusCreated)
	w.append(w.sealBy(phone, w.owner.ID(), []byte(`{}`), func(h *span.Header) { h.Type = "other.thing" })).
		problem(t, http.StatusForbidden, "key_type_not_delegated")

	before := w.token(w.owner)
	rotation, err := w.owner.Rotate(w.clock.now(), randReader)
	require.NoError(t, err)
	w.post(path, "", rotation.Raw).want(t, http.StatusCreated)
	w.get(w.at(""), before).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.get(w.at(""), w.token(w.owner)).want(t, http.StatusOK)
	w.append(w.sealBy(phone, w.owner.ID(), []byte(`{}`))).want(t, http.StatusForbidden)

	var events client.KeyEvents
	w.get(path, "").want(t, http.StatusOK).decode(t, &events)
	require.Len(t, events.Events, 3)

	w.post(path, "", []byte(`{"v":1}`)).want(t, http.StatusBadRequest)
	w.do(w.request(http.MethodPost, path, "", "text/plain", strings.NewReader("{}"))).
		problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	w.post("/v1/identities/"+bare(w.keys().ID())+"/events", "", rotation.Raw).problem(t, http.StatusNotFound, "identity_unknown")
	w.post("/v1/identities/@ana/events", "", rotation.Raw).problem(t, http.StatusNotFound, "identity_unknown")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.at("")
	sign := func(keys *id.Keys, as, audience string, ago time.Duration) string {
		tok, err := id.SignToken(keys.Signer(), as, audience, w.clock.now().Add(-ago), 5*time.Minute)
		require.NoError(t, err)
		return tok
	}
	stranger := w.keys()
	w.get(path, sign(w.owner, w.owner.ID(), w.node.ID(), 0)).want(t, http.StatusOK)
	for code, token := range map[string]string{
		"token_malformed":        "abc",
		"token_expired":          sign(w.owner, w.owner.ID(), w.node.ID(), 10*time.Minute),
		"token_not_yet_valid":    sign(w.owner, w.owner.ID(), w.node.ID(), -10*time.Minute),
		"token_audience":         sign(w.owner, w.owner.ID(), stranger.ID(), 0),
		"token_identity_unknown": sign(stranger, stranger.ID(), w.node.ID(), 0),
		"key_unknown":            sign(stranger, w.owner.ID(), w.node.ID(), 0),
		"token_signature":        sign(w.owner, w.owner.ID(), w.node.ID(), 0)[:200] + "A" + sign(w.owner, w.owner.ID(), w.node.ID(), 0)[201:],
	} {
		r := w.get(path, token)
		if code == "token_signature" { // the altered byte may as well break the JSON
			r.want(t, http.StatusUnauthorized)
			continue
		}
		if code == "token_identity_unknown" || code == "key_unknown" {
			code = "credential_invalid" // the server's log says which
		}
		r.problem(t, http.StatusUnauthorized, code)
		require.NotEmpty(t, r.header.Get("WWW-Authenticate"))
	}
	for _, header := range []string{"Basic abc", "Bearer", "Bearer ", "token"} {
		req := w.request(http.MethodGet, path, "", "", nil)
		req.Header.Set("Authorization", header)
		w.do(req).problem(t, http.StatusUnauthorized, "credential_malformed")
	}
	// A delegated key signs tokens only where logline.api is named.
	event, key, err := w.owner.Delegate("robot", []string{"test.**"}, "", w.clock.now(), randReader)
	require.NoError(t, err)
	w.post("/v1/identities/"+bare(w.owner.ID())+"/events", "", event.Raw).want(t, http.StatusCreated)
	tok, err := id.SignToken(key, w.owner.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(t, err)
	w.get(path, tok).want(t, http.StatusUnauthorized)
	event, key, err = w.owner.Delegate("console", []string{"logline.api"}, "", w.clock.now(), randReader)
	require.NoError(t, err)
	w.post("/v1/identities/"+bare(w.owner.ID())+"/events", "", event.Raw).want(t, http.StatusCreated)
	tok, err = id.SignToken(key, w.owner.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(t, err)
	w.get(path, tok).want(t, http.StatusOK)

	revocation, err := w.owner.Revoke("", w.clock.now())
	require.NoError(t, err)
	before := sign(w.owner, w.owner.ID(), w.node.ID(), 0)
	w.post("/v1/identities/"+bare(w.owner.ID())+"/events", "", revocation.Raw).want(t, http.StatusCreated)
	w.get(path, before).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.get(path, tok).want(t, http.StatusUnauthorized)
}
