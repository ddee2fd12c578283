package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is a reader who sees everything.
var all = standing.Reader{Organization: true, Private: true, Public: true}

// world is a node, an owner and one timeline in memory.
type world struct {
	t      testing.TB
	now    time.Time
	random io.Reader
	node   *id.Node
	owner  *id.Keys
	store  timeline.Store
	log    *timeline.Log
	bus    *bus.Bus
	tenant string
	mu     sync.Mutex // guards reader
	reader standing.Reader
	denied error
	asked  int // how often the reader was asked for
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC), random: rand.NewChaCha8([32]byte{1}),
		store: memstore.New(), bus: bus.New(), reader: all,
	}
	var err error
	w.node, _, err = id.OpenNode(t.TempDir(), w.now, w.random)
	require.NoError(t, err)
	w.owner, err = id.NewKeys(id.SubjectPerson, w.now, w.random)
	require.NoError(t, err)
	w.log = timeline.NewLog(w.store, w.node, id.StdVerifier(), timeline.Config{Now: func() time.Time { return w.now }})
	g := &span.Genesis{
		Slug: "acme", Name: "Acme", Node: w.node.ID(), LogKey: tree.EncodeLogKey(w.node.LogKey()), Owner: w.owner.ID(), Nonce: span.B64(w.bytes(16)),
	}
	g.Tenant = g.TenantID()
	w.tenant = g.Tenant
	drafts := []timeline.Draft{w.own(span.TypeGenesis, g.Canonical())}
	for _, events := range [][][]byte{w.node.Events(), w.owner.Events()} {
		for _, e := range events {
			drafts = append(drafts, w.own(span.TypeIdentity, []byte(`{"event":`+string(e)+`}`)))
		}
	}
	drafts = append(drafts, w.own(span.TypeMember, w.canonical(span.Member{Identity: w.owner.ID(), Roles: []string{"owner"}, Action: span.ActionGrant})))
	_, err = w.log.Create(context.Background(), timeline.Tenant{PublicReading: true}, drafts)
	require.NoError(t, err)
	return w
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

func (w *world) own(typ string, payload []byte) timeline.Draft {
	return w.seal(w.node.Signer(), w.node.ID(), typ, payload, nil)
}

// by is a span of the owner.
func (w *world) by(typ, payload string, change func(*span.Header)) timeline.Draft {
	return w.seal(w.owner.Signer(), w.owner.ID(), typ, []byte(payload), change)
}

// silent appends without telling anybody.
func (w *world) silent(drafts ...timeline.Draft) {
	w.t.Helper()
	s, err := w.log.Begin(context.Background(), w.tenant)
	require.NoError(w.t, err)
	defer s.Close()
	for i := range drafts {
		_, err := s.Admit(&drafts[i], span.FormatTime(w.now))
		require.NoError(w.t, err)
	}
	_, err = s.Commit(context.Background())
	require.NoError(w.t, err)
}

// append appends and wakes whoever follows.
func (w *world) append(drafts ...timeline.Draft) {
	w.t.Helper()
	w.silent(drafts...)
	w.bus.Publish(bus.Appended{Tenant: w.tenant})
}

// notes appends n entries, one a batch.
func (w *world) notes(n int) {
	w.t.Helper()
	for i := range n {
		w.append(w.by("note.taken", fmt.Sprintf(`{"n":%d}`, i), nil))
	}
}

func (w *world) size() uint64 {
	w.t.Helper()
	_, size, err := w.log.Checkpoint(context.Background(), w.tenant)
	require.NoError(w.t, err)
	return size
}

func (w *world) hub(cfg feed.Config) *feed.Hub { return feed.New(w.log, w.bus, cfg) }

// authorize is who reads now.
func (w *world) authorize(context.Context) (standing.Reader, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.reader, w.denied
}

func (w *world) become(r standing.Reader, denied error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reader, w.denied = r, denied
}

// listener is a subscription under test.
type listener struct {
	*feed.Subscription
	t testing.TB
}

func (w *world) listen(h *feed.Hub, from uint64, q timeline.Query) listener {
	w.t.Helper()
	sub, err := h.Subscribe(context.Background(), feed.Request{Tenant: w.tenant, From: from, Query: q, Authorize: w.authorize})
	require.NoError(w.t, err)
	w.t.Cleanup(sub.Close)
	return listener{sub, w.t}
}

// got is a message as a client reads it.
type got struct {
	Type, Tenant, Note, Status string
	Next, From, To, Size       uint64
	Entry                      struct {
		Seq  uint64
		Span struct {
			Type     string
			Payload  json.RawMessage
			Withheld string
		}
	}
}

func (l listener) next() got {
	l.t.Helper()
	m, err := l.receive()
	require.NoError(l.t, err)
	return m
}

const patience = 30 * time.Second

func (l listener) receive() (g got, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := l.Next(ctx)
	if err != nil {
		return g, err
	}
	require.NoError(l.t, json.Unmarshal(m.JSON, &g), "%s", m.JSON)
	require.Equal(l.t, m.Type, g.Type)
	return g, nil
}

// shown reads up to the seq before to, and is the entries among them; every
// other one must be in a gap, none twice, all in order.
func (l listener) shown(from, to uint64) []uint64 {
	l.t.Helper()
	var seqs []uint64
	for at := from; at < to; {
		switch m := l.next(); m.Type {
		case feed.TypeEntry:
			require.Equal(l.t, at, m.Entry.Seq)
			seqs = append(seqs, at)
			at++
		case feed.TypeGap:
			require.Equal(l.t, at, m.From)
			require.Greater(l.t, m.To, m.From)
			at = m.To
		case feed.TypeHello, feed.TypeHeartbeat:
			require.Equal(l.t, at, m.Next)
		}
	}
	return seqs
}

// closed reads until the subscription ends.
func (l listener) closed() *feed.Closed {
	l.t.Helper()
	for {
		if _, err := l.receive(); err != nil {
			var c *feed.Closed
			require.ErrorAs(l.t, err, &c)
			return c
		}
	}
}

func seqs(from, to uint64) []uint64 {
	var out []uint64
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}
