package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/cloudevents"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/backtests"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/cosign"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/webhook"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

var randReader = rand.Reader

const bootstrapToken = "llb_for-tests-only-1234567890"

// clock stands still until a test moves it.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is a real server over real modules and SQLite, with one tenant and its
// owner. Every answer it gives is held against the API's document.
type world struct {
	t      testing.TB
	url    string
	server http.Handler // what url leads to
	http   *http.Client // validates
	clock  *clock
	dir    *id.Directory
	node   *id.Node
	store  timeline.Store
	log    *timeline.Log
	engine *engine.Engine
	tasks  tasks.Store
	board  *followers.Board
	gate   *movingGate
	own    *admin.Timeline
	db     *storage.DB
	book   *quota.Book
	quotas *quota.Tenants

	accounts  *account.Service
	passkeys  *passkey.Service
	oidc      *oidc.Service
	backtests *backtests.Service
	owner     *id.Keys
	tenant    client.Tenant
}

type maker struct {
	*engine.Engine
	*timeline.Log
}

// invitedTo is the timelines as invitations use them.
type invitedTo maker

func (m invitedTo) Append(ctx context.Context, tenant string, raw []byte) (bool, error) {
	r := m.Engine.Submit(ctx, tenant, raw, engine.Options{})
	return r.Decision.Outcome == span.OutcomePending, r.Err
}

func (m invitedTo) Embed(ctx context.Context, identity string, event []byte) error {
	_, _, err := m.Engine.EmbedEvent(ctx, identity, event)
	return err
}

// setup changes the server before it is made.
type setup func(*httpapi.Deps)

func newWorld(t testing.TB, changes ...setup) *world {
	t.Helper()
	w := newNode(t, changes...)
	w.owner = w.identity()
	w.tenant = w.newTenant(bootstrapToken, "acme", false)
	return w
}

// newNode is a world without a tenant.
func newNode(t testing.TB, changes ...setup) *world {
	t.Helper()
	return newWitnessedNode(t, nil, changes...)
}

// newWitnessedNode is newNode with the witnesses of a policy.
func newWitnessedNode(t testing.TB, witnesses *policy.Policy, changes ...setup) *world {
	t.Helper()
	db, store := backend.Open(t, backend.URL(t, database(t)))
	return newNodeOn(t, db, store, func(d *id.Directory) engine.Directory { return d }, witnesses, changes...)
}

// newNodeOn is a node on a store, whose engine sees the directory through asked.
func newNodeOn(t testing.TB, db *storage.DB, store timeline.Store, asked func(*id.Directory) engine.Directory, witnesses *policy.Policy, changes ...setup) *world {
	t.Helper()
	node, _, err := id.OpenNode(t.TempDir(), newClock().now(), rand.Reader)
	require.NoError(t, err)
	return newProcess(t, node, db, store, asked, witnesses, changes...)
}

