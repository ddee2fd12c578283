package systemtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
)

// Settings of the server under a thousand feeds, in bytes, so that the sum of
// docs/limits.md is small enough to be missed.
const (
	feedsRoom      = 32 << 20
	feedsExports   = 1
	feedsQueue     = 8 << 20
	feedsBytes     = 8 << 20
	feedsEntries   = 256
	feedsStall     = 20 * time.Second
	perFeed        = 80 << 10
	perSlowFeed    = 128 << 10
	feedsBatch     = 25 // entries appended at once
	feedsAhead     = 3  // batches that the slowest reader may be behind
	untilBehind    = 800
	feedsPatience  = 2 * time.Minute
	feedSockBuffer = 4 << 10
)

// A thousand feeds of both kinds are open over real sockets, and a tenth of them
// stop reading at random moments. All others get every entry in order. Who reads
// again has fallen behind: it is told so, and where to resume. Who does not is
// cut off, and resumes where it was. Either gets exactly the rest from there. The
// server's memory stays below the sum of the limits that bound it.
func TestAThousandFeeds(t *testing.T) {
	t.Parallel()
	clients, stalled, entries := 1000, 100, 2000
	if testing.Short() {
		clients, stalled, entries = 200, 20, 1500
	}
	if most := openFiles() - 256; most < clients {
		clients, stalled = most, most/10
		t.Logf("this process may have %d files open: %d clients instead of more", most+256, clients)
	}
	s := start(t, t.TempDir(), "--limits-room", fmt.Sprint(feedsRoom), "--limits-exports", fmt.Sprint(feedsExports),
		"--limits-queue-bytes", fmt.Sprint(feedsQueue), "--limits-feed-bytes", fmt.Sprint(feedsBytes),
		"--limits-feed-entries", fmt.Sprint(feedsEntries), "--feed-stall", feedsStall.String())
	y := onboard(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), feedsPatience)
	defer cancel()
	api := y.swift()
	appendFeedEntries(t, y, api, 200) // what the server needs by itself, it has then
	from, err := api.Tenant(ctx, y.tenant.Id)
	require.NoError(t, err)
	idle := s.memory()

	c := &crowd{y: y, ctx: ctx, stop: cancel, from: from.Size, to: from.Size + uint64(entries), batches: make([]milestone, entries/feedsBatch), finished: make(chan struct{})}
	for i := range c.batches {
		c.batches[i].reached = make(chan struct{})
		c.batches[i].missing.Store(int64(clients - stalled))
	}
	c.token, err = id.SignToken(y.owner.Signer(), y.owner.ID(), y.node, time.Now(), 5*time.Minute)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2)) // the moments differ by how fast everybody is
	began := time.Now()
	var done sync.WaitGroup
	handshakes := make(chan struct{}, 32)
	var opened sync.WaitGroup
	for n := range clients {
		opened.Add(1)
		stopAt := c.from + uint64(random.IntN(entries/3))
		done.Go(func() {
			handshakes <- struct{}{}
			f, err := c.open(n%2 == 0, c.from, n < stalled)
			<-handshakes
			opened.Done()
			switch {
			case err != nil:
			case n >= stalled:
				err = c.follow(f)
			case n%4 < 2:
				err = c.fallBehind(f, stopAt)
			default:
				err = c.freeze(f, stopAt)
			}
			if err != nil {
				c.fail(fmt.Errorf("client %d (websocket %t, stalled %t): %w", n, n%2 == 0, n < stalled, err))
			}
		})
	}
	opened.Wait()
	peak := make(chan int)
	go func() { peak <- s.peakMemory(ctx, c.finished) }()
	ready := time.Now()
	for b := range c.batches {
		if b >= feedsAhead {
			select {
			case <-c.batches[b-feedsAhead].reached:
			case <-ctx.Done():
				c.fail(fmt.Errorf("batch %d was not read by all in %s", b-feedsAhead, feedsPatience))
			}
		}
		if c.failed() != nil {
			cancel()
			break
		}
		appendFeedEntries(t, y, api, feedsBatch)
		c.appended.Store(uint64((b + 1) * feedsBatch))
	}
	streamed := time.Since(ready)
	done.Wait()
	close(c.finished)
	require.NoError(t, c.failed())
	bound := idle + 2*(feedsRoom+feedsExports*8<<20+feedsQueue+feedsBytes+clients*perFeed+stalled*perSlowFeed)>>20
	most := <-peak
	t.Logf("%d feeds, %d stalled (%d told that they were behind, %d cut off), %d entries in %s (%.0f messages/s), %s in all; resident: %d MiB idle, %d MiB at most, the limits allow %d",
		clients, stalled, c.behind.Load(), c.cut.Load(), entries, streamed.Round(time.Millisecond),
		float64((clients-stalled)*entries)/streamed.Seconds(), time.Since(began).Round(time.Millisecond), idle, most, bound)
	require.EqualValues(t, stalled, c.behind.Load()+c.cut.Load())
	require.Positive(t, c.behind.Load())
	require.Positive(t, c.cut.Load())
	require.Less(t, most, bound)
}

