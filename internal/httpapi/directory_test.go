package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func (w *world) patch(path, token string, body any) reply {
	w.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(w.t, err)
	return w.do(w.request(http.MethodPatch, path, token, "application/json", bytes.NewReader(raw)))
}

func TestHandleAndNameChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.identity()
	var got openapi.Identity
	w.patch(pathOf(own.ID(), ""), w.token(own), map[string]string{"handle": "ana", "name": "Ana"}).want(t, http.StatusOK).decode(t, &got)
	require.Equal(t, "ana", got.Handle)
	w.get("/v1/identities/@ana", w.token(w.owner)).want(t, http.StatusOK).decode(t, &got)
	require.Equal(t, own.ID(), got.Id)
	w.patch(pathOf(own.ID(), ""), w.token(own), map[string]string{"name": ""}).want(t, http.StatusOK)
	var after openapi.Identity
	w.get(pathOf(own.ID(), ""), w.token(own)).want(t, http.StatusOK).decode(t, &after)
	require.Equal(t, []string{"ana", ""}, []string{after.Handle, after.Name})

	for _, r := range []reply{
		w.patch(pathOf(own.ID(), ""), w.token(w.owner), map[string]string{"name": "x"}),
		w.do(w.request(http.MethodDelete, pathOf(own.ID(), ""), w.token(w.owner), "", nil)),
	} {
		r.problem(t, http.StatusForbidden, "identity_not_yours")
	}
	w.patch(pathOf(own.ID(), ""), "", map[string]string{"name": "x"}).problem(t, http.StatusUnauthorized, "credential_required")
	w.patch(pathOf(own.ID(), ""), w.token(own), map[string]string{}).problem(t, http.StatusBadRequest, "labels_missing")
	w.patch(pathOf(w.owner.ID(), ""), w.token(w.owner), map[string]string{"handle": "ana"}).problem(t, http.StatusConflict, "handle_taken")

	w.do(w.request(http.MethodDelete, pathOf(own.ID(), ""), w.token(own), "", nil)).want(t, http.StatusOK)
	w.get("/v1/identities/@ana", w.token(own)).problem(t, http.StatusNotFound, "identity_unknown")
	w.get(pathOf(own.ID(), "/events"), "").want(t, http.StatusOK)

	held := w.held(w.owner)
	w.patch(pathOf(held.Id, ""), w.token(w.owner), map[string]string{"handle": "ana"}).want(t, http.StatusOK)
}

func TestDIDDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.identity()
	r := w.get(pathOf(own.ID(), "/did.json"), "").want(t, http.StatusOK)
	require.Equal(t, "application/did+json", r.header.Get("Content-Type"))
	var doc id.DIDDocument
	r.decode(t, &doc)
	// did:web leads back to where it was read.
	at := strings.ReplaceAll(strings.TrimPrefix(doc.ID, "did:web:"), ":", "/")
	require.Equal(t, w.url+pathOf(own.ID(), "/did.json"), "http://"+strings.ReplaceAll(at, "%3A", ":")+"/did.json")
	require.Len(t, doc.VerificationMethod, 1)
	require.False(t, doc.Deactivated)
	revocation, err := own.Revoke("", w.clock.now())
	require.NoError(t, err)
	w.post(pathOf(own.ID(), "/events"), "", revocation.Raw).want(t, http.StatusCreated)
	doc = id.DIDDocument{}
	w.get(pathOf(own.ID(), "/did.json"), "").want(t, http.StatusOK).decode(t, &doc)
	require.True(t, doc.Deactivated)
	require.Empty(t, doc.VerificationMethod)
	w.get("/v1/identities/@own/did.json", "").problem(t, http.StatusNotFound, "identity_unknown")
	w.get("/v1/identities/"+strings.TrimPrefix(w.keys().ID(), span.IdentityScheme)+"/did.json", "").problem(t, http.StatusNotFound, "identity_unknown")
}
