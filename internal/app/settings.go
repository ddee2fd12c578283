package app

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/danvoulez/logline/internal/mail"
)

// setting is one line of the configuration: where it may come from and what
// it means.
type setting struct {
	key     string   // in the file; LOGLINE_KEY in the environment, --key as a flag
	value   any      // default
	also    []string // further environment variables, after LOGLINE_KEY
	secret  bool     // never shown, and no flag: other users see command lines
	isURL   bool     // shown without its password
	meaning string
}

// settings is every setting, in the order they are shown.
var settings = []setting{
	{key: "listen", value: "127.0.0.1:8080", also: []string{"PORT"}, meaning: "address to serve on; PORT=n means 0.0.0.0:n"},
	{key: "data_dir", value: "./logline-data", meaning: "directory of keys, token and database, made with mode 0700"},
	{key: "database_url", value: "", also: []string{"DATABASE_URL"}, isURL: true, meaning: "postgres://user:password@host:5432/database, sqlite:<path> or memory:; empty for SQLite in the data directory"},
	{key: "timeline", value: "", meaning: "ndjson:<folder> to keep timelines as plain files; empty for the database"},
	{key: "mirror", value: "", meaning: "folder to write every timeline's lines to as it grows, as NDJSON files; empty for none"},
	{key: "mirror_payloads", value: false, meaning: "mirror payloads too: true or false; redactions erase them there as well"},
	{key: "search", value: On, meaning: "index the words of timelines in the database, behind the appends: on or off"},
	{key: "redis_url", value: "", also: []string{"REDIS_URL"}, isURL: true, meaning: "redis://… for wake-ups between processes and rates counted together; empty for none, or PostgreSQL's wake-ups"},
	{key: "relay", value: Auto, meaning: "wake-ups between processes: auto (by Redis where redis_url is set, else by PostgreSQL) or off"},
	{key: "modules", value: "all", meaning: "modules to run, separated by commas; see --list-modules"},
	{key: "log_level", value: "info", meaning: "debug, info, warn or error"},
	{key: "log_format", value: "auto", meaning: "text, json, or auto: text on a terminal"},
	{key: "bootstrap_token", value: "", secret: true, meaning: "token for the first tenant; empty to have one made in the data directory"},
	{key: "master_key", value: "", secret: true, meaning: "32 random bytes, base64 or hex, that seal keys in the database; `logline config master-key` makes one"},
	{key: "master_key_file", value: "", meaning: "file that holds the master key, readable by the user of the server alone; instead of master_key"},
	{key: "master_key_previous", value: "", secret: true, meaning: "the master key before it, while `logline keys rotate-master` is not done"},
	{key: "master_key_previous_file", value: "", meaning: "file that holds it; instead of master_key_previous"},
	{key: "public_url", value: "", meaning: "where people reach the server, as https://log.example.com, for the links that it gives; empty: whoever makes a link says by what address"},
	{key: "registration", value: Auto, meaning: "who may register an identity: open (anybody), invite (who is invited to a tenant), domain (and who has an address of registration_domains), closed (nobody), or auto: open on loopback alone, invite elsewhere"},
	{key: "tenants", value: Closed, meaning: "tenants after the first may be made by anybody registered: open or closed"},
	{key: "api_keys.life", value: "8760h", meaning: "how long an API key lasts for which nobody asks an end; 0s for ever"},
	{key: "api_keys.max_life", value: "17520h", meaning: "longest that an API key may be asked to last; 0s for no bound"},
	{key: "api_keys.overlap", value: "720h", meaning: "longest that an API key may stay good beside the one that took its place"},
	{key: "accounts.password", value: 15, meaning: "characters that a password has at least"},
	{key: "accounts.breached", value: "", meaning: "file or folder of stolen passwords that nobody may choose: SHA-1 hashes as they are published, or passwords line by line; empty for none"},
	{key: "sessions.idle", value: "168h", meaning: "how long a session lasts in which nothing is done"},
	{key: "sessions.life", value: "720h", meaning: "how long a session lasts at most"},
	{key: "sessions.rotate", value: "1h", meaning: "how old the token of a browser's session gets before another takes its place"},
	{key: "witness_policy", value: "", meaning: "file that names the witnesses whose cosignatures are taken, and how many are enough (C2SP tlog-policy)"},
	{key: "witness_wait", value: "10s", meaning: "longest wait for their cosignatures, by appends with wait=witnessed"},
	{key: "drain_timeout", value: "25s", meaning: "time for everything to finish at shutdown"},
	{key: "rate.address", value: Auto, meaning: "requests, spans and checks by one address: off, 200/s, 200/s:1000 with the burst, or auto: off on loopback, 4000/s:40000 elsewhere"},
	{key: "rate.identity", value: Auto, meaning: "requests and spans by one identity, likewise; auto is 2000/s:20000"},
	{key: "rate.key", value: Auto, meaning: "the same by one key or API key; auto is 2000/s:20000"},
	{key: "rate.tenant", value: Auto, meaning: "the same in one tenant by its members; auto is 10000/s:100000"},
	{key: "quota.spans", value: Off, meaning: "spans a second of each tenant, on the average of ten, unless it has a quota of its own; off for no bound"},
	{key: "quota.storage", value: Off, meaning: "bytes of each tenant's lines, payloads and details, as 10GiB; off for no bound"},
	{key: "quota.feeds", value: Off, meaning: "live feeds of each tenant open at one process; off for no bound but limits.feeds"},
	{key: "quota.tasks", value: Off, meaning: "tasks of each tenant that wait; off for no bound"},
	{key: "quota.members", value: Off, meaning: "identities that hold a role in each tenant; off for no bound"},
	{key: "limits.header", value: 16 << 10, meaning: "bytes of a span's header"},
	{key: "limits.payload", value: 1 << 20, meaning: "bytes of a span's payload"},
	{key: "limits.bundle", value: 64 << 20, meaning: "bytes of an imported bundle; taking it needs several times as much memory"},
	{key: "limits.batch", value: 1000, meaning: "spans in one commit"},
	{key: "limits.queue", value: 10_000, meaning: "spans waiting for one tenant"},
	{key: "limits.queue_bytes", value: 64 << 20, meaning: "bytes of them"},
	{key: "limits.concurrent", value: 1024, meaning: "HTTP requests served at once"},
	{key: "limits.connections", value: 8192, meaning: "connections open at once; beyond, the one that has asked for nothing for longest is closed"},
	{key: "limits.connections_address", value: 512, meaning: "connections of one address at once, of IPv6 of 64 bits; trusted proxies and this machine have as many as they like"},
	{key: "limits.room", value: 256 << 20, meaning: "bytes of bodies and answers beyond 64 KiB each that are in memory at once"},
	{key: "limits.exports", value: 32, meaning: "bundles read at once, each with a page of up to 8 MiB in memory"},
	{key: "limits.feeds", value: 2048, meaning: "live feeds open at once"},
	{key: "limits.feed_entries", value: 16_384, meaning: "entries a feed may fall behind before it is closed"},
	{key: "limits.feed_bytes", value: 64 << 20, meaning: "bytes kept for feeds that fall behind, for each tenant followed"},
	{key: "limits.feed_send", value: 256 << 10, meaning: "bytes that the system may hold of what a feed's client has not taken yet"},
	{key: "feed.heartbeat", value: "15s", meaning: "time between heartbeats of a live feed"},
	{key: "feed.poll", value: "1s", meaning: "time between looks for entries that no wake-up told of"},
	{key: "feed.stall", value: "30s", meaning: "how long a feed's client may take nothing before it is cut off"},
	{key: "tasks.lease", value: "30s", meaning: "after how long without a heartbeat a task of a process that ended runs again"},
	{key: "tasks.slots", value: 64, meaning: "tasks that a process runs at once"},
	{key: "webhook.networks", value: "", meaning: "networks that webhooks may call beside the public internet, as 10.1.0.0/16, separated by commas"},
	{key: "webhook.plain", value: false, meaning: "let webhooks go to http:// addresses too: true or false"},
	{key: "webhook.proxy", value: "", isURL: true, meaning: "http:// or https:// proxy that all webhooks go through; the environment's is not asked"},
	{key: "webhook.timeout", value: "20s", meaning: "longest that one attempt to deliver a webhook takes"},
	{key: "smtp.host", value: "", meaning: "mail server for invitations and codes; empty: nothing is mailed, and links are shown to who invites"},
	{key: "smtp.port", value: 587, meaning: "its port: 587 with starttls, 465 with tls"},
	{key: "smtp.tls", value: mail.STARTTLS, meaning: "starttls, tls (from the first byte), or off for a server on this machine; nothing is sent where it fails"},
	{key: "smtp.from", value: "", meaning: "address that mail comes from, as log@example.com"},
	{key: "smtp.user", value: "", meaning: "user name at the mail server; empty where it asks for none"},
	{key: "smtp.password", value: "", secret: true, meaning: "password there"},
	{key: "smtp.password_file", value: "", meaning: "file that holds it, readable by the user of the server alone; instead of smtp.password"},
	{key: "smtp.timeout", value: "20s", meaning: "longest that handing over one message takes"},
	{key: "registration_domains", value: "", meaning: "domains whose addresses may register where registration is domain, by a mailed code, as example.com,example.org"},
	{key: "oidc.providers", value: "", meaning: "file that names the providers by whose word people may sign in (OpenID Connect), in YAML; with public_url; empty for none"},
	{key: "proxy.trusted", value: "", meaning: "proxies whose word about clients is taken: networks as 10.1.0.0/16, addresses, loopback, private or railway, separated by commas; empty for none"},
	{key: "proxy.header", value: "", meaning: "the one header it is read from: X-Forwarded-For, Forwarded or X-Real-IP; empty for X-Real-IP from railway, X-Forwarded-For from others"},
	{key: "hosts", value: "", meaning: "names by which clients reach the node, as log.example.com, separated by commas: tokens that were made for others are refused; with that of public_url; neither: the certificate's, or whatever is asked for"},
	{key: "require_origin", value: false, meaning: "refuse tokens that do not say for which address they were made, as older clients make them: true or false"},
	{key: "tls.cert", value: "", meaning: "file of the certificate to speak TLS with, those between it and its authority behind it; with tls.key"},
	{key: "tls.key", value: "", meaning: "file of its key, closed to others; both are read again when they change"},
	{key: "tls.acme", value: "", meaning: "domains to get certificates for from an authority (ACME), separated by commas; to set it is to accept the authority's terms"},
	{key: "tls.acme_email", value: "", meaning: "address for the authority to write to; empty for none"},
	{key: "tls.acme_directory", value: "", meaning: "URL of the authority's directory; empty for Let's Encrypt"},
	{key: "tls.redirect", value: "", meaning: "address, as :80, to lead http:// to https:// from, and to answer the authority on; empty for none"},
	{key: "cors.origins", value: "", meaning: "origins of the pages that may use the API from a browser, as https://app.example.com, separated by commas; empty for the server's own alone"},
	{key: "window.past", value: "168h", meaning: "how far a span's time may lie before the time it is recorded"},
	{key: "window.future", value: "5m", meaning: "how far a span's time may lie after the time it is recorded"},
}

