package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/doctor"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// DoctorOptions say what Examine looks at.
type DoctorOptions struct {
	Values []Value // the settings with where they come from
	URL    string  // of a running server, "" for none
}

// Examine looks at a node's configuration, files, database and keys, and at its
// server where it is told of one. It changes nothing, and works beside running
// servers.
func Examine(ctx context.Context, cfg Config, opt Options, what DoctorOptions) (*doctor.Report, error) {
	opt = opt.filled()
	r := &doctor.Report{}
	begun := opt.Now()
	examineConfig(r, cfg, what.Values)
	r.Files(cfg.secretFiles(what.Values), cfg.folders())
	r.Disk(cfg.folders()...)
	if err := examineData(ctx, r, cfg, opt); err != nil {
		return r, err
	}
	if what.URL != "" {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
		if err := r.Server(ctx, client, what.URL, opt.Now); err != nil {
			return r, err
		}
	}
	if opt.Now().Before(begun) {
		r.Fail("clock", "keep the clock by NTP, which slews it", "it was put back while this ran")
	}
	return r, nil
}

// fromFile is the file that some of the settings with these names come from.
func fromFile(values []Value, keys ...string) string {
	for _, v := range values {
		if file, ok := strings.CutPrefix(v.Origin, "file "); ok && slices.Contains(keys, v.Key) && v.Value != "" {
			return file
		}
	}
	return ""
}

// secretFiles are the files with secrets of a node.
func (c Config) secretFiles(values []Value) []string {
	out := []string{
		filepath.Join(c.DataDir, id.NodeKeyFile), onboarding.TokenPath(c.DataDir), c.MasterKeyFile, c.MasterKeyPreviousFile, c.ownMasterPath(), c.TLS.Key,
		fromFile(values, "bootstrap_token", "master_key", "master_key_previous", "database_url", "redis_url", "webhook.proxy"),
	}
	if target, err := storage.Parse(c.Database()); err == nil && target.Path != "" {
		out = append(out, target.Path, target.Path+"-wal")
	}
	return out
}

// folders are those that a node keeps data in.
func (c Config) folders() []string {
	out := []string{c.DataDir, c.databaseDir(), c.timelineDir(), c.Mirror}
	return slices.DeleteFunc(out, func(path string) bool {
		info, err := os.Stat(path)
		return path == "" || err != nil || !info.IsDir()
	})
}

// examineConfig looks for settings that are good one by one and bad together.
func examineConfig(r *doctor.Report, c Config, values []Value) {
	before := len(r.Findings)
	const check = "configuration"
	public := !loopback(c.Listen)
	if public && c.OpenRegistration() {
		r.Warn(check, "set registration to closed, unless strangers shall have identities here", "anybody who reaches %s can register identities", c.Listen)
	}
	if public && c.Tenants == Open && c.OpenRegistration() {
		r.Fail(check, "close one of tenants and registration", "anybody who reaches %s can register and make tenants: the disk is theirs to fill", c.Listen)
	}
	if public && c.Proxy.Trusted == "" && !c.TLS.on() {
		r.Warn(check, "set tls.cert and tls.key or tls.acme, put a proxy that does TLS before it and name it in proxy.trusted, or listen on loopback alone", "it serves plain http on %s and trusts no proxy: tokens can be read on the way, and every client behind a proxy looks like one", c.Listen)
	}
	if c.nameless() {
		r.Warn(check, "set public_url, or hosts, to the names by which clients reach it", "it does not know what it is called: a hostile server can hand it tokens of people who signed in there, unless a proxy refuses other hosts")
	}
	if anyNetwork(c.Proxy.Trusted) {
		r.Fail(check, "name the proxies' own addresses", "proxy.trusted is every address: any client can say that it is another")
	}
	if strings.Contains(c.CORS.Origins, "*") {
		r.Warn(check, "name the pages that use the API", "cors.origins lets pages of every site use the API")
	}
	if anyNetwork(c.Webhook.Networks) {
		r.Fail(check, "name the networks where receivers are", "webhook.networks is every address: contracts reach this machine, its neighbours, and what clouds keep at 169.254.169.254")
	}
	if c.Webhook.Plain {
		r.Warn(check, "set webhook.plain to false", "webhooks may go over http://, where they can be read and changed")
	}
	if c.inMemory() {
		r.Warn(check, "set database_url, or leave it out for SQLite in the data directory", "the database is in memory, and ends with the server")
	}
	if c.LogLevel == "debug" {
		r.Warn(check, "set log_level to info", "the log is at its loudest, which costs time and room")
	}
	if c.APIKeys.MaxLife == 0 {
		r.Warn(check, "set api_keys.max_life", "API keys may be made that never expire")
	}
	if u, err := url.Parse(c.DatabaseURL); err == nil && strings.HasPrefix(u.Scheme, "postgres") && !loopback(hostOf(u)) && weakTLS(u) {
		r.Warn(check, "add sslmode=verify-full to database_url", "the connection to the database at %s need not be encrypted", u.Hostname())
	}
	for _, v := range values {
		if v.Origin == "flag --database-url" && v.Value != c.DatabaseURL || v.Origin == "flag --redis-url" && v.Value != c.RedisURL || v.Origin == "flag --webhook-proxy" && v.Value != c.Webhook.Proxy {
			r.Fail(check, "set it in the environment", "the password in %s can be read by everybody on the machine", strings.TrimPrefix(v.Origin, "flag "))
		}
	}
	if len(r.Findings) == before {
		r.OK(check, "it is valid, and nothing in it is known to be dangerous")
	}
}

// hostOf is a URL's host as an address to listen on, for loopback.
func hostOf(u *url.URL) string {
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "/") {
		return "localhost:0" // a socket
	}
	return strings.TrimSuffix(u.Host, ":"+u.Port()) + ":0"
}

