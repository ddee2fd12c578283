// Package app is the configuration of a node and the one place where its
// modules are wired together. It holds no behaviour of its own: what a module
// does is in the module, what the command line looks like is in cmd/logline.
package app

import (
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/lifecycle"
	"github.com/danvoulez/logline/internal/relay"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/storage"
)

// Config is what an operator may decide. The settings table (settings.go)
// holds the default, environment variables and description of each.
type Config struct {
	Listen         string        `mapstructure:"listen"`
	DataDir        string        `mapstructure:"data_dir"`
	DatabaseURL    string        `mapstructure:"database_url"`
	Timeline       string        `mapstructure:"timeline"`
	Mirror         string        `mapstructure:"mirror"`
	MirrorPayloads bool          `mapstructure:"mirror_payloads"`
	Search         string        `mapstructure:"search"`
	RedisURL       string        `mapstructure:"redis_url"`
	Relay          string        `mapstructure:"relay"`
	Modules        string        `mapstructure:"modules"`
	LogLevel       string        `mapstructure:"log_level"`
	LogFormat      string        `mapstructure:"log_format"`
	BootstrapToken secret.Text   `mapstructure:"bootstrap_token"`
	PublicURL      string        `mapstructure:"public_url"`
	Registration   string        `mapstructure:"registration"`
	Tenants        string        `mapstructure:"tenants"`
	APIKeys        APIKeys       `mapstructure:"api_keys"`
	Accounts       Accounts      `mapstructure:"accounts"`
	Sessions       Sessions      `mapstructure:"sessions"`
	OIDC           OIDC          `mapstructure:"oidc"`
	WitnessPolicy  string        `mapstructure:"witness_policy"`
	WitnessWait    time.Duration `mapstructure:"witness_wait"`
	DrainTimeout   time.Duration `mapstructure:"drain_timeout"`
	Rate           Rate          `mapstructure:"rate"`
	Quota          Quota         `mapstructure:"quota"`
	Limits         Limits        `mapstructure:"limits"`
	Feed           Feed          `mapstructure:"feed"`
	Tasks          Tasks         `mapstructure:"tasks"`
	Webhook        Webhook       `mapstructure:"webhook"`
	SMTP           SMTP          `mapstructure:"smtp"`
	Proxy          Proxy         `mapstructure:"proxy"`
	CORS           CORS          `mapstructure:"cors"`
	Hosts          string        `mapstructure:"hosts"`
	RequireOrigin  bool          `mapstructure:"require_origin"`
	TLS            TLS           `mapstructure:"tls"`
	Window         Window        `mapstructure:"window"`

	RegistrationDomains   string      `mapstructure:"registration_domains"`
	MasterKey             secret.Text `mapstructure:"master_key"`
	MasterKeyFile         string      `mapstructure:"master_key_file"`
	MasterKeyPrevious     secret.Text `mapstructure:"master_key_previous"`
	MasterKeyPreviousFile string      `mapstructure:"master_key_previous_file"`
}

// Limits bound what callers may send.
type Limits struct {
	Header             int `mapstructure:"header"`              // bytes of a span's header
	Payload            int `mapstructure:"payload"`             // bytes of a span's payload
	Bundle             int `mapstructure:"bundle"`              // bytes of an imported bundle
	Batch              int `mapstructure:"batch"`               // spans in one commit
	Queue              int `mapstructure:"queue"`               // spans waiting for one tenant
	QueueBytes         int `mapstructure:"queue_bytes"`         // bytes of them
	Concurrent         int `mapstructure:"concurrent"`          // HTTP requests at once
	Connections        int `mapstructure:"connections"`         // open at once
	ConnectionsAddress int `mapstructure:"connections_address"` // of one address
	Room               int `mapstructure:"room"`                // bytes of large bodies and answers at once
	Exports            int `mapstructure:"exports"`             // bundles read at once

	Feeds       int `mapstructure:"feeds"`        // live feeds at once
	FeedEntries int `mapstructure:"feed_entries"` // that a feed may fall behind
	FeedBytes   int `mapstructure:"feed_bytes"`   // of them, a tenant
	FeedSend    int `mapstructure:"feed_send"`    // bytes in the system's send buffer of one
}

// Feed is the pace of live feeds.
type Feed struct {
	Heartbeat time.Duration `mapstructure:"heartbeat"`
	Poll      time.Duration `mapstructure:"poll"`
	Stall     time.Duration `mapstructure:"stall"`
}

