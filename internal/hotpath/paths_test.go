package hotpath

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// hotPath is one way that is counted. make prepares for runs of it and gives
// what one run does, for each spans.
type hotPath struct {
	name  string
	spans int // that one run handles
	steps int // runs that are counted instruction by instruction; 0: goroutines of its own, or too long
	make  func(w *world, runs int) func()
}

var everything = standing.Everything()

var paths = []hotPath{
	{"parse, canonical form and hash", 1, 3, func(w *world, _ int) func() {
		src := w.note().Canonical()
		return func() {
			sp, err := span.Parse(src, span.Limits{})
			require.NoError(w.t, err)
			sink = sp.Hash()
		}
	}},
	{"canonical form of what is not canonical", 1, 3, func(w *world, _ int) func() {
		src := []byte(`{ "z": [1, 2.50, true], "a": {"y": "caf\u00e9", "x": "plain text of some length"}, "m": 1e3 }`)
		return func() {
			out, err := span.Canonicalize(src)
			require.NoError(w.t, err)
			sink = out
		}
	}},
	{"signature of a key met often", 1, 1, func(w *world, _ int) func() {
		sp := w.note()
		key, value := unb64(w.t, sp.Signature.Key), unb64(w.t, sp.Signature.Value)
		message := sp.Message()
		return func() { require.True(w.t, w.verify.Verify(key, message, value)) }
	}},
	{"judgement of keys and roles", 1, 5, func(w *world, _ int) func() {
		s, err := w.log.Begin(context.Background(), w.tenant)
		require.NoError(w.t, err)
		w.t.Cleanup(s.Close)
		spans, n := [2]*span.Span{w.note(), w.note()}, 0
		at := standing.Position{Seq: s.Head().Size, RecordedAt: span.FormatTime(theTime())}
		return func() {
			sp := spans[n%2] // the same again would not be judged again
			n++
			require.NoError(w.t, s.Tx().Check(&sp.Header, sp.Payload, at, nil))
		}
	}},
	{"line and leaf", 1, 3, func(w *world, _ int) func() {
		e := span.Entry{Seq: 42, RecordedAt: span.FormatTime(theTime()), Span: w.note().Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
		line := make([]byte, 0, 2048)
		return func() {
			line = e.AppendLine(line[:0])
			sink = span.LeafHash(line)
		}
	}},
	{"line read", 1, 3, func(w *world, _ int) func() {
		e := span.Entry{Seq: 42, RecordedAt: span.FormatTime(theTime()), Span: w.note().Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
		line := e.AppendLine(nil)
		return func() {
			_, err := span.ParseLine(line)
			require.NoError(w.t, err)
		}
	}},
	{"submit of one span", 1, 0, func(w *world, runs int) func() {
		notes, n := w.notes(runs), 0
		return func() {
			r := w.engine.Submit(context.Background(), w.tenant, notes[n], engine.Options{})
			require.NoError(w.t, r.Err)
			n++
		}
	}},
	{"submit of 10 at once, each", 10, 1, func(w *world, runs int) func() {
		notes, n := w.notes(10*runs), 0
		return func() {
			for _, r := range w.engine.SubmitMany(context.Background(), w.tenant, notes[n:n+10]) {
				require.NoError(w.t, r.Err)
			}
			n += 10
		}
	}},
	{"append over HTTP, without socket and engine", 1, 1, func(w *world, _ int) func() {
		raw := w.note().Canonical()
		answer := w.engine.Submit(context.Background(), w.tenant, raw, engine.Options{})
		require.NoError(w.t, answer.Err)
		handler := httpapi.New(httpapi.Deps{Engine: answering{result: answer}, Logger: slog.New(slog.DiscardHandler)}).Handler()
		url, body := "/v1/tenants/"+w.tenant+"/spans", &writer{header: make(http.Header)}
		return func() {
			req := httptest.NewRequest(http.MethodPost, url, bytes.NewReader(raw))
			req.Header.Set("Content-Type", "application/json")
			body.reset()
			handler.ServeHTTP(body, req)
			require.Equal(w.t, http.StatusCreated, body.status)
		}
	}},
	{"read of one span over HTTP, without the socket", 1, 1, func(w *world, _ int) func() {
		spanID := w.append(100)[50]
		handler, url := w.server().Handler(), "/v1/tenants/"+w.tenant+"/spans/"+spanID
		token, err := id.SignToken(w.owner.Signer(), w.owner.ID(), w.node.ID(), theTime(), time.Minute)
		require.NoError(w.t, err)
		body := &writer{header: make(http.Header)}
		return func() {
			req := httptest.NewRequest(http.MethodGet, url, nil)
			req.Header.Set("Authorization", "Bearer "+token)
			body.reset()
			handler.ServeHTTP(body, req)
			require.Equal(w.t, http.StatusOK, body.status)
		}
	}},
	{"entry as feeds and exports send it", 1, 3, func(w *world, _ int) func() {
		r, err := w.log.Get(context.Background(), w.tenant, w.append(1)[0])
		require.NoError(w.t, err)
		room := make([]byte, 0, 4096)
		return func() { sink = r.AppendOpened(room[:0]) }
	}},
	{"verify of a bundle, each entry", 205, 0, func(w *world, _ int) func() {
		w.append(200)
		var b bytes.Buffer
		require.NoError(w.t, w.log.Export(context.Background(), &b, w.tenant, 0, 0, everything))
		return func() {
			report, err := bundle.Verify(context.Background(), bytes.NewReader(b.Bytes()), bundle.Options{})
			require.NoError(w.t, err)
			require.Empty(w.t, report.Problems)
		}
	}},
}

// answering is an engine that has its answer ready.
type answering struct {
	httpapi.Engine
	result engine.Result
}

func (a answering) Submit(context.Context, string, []byte, engine.Options) engine.Result {
	return a.result
}

// sink keeps results alive.
var sink any

// writer takes a response without keeping it.
type writer struct {
	header http.Header
	status int
}

func (w *writer) reset()                      { clear(w.header); w.status = 0 }
func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(b []byte) (int, error) { return len(b), nil }

func unb64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	return b
}