// weakTLS says that a PostgreSQL URL lets the connection be unencrypted.
func weakTLS(u *url.URL) bool {
	switch u.Query().Get("sslmode") {
	case "require", "verify-ca", "verify-full":
		return false
	}
	return true
}

// anyNetwork says that one of the networks is the whole of IPv4 or IPv6, or a half.
func anyNetwork(list string) bool {
	for text := range strings.SplitSeq(list, ",") {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil && p.Bits() <= 1 {
			return true
		}
	}
	return false
}

// examineData looks at the database and what belongs to it.
func examineData(ctx context.Context, r *doctor.Report, cfg Config, opt Options) (err error) {
	if err := databaseExists(cfg); err != nil {
		r.Warn("database", "start the server once, or name the node's database", "%s", fault.From(err).Detail)
		return nil
	}
	target, err := storage.Parse(cfg.Database())
	if err != nil {
		return err
	}
	a := &App{cfg: cfg, opt: opt, log: opt.Log}
	defer func() { err = errors.Join(err, a.Close()) }()
	if a.db, err = storage.Open(ctx, cfg.Database()); err != nil {
		r.Fail("database", "see that it runs and that user, password and name are right", "%s", fault.From(err).Detail)
		return nil
	}
	r.Database(ctx, a.db, target.Path)
	if current, known, err := a.db.SchemaVersion(ctx); err != nil || current != known {
		return nil // what follows reads tables as this build knows them
	}
	now := opt.Now()
	a.examineTimelines(ctx, r, now)
	r.Work(ctx, a.db)
	if err := a.examineKeys(ctx, r, now); err != nil {
		return err
	}
	r.Backup(ctx, a.db, now)
	return nil
}

func (a *App) examineKeys(ctx context.Context, r *doctor.Report, now time.Time) error {
	node, err := a.owner(ctx)
	if err != nil {
		return err
	}
	var events [][]byte
	if info, err := id.NewDirectory(a.db, id.DefaultVerifier(), a.opt.Now).Get(ctx, node); err == nil {
		events = info.Events
	}
	r.Keys(ctx, a.db, now, events)
	sealing, err := id.ReadSealing(ctx, a.db)
	if err != nil {
		return err
	}
	masters, err := a.cfg.masters()
	if err != nil {
		return err
	}
	if len(masters) == 0 { // the data directory's own, if it has one
		if masters, err = a.cfg.keeping(); err != nil {
			return err
		}
		if len(masters) > 0 && len(sealing.Under) > 0 {
			r.Warn("master key file", "keep a copy of it apart from the backups, which do not hold it: docs/secrets.md", "keys in custody and second factors open with %s alone", a.cfg.ownMasterPath())
		}
	}
	var set []string
	for _, k := range masters {
		set = append(set, k.ID())
	}
	r.Sealing(sealing, now, set)
	if a.cfg.BootstrapToken.IsSet() {
		if first, err := onboarding.First(ctx, a.db); err == nil && first != "" {
			r.Warn("bootstrap token", "unset bootstrap_token", "it is still set, and spent")
		}
	}
	return nil
}

// examineTimelines compares the timelines with the checkpoints given out, and with
// the clock.
func (a *App) examineTimelines(ctx context.Context, r *doctor.Report, now time.Time) {
	const check = "checkpoints"
	if _, _, err := a.openStore(ctx); err != nil {
		r.Warn(check, "run this while the server is stopped", "the timelines cannot be read beside a running server: %s", fault.From(err).Detail)
		return
	}
	k, err := a.keeper()
	if err != nil {
		r.Fail(check, "see what the message says", "%s", fault.From(err).Detail)
		return
	}
	node, err := a.owner(ctx)
	if err == nil {
		err = k.Snapshot(ctx, func(snap timeline.Snapshot) error { return a.compareGiven(ctx, r, snap, node, now) })
	}
	if err != nil {
		r.Fail(check, "run logline fsck", "%s", fault.From(err).Detail)
	}
}

func (a *App) compareGiven(ctx context.Context, r *doctor.Report, snap timeline.Snapshot, node string, now time.Time) error {
	const check = "checkpoints"
	tenants, err := snap.Tenants(ctx)
	if err != nil {
		return err
	}
	last, own, noted, renewed := "", 0, 0, 0
	var older []string
	for _, t := range tenants {
		if t.Node != node {
			continue
		}
		own++
		head, _, err := snap.State(ctx, t.ID)
		if err != nil {
			return err
		}
		last = max(last, head.RecordedAt)
		if !strings.HasSuffix(t.Origin, "/0") {
			renewed++
		}
		given, err := timeline.GivenOut(a.notesDir(), t.ID)
		switch {
		case err != nil:
			r.Fail(check, "remove the file once you know why: a start writes it anew", "the note of the last checkpoint of %s cannot be read", t.Slug)
		case given != nil:
			noted++
			if given.Size > head.Size && given.Origin.String() == t.Origin {
				older = append(older, fmt.Sprintf("%s (%d entries, %d were given out)", t.Slug, head.Size, given.Size))
			}
		}
	}
	switch {
	case len(older) > 0:
		r.Fail(check, "bring the newer database back; if there is none, logline serve --new-epoch", "the database is older than what was given out: %s", strings.Join(older, ", "))
	case own > 0 && noted == 0:
		r.Warn(check, "keep the data directory on a disk that stays", "%s holds none: an older database would go unnoticed", a.notesDir())
	default:
		r.OK(check, "of %d timelines %d have the last one noted beside the database", own, noted)
	}
	if renewed > 0 {
		r.OK("epochs", "%d timelines go on under a later epoch: the database was set back once", renewed)
	}
	r.Clock(now, last)
	return nil
}