// newProcess is newNodeOn for a node that there is.
func newProcess(t testing.TB, node *id.Node, db *storage.DB, store timeline.Store, asked func(*id.Directory) engine.Directory, witnesses *policy.Policy, changes ...setup) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: newClock(), node: node, store: store, db: db}
	verify := id.FastVerifier()
	w.dir = id.NewDirectory(db, verify, w.clock.now)
	book := cosign.New(db, w.store, cosign.Config{Policy: witnesses})
	w.log = timeline.NewLog(w.store, w.node, verify, timeline.Config{Now: w.clock.now, Witnesses: book, Folder: engine.Folder{}})
	wakes := bus.New()
	w.gate = new(movingGate)
	w.tasks = taskstore.New(db)
	w.book = quota.NewBook(db, nil, w.clock.now)
	silent := slog.New(slog.DiscardHandler)
	w.quotas = quota.NewTenants(db, w.book, quota.NewMeter(db, w.store, silent, w.clock.now), ratelimit.NewMemory(w.clock.now, 1000), tallies{w}, silent)
	w.engine = engine.New(w.log, asked(w.dir), verify, rules.Decide, w.node, wakes, engine.Config{Now: w.clock.now, Logger: slog.New(slog.DiscardHandler), Gate: w.gate, Quotas: w.quotas})
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	service := onboarding.New(db, maker{w.engine, w.log}, onboarding.Config{DataDir: t.TempDir(), Token: bootstrapToken, OpenTenants: true})
	_, _, err = service.FirstRun(ctx)
	require.NoError(t, err)

	sealing, err := w.node.SealingKey()
	require.NoError(t, err)
	sender := webhook.New(webhook.Config{Plain: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Now: w.clock.now})
	w.board = followers.New(db, followers.Config{Now: w.clock.now, Log: slog.New(slog.DiscardHandler)})
	functions := tasks.NewFunctions(w.tasks, func() {}, func(context.Context) (time.Time, error) { return w.clock.now(), nil }, rand.Reader)
	w.backtests = backtests.New(w.log, rulebook.New(w.log), w.tasks, functions)
	require.NoError(t, functions.Register("engine", w.backtests.TaskKind(), w.backtests.ReplayKind()))
	w.own = admin.New(admin.NewBook(db, w.clock.now), w.engine, w.log, admin.Config{
		Node: w.node.ID(), Logger: slog.New(slog.DiscardHandler), Home: func(ctx context.Context) (string, error) { return onboarding.First(ctx, db) },
	})
	custody := id.NewCustody(db, id.Masters{master}, w.dir, w.node.ID(), w.clock.now, rand.Reader)
	w.accounts = account.New(db, w.dir, custody, id.NewSecrets(db, id.Masters{master}, rand.Reader), account.Config{
		Now: w.clock.now, Hash: argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}, // one that costs nothing: what it costs has its own test
	})
	w.passkeys = passkey.New(db, w.dir, w.accounts, passkey.Config{Pages: passkey.Pages{Here: true}, Now: w.clock.now})
	w.oidc, err = oidc.New(db, w.accounts, oidc.Config{Now: w.clock.now})
	require.NoError(t, err)
	deps := httpapi.Deps{
		Engine: w.engine, Log: w.log, Contracts: rulebook.New(w.log), Tasks: w.tasks, Backtests: w.backtests, Directory: w.dir, Onboarding: service, Node: w.node,
		Webhooks: endpoint.New(db, sealing, sender, w.clock.now, rand.Reader), Followers: w.board,
		Tickets: ticket.New(db, w.clock.now, nil),
		Flow: flow.New(flow.Deps{
			DB: db, Directory: asked(w.dir).(flow.Directory), Custody: custody, Founder: service, Log: w.log, Acts: admin.NewBook(db, w.clock.now),
			Append: func(ctx context.Context, tenant string, raw []byte) error {
				return w.engine.Submit(ctx, tenant, raw, engine.Options{}).Err
			},
			Tell: w.own.Tell,
		}, flow.Config{Secret: []byte("of the tests"), Now: w.clock.now}),
		Custody: custody, Accounts: w.accounts, Passkeys: w.passkeys, OIDC: w.oidc, APIKeys: id.NewAPIKeys(db, w.clock.now, rand.Reader, id.APIKeyConfig{}), Events: cloudevents.NewRecorder(custody, w.engine, w.log, w.clock.now),
		Admin:       admin.Office{Timeline: w.own, Accounts: w.accounts},
		Invitations: invite.New(db, invitedTo{w.engine, w.log}, w.dir, custody, invite.Config{Now: w.clock.now, Rand: rand.Reader}),
		Gate:        w.gate, Quotas: w.quotas, Wakes: wakes, OpenRegistration: true, Now: w.clock.now, Modules: []string{"id", "timeline", "rules", "engine", "onboarding", "httpapi"},
		Version: httpapi.Version{Version: "0.1.0", Go: "go1.26"},
	}
	for _, change := range changes {
		change(&deps)
	}
	w.server = httpapi.New(deps).Handler()
	server := httptest.NewServer(w.server)
	t.Cleanup(server.Close)
	w.url = server.URL
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: spectest.Transport(t, transport)}
	return w
}

// identity makes a person and registers it over HTTP.
func (w *world) identity() *id.Keys {
	w.t.Helper()
	keys := w.keys()
	w.register(keys)
	return keys
}

// keys makes a person that the node does not know.
func (w *world) keys() *id.Keys {
	w.t.Helper()
	keys, err := id.NewKeys(id.SubjectPerson, w.clock.now(), rand.Reader)
	require.NoError(w.t, err)
	return keys
}

func (w *world) register(keys *id.Keys) {
	w.t.Helper()
	_, _, err := w.dir.Register(context.Background(), keys.Events(), "", "")
	require.NoError(w.t, err)
}

func (w *world) newTenant(token, slug string, public bool) client.Tenant {
	w.t.Helper()
	var out client.Tenant
	w.post("/v1/tenants", token, client.NewTenant{Slug: slug, Name: "A tenant", Owner: w.owner.ID(), PublicReading: public}).
		want(w.t, http.StatusCreated).decode(w.t, &out)
	return out
}

