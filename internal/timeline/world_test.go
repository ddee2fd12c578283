package timeline_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// all is a reader who sees everything.
var all = standing.Everything()

// world is a node, an owner and one tenant, the same ones for the same seed.
type world struct {
	t      testing.TB
	now    time.Time
	random io.Reader
	node   *id.Node
	owner  *id.Keys
	store  timeline.Store
	log    *timeline.Log
	cfg    timeline.Config
	tenant string
}

func newWorld(t testing.TB, store timeline.Store, notes string) *world {
	t.Helper()
	return newWorldWith(t, store, timeline.Config{NotesDir: notes})
}

func newWorldWith(t testing.TB, store timeline.Store, cfg timeline.Config) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC), random: rand.NewChaCha8([32]byte{1}), store: store}
	var err error
	w.node, _, err = id.OpenNode(t.TempDir(), w.now, w.random)
	require.NoError(t, err)
	w.owner, err = id.NewKeys(id.SubjectPerson, w.now, w.random)
	require.NoError(t, err)
	w.cfg = cfg
	w.cfg.Now = func() time.Time { return w.now }
	w.restart(store)
	w.create()
	return w
}

// restart makes a new Log, as a new process would.
func (w *world) restart(store timeline.Store) {
	w.store = store
	w.log = timeline.NewLog(store, w.node, id.StdVerifier(), w.cfg)
}

func (w *world) create() {
	g := &span.Genesis{
		Slug: "acme", Name: "Acme", Node: w.node.ID(), LogKey: tree.EncodeLogKey(w.node.LogKey()), Owner: w.owner.ID(),
		Nonce: span.B64(w.bytes(16)),
	}
	g.Tenant = g.TenantID()
	w.tenant = g.Tenant
	drafts := []timeline.Draft{w.own(span.TypeGenesis, g.Canonical())}
	for _, events := range [][][]byte{w.node.Events(), w.owner.Events()} {
		for _, e := range events {
			drafts = append(drafts, w.embed(e))
		}
	}
	drafts = append(drafts, w.own(span.TypeMember, w.canonical(span.Member{Identity: w.owner.ID(), Roles: []string{"owner"}, Action: span.ActionGrant})))
	_, err := w.log.Create(w.t.Context(), timeline.Tenant{PublicReading: true}, drafts)
	require.NoError(w.t, err)
}

func (w *world) bytes(n int) []byte {
	b := make([]byte, n)
	_, err := io.ReadFull(w.random, b)
	require.NoError(w.t, err)
	return b
}

func (w *world) canonical(v any) []byte {
	b, err := span.Canonical(v)
	require.NoError(w.t, err)
	return b
}

// seal signs a span; change fills what differs from a plain public one.
func (w *world) seal(signer id.Signer, author, typ string, payload []byte, change func(*span.Header)) timeline.Draft {
	w.t.Helper()
	spanID, err := span.RandomID(w.now, w.random)
	require.NoError(w.t, err)
	h := span.Header{
		ID: spanID, Tenant: w.tenant, Author: author, Type: typ, Time: span.FormatTime(w.now),
		Status: span.StatusExecuted, Visibility: span.VisibilityPublic,
	}
	if change != nil {
		change(&h)
	}
	sp, err := id.SealSpan(signer, h, payload, w.bytes(16))
	require.NoError(w.t, err)
	return timeline.Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}}
}

// own is a span of the node.
func (w *world) own(typ string, payload []byte) timeline.Draft {
	return w.seal(w.node.Signer(), w.node.ID(), typ, payload, nil)
}

func (w *world) embed(event []byte) timeline.Draft {
	return w.own(span.TypeIdentity, []byte(`{"event":`+string(event)+`}`))
}

// by is a span of the owner.
func (w *world) by(typ, payload string, change func(*span.Header)) timeline.Draft {
	return w.seal(w.owner.Signer(), w.owner.ID(), typ, []byte(payload), change)
}

// plain are n spans of the owner.
func (w *world) plain(n int) []timeline.Draft {
	out := make([]timeline.Draft, n)
	for i := range out {
		out[i] = w.by("note.taken", fmt.Sprintf(`{"n":%d}`, i), nil)
	}
	return out
}

// admit begins a session and admits drafts.
func (w *world) admit(drafts ...timeline.Draft) *timeline.Session {
	w.t.Helper()
	s, err := w.log.Begin(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	w.t.Cleanup(s.Close)
	for i := range drafts {
		_, err := s.Admit(&drafts[i], span.FormatTime(w.now))
		require.NoError(w.t, err)
	}
	return s
}

// append commits drafts in one batch.
func (w *world) append(drafts ...timeline.Draft) []timeline.Receipt {
	w.t.Helper()
	s := w.admit(drafts...)
	defer s.Close()
	receipts, err := s.Commit(w.t.Context())
	require.NoError(w.t, err)
	return receipts
}

func (w *world) head() timeline.Head {
	h, err := w.store.Head(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	return h
}

func (w *world) grant(identity string, roles ...string) timeline.Draft {
	return w.by(span.TypeMember, string(w.canonical(span.Member{Identity: identity, Roles: roles, Action: span.ActionGrant})), nil)
}

func hashOf(d timeline.Draft) string { return d.Span.Header.Hash().String() }

// sqliteAt opens a store on a SQLite file until it is ended, at the latest with
// the test.
func sqliteAt(t testing.TB, path string) (timeline.Store, func()) {
	t.Helper()
	_, s, end := backend.OpenUntil(t, "sqlite:"+path)
	end = sync.OnceFunc(end)
	t.Cleanup(end)
	return s, end
}

// onEveryStore runs a test on every kind of store.
func onEveryStore(t *testing.T, test func(*testing.T, timeline.Store)) {
	t.Helper()
	backend.Each(t, func(t *testing.T, url string) {
		_, s := backend.Open(t, url)
		test(t, s)
	})
	t.Run("ndjson", func(t *testing.T) {
		t.Parallel()
		s, err := ndjsonstore.Open(t.Context(), t.TempDir(), ndjsonstore.Config{Limits: segment.Limits{Lines: 100}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		test(t, s)
	})
}
