package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
)

// bridge passes connections on to a server, and cuts them when told to.
type bridge struct {
	url string
	ln  net.Listener

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newBridge(t *testing.T, target string) *bridge {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &bridge{url: "http://" + ln.Addr().String(), ln: ln, conns: map[net.Conn]bool{}}
	b.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(target, "http://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			b.mu.Lock()
			b.conns[in], b.conns[out] = true, true
			b.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				b.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
					_ = pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() { _ = ln.Close(); b.cut(); b.wg.Wait() })
	return b
}

func (b *bridge) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
		delete(b.conns, c)
	}
}

// follow is the events of a Follow in the background.
type following struct {
	t      *testing.T
	events chan client.FeedEvent
	err    error // once events is closed
	cancel context.CancelFunc
}

func follow(t *testing.T, c *client.Client, tenant string, o client.FeedOptions) *following {
	ctx, cancel := context.WithCancel(context.Background())
	f := &following{t: t, events: make(chan client.FeedEvent), cancel: cancel}
	go func() {
		defer close(f.events)
		for e, err := range c.Follow(ctx, tenant, o) {
			if err != nil {
				f.err = err
				return
			}
			select {
			case f.events <- e:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range f.events {
		}
	})
	return f
}

// until reads to the seq before to: the seqs shown. Nothing may be missing.
func (f *following) until(from, to uint64) (seqs []uint64) {
	f.t.Helper()
	for at := from; at < to; {
		select {
		case e, ok := <-f.events:
			if !ok {
				require.NoError(f.t, f.err)
			}
			require.True(f.t, ok)
			switch e.Type {
			case client.FeedEntry:
				require.Equal(f.t, at, e.Seq)
				seqs = append(seqs, e.Seq)
				at++
			case client.FeedGap:
				require.Equal(f.t, at, e.From)
				at = e.To
			}
			require.Equal(f.t, at, e.Next)
		case <-time.After(feedPatience):
			require.Fail(f.t, "nothing comes")
		}
	}
	return seqs
}

func (f *following) end() error {
	f.t.Helper()
	for {
		select {
		case _, ok := <-f.events:
			if !ok {
				return f.err
			}
		case <-time.After(feedPatience):
			require.Fail(f.t, "it does not end")
		}
	}
}

// Connections that are cut, again and again, cost a client of a feed nothing.
func TestFollowGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	b := newBridge(t, w.url)
	c, err := client.New(b.url, client.WithClock(w.clock.now), client.WithSigner(w.owner.Signer(), w.owner.ID(), w.node.ID()))
	require.NoError(t, err)
	var mu sync.Mutex // guards notices
	var notices []client.FeedNotice
	f := follow(t, c, "acme", client.FeedOptions{From: 0, Filter: client.Filter{Types: []string{"test.**", "logline.**"}}, MaxWait: 50 * time.Millisecond,
		Notice: func(n client.FeedNotice) { mu.Lock(); defer mu.Unlock(); notices = append(notices, n) }})
	at := w.size()
	require.Equal(t, upTo(0, at), f.until(0, at))
	for range 10 {
		b.cut()
		w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
		w.append(w.note(w.owner, 1, func(h *span.Header) { h.Type = "other" })).want(t, http.StatusCreated)
		w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
		require.Equal(t, []uint64{at, at + 2}, f.until(at, at+3))
		at += 3
	}
	mu.Lock()
	require.NotEmpty(t, notices)
	require.Error(t, notices[0].Err)
	require.NoError(t, notices[1].Err, "each loss is told, and its end")
	mu.Unlock()

	// A token that ends on the way is replaced by a new one.
	w.clock.advance(6 * time.Minute)
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	require.Equal(t, []uint64{at}, f.until(at, at+1))
	f.cancel()
	require.ErrorIs(t, f.end(), context.Canceled)
}

