package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/lifecycle"
)

// sources makes Sources of a file, an environment and a command line.
func sources(t *testing.T, file string, env map[string]string, args ...string) Sources {
	t.Helper()
	dir := t.TempDir()
	if file != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, FileName), []byte(file), 0o600))
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags)
	require.NoError(t, flags.Parse(args))
	return Sources{Dir: dir, Flags: flags, Getenv: func(name string) string { return env[name] }}
}

func value(t *testing.T, values []Value, key string) Value {
	t.Helper()
	for _, v := range values {
		if v.Key == key {
			return v
		}
	}
	require.Fail(t, "no setting "+key)
	return Value{}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, values, err := Load(Sources{})
	require.NoError(t, err)
	require.Equal(t, cfg, Defaults())
	require.Equal(t, Config{
		Listen: "127.0.0.1:8080", DataDir: "./logline-data", Search: On, Relay: Auto, Modules: "all", LogLevel: "info", LogFormat: "auto",
		Registration: "auto", Tenants: "closed", WitnessWait: 10 * time.Second, DrainTimeout: 25 * time.Second,
		Limits: Limits{Header: 16384, Payload: 1 << 20, Bundle: 64 << 20, Batch: 1000, Queue: 10000, QueueBytes: 64 << 20, Concurrent: 1024, Room: 256 << 20, Exports: 32, Connections: 8192, ConnectionsAddress: 512,
			Feeds: 2048, FeedEntries: 16_384, FeedBytes: 64 << 20, FeedSend: 256 << 10},
		Quota:    Quota{Off, Off, Off, Off, Off},
		Rate:     Rate{Auto, Auto, Auto, Auto},
		APIKeys:  APIKeys{Life: 365 * 24 * time.Hour, MaxLife: 2 * 365 * 24 * time.Hour, Overlap: 30 * 24 * time.Hour},
		Accounts: Accounts{Password: 15}, Sessions: Sessions{Idle: 7 * 24 * time.Hour, Life: 30 * 24 * time.Hour, Rotate: time.Hour},
		Feed:  Feed{Heartbeat: 15 * time.Second, Poll: time.Second, Stall: 30 * time.Second},
		Tasks: Tasks{Lease: 30 * time.Second, Slots: 64}, Webhook: Webhook{Timeout: 20 * time.Second}, SMTP: SMTP{Port: 587, TLS: "starttls", Timeout: 20 * time.Second},
		Window: Window{Past: 7 * 24 * time.Hour, Future: 5 * time.Minute},
	}, cfg)
	require.Equal(t, "sqlite:logline-data/logline.db", cfg.Database())
	for _, v := range values {
		require.Equal(t, "default", v.Origin)
	}
}

func TestWitnessPolicyIsReadAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const north = "witness north witness.north.example+592deaf4+BKgpcUVjQujsfK6WsjuTSFrr7QrF6ZkBXn1FECSVMlUE\n"
	for path, complaint := range map[string]string{
		filepath.Join(dir, "missing"):           "does not exist",
		file("none", "quorum none\n"):           "names no witness",
		file("bad", north+"quorum south\n"):     "line 2 of the policy: no line before this one defines",
		file("good", north+"quorum north\n"):    "",
		file("large", strings.Repeat("#", 1e5)): "larger than",
	} {
		cfg, _, err := Load(sources(t, "", map[string]string{"LOGLINE_WITNESS_POLICY": path}))
		if complaint != "" {
			require.ErrorContains(t, err, "witness_policy")
			require.ErrorContains(t, err, complaint)
			continue
		}
		require.NoError(t, err)
		p, err := cfg.witnesses()
		require.NoError(t, err)
		require.Equal(t, "north", p.Quorum())
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := "listen: 127.0.0.1:1\nlog_level: warn\nlimits:\n  payload: 2048\n  batch: 7\nwindow: {past: 24h}\n"
	env := map[string]string{"LOGLINE_LISTEN": "127.0.0.1:2", "LOGLINE_LIMITS_PAYLOAD": "4096", "PORT": "9"}
	src := sources(t, file, env, "--listen=127.0.0.1:3")
	cfg, values, err := Load(src)
	require.NoError(t, err)
	path := filepath.Join(src.Dir, FileName)
	for key, want := range map[string][2]string{
		"listen":         {"127.0.0.1:3", "flag --listen"},
		"limits.payload": {"4096", "environment LOGLINE_LIMITS_PAYLOAD"},
		"log_level":      {"warn", "file " + path},
		"limits.batch":   {"7", "file " + path},
		"window.past":    {"24h", "file " + path},
		"limits.header":  {"16384", "default"},
	} {
		got := value(t, values, key)
		require.Equal(t, want, [2]string{got.Value, got.Origin}, key)
	}
	require.Equal(t, Limits{Header: 16384, Payload: 4096, Bundle: 64 << 20, Batch: 7, Queue: 10000, QueueBytes: 64 << 20, Concurrent: 1024, Room: 256 << 20, Exports: 32, Connections: 8192, ConnectionsAddress: 512, Feeds: 2048, FeedEntries: 16_384, FeedBytes: 64 << 20, FeedSend: 256 << 10}, cfg.Limits)
	require.Equal(t, 24*time.Hour, cfg.Window.Past)
	require.Equal(t, 5*time.Minute, cfg.Window.Future)

	cfg, values, err = Load(sources(t, file, env))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:2", cfg.Listen, "LOGLINE_LISTEN says more than PORT")
	require.Equal(t, "environment LOGLINE_LISTEN", value(t, values, "listen").Origin)
}