// openFiles is how many files this process may have open.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1 << 20
	}
	return int(min(l.Cur, 1<<20))
}

func appendFeedEntries(t *testing.T, y *tenancy, api *client.Client, n int) {
	t.Helper()
	lines := make([][]byte, n)
	for i := range lines {
		lines[i] = y.seal(y.owner.Signer(), y.owner.ID(), fmt.Appendf(nil, `{"fill":%q}`, bytes.Repeat([]byte{'x'}, 600)))
	}
	results, err := api.AppendMany(background(), y.tenant.Id, lines)
	require.NoError(t, err)
	for _, r := range results {
		require.Nil(t, r.Problem)
	}
}

// peakMemory is the most resident memory seen until ended, in MiB.
func (s *server) peakMemory(ctx context.Context, ended <-chan struct{}) (most int) {
	const every = 50 * time.Millisecond
	for {
		most = max(most, s.memory())
		select {
		case <-ended:
			return most
		default:
			wait(ctx, every)
		}
		if ctx.Err() != nil {
			return most
		}
	}
}

// milestone is a batch that all readers shall have read.
type milestone struct {
	missing atomic.Int64
	reached chan struct{}
}

// crowd is everybody who listens.
type crowd struct {
	y        *tenancy
	ctx      context.Context
	stop     context.CancelFunc
	token    string
	from, to uint64
	batches  []milestone
	appended atomic.Uint64 // since from
	behind   atomic.Int64  // stalled ones that were told so
	cut      atomic.Int64  // stalled ones that were cut off
	finished chan struct{} // closed when all have done
	first    atomic.Pointer[error]
}

// fail ends the test for everybody; the first reason counts.
func (c *crowd) fail(err error) {
	c.first.CompareAndSwap(nil, &err)
	c.stop()
}

func (c *crowd) failed() error {
	if err := c.first.Load(); err != nil {
		return *err
	}
	return nil
}

// listener is an open feed.
type listener struct {
	conn net.Conn
	next func() ([]byte, error) // the next message
	at   uint64                 // the seq that is due
}

// ending is how the server closed a feed.
type ending struct {
	code   int
	resume uint64
}

func (e *ending) Error() string {
	return fmt.Sprintf("closed with %d, to resume at %d", e.code, e.resume)
}

// open opens a feed; a small one takes little before its reader does.
func (c *crowd) open(socket bool, from uint64, small bool) (*listener, error) {
	d := net.Dialer{Timeout: feedsPatience}
	if small {
		d.Control = func(_, _ string, raw syscall.RawConn) error { // before the handshake, which tells the window
			var err error
			return errors.Join(raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, feedSockBuffer)
			}), err)
		}
	}
	path := fmt.Sprintf("/v1/tenants/%s/feed?from=%d", c.y.tenant.Id, from)
	if socket {
		return c.openSocket(&d, path, from)
	}
	return c.openEvents(&d, path, from)
}

func (c *crowd) openSocket(d *net.Dialer, path string, from uint64) (*listener, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"logline.v1"}, NetDialContext: d.DialContext, ReadBufferSize: 4096, WriteBufferSize: 512}
	conn, _, err := dialer.DialContext(c.ctx, "ws"+strings.TrimPrefix(c.y.URL, "http")+path, http.Header{"Authorization": {"Bearer " + c.token}})
	if err != nil {
		return nil, err
	}
	return &listener{conn: conn.NetConn(), at: from, next: func() ([]byte, error) {
		_, message, err := conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code >= 4000 {
			e := &ending{code: closed.Code}
			if _, scanErr := fmt.Sscanf(closed.Text, "too far behind; resume with from=%d", &e.resume); scanErr != nil {
				return nil, fmt.Errorf("closed with %q", closed.Text)
			}
			return nil, e
		}
		return message, err
	}}, nil
}

