package engine_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// clock stands still until a test moves it.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is a node with one tenant, its owner, and an engine over a store.
type world struct {
	*engine.Engine
	t      testing.TB
	clock  *clock
	db     *storage.DB
	url    string
	store  timeline.Store
	log    *timeline.Log
	dir    *id.Directory
	node   *id.Node
	bus    *bus.Bus
	tenant timeline.Tenant
	owner  *id.Keys
	folder timeline.Folder
	home   func(context.Context) (string, error)
	random io.Reader
}

type setup struct {
	cfg     engine.Config
	decider engine.Decider
	folder  timeline.Folder
	wrap    func(timeline.Store) timeline.Store
	dir     func(*id.Directory) engine.Directory
	nodeDir string    // of the node's keys; a temporary one when empty
	random  io.Reader // keys, ids and salts; real randomness when nil
	owner   *id.Keys  // somebody new when nil
	url     string    // of the database; in memory when empty
}

// stores runs a test over every store.
func stores(t *testing.T, run func(t *testing.T, s setup)) {
	t.Helper()
	backend.Each(t, func(t *testing.T, url string) { run(t, setup{url: url}) })
}

// databases runs a test over every store that several processes can share.
func databases(t *testing.T, run func(t *testing.T, s setup)) {
	t.Helper()
	backend.Each(t, func(t *testing.T, url string) { run(t, setup{url: url}) }, backend.SQLite, backend.Postgres)
}

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: newClock(), bus: bus.New(), folder: s.folder, home: s.cfg.Home, random: s.random}
	if w.random == nil {
		w.random = rand.Reader
	}
	if w.folder == nil {
		w.folder = engine.Folder{}
	}
	s.url = cmp.Or(s.url, "memory:")
	w.db, w.store = backend.Open(t, s.url)
	w.url = s.url
	if s.wrap != nil {
		w.store = s.wrap(w.store)
	}
	if s.nodeDir == "" {
		s.nodeDir = t.TempDir()
	}
	var err error
	w.node, _, err = id.OpenNode(s.nodeDir, w.clock.now(), w.random)
	require.NoError(t, err)
	w.dir = id.NewDirectory(w.db, id.FastVerifier(), w.clock.now)
	w.log = w.newLog()
	w.Engine = w.newEngine(s, w.log)
	if w.owner = s.owner; w.owner == nil {
		w.owner = w.identity()
	} else {
		w.register(w.owner)
	}
	w.tenant, err = w.CreateTenant(ctx, "acme", "Acme", w.owner.ID(), false)
	require.NoError(t, err)
	return w
}

func (w *world) newLog() *timeline.Log {
	return timeline.NewLog(w.store, w.node, id.FastVerifier(), timeline.Config{Now: w.clock.now, Folder: w.folder})
}

func (w *world) newEngine(s setup, log *timeline.Log) *engine.Engine {
	cfg := s.cfg
	cfg.Now = w.clock.now
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if s.decider == nil {
		s.decider = rules.Decide
	}
	var dir engine.Directory = w.dir
	if s.dir != nil {
		dir = s.dir(w.dir)
	}
	return engine.New(log, dir, id.FastVerifier(), s.decider, w.node, w.bus, cfg)
}

// identity registers a new person.
func (w *world) identity() *id.Keys {
	w.t.Helper()
	keys, err := id.NewKeys(id.SubjectPerson, w.clock.now(), w.random)
	require.NoError(w.t, err)
	w.register(keys)
	return keys
}

func (w *world) register(keys *id.Keys) {
	w.t.Helper()
	_, _, err := w.dir.Register(context.Background(), keys.Events(), "", "")
	require.NoError(w.t, err)
}

// member registers a person and grants roles by the owner.
func (w *world) member(roles ...string) *id.Keys {
	w.t.Helper()
	keys := w.identity()
	w.grant(keys, roles...)
	return keys
}

func (w *world) grant(keys *id.Keys, roles ...string) {
	w.t.Helper()
	r := w.submit(w.member_(w.owner, keys.ID(), span.ActionGrant, roles...))
	require.NoError(w.t, r.Err)
}

// member_ is a logline.member span by author, sealed.
func (w *world) member_(author *id.Keys, identity, action string, roles ...string) []byte {
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: roles, Action: action})
	require.NoError(w.t, err)
	return w.seal(author, payload, func(h *span.Header) { h.Type = span.TypeMember })
}

// seal makes a span of author's as the bytes to send.
func (w *world) seal(author *id.Keys, payload []byte, change ...func(*span.Header)) []byte {
	return w.sealBy(author.Signer(), author.ID(), payload, change...)
}

func (w *world) sealBy(s id.Signer, author string, payload []byte, change ...func(*span.Header)) []byte {
	w.t.Helper()
	return w.sealIn(w.tenant.ID, s, author, payload, change...)
}

func (w *world) sealIn(tenant string, s id.Signer, author string, payload []byte, change ...func(*span.Header)) []byte {
	w.t.Helper()
	spanID, err := span.RandomID(w.clock.now(), w.random)
	require.NoError(w.t, err)
	h := span.Header{
		ID: spanID, Tenant: tenant, Author: author, Type: "test.happened",
		Time: span.FormatTime(w.clock.now()), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, c := range change {
		c(&h)
	}
	salt := make([]byte, 16)
	_, err = io.ReadFull(w.random, salt)
	require.NoError(w.t, err)
	sp, err := id.SealSpan(s, h, payload, salt)
	require.NoError(w.t, err)
	return sp.Canonical()
}

// note is an ordinary span of author's.
func (w *world) note(author *id.Keys, n int) []byte {
	return w.seal(author, fmt.Appendf(nil, `{"n":%d}`, n))
}

func (w *world) submit(raw []byte) engine.Result {
	return w.Submit(context.Background(), w.tenant.ID, raw, engine.Options{})
}

func (w *world) size() uint64 {
	w.t.Helper()
	_, size, err := w.log.Checkpoint(context.Background(), w.tenant.ID)
	require.NoError(w.t, err)
	return size
}

// entries reads a whole timeline.
func (w *world) entries(tenant string) []span.Entry {
	w.t.Helper()
	var out []span.Entry
	_, size, err := w.log.Checkpoint(context.Background(), tenant)
	require.NoError(w.t, err)
	for uint64(len(out)) < size {
		records, err := w.store.Range(context.Background(), tenant, uint64(len(out)), size)
		require.NoError(w.t, err)
		require.NotEmpty(w.t, records)
		for _, r := range records {
			e, err := span.ParseLine(r.Line)
			require.NoError(w.t, err)
			require.Equal(w.t, uint64(len(out)), e.Seq)
			out = append(out, *e)
		}
	}
	return out
}

func spanOf(t testing.TB, raw []byte) *span.Span {
	t.Helper()
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(t, err)
	return sp
}

func requireCode(t testing.TB, code string, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
}