// member registers a person and has the owner grant it roles.
func (w *world) member(roles ...string) *id.Keys {
	w.t.Helper()
	keys := w.identity()
	w.append(w.grant(keys.ID(), roles...)).want(w.t, http.StatusCreated)
	return keys
}

func (w *world) grant(identity string, roles ...string) []byte {
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: roles, Action: span.ActionGrant})
	require.NoError(w.t, err)
	return w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })
}

// token is a credential of keys for this node.
func (w *world) token(keys *id.Keys) string {
	w.t.Helper()
	if keys == nil {
		return ""
	}
	tok, err := id.SignToken(keys.Signer(), keys.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(w.t, err)
	return tok
}

// seal makes a span of author's in the world's tenant, as the bytes to send.
func (w *world) seal(author *id.Keys, payload []byte, change ...func(*span.Header)) []byte {
	w.t.Helper()
	return w.sealBy(author.Signer(), author.ID(), payload, change...)
}

func (w *world) sealBy(s id.Signer, author string, payload []byte, change ...func(*span.Header)) []byte {
	w.t.Helper()
	spanID, err := span.RandomID(w.clock.now(), rand.Reader)
	require.NoError(w.t, err)
	h := span.Header{
		ID: spanID, Tenant: w.tenant.Id, Author: author, Type: "test.happened", Time: span.FormatTime(w.clock.now()),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, c := range change {
		c(&h)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	sp, err := id.SealSpan(s, h, payload, salt)
	require.NoError(w.t, err)
	return sp.Canonical()
}

// note is an ordinary span.
func (w *world) note(author *id.Keys, n int, change ...func(*span.Header)) []byte {
	return w.seal(author, fmt.Appendf(nil, `{"n":%d}`, n), change...)
}

func visible(v string) func(*span.Header) { return func(h *span.Header) { h.Visibility = v } }

func spanID(t testing.TB, raw []byte) string {
	t.Helper()
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(t, err)
	return sp.ID
}

// reply is an answer read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) want(t testing.TB, status int) reply {
	t.Helper()
	require.Equal(t, status, r.status, "%s", r.body)
	return r
}

// problem expects a problem of a code with a status.
func (r reply) problem(t testing.TB, status int, code string) client.Problem {
	t.Helper()
	r.want(t, status)
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
	var p client.Problem
	require.NoError(t, json.Unmarshal(r.body, &p))
	require.Equal(t, code, p.Code, "%s", r.body)
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, r.header.Get("X-Request-Id"), p.Instance)
	return p
}

func (r reply) decode(t testing.TB, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, into), "%s", r.body)
}

func (w *world) do(req *http.Request) reply {
	w.t.Helper()
	resp, err := w.http.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return reply{resp.StatusCode, resp.Header, body}
}

func (w *world) request(method, path, token, contentType string, body io.Reader) *http.Request {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, body)
	require.NoError(w.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req
}

func (w *world) get(path, token string) reply {
	w.t.Helper()
	return w.do(w.request(http.MethodGet, path, token, "", nil))
}

func (w *world) post(path, token string, body any) reply {
	w.t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(w.t, err)
	}
	return w.do(w.request(http.MethodPost, path, token, "application/json", bytes.NewReader(raw)))
}

// at is a path of the world's tenant.
func (w *world) at(path string) string { return "/v1/tenants/" + w.tenant.Id + path }

// size is how many entries the timeline has.
func (w *world) size() uint64 {
	w.t.Helper()
	var tenant client.Tenant
	w.get(w.at(""), w.token(w.owner)).want(w.t, http.StatusOK).decode(w.t, &tenant)
	return tenant.Size
}

func (w *world) append(raw []byte) reply {
	w.t.Helper()
	return w.post(w.at("/spans"), "", raw)
}

func (w *world) appendLines(lines ...[]byte) reply {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", bytes.NewReader(bytes.Join(lines, []byte("\n")))))
}

// results are the lines of an NDJSON answer.
func (r reply) results(t testing.TB) []client.LineResult {
	t.Helper()
	require.Equal(t, "application/x-ndjson", r.header.Get("Content-Type"))
	var out []client.LineResult
	for line := range strings.Lines(string(r.body)) {
		var l client.LineResult
		require.NoError(t, json.Unmarshal([]byte(line), &l), "%s", line)
		out = append(out, l)
	}
	return out
}

// noMaster is custody on a node without a master key.
func noMaster(t testing.TB, d *httpapi.Deps) httpapi.Custody {
	t.Helper()
	db, err := storage.Open(context.Background(), "memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(context.Background()))
	return id.NewCustody(db, nil, id.NewDirectory(db, id.FastVerifier(), d.Now), d.Node.ID(), d.Now, rand.Reader)
}
