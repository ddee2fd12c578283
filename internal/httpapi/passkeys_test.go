package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
)

// onName asks as a page does that was opened by a name.
func (w *world) onName(host, origin, path, token string, body string) reply {
	w.t.Helper()
	req := w.request(http.MethodPost, path, token, "application/json", strings.NewReader(body))
	req.Host = host
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	return w.do(req)
}

// What a browser does with these routes has its test in internal/systemtest/browser.
func TestPasskeysOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.opened("ana")
	var options openapi.PasskeyOptions
	w.onName("localhost:8080", "http://localhost:8080", "/v1/account/passkeys/begin", made.Token, "").want(t, http.StatusOK).decode(t, &options)
	asked := func() (out map[string]any) {
		require.NoError(t, json.Unmarshal(options.PublicKey, &out))
		return out
	}
	require.Contains(t, asked(), "challenge")
	require.Equal(t, map[string]any{"id": "localhost", "name": "LogLine"}, asked()["rp"])

	// Signing in asks for no name and tells none: with an account and without it is the same.
	w.onName("localhost", "", "/v1/sessions/passkey/begin", "", "").want(t, http.StatusOK).decode(t, &options)
	require.NotContains(t, asked(), "allowCredentials")
	require.NotContains(t, asked(), "user")

	// A page of somebody else gets no challenge, and signs nobody in.
	for _, path := range []string{"/v1/account/passkeys/begin", "/v1/sessions/passkey/begin"} {
		w.onName("localhost", "https://evil.example", path, made.Token, "").problem(t, http.StatusForbidden, "origin_foreign")
		w.onName("127.0.0.1:1", "", path, made.Token, "").problem(t, http.StatusForbidden, "passkeys_elsewhere")
		w.onName("evil.example", "http://evil.example", path, made.Token, "").problem(t, http.StatusForbidden, "passkeys_elsewhere")
	}
	w.onName("localhost", "https://evil.example", "/v1/sessions/passkey/finish", "", `{"credential": {}}`).problem(t, http.StatusForbidden, "origin_foreign")

	w.post("/v1/sessions/passkey/finish", "", map[string]any{"credential": map[string]any{}}).problem(t, http.StatusBadRequest, "passkey_malformed")
	w.post("/v1/account/passkeys/finish", made.Token, map[string]any{"name": strings.Repeat("a", 65), "credential": map[string]any{}}).want(t, http.StatusBadRequest)
	w.delete("/v1/account/passkeys/none", made.Token).problem(t, http.StatusNotFound, "passkey_unknown")

	// What outlives the session needs one that is fresh.
	w.clock.advance(11 * time.Minute)
	w.onName("localhost", "", "/v1/account/passkeys/begin", made.Token, "").problem(t, http.StatusForbidden, "session_not_fresh")
	w.post("/v1/account/passkeys/finish", made.Token, map[string]any{"credential": map[string]any{}}).problem(t, http.StatusForbidden, "session_not_fresh")
	w.delete("/v1/account/passkeys/none", made.Token).problem(t, http.StatusForbidden, "session_not_fresh")
	var mine openapi.PasskeyPage
	w.get("/v1/account/passkeys", made.Token).want(t, http.StatusOK).decode(t, &mine)
	require.Empty(t, mine.Items)
	w.get("/v1/account/passkeys", "").want(t, http.StatusUnauthorized)
}
