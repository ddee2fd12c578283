package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
)

func keyFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestMasterKeyByFile(t *testing.T) {
	t.Parallel()
	one, another := masterKey(t, oneMaster), masterKey(t, anotherMaster)
	load := func(env map[string]string) ([]string, error) {
		cfg, values, err := Load(sources(t, "", env))
		shown := fmt.Sprintf("%v %+v %v", values, cfg, err)
		require.NotContains(t, shown, one)
		require.NotContains(t, shown, another)
		if err != nil {
			return nil, err
		}
		masters, err := cfg.masters()
		require.NoError(t, err)
		var ids []string
		for _, m := range masters {
			ids = append(ids, m.ID())
		}
		return ids, nil
	}
	byText, err := load(map[string]string{"LOGLINE_MASTER_KEY": one})
	require.NoError(t, err)
	require.Len(t, byText, 1)
	for _, mode := range []os.FileMode{0o600, 0o400} {
		ids, err := load(map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, one+"\n", mode)})
		require.NoError(t, err)
		require.Equal(t, byText, ids)
	}
	ids, err := load(map[string]string{"LOGLINE_MASTER_KEY": one, "LOGLINE_MASTER_KEY_FILE": keyFile(t, one, 0o600)})
	require.NoError(t, err)
	require.Equal(t, byText, ids, "both, and the same")
	ids, err = load(map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, one, 0o600), "LOGLINE_MASTER_KEY_PREVIOUS_FILE": keyFile(t, another, 0o600)})
	require.NoError(t, err)
	require.Len(t, ids, 2)
	require.Equal(t, byText[0], ids[0], "the newer one first")
	ids, err = load(map[string]string{"LOGLINE_MASTER_KEY": one, "LOGLINE_MASTER_KEY_PREVIOUS": one})
	require.NoError(t, err)
	require.Equal(t, byText, ids)

	for name, c := range map[string]struct {
		env  map[string]string
		says string
	}{
		"both, and different":     {map[string]string{"LOGLINE_MASTER_KEY": one, "LOGLINE_MASTER_KEY_FILE": keyFile(t, another, 0o600)}, "master_key_file: the master key in .* is not the one that is set as text"},
		"not there":               {map[string]string{"LOGLINE_MASTER_KEY_FILE": "/nowhere/key"}, "master_key_file: the master key file /nowhere/key is not there"},
		"not a key":               {map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, "hunter2", 0o600)}, "master_key_file: the content of .* must be 32 random bytes"},
		"empty":                   {map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, "", 0o600)}, "must be 32 random bytes"},
		"a weak key":              {map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0o600)}, "no random ones"},
		"an earlier one alone":    {map[string]string{"LOGLINE_MASTER_KEY_PREVIOUS": one}, "master_key_previous: is the key before the master key, and no master key is set"},
		"an earlier file alone":   {map[string]string{"LOGLINE_MASTER_KEY_PREVIOUS_FILE": keyFile(t, one, 0o600)}, "master_key_previous_file: is the key before"},
		"an earlier one, no key":  {map[string]string{"LOGLINE_MASTER_KEY": one, "LOGLINE_MASTER_KEY_PREVIOUS": "short"}, "master_key_previous: must be 32 random bytes"},
		"earlier ones, different": {map[string]string{"LOGLINE_MASTER_KEY": one, "LOGLINE_MASTER_KEY_PREVIOUS": one, "LOGLINE_MASTER_KEY_PREVIOUS_FILE": keyFile(t, another, 0o600)}, "master_key_previous_file: the master key in"},
	} {
		_, err := load(c.env)
		require.Equal(t, "config_invalid", fault.CodeOf(err), name)
		require.Regexp(t, c.says, err.Error(), name)
	}
	if runtime.GOOS != "windows" {
		_, err := load(map[string]string{"LOGLINE_MASTER_KEY_FILE": keyFile(t, one, 0o644)})
		require.ErrorContains(t, err, "can be read or changed by everybody on this machine (mode 0644); run chmod 600")
	}
}

// TestConfigPrintsNoSecret: a configuration that ends up in a log or an error
// says everything but what is secret.
func TestConfigPrintsNoSecret(t *testing.T) {
	t.Parallel()
	const planted = "planted0secret0of0a0test"
	cfg := Defaults()
	cfg.MasterKey, cfg.MasterKeyPrevious, cfg.BootstrapToken = secret.New(planted), secret.New(planted), secret.New(planted)
	cfg.DatabaseURL, cfg.RedisURL = "postgres://u:"+planted+"@h/d?sslpassword="+planted, "redis://u:"+planted+"@h:1"
	cfg.Webhook.Proxy = "http://u:" + planted + "@proxy:1"
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("m", "config", cfg, "pointer", &cfg)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", cfg, &cfg, []Config{cfg})
	}
	require.NotContains(t, out.String(), planted)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", planted))
	require.Contains(t, out.String(), "u:xxxxx@proxy:1")
	require.Contains(t, out.String(), "127.0.0.1:8080")
	require.Contains(t, cfg.DatabaseURL, planted, "what is printed is a copy")
}