func (c *crowd) openEvents(d *net.Dialer, path string, from uint64) (*listener, error) {
	conn, err := d.DialContext(c.ctx, "tcp", strings.TrimPrefix(c.y.URL, "http://"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, c.y.URL+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+c.token)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	lines := bufio.NewReaderSize(resp.Body, 4096)
	var line []byte
	return &listener{conn: conn, at: from, next: func() ([]byte, error) {
		for {
			var err error
			if line, err = appendLine(line[:0], lines); err != nil {
				return nil, err
			}
			data, ok := bytes.CutPrefix(line, []byte("data: "))
			if !ok {
				continue
			}
			if bytes.HasPrefix(data, []byte(`{"type":"close"`)) {
				var m struct {
					Code int
					Next uint64
				}
				return nil, errors.Join(json.Unmarshal(data, &m), &ending{m.Code, m.Next})
			}
			return data, nil
		}
	}}, nil
}

// appendLine reads a line of any length.
func appendLine(dst []byte, in *bufio.Reader) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		if dst = append(dst, part...); !errors.Is(err, bufio.ErrBufferFull) {
			return dst, err
		}
	}
}

// read takes one message; an entry must be the one that is due.
func (l *listener) read(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	_ = l.conn.SetReadDeadline(deadline)
	message, err := l.next()
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(message, []byte(`{"type":"entry"`)):
		if seq := seqIn(message); seq != l.at {
			return fmt.Errorf("entry %d came where %d was due", seq, l.at)
		}
		l.at++
	case bytes.HasPrefix(message, []byte(`{"type":"gap"`)):
		return fmt.Errorf("something was left out: %s", message)
	}
	return nil
}

// seqIn is the seq in the message of an entry, without reading all of it.
func seqIn(message []byte) uint64 {
	_, rest, _ := bytes.Cut(message, []byte(`"seq":`))
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return ^uint64(0)
	}
	seq, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	if err != nil {
		return ^uint64(0)
	}
	return seq
}

// follow reads everything, and says so batch by batch.
func (c *crowd) follow(l *listener) error {
	defer l.conn.Close()
	for l.at < c.to {
		before := l.at
		if err := l.read(c.ctx); err != nil {
			return fmt.Errorf("at %d: %w", l.at, err)
		}
		if read := l.at - c.from; l.at > before && read%feedsBatch == 0 {
			m := &c.batches[read/feedsBatch-1]
			if m.missing.Add(-1) == 0 {
				close(m.reached)
			}
		}
	}
	return nil
}

// until reads up to a seq.
func (c *crowd) until(l *listener, seq uint64) error {
	for l.at < seq {
		if err := l.read(c.ctx); err != nil {
			return fmt.Errorf("at %d: %w", l.at, err)
		}
	}
	return nil
}

// fallBehind stops reading, reads again when the timeline has gone far ahead, and
// must be told where to resume: right after what it got.
func (c *crowd) fallBehind(l *listener, stopAt uint64) error {
	defer l.conn.Close()
	if err := c.until(l, stopAt); err != nil {
		return err
	}
	for c.from+c.appended.Load() < stopAt+untilBehind {
		if !wait(c.ctx, again) {
			return c.ctx.Err()
		}
	}
	for {
		err := l.read(c.ctx)
		var end *ending
		switch {
		case errors.As(err, &end) && end.code == 4008 && end.resume == l.at:
			c.behind.Add(1)
			return c.resume(l)
		case err != nil:
			return fmt.Errorf("at %d: %w", l.at, err)
		case l.at == c.to:
			return errors.New("it did not fall behind")
		}
	}
}

// freeze stops reading until the server has long given up, finds what was on its
// way and no more, and resumes after that.
func (c *crowd) freeze(l *listener, stopAt uint64) error {
	defer l.conn.Close()
	if err := c.until(l, stopAt); err != nil {
		return err
	}
	for c.from+c.appended.Load() < stopAt+untilBehind { // more than the system holds by itself
		if !wait(c.ctx, again) {
			return c.ctx.Err()
		}
	}
	if !wait(c.ctx, feedsStall+feedsStall/4) { // the silence is the test: nothing tells that it was noticed
		return c.ctx.Err()
	}
	for {
		err := l.read(c.ctx)
		switch {
		case err != nil && c.ctx.Err() == nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || websocket.IsUnexpectedCloseError(err)):
			c.cut.Add(1)
			return c.resume(l)
		case err != nil:
			return fmt.Errorf("at %d: %w", l.at, err)
		case l.at == c.to:
			return errors.New("it was not cut off")
		}
	}
}

// resume opens the feed again where it ended and reads the rest.
func (c *crowd) resume(l *listener) error {
	again, err := c.open(true, l.at, false)
	if err != nil {
		return err
	}
	defer again.conn.Close()
	if err := c.until(again, c.to); err != nil {
		return fmt.Errorf("resumed: %w", err)
	}
	return nil
}
