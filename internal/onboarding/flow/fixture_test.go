package flow

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const bootstrap = "llb_for-tests-only-1234567890"

// world is one process of a node with real modules, whose stores can be made to fail.
type world struct {
	*Sessions
	t       testing.TB
	now     *atomic.Int64 // Unix milliseconds
	faults  *storetest.Faults
	sql     *storage.DB
	node    *id.Node
	dir     *id.Directory
	custody *id.Custody
	log     *timeline.Log
	own     *admin.Timeline
	engine  *engine.Engine
}

func (w *world) clock() time.Time { return time.UnixMilli(w.now.Load()).UTC() }

type maker struct {
	*engine.Engine
	*timeline.Log
}

// newWorld is a node on a database. It has a tenant, so that further ones are open.
func newWorld(t testing.TB, url string) *world {
	t.Helper()
	db, store := backend.Open(t, url)
	node, _, err := id.OpenNode(t.TempDir(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), rand.Reader)
	require.NoError(t, err)
	w := newProcess(t, node, db, store, Config{})
	owner, err := id.NewKeys(id.SubjectPerson, w.clock(), rand.Reader)
	require.NoError(t, err)
	_, _, err = w.dir.Register(t.Context(), owner.Events(), "", "")
	require.NoError(t, err)
	_, err = w.Founder.CreateTenant(t.Context(), bootstrap, "first", "First", owner.ID(), false)
	require.NoError(t, err)
	return w
}

// newProcess is a process of a node that there is.
func newProcess(t testing.TB, node *id.Node, db *storage.DB, store timeline.Store, c Config) *world {
	t.Helper()
	w := &world{t: t, now: new(atomic.Int64), faults: &storetest.Faults{}, sql: db, node: node}
	w.now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	verify := id.FastVerifier()
	w.dir = id.NewDirectory(db, verify, w.clock)
	w.log = timeline.NewLog(storetest.NewFaultyStore(store, w.faults), node, verify, timeline.Config{Now: w.clock, Folder: engine.Folder{}})
	silent := slog.New(slog.DiscardHandler)
	w.engine = engine.New(w.log, w.dir, verify, rules.Decide, node, bus.New(), engine.Config{Now: w.clock, Logger: silent})
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	w.custody = id.NewCustody(db, id.Masters{master}, w.dir, node.ID(), w.clock, rand.Reader)
	founder := onboarding.New(db, maker{w.engine, w.log}, onboarding.Config{DataDir: t.TempDir(), Token: bootstrap, OpenTenants: true})
	_, _, err = founder.FirstRun(t.Context())
	require.NoError(t, err)
	book := admin.NewBook(db, w.clock)
	w.own = admin.New(book, w.engine, w.log, admin.Config{
		Node: node.ID(), Logger: silent, Home: func(ctx context.Context) (string, error) { return onboarding.First(ctx, db) },
	})
	c.Now, c.Secret = w.clock, []byte("of the tests")
	w.Sessions = New(Deps{
		DB: db, Directory: faultyDirectory{w}, Custody: faultyCustody{w}, Founder: founder, Log: w.log, Acts: book, Tell: w.own.Tell,
		Append: func(ctx context.Context, tenant string, raw []byte) error {
			return w.engine.Submit(ctx, tenant, raw, engine.Options{}).Err
		},
	}, c)
	w.Sessions.db = faultyDatabase{w.Sessions.db, w.faults}
	return w
}

// The stores beside the timelines', with a fault for each method.
type faultyDatabase struct {
	database
	f *storetest.Faults
}

func (d faultyDatabase) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return d.f.Call(ctx, "InTx", func(ctx context.Context) error { return d.database.InTx(ctx, fn) })
}

func (d faultyDatabase) read(ctx context.Context, id string, now time.Time) (*row, error) {
	return storetest.CallFor(ctx, d.f, "read", func(ctx context.Context) (*row, error) { return d.database.read(ctx, id, now) })
}

type faultyDirectory struct{ w *world }

func (d faultyDirectory) Register(ctx context.Context, events [][]byte, handle, name string) (info id.Info, made bool, err error) {
	info, err = storetest.CallFor(ctx, d.w.faults, "Directory.Register", func(ctx context.Context) (id.Info, error) {
		info, made, err = d.w.dir.Register(ctx, events, handle, name)
		return info, err
	})
	return info, made, err
}

func (d faultyDirectory) Chain(ctx context.Context, identity string) (*id.Chain, error) {
	return storetest.CallFor(ctx, d.w.faults, "Directory.Chain", func(ctx context.Context) (*id.Chain, error) { return d.w.dir.Chain(ctx, identity) })
}

type faultyCustody struct{ w *world }

func (c faultyCustody) Maker(ctx context.Context, identity string) (string, error) {
	return storetest.CallFor(ctx, c.w.faults, "Custody.Maker", func(ctx context.Context) (string, error) { return c.w.custody.Maker(ctx, identity) })
}

func (c faultyCustody) Held(ctx context.Context, identity string) (id.Held, error) {
	return storetest.CallFor(ctx, c.w.faults, "Custody.Held", func(ctx context.Context) (id.Held, error) { return c.w.custody.Held(ctx, identity) })
}