// What trying again cannot mend ends it, with the node's reason.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	member := w.member("member")
	api := w.client(member, w.node.ID())
	problem := func(err error) string {
		var p *client.Problem
		require.ErrorAs(t, err, &p)
		return p.Code
	}
	require.Equal(t, "tenant_unknown", problem(follow(t, api, "nosuch", client.FeedOptions{}).end()))
	require.Equal(t, "range_invalid", problem(follow(t, api, "acme", client.FeedOptions{From: 1000}).end()))
	require.Equal(t, "parameter_invalid", problem(follow(t, api, "acme", client.FeedOptions{Filter: client.Filter{Types: []string{"A"}}}).end()))
	require.Equal(t, "credential_required", problem(follow(t, w.client(nil, ""), "acme", client.FeedOptions{}).end()))

	nobody, err := client.New("http://127.0.0.1:1")
	require.NoError(t, err)
	var network *url.Error
	require.ErrorAs(t, follow(t, nobody, "acme", client.FeedOptions{}).end(), &network, "the first connection is not tried again")

	f := follow(t, api, "acme", client.FeedOptions{From: client.FeedNow})
	e := <-f.events
	require.Equal(t, client.FeedHello, e.Type)
	require.Equal(t, w.size(), e.Next)
	payload, err := span.Canonical(span.Member{Identity: member.ID(), Roles: []string{"member"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	require.ErrorContains(t, f.end(), "4003")

	for range 2 { // whoever ranges may stop
		for e, err := range w.client(w.owner, w.node.ID()).Follow(context.Background(), "acme", client.FeedOptions{}) {
			require.NoError(t, err)
			require.Equal(t, client.FeedHello, e.Type)
			break
		}
	}
}

// A node that leaves entries out without saying so, or sends one twice, is
// found out.
func TestFollowChecksTheOrder(t *testing.T) {
	t.Parallel()
	for name, frames := range map[string][]string{
		"one left out":      {`{"type":"entry","entry":{"seq":0}}`, `{"type":"entry","entry":{"seq":2}}`},
		"one twice":         {`{"type":"entry","entry":{"seq":0}}`, `{"type":"entry","entry":{"seq":0}}`},
		"gap too far":       {`{"type":"gap","from":1,"to":2}`},
		"empty gap":         {`{"type":"gap","from":0,"to":0}`},
		"heartbeat too far": {`{"type":"heartbeat","next":1}`},
		"no seq":            {`{"type":"entry","entry":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			liar := newLiar(t, frames)
			c, err := client.New(liar)
			require.NoError(t, err)
			err = follow(t, c, "acme", client.FeedOptions{From: 0, MaxWait: time.Millisecond}).end()
			require.ErrorContains(t, err, "not in order")
		})
	}
}

// newLiar is a node that greets, sends these frames, and waits; when asked to go
// on later, it sends the last of them again.
func newLiar(t *testing.T, frames []string) string {
	upgrader := websocket.Upgrader{Subprotocols: []string{"logline.v1"}}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		conn, err := upgrader.Upgrade(rw, req, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		from := req.URL.Query().Get("from")
		send := frames
		if from != "0" {
			send = frames[len(frames)-1:]
		}
		for _, f := range append([]string{`{"type":"hello","tenant":"t","next":` + from + `,"heartbeat_seconds":1}`}, send...) {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(f))
		}
		_, _, _ = conn.ReadMessage()
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// A feed is opened with a new token, however young the last one is: it lives as
// long as its token.
func TestFollowTakesANewToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	c := w.client(w.owner, w.node.ID())
	_, err := c.Tenant(context.Background(), "acme")
	require.NoError(t, err)
	w.clock.advance(3 * time.Minute)
	f := follow(t, c, "acme", client.FeedOptions{From: client.FeedNow})
	require.Equal(t, client.FeedHello, (<-f.events).Type)
	w.clock.advance(3 * time.Minute)
	for range 3 { // each heartbeat asks whether the token counts
		require.Equal(t, client.FeedHeartbeat, (<-f.events).Type)
	}
}
