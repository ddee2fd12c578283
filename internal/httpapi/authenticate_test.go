package httpapi_test

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// TestOneAnswerForEveryBadCredential: whoever tries keys and tokens learns
// nothing from an answer; whoever runs the server reads the reason in its log.
func TestOneAnswerForEveryBadCredential(t *testing.T) {
	t.Parallel()
	var log journal
	w := newWorld(t, func(d *httpapi.Deps) { d.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	own := w.member(span.RoleMember)
	key := w.apiKey(own, own.ID(), map[string]any{})
	later := w.apiKey(own, own.ID(), map[string]any{"expires": span.FormatTime(w.clock.now().Add(time.Minute))})
	revoked := w.apiKey(own, own.ID(), map[string]any{})
	w.do(w.request(http.MethodDelete, pathOf(own.ID(), "/keys/"+revoked.Id), w.token(own), "", nil)).want(t, http.StatusOK)
	replaced := w.apiKey(own, own.ID(), map[string]any{})
	w.post(pathOf(own.ID(), "/keys/"+replaced.Id+"/rotate"), w.token(own), map[string]any{"overlap": "0s"}).want(t, http.StatusCreated)
	w.clock.advance(time.Minute)

	stranger := w.keys()
	ended := w.member(span.RoleMember)
	endedToken, endedKey := w.token(ended), w.apiKey(ended, ended.ID(), map[string]any{})
	event, err := ended.Revoke("", w.clock.now())
	require.NoError(t, err)
	w.post(pathOf(ended.ID(), "/events"), "", event.Raw).want(t, http.StatusCreated)
	foreign, err := id.SignToken(stranger.Signer(), own.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(t, err)

	var first map[string]any
	for reason, credential := range map[string]string{
		"api_key_expired": later.Key, "api_key_revoked": revoked.Key, "identity_not_active": endedKey.Key,
		"api_key_unknown":        forgedKey(strings.Repeat("a", 16), key.Key[20:72]),
		"api_key_unknown wrong":  forgedKey(key.Id, later.Key[20:72]),
		"api_key_expired now":    replaced.Key,
		"token_identity_unknown": w.token(stranger), "key_unknown": foreign, "key_revoked": endedToken,
	} {
		r := w.get(w.at(""), credential)
		r.problem(t, http.StatusUnauthorized, "credential_invalid")
		require.Equal(t, `Bearer realm="logline"`, r.header.Get("WWW-Authenticate"), reason)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(r.body, &doc))
		request, _ := doc["instance"].(string)
		delete(doc, "instance")
		if first == nil {
			first = doc
		}
		require.Equal(t, first, doc, reason)
		code, _, _ := strings.Cut(reason, " ")
		line := lineWith(t, log.String(), request)
		require.Contains(t, line, code, reason)
		require.NotContains(t, log.String(), credential, reason)
		require.NotContains(t, log.String(), credential[20:60], reason)
	}
}

// forgedKey is an API key of good form: docs/identities.md says how it is made.
func forgedKey(keyID, secret string) string {
	text := "llk_" + keyID + secret
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return text + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum))
}

// lineWith is the line of a log about a request.
func lineWith(t *testing.T, log, request string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.Contains(line, "msg=request ") && strings.Contains(line, "request_id="+request) {
			return line
		}
	}
	require.Fail(t, "the log has no line of the request "+request)
	return ""
}

