package app

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

func masterKey(t *testing.T, seed string) string {
	t.Helper()
	text, err := id.NewMasterKey(strings.NewReader(strings.Repeat(seed, 2)))
	require.NoError(t, err)
	return text
}

const (
	oneMaster     = "0123456789abcdefghijklmnopqrstuv!"
	anotherMaster = "vutsrqponmlkjihgfedcba9876543210?"
)

// TestProcessesAreOneNode: with a master key, processes with data directories
// of their own and one database are the same node, before and after its key
// rotates; no key is on a disk.
func TestProcessesAreOneNode(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			processesAreOneNode(t, database(t))
		})
	}
}

func processesAreOneNode(t *testing.T, shared string) {
	t.Helper()
	process := func(master string) Config {
		cfg := config(filepath.Join(t.TempDir(), "data"))
		cfg.DatabaseURL, cfg.MasterKey = shared, secret.New(master)
		return cfg
	}
	first, second := process(masterKey(t, oneMaster)), process(masterKey(t, oneMaster))
	a := start(t, first, nil)
	b := start(t, second, nil)
	require.Equal(t, a.NodeID(), b.NodeID())
	require.Contains(t, a.logs.String(), "node keys made and sealed in the database")
	require.NotContains(t, b.logs.String(), "node keys made")
	for _, cfg := range []Config{first, second} {
		require.NoFileExists(t, filepath.Join(cfg.DataDir, id.NodeKeyFile))
		require.NotContains(t, a.logs.String()+b.logs.String(), cfg.MasterKey.Reveal())
	}
	token, err := os.ReadFile(onboarding.TokenPath(second.DataDir))
	require.NoError(t, err)
	makeTenant(t, b, strings.TrimSpace(string(token)))

	wrong := process(masterKey(t, anotherMaster))
	app, err := New(t.Context(), wrong, Options{Log: slog.New(slog.DiscardHandler)})
	require.Equal(t, "master_key_wrong", fault.CodeOf(err))
	require.Nil(t, app)
	_, err = New(t.Context(), process(""), Options{Log: slog.New(slog.DiscardHandler)})
	require.Equal(t, "master_key_required", fault.CodeOf(err))

	require.NoError(t, a.stop())
	l := &logs{}
	rotating, err := New(t.Context(), first, Options{Log: slog.New(slog.NewTextHandler(l, nil)), RotateKey: true})
	require.NoError(t, err)
	r := run(t, rotating, l)
	require.Equal(t, b.NodeID(), r.NodeID())
	require.Contains(t, l.String(), "node key rotated, in the database")
	require.Len(t, r.node.Events(), 4)
	status, body := b.ask(t, "GET", "/readyz", "", "")
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, r.stop())
	require.NoError(t, b.stop())
}

func TestKeyFileIsSealed(t *testing.T) {
	t.Parallel()
	cfg := config(filepath.Join(t.TempDir(), "data"))
	n := start(t, cfg, nil)
	node := n.NodeID()
	require.NoError(t, n.stop())
	cfg.MasterKey = secret.New(masterKey(t, oneMaster))
	n = start(t, cfg, nil)
	require.Equal(t, node, n.NodeID())
	require.Contains(t, n.logs.String(), "node keys sealed in the database")
	require.NoError(t, n.stop())
	require.FileExists(t, filepath.Join(cfg.DataDir, id.NodeKeyFile))

	cfg.MasterKey = secret.Text{}
	n = start(t, cfg, nil)
	require.Contains(t, n.logs.String(), "LOGLINE_MASTER_KEY is not set")
	require.NoError(t, n.stop())

	// A database in memory forgets, so the file is all there is.
	cfg.MasterKey, cfg.DatabaseURL = secret.New(masterKey(t, oneMaster)), "memory:"
	n = start(t, cfg, nil)
	require.Equal(t, node, n.NodeID())
	require.NoError(t, n.stop())
}

func TestMasterKeySetting(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"too short": "must be 32 random bytes",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA": "no random ones",
	} {
		_, values, err := Load(sources(t, "", map[string]string{"LOGLINE_MASTER_KEY": text}))
		require.Equal(t, "config_invalid", fault.CodeOf(err))
		require.ErrorContains(t, err, "master_key: ")
		require.ErrorContains(t, err, reason)
		require.ErrorContains(t, err, "openssl rand -base64 32")
		require.NotContains(t, err.Error(), text)
		require.Equal(t, "(set, not shown)", value(t, values, "master_key").Value)
	}
	_, _, err := Load(sources(t, "", map[string]string{"LOGLINE_MASTER_KEY": masterKey(t, oneMaster)}))
	require.NoError(t, err)
}
