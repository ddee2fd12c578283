package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzLoadFile: a configuration file is taken or refused as a whole, and what
// was taken means the same when it comes from the environment as it is printed.
func FuzzLoadFile(f *testing.F) {
	for _, file := range []string{
		"", "listen: 127.0.0.1:1\nlimits: {payload: 2048}\n", "window:\n  past: 24h\n", "drain_timeout: 30s", "limits.batch: 7",
		"database_url: sqlite:/x\nbootstrap_token: llb_0123456789012345678901\n", "listen: [1]", "a: b", "- 1", "\t", "limits: 3", "limits: {batch: 1e2}",
		"modules: id,timeline\nregistration: open\ntenants: open\nlog_format: json\nlog_level: debug",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		cfg, values, err := Load(Sources{Dir: dir})
		if err != nil {
			require.Contains(t, []string{"config_invalid", "config_unreadable"}, fault.CodeOf(err))
			return
		}
		env := map[string]string{}
		byKey := map[string]setting{}
		for _, s := range settings {
			byKey[s.key] = s
		}
		require.Len(t, values, len(settings))
		for _, v := range values {
			require.Contains(t, []string{"default", "file " + path}, v.Origin)
			s := byKey[v.Key]
			if s.secret || s.isURL { // printed without what is secret in them
				continue
			}
			env[s.env()] = v.Value
		}
		again, _, err := Load(Sources{Getenv: func(name string) string { return env[name] }})
		require.NoError(t, err, "%v", env)
		again.DatabaseURL, again.RedisURL, again.Webhook.Proxy = cfg.DatabaseURL, cfg.RedisURL, cfg.Webhook.Proxy
		again.BootstrapToken, again.MasterKey, again.MasterKeyPrevious = cfg.BootstrapToken, cfg.MasterKey, cfg.MasterKeyPrevious
		require.Equal(t, cfg, again, "%v", env)
	})
}