// Window is how far a span's time may be from the time it is recorded at.
type Window struct {
	Past   time.Duration `mapstructure:"past"`
	Future time.Duration `mapstructure:"future"`
}

// Values of Config.Registration, Config.Tenants and Config.Relay.
const (
	Auto   = "auto"
	Open   = "open"
	Closed = "closed"
	On     = "on"
	Off    = "off"
)

// OpenRegistration says whether anybody may register an identity with its
// signature alone.
func (c Config) OpenRegistration() bool { return c.Registers() == Open }

// Database is the URL of the database, with the default filled in.
func (c Config) Database() string {
	if c.DatabaseURL == "" {
		return "sqlite:" + filepath.Join(c.DataDir, "logline.db")
	}
	return c.DatabaseURL
}

// inMemory says whether the database ends with the process.
func (c Config) inMemory() bool {
	target, err := storage.Parse(c.Database())
	return err == nil && target.Memory
}

// databaseDir is the directory of the database file, "" when it is in memory
// or on a server.
func (c Config) databaseDir() string {
	target, err := storage.Parse(c.Database())
	if err != nil || target.Path == "" {
		return ""
	}
	return filepath.Dir(target.Path)
}

// LocalURL is where a server with this configuration is reached on its own
// machine.
func (c Config) LocalURL() (string, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return "", fault.New(fault.Invalid, "listen_unknown", "the server listens on any free port; set --listen, PORT or LOGLINE_LISTEN to the one it found")
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "::1"
	}
	return c.TLS.scheme() + "://" + net.JoinHostPort(host, port), nil
}

// checkListen is what is wrong with an address to listen on.
func checkListen(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "must be host:port, such as 127.0.0.1:8080"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return "the port must be a number from 0 (any free one) to 65535"
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			return "the host must be an IP address, localhost, or empty for every address"
		}
	}
	return ""
}

func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// tokenPattern is what a bootstrap token that an operator chooses may be. It
// has no dots, which tell a JWT from it.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{20,200}$`)