// guest is somebody who is brought in.
type guest struct {
	w       *world
	keys    *id.Keys // nil: held by the node
	self    string   // LogLine ID
	session string
	token   string
}

// here is an address of somebody's.
var here = netip.MustParseAddr("203.0.113.7")

// guest opens a session for somebody with keys of their own, or held by the node.
func (w *world) guest(held bool) *guest {
	w.t.Helper()
	g := &guest{w: w}
	if held {
		info, err := w.custody.Create(w.t.Context(), id.SubjectPerson, "", "", w.node.ID())
		require.NoError(w.t, err)
		g.self = info.ID
	} else {
		var err error
		g.keys, err = id.NewKeys(id.SubjectPerson, w.clock(), rand.Reader)
		require.NoError(w.t, err)
		g.self = g.keys.ID()
	}
	s, token, err := w.Begin(w.t.Context(), RoadAPI, here)
	require.NoError(w.t, err)
	g.session, g.token = s.ID, token
	return g
}

// who is the step identity of the guest.
func (g *guest) who() *Identity {
	if g.keys == nil {
		return &Identity{Login: true, Prove: func(context.Context) (Proven, error) { return Proven{Identity: g.self}, nil }}
	}
	in := &Identity{Prove: func(context.Context) (Proven, error) {
		return Proven{Identity: g.self, Key: g.keys.Signer().Public()}, nil
	}}
	for _, e := range g.keys.Events() {
		in.Events = append(in.Events, json.RawMessage(e))
	}
	return in
}

func (g *guest) do(in Input) (Step, error) { return g.w.Do(g.w.t.Context(), g.session, g.token, in) }

// must does a step, which has to succeed.
func (g *guest) must(in Input, status string) Step {
	g.w.t.Helper()
	step, err := g.do(in)
	require.NoError(g.w.t, err)
	require.Equal(g.w.t, status, step.Status)
	return step
}

// sign appends the drafts that are missing, as a client with keys does.
func (g *guest) sign(step Step, tenant string) error {
	for _, d := range step.Drafts {
		for _, missing := range step.Missing {
			if d.ID != missing {
				continue
			}
			if err := g.append(tenant, d, []byte("sixteen bytes...")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *guest) append(tenant string, d Draft, salt []byte) error {
	sp, err := id.SealSpan(g.signer(), span.Header{
		ID: d.ID, Tenant: tenant, Author: g.self, Type: d.Type, Title: d.Title, Subject: d.Subject, Tags: d.Tags,
		Time: span.FormatTime(g.w.clock()), Status: span.StatusExecuted, Visibility: d.Visibility,
	}, d.Payload, salt)
	require.NoError(g.w.t, err)
	return g.w.engine.Submit(g.w.t.Context(), tenant, sp.Canonical(), engine.Options{}).Err
}

func (g *guest) signer() id.Signer {
	if g.keys != nil {
		return g.keys.Signer()
	}
	held, err := g.w.custody.Held(g.w.t.Context(), g.self)
	require.NoError(g.w.t, err)
	return held
}

// first appends a span of one's own and gives its id.
func (g *guest) first(tenant string) string {
	g.w.t.Helper()
	name, err := span.RandomID(g.w.clock(), rand.Reader)
	require.NoError(g.w.t, err)
	require.NoError(g.w.t, g.append(tenant, Draft{ID: name, Type: "note.written", Visibility: span.VisibilityOrganization, Payload: []byte(`{"text":"hello"}`)}, []byte("sixteen bytes...")))
	return name
}

// proof is what somebody who verified the entry would say.
func (w *world) proof(tenant string, seq uint64) (*Proof, error) {
	receipt, err := w.log.Receipt(w.t.Context(), tenant, seq)
	if err != nil {
		return nil, err
	}
	note, size, err := w.log.Checkpoint(w.t.Context(), tenant)
	if err != nil {
		return nil, err
	}
	t, err := w.log.Tenant(w.t.Context(), tenant)
	if err != nil {
		return nil, err
	}
	checkpoint, err := tree.OpenNote(note, t.LogKey)
	return &Proof{Seq: seq, LeafHash: receipt.Leaf.String(), Root: checkpoint.Root.String(), Size: size}, err
}

// acts are the steps that the admin timeline tells of, how often, by session.
func (w *world) acts() map[string]map[string]int {
	w.t.Helper()
	require.NoError(w.t, w.own.Tell(w.t.Context()))
	own, err := w.own.Find(w.t.Context())
	require.NoError(w.t, err)
	out := map[string]map[string]int{}
	q := timeline.Query{Types: []string{admin.OnboardingStep}, Limit: 100}
	for {
		page, err := w.log.Query(w.t.Context(), own.ID, q, standing.Everything())
		require.NoError(w.t, err)
		for i := range page.Records {
			var payload struct {
				By    string
				Facts struct{ Session, Step, Road string }
			}
			require.NoError(w.t, json.Unmarshal(page.Records[i].Payload, &payload))
			if out[payload.Facts.Session] == nil {
				out[payload.Facts.Session] = map[string]int{}
			}
			out[payload.Facts.Session][payload.Facts.Step]++
		}
		if page.Next == "" {
			return out
		}
		q.Cursor = page.Next
	}
}

func slugOf(n int) string { return fmt.Sprintf("guests-%d", n) }