func (s setting) flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(s.key) }

func (s setting) env() string {
	return "LOGLINE_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// shown is a value as it may be printed.
func (s setting) shown(value any) string {
	text := fmt.Sprint(value)
	switch {
	case text == "":
		return ""
	case s.secret:
		return "(set, not shown)"
	case s.isURL:
		if u, err := url.Parse(text); err == nil && (u.Host != "" || u.Scheme == "sqlite" || u.Scheme == "memory") {
			redact(u)
			return u.Redacted()
		}
		return "(set, not shown)" // not a URL, so nobody knows where the password is
	default:
		return text
	}
}

// redact puts something in the place of passwords among a URL's parameters, and
// says whether there were any.
func redact(u *url.URL) (found bool) {
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Set(name, "xxxxx")
			u.RawQuery, found = q.Encode(), true
		}
	}
	return found
}

// hasPassword says whether a URL holds a password, or may: it cannot be read.
func hasPassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return true
	}
	_, set := u.User.Password()
	return set || redact(u)
}

// AddFlags adds one flag for each setting that may be given on a command line,
// and --config, which names the file.
func AddFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration file (default logline.yaml where it exists)")
	for _, s := range settings {
		if !s.secret {
			flags.String(s.flag(), fmt.Sprint(s.value), s.meaning)
		}
	}
}

