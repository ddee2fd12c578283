package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs is a log that tests read; it is safe for concurrent use.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// running is a node under test.
type running struct {
	*App
	logs *logs
	stop func() error // ends the node and returns what Run returned
}

func config(dir string) Config {
	cfg := Defaults()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = dir
	return cfg
}

func start(t *testing.T, cfg Config, now func() time.Time) running {
	t.Helper()
	l := &logs{}
	a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.NewTextHandler(l, nil)), Now: now})
	require.NoError(t, err)
	return run(t, a, l)
}

// run runs a node until the test ends or stops it.
func run(t *testing.T, a *App, l *logs) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var result error
	go func() {
		defer close(ended)
		result = a.Run(ctx)
	}()
	stop := func() error {
		cancel()
		<-ended
		return result
	}
	t.Cleanup(func() { _ = stop() }) // a failed test's node; a second stop changes nothing
	select {
	case <-a.Ready():
	case <-ended:
		require.NoError(t, result, "the node ended before it was ready:\n%s", l)
	}
	return running{App: a, logs: l, stop: stop}
}

// ask sends one request over a connection of its own and returns status and body.
func (r running) ask(t *testing.T, method, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(answer)
}

// A whole node: it starts on an empty directory, answers, makes its first
// tenant, stops, and starts again as the same node with the same tenant.
func TestStartStopStart(t *testing.T) {
	t.Parallel()
	for _, database := range []string{backend.SQLite, backend.Memory, backend.Postgres} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			cfg := config(filepath.Join(t.TempDir(), "data"))
			if database != backend.SQLite { // which is the default
				cfg.DatabaseURL = backend.URL(t, database)
			}

			n := start(t, cfg, nil)
			for _, path := range []string{"/livez", "/readyz"} {
				status, body := n.ask(t, "GET", path, "", "")
				require.Equal(t, http.StatusOK, status, body)
			}
			token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
			require.NoError(t, err)
			makeTenant(t, n, strings.TrimSpace(string(token)))
			require.NoFileExists(t, onboarding.TokenPath(cfg.DataDir))
			node := n.NodeID()
			require.NoError(t, n.stop())
			require.NotContains(t, n.logs.String(), strings.TrimSpace(string(token)))
			require.Contains(t, n.logs.String(), "node keys made")

			again := start(t, cfg, nil)
			require.Equal(t, node, again.NodeID())
			for _, path := range []string{"/readyz", "/v1/identities/" + strings.TrimPrefix(node, span.IdentityScheme) + "/events"} {
				status, body := again.ask(t, "GET", path, "", "")
				require.Equal(t, http.StatusOK, status, body)
			}
			require.NotContains(t, again.logs.String(), "node keys made")
			if database != backend.Memory {
				require.NoFileExists(t, onboarding.TokenPath(cfg.DataDir), "the tenant is still there")
			} else {
				require.FileExists(t, onboarding.TokenPath(cfg.DataDir), "the tenant went with the memory")
			}
			require.NoError(t, again.stop())
		})
	}
}

func makeTenant(t *testing.T, n running, token string) *id.Keys {
	t.Helper()
	keys, err := id.NewKeys(id.SubjectPerson, time.Now(), strings.NewReader(strings.Repeat("0123456789abcdef", 16)))
	require.NoError(t, err)
	var events []json.RawMessage
	for _, e := range keys.Events() {
		events = append(events, e)
	}
	identity, err := json.Marshal(map[string]any{"events": events})
	require.NoError(t, err)
	status, body := n.ask(t, "POST", "/v1/identities", "", string(identity))
	require.Equal(t, http.StatusCreated, status, body)
	tenant, err := json.Marshal(map[string]string{"slug": "acme", "name": "Acme", "owner": keys.ID()})
	require.NoError(t, err)
	status, body = n.ask(t, "POST", "/v1/tenants", token, string(tenant))
	require.Equal(t, http.StatusCreated, status, body)
	require.Contains(t, body, `"slug":"acme"`)
	return keys
}

// A node that stops ends its feeds, and leaves nothing running behind them.
func TestFeedsEndWithTheNode(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	n := start(t, cfg, nil)
	bootstrap, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
	require.NoError(t, err)
	keys := makeTenant(t, n, strings.TrimSpace(string(bootstrap)))
	token, err := id.SignToken(keys.Signer(), keys.ID(), n.NodeID(), time.Now(), time.Minute)
	require.NoError(t, err)
	var feeds []io.ReadCloser
	for range 5 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/v1/tenants/acme/feed?from=0", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		feeds = append(feeds, resp.Body)
	}
	require.NoError(t, n.stop())
	for _, f := range feeds {
		all, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Contains(t, string(all), `"code":1001`)
	}
}

func TestModuleOffContributesNothing(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Modules = "httpapi"
	n := start(t, cfg, nil)
	require.NoFileExists(t, onboarding.TokenPath(cfg.DataDir))
	status, body := n.ask(t, "POST", "/v1/tenants", "llb_whatever-it-is-here", `{"slug":"a","name":"A","owner":"logline-id://`+strings.Repeat("a", 52)+`"}`)
	require.Equal(t, http.StatusNotFound, status, body)
	require.NoError(t, n.stop())

	cfg = config(t.TempDir())
	cfg.Modules = "engine"
	n = start(t, cfg, nil)
	require.Empty(t, n.URL())
	require.NoError(t, n.stop())
}

// What cannot be written now makes the node not ready, until it can be again.
func TestReadyFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	var mu sync.Mutex // guards clock
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return clock }
	pass := func() { mu.Lock(); defer mu.Unlock(); clock = clock.Add(readyFor) }

	n := start(t, config(t.TempDir()), now)
	pragma := func(text string) {
		_, err := n.db.Write.ExecContext(t.Context(), "PRAGMA "+text)
		require.NoError(t, err)
	}
	pragma("query_only = ON")
	status, body := n.ask(t, "GET", "/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.Contains(t, body, "database_readonly")

	pragma("query_only = OFF")
	status, _ = n.ask(t, "GET", "/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, status, "the answer is reused for a moment")
	pass()
	status, body = n.ask(t, "GET", "/readyz", "", "")
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, n.stop())
}

func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	fail := func(cfg Config) string {
		a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
		require.Error(t, err)
		require.Nil(t, a)
		return fault.CodeOf(err)
	}
	first := config(t.TempDir())
	n := start(t, first, nil)
	require.Equal(t, "data_dir_in_use", fail(first))
	require.NoError(t, n.stop())

	other := config(t.TempDir())
	require.NoError(t, start(t, other, nil).stop())
	other.DatabaseURL = first.Database()
	require.Equal(t, "node_mismatch", fail(other))

	require.NoError(t, os.Remove(filepath.Join(first.DataDir, id.NodeKeyFile)))
	require.Equal(t, "node_keys_missing", fail(first))
	require.NoFileExists(t, filepath.Join(first.DataDir, id.NodeKeyFile))

	foreign := config(t.TempDir())
	foreign.DatabaseURL = "postgres://u:p@127.0.0.1:1/d" // where nobody listens
	require.Equal(t, "database_unavailable", fail(foreign))
	foreign.DatabaseURL = ""
	foreign.Modules = "none"
	require.Equal(t, "modules_unknown", fail(foreign))
}

// Two nodes are not one because they have one database.
func TestForeignNodeOnPostgres(t *testing.T) {
	t.Parallel()
	first, second := config(t.TempDir()), config(t.TempDir())
	require.NoError(t, start(t, second, nil).stop()) // which makes its keys
	first.DatabaseURL = backend.URL(t, backend.Postgres)
	second.DatabaseURL = first.DatabaseURL
	n := start(t, first, nil)
	require.NotContains(t, n.logs.String(), "sslmode", "the URL is shown in its short form")
	_, err := New(t.Context(), second, Options{Log: slog.New(slog.DiscardHandler)})
	require.Equal(t, "node_mismatch", fault.CodeOf(err))
	require.ErrorContains(t, err, n.NodeID())
	require.NoError(t, n.stop())
	require.Empty(t, second.databaseDir())
	require.False(t, second.inMemory())
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	n := start(t, config(t.TempDir()), nil)
	cfg := config(t.TempDir())
	cfg.Listen = strings.TrimPrefix(n.URL(), "http://")
	a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Equal(t, "listen_failed", fault.CodeOf(a.Run(t.Context())))
	require.NoError(t, n.stop())
}