func TestPlatformVariables(t *testing.T) {
	t.Parallel()
	cfg, values, err := Load(sources(t, "", map[string]string{
		"PORT": "3000", "DATABASE_URL": "memory:", "REDIS_URL": "redis://u:secret@h:6379",
	}))
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:3000", cfg.Listen)
	require.False(t, cfg.OpenRegistration())
	require.Empty(t, cfg.databaseDir())
	require.Equal(t, "environment DATABASE_URL", value(t, values, "database_url").Origin)
	require.Equal(t, "redis://u:xxxxx@h:6379", value(t, values, "redis_url").Value)
}

func TestConfigFileByName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "other.yml")
	require.NoError(t, os.WriteFile(path, []byte("log_level: debug\n"), 0o600))
	cfg, _, err := Load(sources(t, "log_level: warn\n", nil, "--config", path))
	require.NoError(t, err)
	require.Equal(t, "debug", cfg.LogLevel)
	cfg, _, err = Load(sources(t, "", map[string]string{"LOGLINE_CONFIG": path}))
	require.NoError(t, err)
	require.Equal(t, "debug", cfg.LogLevel)
	_, _, err = Load(sources(t, "", nil, "--config", path+".missing"))
	require.Equal(t, "config_unreadable", fault.CodeOf(err))
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	_, values, err := Load(sources(t, "bootstrap_token: secret-secret-secret-secret\n", nil))
	require.NoError(t, err)
	require.Equal(t, "(set, not shown)", value(t, values, "bootstrap_token").Value)
	_, values, err = Load(sources(t, "", map[string]string{
		"DATABASE_URL": "postgres://u:secret@h/d", "LOGLINE_BOOTSTRAP_TOKEN": "secret", "REDIS_URL": ":secret@%%",
	}))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	for _, v := range values {
		require.NotContains(t, v.Value, "secret")
	}
}

func TestWrongValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, env, want string }{
		{file: "listn: 127.0.0.1:1\n", want: "config_invalid: listn: no such setting (from file"},
		{file: "limits:\n  paylod: 1\n", want: "config_invalid: limits.paylod: no such setting"},
		{file: "limits: 5\n", want: "config_invalid: limits: no such setting"},
		{file: "limits:\n  payload: many\n", want: `config_invalid: limits.payload: cannot be read: "many" is not a whole number (from file`},
		{file: "limits:\n  payload: 1\n", want: "config_invalid: limits.payload: must be from 1024 to 67108864"},
		{file: "limits:\n  header: [1]\n", want: "config_invalid: limits.header: cannot be read: it has the wrong type"},
		{file: "window:\n  past: long\n", want: "config_invalid: window.past: cannot be read: it must be a duration such as 30s"},
		{file: "drain_timeout: 0s\n", want: "config_invalid: drain_timeout: must be from 1s to 1h0m0s"},
		{file: "listen: 8080\n", want: "config_invalid: listen: must be host:port"},
		{file: "listen: 'example.com:80'\n", want: "config_invalid: listen: the host must be an IP address"},
		{file: "log_level: loud\n", want: "config_invalid: log_level: must be one of debug, info, warn, error"},
		{file: "modules: id,htpapi\n", want: `config_invalid: modules: there is no module "htpapi"; known: id, timeline, rules, engine, onboarding, httpapi, or all`},
		{file: "proxy:\n  trusted: 0.0.0.0/0\n", want: "config_invalid: proxy.trusted: must not trust every address"},
		{file: "proxy:\n  header: X-Client\n", want: "config_invalid: proxy.header: must be X-Forwarded-For"},
		{file: "cors:\n  origins: '*'\n", want: "config_invalid: cors.origins: must be exact origins"},
		{file: "public_url: log.example.com\n", want: "config_invalid: public_url: must be https://host or http://host"},
		{file: "public_url: https://log.example.com/?a=b\n", want: "config_invalid: public_url: must be https://host or http://host"},
		{file: "registration: domain\n", want: "config_invalid: registration_domains: registration is domain: name the domains"},
		{file: "registration: domain\nregistration_domains: example.org\n", want: "config_invalid: registration_domains: registration is domain, which mails codes: set smtp.host"},
		{file: "registration: invite\nregistration_domains: ana@example.org\n", want: "config_invalid: registration_domains: must be domains"},
		{file: "oidc:\n  providers: a.yaml\n", want: "config_invalid: oidc.providers: providers send people back to where they reach the server: set public_url"},
		{file: "listen: 0.0.0.0:1\npublic_url: http://log.example.com\noidc:\n  providers: a.yaml\n", want: "config_invalid: oidc.providers: providers send people back to where they reach the server: set public_url"},
		{file: "public_url: https://log.example.com\noidc:\n  providers: /nowhere/a.yaml\n", want: "config_invalid: oidc.providers: /nowhere/a.yaml: cannot be read"},
		{file: "registration: anybody\n", want: "config_invalid: registration: must be one of auto, open, invite, domain, closed"},
		{file: "smtp:\n  host: mail.example.com\n", want: "config_invalid: smtp.from: must be an address such as log@example.com"},
		{file: "smtp:\n  host: mail.example.com\n  from: Log <log@example.com>\n", want: "config_invalid: smtp.from: must be an address such as log@example.com"},
		{file: "smtp:\n  host: mail.example.com\n  from: log@example.com\n  tls: \"off\"\n", want: "config_invalid: smtp.tls: off is for a mail server on this machine"},
		{file: "smtp:\n  host: 127.0.0.1\n  from: log@example.com\n  password_file: a\n", want: "config_invalid: smtp.password_file: goes with smtp.user"},
		{file: "tls:\n  cert: a.pem\n", want: "config_invalid: tls.key: tls.cert and tls.key go together"},
		{file: "tls:\n  cert: a.pem\n  key: b.pem\n  acme: log.example.com\n", want: "config_invalid: tls.acme: certificates come from files (tls.cert) or by ACME (tls.acme), not both"},
		{file: "tls:\n  acme: '*.example.com'\n", want: "config_invalid: tls.acme: must be domains"},
		{file: "tls:\n  redirect: ':80'\n", want: "config_invalid: tls.redirect: there is no TLS to lead to"},
		{file: "limits:\n  connections: 1\n", want: "config_invalid: limits.connections: must be from 16"},
		{file: "database_url: mysql://x\n", want: `config_invalid: database_url: the database URL has the unknown scheme "mysql"`},
		{file: "database_url: postgres://x:y\n", want: "config_invalid: database_url: the PostgreSQL URL cannot be read"},
		{file: "bootstrap_token: short\n", want: "config_invalid: bootstrap_token: must have 20 to 200 letters"},
		{env: "PORT=http", want: "config_invalid: listen: the port must be a number from 0 (any free one) to 65535 (from environment PORT)"},
		{env: "LOGLINE_DRAIN_TIMEOUT=soon", want: "config_invalid: drain_timeout: cannot be read: it must be a duration such as 30s, 5m or 168h (from environment LOGLINE_DRAIN_TIMEOUT)"},
	} {
		env := map[string]string{}
		if c.env != "" {
			name, text, _ := strings.Cut(c.env, "=")
			env[name] = text
		}
		_, _, err := Load(sources(t, c.file, env))
		require.Equal(t, "config_invalid", fault.CodeOf(err), "%s%s", c.file, c.env)
		require.ErrorContains(t, err, c.want)
	}
	_, _, err := Load(sources(t, "listen: [\n", nil))
	require.Equal(t, "config_unreadable", fault.CodeOf(err))

	_, _, err = Load(sources(t, "log_level: loud\nlisten: x\n", nil))
	require.Len(t, fault.From(err).Fields, 2, "every fault is named at once")
}

func TestRegistrationIsOpenOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for listen, open := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:1": true, "[::1]:1": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false,
	} {
		require.Equal(t, open, Config{Listen: listen, Registration: Auto}.OpenRegistration(), listen)
		require.True(t, Config{Listen: listen, Registration: Open}.OpenRegistration())
		require.False(t, Config{Listen: listen, Registration: Closed}.OpenRegistration())
		require.False(t, Config{Listen: listen, Registration: Auto, Proxy: Proxy{Trusted: "loopback"}}.OpenRegistration(), "a proxy brings others")
	}
}

func TestModulesFitTogether(t *testing.T) {
	t.Parallel()
	all, err := lifecycle.Select(lifecycle.All, Modules())
	require.NoError(t, err)
	require.Len(t, all, len(Modules()))
	for _, m := range all {
		require.NotEmpty(t, m.About)
	}
}