// TestAPIKeysDoWhatTheyMay: a key goes no further than its rights, and what it
// is told does not depend on what there is.
func TestAPIKeysDoWhatTheyMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.member(span.RoleAdmin)
	made := w.held(admin, span.RoleAdmin)
	key := func(terms map[string]any) string { return w.apiKey(admin, made.Id, terms).Key }
	reads, appends, works := key(map[string]any{}), key(map[string]any{"rights": []string{"append"}, "types": []string{"shop.*"}}), key(map[string]any{"rights": []string{"read", "tasks"}})

	event := func(key string) reply {
		return w.do(w.request(http.MethodPost, w.at("/events"), key, structured, strings.NewReader(eventText("e1", "shop.sold", `{"a":1}`))))
	}
	event(reads).problem(t, http.StatusForbidden, "api_key_right_missing")
	event(works).problem(t, http.StatusForbidden, "api_key_right_missing")
	event(appends).want(t, http.StatusCreated)
	event(appends).want(t, http.StatusOK)

	for _, path := range []string{w.at(""), w.at("/spans"), "/v1/tenants", "/v1/tenants/nowhere", pathOf(made.Id, "")} {
		w.get(path, appends).problem(t, http.StatusForbidden, "api_key_right_missing")
	}
	w.get(w.at("/spans"), reads).want(t, http.StatusOK)
	w.get(w.at("/spans"), works).want(t, http.StatusOK)

	w.get(w.at("/tasks"), reads).problem(t, http.StatusForbidden, "role_forbidden")
	w.get(w.at("/tasks"), works).want(t, http.StatusOK)
	for _, path := range []string{w.at("/followers/tasks/pause"), w.at("/followers/none/pause"), "/v1/tenants/nowhere/followers/tasks/pause", w.at("/backtests")} {
		w.post(path, reads, map[string]any{}).problem(t, http.StatusForbidden, "api_key_right_missing")
	}
	w.post("/v1/tenants/nowhere/followers/tasks/pause", works, map[string]any{}).problem(t, http.StatusNotFound, "tenant_unknown")

	// None of them changes its identity, and each may end itself.
	for _, k := range []string{reads, works} {
		w.get(pathOf(made.Id, "/keys"), k).problem(t, http.StatusForbidden, "api_key_cannot_manage")
	}
	w.do(w.request(http.MethodDelete, pathOf(made.Id, "/keys/"+appends[4:20]), appends, "", nil)).want(t, http.StatusOK)
	event(appends).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.post(pathOf(made.Id, "/keys"), w.token(admin), map[string]any{"rights": []string{"write"}}).problem(t, http.StatusBadRequest, "rights_unknown")
}

// TestAPIKeysAreReplacedOverHTTP: both are good for a while, and the list shows both.
func TestAPIKeysAreReplacedOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.member(span.RoleMember)
	old := w.apiKey(own, own.ID(), map[string]any{"label": "ci"})
	at := pathOf(own.ID(), "/keys/"+old.Id)
	var fresh openapi.APIKey
	w.post(at+"/rotate", w.token(own), map[string]any{"overlap": "1h"}).want(t, http.StatusCreated).decode(t, &fresh)
	require.Equal(t, old.Id, fresh.Replaces)
	w.get(w.at(""), old.Key).want(t, http.StatusOK)
	w.get(w.at(""), fresh.Key).want(t, http.StatusOK)
	var page openapi.APIKeyPage
	w.get(pathOf(own.ID(), "/keys"), w.token(own)).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 2)
	var shown openapi.APIKey
	w.get(at, w.token(own)).want(t, http.StatusOK).decode(t, &shown)
	require.Equal(t, fresh.Id, shown.ReplacedBy)
	require.Empty(t, shown.Key)
	w.clock.advance(time.Hour)
	w.get(w.at(""), old.Key).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.get(w.at(""), fresh.Key).want(t, http.StatusOK)

	w.post(at+"/rotate", w.token(own), map[string]any{}).problem(t, http.StatusConflict, "api_key_replaced")
	w.post(pathOf(own.ID(), "/keys/"+fresh.Id+"/rotate"), w.token(own), map[string]any{"overlap": "soon"}).problem(t, http.StatusBadRequest, "overlap_malformed")
	w.post(pathOf(own.ID(), "/keys/"+fresh.Id+"/rotate"), w.token(own), map[string]any{"overlap": "721h"}).problem(t, http.StatusBadRequest, "overlap_too_long")
	stranger := w.member(span.RoleMember)
	w.post(pathOf(own.ID(), "/keys/"+fresh.Id+"/rotate"), w.token(stranger), map[string]any{}).problem(t, http.StatusForbidden, "identity_not_yours")
	w.get(at, w.token(stranger)).problem(t, http.StatusForbidden, "identity_not_yours")
	w.get(pathOf(own.ID(), "/keys/none"), w.token(own)).problem(t, http.StatusNotFound, "api_key_unknown")
	w.post(pathOf(own.ID(), "/keys/none/rotate"), w.token(own), map[string]any{}).problem(t, http.StatusNotFound, "api_key_unknown")
}
