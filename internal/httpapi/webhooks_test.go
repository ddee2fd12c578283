package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func (w *world) put(path, token string, body any) reply {
	raw, err := json.Marshal(body)
	require.NoError(w.t, err)
	return w.do(w.request(http.MethodPut, path, token, "application/json", strings.NewReader(string(raw))))
}

// TestWebhooksOverHTTP makes, lists, tests, rotates and deletes a webhook.
func TestWebhooksOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(w.owner)
	var secrets []string
	var status int
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		for _, secret := range secrets {
			if err == nil {
				_, err = webhook.Receiver{Secrets: []string{secret}, Now: w.clock.now}.Verify(r.Header, body)
			}
		}
		if err != nil || !strings.Contains(string(body), `"type":"logline.webhook.test"`) {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, "seen")
	}))
	t.Cleanup(receiver.Close)

	var made openapi.Webhook
	w.put(w.at("/webhooks/inbox"), token, map[string]any{"url": receiver.URL}).want(t, http.StatusCreated).decode(t, &made)
	require.NotEmpty(t, made.Secret)
	require.Equal(t, []string{"inbox", receiver.URL, w.owner.ID()}, []string{made.Name, made.Url, made.CreatedBy})
	require.Len(t, made.Secrets, 1)

	again := w.put(w.at("/webhooks/inbox"), token, map[string]any{"url": receiver.URL + "/in"}).want(t, http.StatusOK)
	list := w.get(w.at("/webhooks"), token).want(t, http.StatusOK)
	for _, r := range []reply{again, list} {
		require.NotContains(t, string(r.body), "whsec_")
		require.Contains(t, string(r.body), receiver.URL+"/in")
	}

	secrets, status = []string{made.Secret}, 200
	var told openapi.WebhookDelivery
	test := func() openapi.WebhookDelivery {
		told = openapi.WebhookDelivery{}
		w.post(w.at("/webhooks/inbox/test"), w.token(w.owner), nil).want(t, http.StatusOK).decode(t, &told)
		return told
	}
	require.EqualValues(t, "delivered", test().Outcome, "%+v", told)
	require.Equal(t, 200, told.Status)
	require.Equal(t, "seen", told.Answer)
	require.True(t, strings.HasPrefix(told.Id, "test_"))
	status = 503
	require.EqualValues(t, "retry", test().Outcome)
	require.Equal(t, "webhook_failing", told.Code)
	status = 410
	require.EqualValues(t, "give_up", test().Outcome)
	status = 200
	require.EqualValues(t, "delivered", test().Outcome, "a test marks nothing")

	var rotated openapi.Webhook
	w.post(w.at("/webhooks/inbox/rotate"), token, map[string]any{"grace": "1h"}).want(t, http.StatusOK).decode(t, &rotated)
	require.NotEqual(t, made.Secret, rotated.Secret)
	require.Len(t, rotated.Secrets, 2)
	secrets = []string{made.Secret, rotated.Secret}
	require.EqualValues(t, "delivered", test().Outcome, "signed by both")
	w.clock.advance(time.Hour)
	require.EqualValues(t, "give_up", test().Outcome, "the old one has ended")
	token = w.token(w.owner)
	secrets = secrets[1:]
	require.EqualValues(t, "delivered", test().Outcome)

	for path, code := range map[string]string{"/webhooks/unknown/rotate": "webhook_unknown", "/webhooks/unknown/test": "webhook_unknown"} {
		w.post(w.at(path), token, map[string]any{}).problem(t, http.StatusNotFound, code)
	}
	for _, grace := range []string{"soon", "-1s", "721h"} {
		w.post(w.at("/webhooks/inbox/rotate"), token, map[string]any{"grace": grace}).problem(t, http.StatusBadRequest, "webhook_grace")
	}
	p := w.put(w.at("/webhooks/inbox"), token, map[string]any{"url": "https://user:hunter2@example.org/"}).problem(t, http.StatusBadRequest, "webhook_url")
	require.NotContains(t, p.Detail, "hunter2")
	w.put(w.at("/webhooks/-"), token, map[string]any{"url": receiver.URL}).problem(t, http.StatusBadRequest, "webhook_name")

	remove := func() reply {
		return w.do(w.request(http.MethodDelete, w.at("/webhooks/inbox"), token, "", nil))
	}
	require.Contains(t, string(remove().want(t, http.StatusOK).body), receiver.URL)
	remove().problem(t, http.StatusNotFound, "webhook_unknown")
	require.JSONEq(t, `{"items":[]}`, string(w.get(w.at("/webhooks"), token).want(t, http.StatusOK).body))
}

// What may say which contracts are in force may say where they call.
func TestKeysThatSetWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	delegated := func(types ...string) string {
		event, device, err := w.owner.Delegate("device", types, "", w.clock.now(), randReader)
		require.NoError(t, err)
		w.post(pathOf(w.owner.ID(), "/events"), "", event.Raw).want(t, http.StatusCreated)
		text, err := id.SignToken(device, w.owner.ID(), w.node.ID(), w.clock.now(), time.Minute)
		require.NoError(t, err)
		return text
	}
	setting := map[string]any{"url": "https://example.org/"}
	device := delegated("logline.api", "orders.*")
	w.put(w.at("/webhooks/inbox"), device, setting).problem(t, http.StatusForbidden, "webhooks_key_forbidden")
	w.get(w.at("/webhooks"), device).problem(t, http.StatusForbidden, "webhooks_key_forbidden")
	w.put(w.at("/webhooks/inbox"), delegated("logline.api", "logline.contract"), setting).want(t, http.StatusCreated)

	held := w.held(w.owner, span.RoleAdmin)
	weak := w.apiKey(w.owner, held.Id, map[string]any{})
	w.put(w.at("/webhooks/other"), weak.Key, setting).problem(t, http.StatusForbidden, "webhooks_key_forbidden")
	strong := w.apiKey(w.owner, held.Id, map[string]any{"types": []string{"logline.contract"}})
	w.put(w.at("/webhooks/other"), strong.Key, setting).want(t, http.StatusCreated)
}