// check is what is wrong with one setting, "" when nothing is. Values have
// their type already.
func (c Config) check(key string) string {
	switch key {
	case "listen":
		return checkListen(c.Listen)
	case "data_dir":
		if c.DataDir == "" {
			return "must name a directory"
		}
	case "modules":
		if _, err := lifecycle.Select(c.Modules, Modules()); err != nil {
			return fault.From(err).Detail
		}
	case "database_url":
		if _, err := storage.Parse(c.Database()); err != nil {
			return fault.From(err).Detail
		}
	case "redis_url":
		if c.RedisURL != "" {
			if _, err := relay.NewRedis(c.RedisURL, ""); err != nil {
				return fault.From(err).Detail
			}
		}
	case "search":
		return oneOf(c.Search, On, Off)
	case "relay":
		return oneOf(c.Relay, Auto, Off)
	case "timeline":
		return c.checkTimeline()
	case "mirror":
		return c.checkMirror()
	case "log_level":
		return oneOf(c.LogLevel, "debug", "info", "warn", "error")
	case "log_format":
		return oneOf(c.LogFormat, "auto", "text", "json")
	case "registration":
		return oneOf(c.Registration, Auto, Open, Invite, Domain, Closed)
	case "registration_domains":
		return c.checkDomains()
	case "public_url":
		return checkPublicURL(c.PublicURL)
	case "tenants":
		return oneOf(c.Tenants, Open, Closed)
	case "bootstrap_token":
		if token := c.BootstrapToken.Reveal(); token != "" && (!tokenPattern.MatchString(token) || id.IsAPIKey(token) || account.IsToken(token)) {
			return "must have 20 to 200 letters, digits, _ and -, and not begin like an API key or a session's token; unset it to have one made"
		}
	case "master_key", "master_key_file", "master_key_previous", "master_key_previous_file":
		return c.checkMaster(key)
	case "api_keys.life":
		return within(c.APIKeys.Life, 0, longestLife)
	case "api_keys.max_life":
		return within(c.APIKeys.MaxLife, 0, longestLife)
	case "api_keys.overlap":
		return within(c.APIKeys.Overlap, time.Second, 365*24*time.Hour)
	case "accounts.password":
		return within(c.Accounts.Password, 8, 64)
	case "accounts.breached":
		if _, err := c.breached(); err != nil {
			return fault.From(err).Detail
		}
	case "oidc.providers":
		return c.checkOIDC()
	case "sessions.idle":
		return within(c.Sessions.Idle, 2*time.Minute, longestLife)
	case "sessions.life":
		return within(c.Sessions.Life, 15*time.Minute, longestLife)
	case "sessions.rotate":
		return within(c.Sessions.Rotate, time.Minute, longestLife)
	case "witness_policy":
		if _, err := c.witnesses(); err != nil {
			return fault.From(err).Detail
		}
	case "witness_wait":
		return within(c.WitnessWait, time.Second, 10*time.Minute)
	case "drain_timeout":
		return within(c.DrainTimeout, time.Second, time.Hour)
	case "rate.address", "rate.identity", "rate.key", "rate.tenant":
		if _, err := c.rate(key); err != nil {
			return err.Error()
		}
	case "quota.spans", "quota.storage", "quota.feeds", "quota.tasks", "quota.members":
		if _, err := c.quota(strings.TrimPrefix(key, "quota.")); err != nil {
			return fault.From(err).Detail
		}
	case "limits.header":
		return within(c.Limits.Header, 1024, 32<<10) // a line, decision included, is at most 65,535 bytes
	case "limits.payload":
		return within(c.Limits.Payload, 1024, 64<<20)
	case "limits.bundle":
		return within(c.Limits.Bundle, 1<<20, 1<<40)
	case "limits.batch":
		return within(c.Limits.Batch, 1, 100_000)
	case "limits.queue":
		return within(c.Limits.Queue, 1, 10_000_000)
	case "limits.queue_bytes":
		return within(c.Limits.QueueBytes, 1<<20, 16<<30)
	case "limits.room":
		return within(c.Limits.Room, 1<<20, 1<<40)
	case "limits.exports":
		return within(c.Limits.Exports, 1, 10_000)
	case "limits.feed_send":
		return within(c.Limits.FeedSend, 4<<10, 64<<20)
	case "feed.stall":
		return within(c.Feed.Stall, time.Second, 10*time.Minute)
	case "limits.concurrent":
		return within(c.Limits.Concurrent, 1, 1_000_000)
	case "limits.feeds":
		return within(c.Limits.Feeds, 1, 1_000_000)
	case "limits.feed_entries":
		return within(c.Limits.FeedEntries, 1, 10_000_000)
	case "limits.feed_bytes":
		return within(c.Limits.FeedBytes, 64<<10, 16<<30)
	case "feed.heartbeat":
		return within(c.Feed.Heartbeat, 100*time.Millisecond, 5*time.Minute)
	case "feed.poll":
		return within(c.Feed.Poll, 10*time.Millisecond, time.Minute)
	case "tasks.lease":
		return within(c.Tasks.Lease, time.Second, 10*time.Minute)
	case "tasks.slots":
		return within(c.Tasks.Slots, 1, 1000)
	case "proxy.trusted", "proxy.header":
		if _, err := c.Proxy.trusted(key); err != nil {
			return fault.From(err).Detail
		}
	case "tls.cert", "tls.key", "tls.acme", "tls.acme_email", "tls.acme_directory", "tls.redirect":
		return c.TLS.check(key)
	case "limits.connections":
		return within(c.Limits.Connections, 16, 1_000_000)
	case "limits.connections_address":
		return within(c.Limits.ConnectionsAddress, 1, 1_000_000)
	case "hosts":
		if _, err := httpapi.ParseHosts(c.Hosts); err != nil {
			return fault.From(err).Detail
		}
	case "cors.origins":
		if _, err := httpapi.ParseOrigins(c.CORS.Origins); err != nil {
			return fault.From(err).Detail
		}
	case "webhook.networks":
		if _, err := c.Webhook.networks(); err != nil {
			return fault.From(err).Detail
		}
	case "webhook.proxy":
		if _, err := c.Webhook.proxy(); err != nil {
			return fault.From(err).Detail
		}
	case "smtp.host", "smtp.port", "smtp.tls", "smtp.from", "smtp.user", "smtp.password", "smtp.password_file", "smtp.timeout":
		return c.SMTP.check(key)
	case "webhook.timeout":
		return within(c.Webhook.Timeout, time.Second, 50*time.Second) // a task has a minute
	case "window.past":
		return within(c.Window.Past, time.Second, 100*365*24*time.Hour)
	case "window.future":
		return within(c.Window.Future, time.Second, 24*time.Hour)
	}
	return ""
}
