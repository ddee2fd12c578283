package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
)

// waitingResults is how many chunks of results wait for a client that is still
// sending: clients that read only when they have sent everything get that far.
const waitingResults = 16

// usualResult is the size of a receipt's line in a timeline of some size.
const usualResult = 2048

// appendMany appends a stream of lines and streams their results. Three
// goroutines work at once: one reads lines, this one submits what has come, one
// writes results; each waits only for its neighbour. All have ended when it returns.
func (s *Server) appendMany(c echo.Context, tenant string) (err error) {
	leave := s.takePlace(c.Request().Context(), s.streams, s.holder(c.Request()))
	if leave == nil {
		return errBusy
	}
	defer leave()
	rc := http.NewResponseController(c.Response().Writer)
	_ = rc.EnableFullDuplex() // HTTP/1.1 only: without it the first write would end the reading
	st := &appendStream{
		server: s, tenant: tenant, ctx: context.WithoutCancel(c.Request().Context()), control: rc,
		id: idOf(c), from: s.clientAddress(c.Request()), lines: newLineQueue(),
	}

	body := &pacedReader{r: c.Request().Body, rc: rc, stall: s.limits.Stall}
	answered := false
	var reading, watching sync.WaitGroup
	reading.Go(func() { answered = readLines(body, s.limits.Line, st.lines) })
	released := make(chan struct{})
	watching.Go(func() { // ends the reading where the handler or the server ends first
		select {
		case <-released:
		case <-s.stop:
		}
		st.lines.close()
		body.end()
	})
	defer func() {
		close(released)
		watching.Wait()
		reading.Wait()
		if err == nil && !answered {
			err = errCut // lines came that were never answered
		}
	}()
	return st.run(c)
}

// appendStream is one NDJSON append.
type appendStream struct {
	server  *Server
	tenant  string
	ctx     context.Context // of the request, but lines that came whole are appended even if it ends
	control *http.ResponseController
	id      string // of the request
	from    netip.Addr
	lines   *lineQueue

	chunk   []numbered
	raw     [][]byte
	results []engine.Result
}

// run submits chunk by chunk. Before the first result it can still answer the
// request as a whole.
func (st *appendStream) run(c echo.Context) error {
	st.submit()
	if err := st.refusedWhole(); err != nil {
		return err
	}
	res := c.Response()
	res.Header().Set(echo.HeaderContentType, typeNDJSON)
	res.WriteHeader(http.StatusOK)
	if len(st.chunk) == 0 {
		return nil
	}
	w := newResultWriter(res, st.control, st.server.limits.Stall)
	defer w.wait()
	for len(st.chunk) > 0 && w.send(st.render()) {
		st.submit()
	}
	return w.wait()
}

// submit takes the next chunk and brings what can be read to the engine.
func (st *appendStream) submit() {
	st.chunk = st.lines.take(st.chunk)
	st.raw = st.raw[:0]
	for _, l := range st.chunk {
		if l.err == nil {
			st.raw = append(st.raw, l.bytes)
		}
	}
	st.results = nil
	if len(st.raw) > 0 {
		st.results = st.submitLines(st.raw)
		st.insist()
	}
	for i := range st.results {
		st.server.hide(st.ctx, st.tenant, st.raw[i], &st.results[i])
		st.server.countAppend(&st.results[i])
	}
}

// submitLines brings lines to the engine, where their address may send so many.
func (st *appendStream) submitLines(raw [][]byte) []engine.Result {
	if err := st.server.countFrom(st.ctx, st.from, len(raw)); err != nil {
		results := make([]engine.Result, len(raw))
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	return st.server.deps.Engine.SubmitMany(st.ctx, st.tenant, raw)
}

// insist submits again what was sent too fast, for the engine or for what its
// sender may, until it is taken or the patience with a stalled partner ends: such
// a thing must slow a stream down, not make its client sort out which lines to
// repeat.
func (st *appendStream) insist() {
	for began := time.Now(); time.Since(began) < st.server.limits.Stall; {
		tail := slices.IndexFunc(st.results, tooFast)
		if tail < 0 || !st.pause(fault.From(st.results[tail].Err).RetryAfter) {
			return
		}
		copy(st.results[tail:], st.submitLines(st.raw[tail:]))
	}
}

// tooFast says whether a line is refused for nothing but when it came; all after
// it are refused likewise.
func tooFast(r engine.Result) bool {
	code := fault.CodeOf(r.Err)
	return code == "queue_full" || strings.HasPrefix(code, "rate_")
}

// pause waits; false when the server stops meanwhile.
func (st *appendStream) pause(d time.Duration) bool {
	timer := time.NewTimer(min(max(d, 10*time.Millisecond), time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-st.server.stop:
		return false
	}
}

// refusedWhole is the one problem of a request whose first lines all say that
// the tenant is unknown.
func (st *appendStream) refusedWhole() error {
	if len(st.results) == 0 {
		return nil
	}
	for i := range st.results {
		if !errors.Is(st.results[i].Err, errTenant) {
			return nil
		}
	}
	return errTenant
}

// render writes the result lines of the chunk, in order.
func (st *appendStream) render() []byte {
	out := make([]byte, 0, len(st.chunk)*usualResult)
	next := 0
	for _, l := range st.chunk {
		r := engine.Result{Err: l.err}
		if l.err == nil {
			r = st.results[next]
			next++
		}
		out = st.server.appendResult(st.ctx, out, l.number, &r, st.id)
	}
	return out
}

// resultWriter writes and flushes results on a goroutine of its own.
type resultWriter struct {
	queue chan []byte
	done  chan struct{} // closed when nothing is written any more
	err   error         // why writing ended early; read after done
	once  sync.Once
}

func newResultWriter(w io.Writer, rc *http.ResponseController, stall time.Duration) *resultWriter {
	rw := &resultWriter{queue: make(chan []byte, waitingResults), done: make(chan struct{})}
	go func() {
		defer close(rw.done)
		pw := pacedWriter{w: w, rc: rc, stall: stall}
		for chunk := range rw.queue {
			if _, rw.err = pw.Write(chunk); rw.err == nil {
				rw.err = rc.Flush()
			}
			if rw.err != nil {
				return
			}
		}
	}()
	return rw
}

// send hands over a chunk, waiting for room; false when the client is gone.
func (rw *resultWriter) send(chunk []byte) bool {
	select {
	case rw.queue <- chunk:
		return true
	case <-rw.done:
		return false
	}
}

// wait ends the writing and says whether all was written. It may be called again.
func (rw *resultWriter) wait() error {
	rw.once.Do(func() { close(rw.queue) })
	<-rw.done
	if rw.err != nil {
		return errors.Join(errCut, rw.err)
	}
	return nil
}
