package tasks_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// world is a node with one tenant on a database, its store of tasks, and what
// a process has of the engine's background work.
type world struct {
	t      *testing.T
	db     *storage.DB
	url    string
	log    *timeline.Log
	eng    *engine.Engine
	node   *id.Node
	bus    *bus.Bus
	store  tasks.Store
	alert  followers.Alert // of tellers
	tenant timeline.Tenant
	owner  *id.Keys
}

// databases runs a test on both.
func databases(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) { test(newWorld(t, url)) }, backend.SQLite, backend.Postgres)
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{t: t, url: url, bus: bus.New()}
	var store timeline.Store
	w.db, store = backend.Open(t, url)
	var err error
	w.node, _, err = id.OpenNode(t.TempDir(), time.Now(), rand.Reader)
	require.NoError(t, err)
	dir := id.NewDirectory(w.db, id.FastVerifier(), time.Now)
	w.log = timeline.NewLog(store, w.node, id.FastVerifier(), timeline.Config{Folder: engine.Folder{}})
	w.eng = engine.New(w.log, dir, id.FastVerifier(), rules.Decide, w.node, w.bus, engine.Config{Logger: silent})
	w.store = taskstore.New(w.db)
	w.owner, err = id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	_, _, err = dir.Register(t.Context(), w.owner.Events(), "", "")
	require.NoError(t, err)
	w.tenant, err = w.eng.CreateTenant(t.Context(), "acme", "Acme", w.owner.ID(), false)
	require.NoError(t, err)
	return w
}

var silent = slog.New(slog.DiscardHandler)

// submit records a span of the owner's and gives its id.
func (w *world) submit(typ, payload string, change ...func(*span.Header)) (spanID string) {
	w.t.Helper()
	sealed := w.sealed(typ, payload, append(change, func(h *span.Header) { spanID = h.ID })...)
	r := w.eng.Submit(context.Background(), w.tenant.ID, sealed, engine.Options{})
	require.NoError(w.t, r.Err)
	return spanID
}

// sealed is a span of the owner's as the bytes to send.
func (w *world) sealed(typ, payload string, change ...func(*span.Header)) []byte {
	w.t.Helper()
	spanID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(w.t, err)
	h := span.Header{
		ID: spanID, Tenant: w.tenant.ID, Author: w.owner.ID(), Type: typ,
		Time: span.FormatTime(time.Now()), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, c := range change {
		c(&h)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	sp, err := id.SealSpan(w.owner.Signer(), h, []byte(payload), salt)
	require.NoError(w.t, err)
	return sp.Canonical()
}

// activate brings a contract into force.
func (w *world) activate(source string) {
	w.t.Helper()
	c, err := rules.Compile(source)
	require.NoError(w.t, err)
	payload, err := span.Canonical(span.Contract{Name: c.Name, Version: c.Version, Source: source, Hash: c.Hash.String(), Action: span.ActionActivate})
	require.NoError(w.t, err)
	w.submit(span.TypeContract, string(payload))
}

// echo emits a span for each test.ping.
const echo = `contract echo.pings version "1.0.0" {
	rule echo {
		on: "test.ping"
		then { emit "test.pong" { title: "pong" data: { n: data.n } } }
	}
}`

// entries reads the whole timeline.
func (w *world) entries() (out []timeline.Record) {
	w.t.Helper()
	_, size, err := w.log.Checkpoint(context.Background(), w.tenant.ID)
	require.NoError(w.t, err)
	for next := uint64(0); next < size; {
		var records []timeline.Record
		records, next, err = w.log.Entries(context.Background(), w.tenant.ID, next, size, standing.Everything())
		require.NoError(w.t, err)
		out = append(out, records...)
	}
	return out
}

// typed are the entries of a type.
func (w *world) typed(typ string) (out []timeline.Record) {
	for _, r := range w.entries() {
		if r.Entry.Span.Type == typ {
			out = append(out, r)
		}
	}
	return out
}

// process is the engine's background work in one process.
type process struct {
	worker   *tasks.Worker
	follower *tasks.Follower
	teller   *tasks.Teller
	stop     func()
}

// nodeSecret is what nobody but the node knows.
const nodeSecret = "of the node"

// start runs a process with these kinds, and emit, until it is stopped or the
// test ends.
func (w *world) start(cfg tasks.WorkerConfig, kinds ...tasks.Kind) *process {
	w.t.Helper()
	p := &process{}
	scribe := tasks.NewScribe(w.eng, w.log, w.node.ID(), []byte(nodeSecret))
	all := tasks.NewKinds(append(kinds, tasks.Kind{Name: rules.ActionEmit, Run: tasks.NewEmitter(w.log, scribe).Run})...)
	p.teller = tasks.NewTeller(w.store, scribe, tasks.TellerConfig{Log: silent, Poll: 20 * time.Millisecond, Alert: w.alert})
	cfg.Log, cfg.Settled = silent, p.teller.Wake
	p.worker = tasks.NewWorker(w.store, all, cfg)
	p.follower = tasks.NewFollower(w.log, w.store, all, w.bus, tasks.FollowerConfig{Log: silent, Made: p.worker.Wake})
	ctx, cancel := context.WithCancel(context.Background())
	telling, endTelling := context.WithCancel(context.Background())
	var work, teller sync.WaitGroup
	work.Go(func() { p.worker.Run(ctx) })
	work.Go(func() { p.follower.Run(ctx) })
	teller.Go(func() { p.teller.Run(telling) })
	p.stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
		endTelling()
		teller.Wait()
	})
	w.t.Cleanup(p.stop)
	return p
}

// add makes a task by request, of a kind.
func (w *world) add(kind string, change ...func(*tasks.Draft)) tasks.Key {
	w.t.Helper()
	originID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(w.t, err)
	k := tasks.NewKinds(tasks.Kind{Name: kind})[kind]
	d := k.Draft(originID, 0, kind, time.Now())
	for _, c := range change {
		c(&d)
	}
	require.NoError(w.t, w.store.Add(context.Background(), time.Now(), w.tenant.ID, d))
	return tasks.Key{Tenant: w.tenant.ID, Origin: originID}
}

// patience is how long a test waits for what must come.
const patience = time.Minute

// state waits until a task is in a state.
func (w *world) state(k tasks.Key, want tasks.State) (got tasks.Task) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		var err error
		got, err = w.store.Get(context.Background(), k)
		return err == nil && got.State == want
	}, patience, 5*time.Millisecond, "task %s is not %s", k.ID(), want)
	return got
}

func ping(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }
