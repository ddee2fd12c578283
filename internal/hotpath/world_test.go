package hotpath

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
)

// world is a node in memory with one tenant and its owner. Its time stands still
// and its randomness is the same in every run, so that counts are too.
type world struct {
	t      testing.TB
	random *rand.ChaCha8
	node   *id.Node
	owner  *id.Keys
	verify id.Verifier
	log    *timeline.Log
	engine *engine.Engine
	tenant string
	made   int // spans
}

// theTime is now.
func theTime() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC) }

func newWorld(t testing.TB) *world {
	w := &world{t: t, random: rand.NewChaCha8([32]byte{1}), verify: id.DefaultVerifier()}
	var err error
	w.node, _, err = id.OpenNode(t.TempDir(), theTime(), w.random)
	require.NoError(t, err)
	w.owner, err = id.NewKeys(id.SubjectPerson, theTime(), w.random)
	require.NoError(t, err)
	w.log = timeline.NewLog(memstore.New(), w.node, w.verify, timeline.Config{Now: theTime, Folder: engine.Folder{}})
	w.engine = engine.New(w.log, directory{w: w}, trusting{}, rules.Decide, w.node, bus.New(), engine.Config{
		Now: theTime, Rand: w.random, Workers: 1, CommitTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	tenant, err := w.engine.CreateTenant(context.Background(), "hot", "Hot paths", w.owner.ID(), false)
	require.NoError(t, err)
	w.tenant = tenant.ID
	return w
}

// server is the node's HTTP surface.
func (w *world) server() *httpapi.Server {
	return httpapi.New(httpapi.Deps{
		Engine: w.engine, Log: w.log, Directory: directory{w: w}, Node: w.node, Verifier: w.verify, Now: theTime, Logger: slog.New(slog.DiscardHandler),
	})
}

// note is a new span of the usual size, about 700 bytes, by the owner.
func (w *world) note() *span.Span {
	w.t.Helper()
	w.made++
	spanID, err := span.RandomID(theTime(), w.random)
	require.NoError(w.t, err)
	salt := make([]byte, 16)
	_, err = io.ReadFull(w.random, salt)
	require.NoError(w.t, err)
	sp, err := id.SealSpan(w.owner.Signer(), span.Header{
		ID: spanID, Tenant: w.tenant, Author: w.owner.ID(), Type: "payment.requested",
		Title: "Payment of invoice", Subject: fmt.Sprintf("invoice-%06d", w.made), Tags: []string{"bench"},
		Time: span.FormatTime(theTime()), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, fmt.Appendf(nil, `{"amount":"%06d.00","currency":"BRL","invoice":%d,"note":"one of many"}`, w.made, 100_000+w.made), salt)
	require.NoError(w.t, err)
	return sp
}

// notes are the bytes of n new spans.
func (w *world) notes(n int) [][]byte {
	w.t.Helper()
	out := make([][]byte, n)
	for i := range out {
		out[i] = w.note().Canonical()
	}
	return out
}

// append records n new spans and gives their ids.
func (w *world) append(n int) []string {
	w.t.Helper()
	lines, ids := make([][]byte, n), make([]string, n)
	for i := range lines {
		sp := w.note()
		lines[i], ids[i] = sp.Canonical(), sp.ID
	}
	for _, r := range w.engine.SubmitMany(context.Background(), w.tenant, lines) {
		require.NoError(w.t, r.Err)
	}
	return ids
}

// trusting takes every signature: checking one is a path of its own, and would
// drown what else a submit does.
type trusting struct{}

func (trusting) Verify(_, _, _ []byte) bool { return true }

// directory knows the owner. What no hot path asks, it lacks.
type directory struct {
	httpapi.Directory
	w *world
}

func (d directory) Get(ctx context.Context, identity string) (id.Info, error) {
	if _, err := d.Chain(ctx, identity); err != nil {
		return id.Info{}, err
	}
	return id.Info{ID: identity, Subject: id.SubjectPerson, Status: "active", Events: d.w.owner.Events()}, nil
}

func (d directory) Chain(_ context.Context, identity string) (*id.Chain, error) {
	if identity != d.w.owner.ID() {
		return nil, fault.New(fault.NotFound, "identity_unknown", "the identity is not known here")
	}
	return d.w.owner.Chain(), nil
}

func (d directory) Check(context.Context, string, []byte) (*id.Event, *id.Chain, bool, error) {
	panic("no hot path checks key events")
}

func (d directory) Add(context.Context, string, []byte) (id.Info, error) {
	panic("no hot path adds key events")
}