// AddDataFlags adds the flags that say where a node's data is.
func AddDataFlags(flags *pflag.FlagSet) { addSome(flags, "data_dir", "database_url", "timeline") }

// AddCopyFlags adds those, and the flags that say where a copy of it is kept.
func AddCopyFlags(flags *pflag.FlagSet) {
	addSome(flags, "data_dir", "database_url", "timeline", "mirror", "mirror_payloads")
}

// AddMasterFlags adds the flags that say where a node's data is, and its master keys.
func AddMasterFlags(flags *pflag.FlagSet) {
	addSome(flags, "data_dir", "database_url", "master_key_file", "master_key_previous_file")
}

// AddServerFlags adds the flags that say where a node serves.
func AddServerFlags(flags *pflag.FlagSet) {
	addSome(flags, "listen", "tls.cert", "tls.key", "tls.acme")
}

func addSome(flags *pflag.FlagSet, keys ...string) {
	flags.String("config", "", "configuration file (default logline.yaml where it exists)")
	for _, s := range settings {
		if slices.Contains(keys, s.key) {
			flags.String(s.flag(), fmt.Sprint(s.value), s.meaning)
		}
	}
}

func oneOf(value string, allowed ...string) string {
	if slices.Contains(allowed, value) {
		return ""
	}
	return "must be one of " + strings.Join(allowed, ", ")
}

func within[T cmp.Ordered](value, low, high T) string {
	if value >= low && value <= high {
		return ""
	}
	return fmt.Sprintf("must be from %v to %v", low, high)
}
