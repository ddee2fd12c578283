package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// A full queue slows a stream down instead of refusing its lines.
func TestQueueFullSlowsDown(t *testing.T) {
	t.Parallel()
	b := &broken{}
	w := newWorld(t, func(d *httpapi.Deps) {
		inner, calls := d.Engine, 0
		b.Engine = inner
		b.many = func(lines [][]byte) []engine.Result {
			calls++
			if calls > 3 {
				return inner.SubmitMany(t.Context(), string(bytes.Split(lines[0], []byte(`"tenant":"`))[1][:36]), lines)
			}
			results := make([]engine.Result, len(lines))
			for i := range results {
				results[i].Err = fault.New(fault.Limited, "queue_full", "the queue is full")
			}
			return results
		}
	})
	serve := newWorldWith(t, w, b)
	results := serve.appendLines(w.note(w.owner, 1), w.note(w.owner, 2)).results(t)
	require.Len(t, results, 2)
	require.Equal(t, 201, results[0].Status)
	require.Equal(t, 201, results[1].Status)
}

// newWorldWith serves w's modules with another engine.
func newWorldWith(t *testing.T, w *world, e *broken) *world {
	other := newNode(t, func(d *httpapi.Deps) {
		d.Engine, d.Log, d.Directory, d.Node, d.Now = e, w.log, w.dir, w.node, w.clock.now
	})
	other.owner, other.tenant, other.node, other.clock = w.owner, w.tenant, w.node, w.clock
	return other
}

// What fails after the first byte breaks off; it does not end.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	first := true
	b := &broken{}
	w := newNode(t, func(d *httpapi.Deps) {
		b.Log = d.Log
		d.Engine = b
	})
	b.many = func(lines [][]byte) []engine.Result {
		if !first {
			panic("boom")
		}
		first = false
		return []engine.Result{{Outcome: engine.Simulated, Decision: span.Decision{Outcome: "allow"}}}
	}
	body, feed := io.Pipe()
	go func() { _, _ = io.WriteString(feed, "{}\n") }()
	resp, err := w.http.Do(w.request(http.MethodPost, "/v1/tenants/00000000-0000-8000-8000-000000000000/spans", "", "application/x-ndjson", body))
	require.NoError(t, err)
	line := make([]byte, 20)
	_, err = io.ReadFull(resp.Body, line)
	require.NoError(t, err)
	_, _ = io.WriteString(feed, "{}\n")
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "a stream that failed does not look complete")
	_ = resp.Body.Close()
	_ = feed.Close()

	v := newWorld(t, func(d *httpapi.Deps) {
		e := &broken{Log: d.Log, tenant: nil}
		e.export = func(w io.Writer) error {
			if _, err := io.WriteString(w, strings.Repeat("x", 200_000)); err != nil {
				return err
			}
			return fmt.Errorf("the disk went away")
		}
		d.Log = exportOnly{d.Log, e}
	})
	resp, err = http.DefaultClient.Do(v.request(http.MethodGet, v.at("/bundle"), v.token(v.owner), "", nil))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "a bundle that failed does not look complete")
	_ = resp.Body.Close()
}

// exportOnly takes Export from elsewhere.
type exportOnly struct {
	httpapi.Log
	broken *broken
}

func (e exportOnly) Export(ctx context.Context, w io.Writer, tenant string, from, to uint64, r standing.Reader) error {
	return e.broken.Export(ctx, w, tenant, from, to, r)
}

// Streams are bounded on their own: each holds more memory than a request.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Streams, d.Limits.Stall = 1, 3*time.Second })
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write(append(w.note(w.owner, 1), 10)) }()
	resp, err := w.http.Do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", body))
	require.NoError(t, err)
	w.appendLines(w.note(w.owner, 2)).problem(t, http.StatusServiceUnavailable, "server_busy")
	w.append(w.note(w.owner, 3)).want(t, http.StatusCreated)
	require.NoError(t, feed.Close())
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}
