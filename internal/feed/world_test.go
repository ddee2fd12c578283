package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is a reader who sees everything.
var all = standing.Everything()

// world is a node, an owner and one timeline in memory.
type world struct {
	t      testing.TB
	story  *storetest.Story
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
	w := &world{t: t, store: memstore.New(), bus: bus.New(), reader: all}
	w.story = storetest.NewBeginning(t, w.store, "acme", "")
	w.node, w.owner, w.log, w.tenant = w.story.Node, w.story.Owner, w.story.Log, w.story.Tenant
	return w
}

func (w *world) canonical(v any) []byte {
	b, err := span.Canonical(v)
	require.NoError(w.t, err)
	return b
}

// erasing is the payload of a redaction of a draft.
func (w *world) erasing(d timeline.Draft) []byte {
	h := d.Span.Header
	return w.canonical(span.Redaction{Spans: []span.SpanRef{{Span: h.ID, HeaderHash: h.Hash().String()}}, Reason: "asked"})
}

// by is a span of the owner.
func (w *world) by(typ, payload string, change func(*span.Header)) timeline.Draft {
	return w.story.With(typ, payload, change)
}

// silent appends without telling anybody.
func (w *world) silent(drafts ...timeline.Draft) {
	w.t.Helper()
	s, err := w.log.Begin(context.Background(), w.tenant)
	require.NoError(w.t, err)
	defer s.Close()
	for i := range drafts {
		_, err := s.Admit(&drafts[i], w.story.Time())
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
