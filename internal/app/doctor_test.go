package app

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/doctor"
	"github.com/danvoulez/logline/internal/secret"
)

// complaints are a report's findings that are not ok.
func complaints(r *doctor.Report) string {
	var out []string
	for _, f := range r.Findings {
		if f.State != doctor.OK {
			out = append(out, string(f.State)+" "+f.Check+": "+f.Found)
		}
	}
	return strings.Join(out, "\n")
}

// TestDangerousConfigurations: settings that are good one by one and bad together
// are told, each by itself; the defaults are told nothing of.
func TestDangerousConfigurations(t *testing.T) {
	t.Parallel()
	look := func(env map[string]string, args ...string) string {
		cfg, values, err := Load(sources(t, "", env, args...))
		require.NoError(t, err)
		r := &doctor.Report{}
		examineConfig(r, cfg, values)
		return complaints(r)
	}
	require.Empty(t, look(map[string]string{"LOGLINE_API_KEYS_MAX_LIFE": "17520h"}))
	require.Empty(t, look(map[string]string{"PORT": "80", "LOGLINE_HOSTS": "log.example.org", "LOGLINE_PROXY_TRUSTED": "10.0.0.1/32", "LOGLINE_PROXY_HEADER": "x-forwarded-for", "DATABASE_URL": "postgres://u:p@db.example.org/d?sslmode=verify-full"}))
	require.Empty(t, look(map[string]string{"DATABASE_URL": "postgres://u:p@127.0.0.1/d"}))
	require.Empty(t, look(map[string]string{"LOGLINE_PROXY_TRUSTED": "loopback", "LOGLINE_PUBLIC_URL": "https://log.example.org"}), "its name is that of its links")
	require.Empty(t, look(map[string]string{"PORT": "443", "LOGLINE_TLS_ACME": "log.example.org"}), "it speaks TLS itself")
	for want, env := range map[string]map[string]string{
		"can register identities":                           {"LOGLINE_LISTEN": ":80", "LOGLINE_REGISTRATION": "open"},
		"can register and make tenants":                     {"LOGLINE_LISTEN": ":80", "LOGLINE_REGISTRATION": "open", "LOGLINE_TENANTS": "open"},
		"it serves plain http on 0.0.0.0:80":                {"PORT": "80"},
		"it does not know what it is called":                {"LOGLINE_PROXY_TRUSTED": "loopback"},
		"proxy.trusted is every address":                    {"LOGLINE_PROXY_TRUSTED": "0.0.0.0/1,128.0.0.0/1", "LOGLINE_PROXY_HEADER": "x-forwarded-for"},
		"webhook.networks is every address":                 {"LOGLINE_WEBHOOK_NETWORKS": "10.1.0.0/16,::/0"},
		"webhooks may go over http://":                      {"LOGLINE_WEBHOOK_PLAIN": "true"},
		"the database is in memory":                         {"DATABASE_URL": "memory:"},
		"the log is at its loudest":                         {"LOGLINE_LOG_LEVEL": "debug"},
		"API keys may be made that never expire":            {"LOGLINE_API_KEYS_MAX_LIFE": "0s", "LOGLINE_API_KEYS_LIFE": "0s"},
		"the connection to the database at db.example.org ": {"DATABASE_URL": "postgres://u:p@db.example.org/d"},
	} {
		require.Contains(t, look(env), want)
	}
	text := look(nil, "--redis-url", "redis://u:hunter2@127.0.0.1:1")
	require.Contains(t, text, "fail configuration: the password in --redis-url can be read by everybody")
	require.NotContains(t, text, "hunter2")
}

// TestExamine: a node is examined beside its server; a database that is older than
// what was given out, a clock that is behind, files that others can read, and a
// bootstrap token that is spent are told.
func TestExamine(t *testing.T) {
	t.Parallel()
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.BootstrapToken = secret.New("a-bootstrap-token-of-a-test")
	examine := func(opt Options) string {
		r, err := Examine(t.Context(), cfg, opt, DoctorOptions{})
		require.NoError(t, err)
		return complaints(r)
	}
	require.Contains(t, examine(Options{}), "warn database: there is no database")
	require.NoDirExists(t, cfg.DataDir, "it makes nothing")
	n := start(t, cfg, nil)
	makeTenant(t, n, cfg.BootstrapToken.Reveal())
	text := examine(Options{})
	require.Contains(t, text, "warn bootstrap token: it is still set, and spent")
	require.Contains(t, text, "warn backup: logline backup has never been run")
	require.NotContains(t, text, "fail")
	r, err := Examine(t.Context(), cfg, Options{}, DoctorOptions{URL: n.URL()})
	require.NoError(t, err)
	require.NotContains(t, complaints(r), "server")
	require.NoError(t, n.stop())
	require.Contains(t, examine(Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }}), "fail clock: this machine's clock is 59 minutes behind")
}
