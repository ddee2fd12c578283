package httpapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
)

// big is an entry that fills sockets soon.
func (w *world) big(n int) []byte {
	return w.seal(w.owner, fmt.Appendf(nil, `{"fill":"%s","n":%d}`, bytes.Repeat([]byte{'x'}, 200<<10), n))
}

// lazy opens a feed that nobody reads yet.
func (w *world) lazy(query string) *websocket.Conn {
	w.t.Helper()
	conn, _, err := w.dial(w.feedPath(query), w.token(w.owner), nil)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A client that stops reading is closed with 4008 once it reads again, has by
// then got everything before the seq it is told to resume from, and gets
// everything else from there. Its neighbours notice nothing.
func TestFeedTooSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) {
		d.Limits.FeedEntries = 8
		d.Limits.Stall, d.Limits.Heartbeat = 10*time.Minute, 10*time.Minute // however slow this machine is
	})
	at := w.size()
	slow := tapOf(t, w.lazy(""))
	require.Equal(t, at, slow.next().Next)
	quick := w.both("", w.owner)
	const entries = 100 // more bytes than sockets hold
	for i := range uint64(entries) {
		w.append(w.big(int(i))).want(t, http.StatusCreated)
		for name, c := range quick {
			require.Equal(t, []uint64{at + i}, c.seqs(at+i, at+i+1), name)
		}
	}
	got := at
	for {
		f, err := slow.read()
		if err != nil {
			var closed *websocket.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, 4008, closed.Code)
			require.Equal(t, fmt.Sprintf("too far behind; resume with from=%d", got), closed.Text)
			break
		}
		switch f.Type {
		case "entry":
			require.Equal(t, got, f.seq(t))
			got++
		case "gap":
			require.Fail(t, "nothing may be left out")
		}
	}
	require.Less(t, got, at+entries, "the test is about one that fell behind")
	again := w.socket(fmt.Sprintf("from=%d", got), w.token(w.owner))
	require.Equal(t, upTo(got, at+entries), again.seqs(got, at+entries))
}

// Clients that take nothing, answer no ping, or are gone without a word lose
// their places, and nobody else notices.
func TestFeedDropsTheDead(t *testing.T) {
	t.Parallel()
	const dead = 3
	w := newWorld(t, func(d *httpapi.Deps) {
		d.Limits.Heartbeat, d.Limits.FeedPoll = 300*time.Millisecond, 100*time.Millisecond
		d.Limits.Stall = time.Second
		d.Limits.Feeds = dead + 1
	})
	bystander := w.socket("", w.token(w.owner)).alive()
	at := bystander.next().Next
	stalled := w.lazy("") // takes nothing of what is sent
	silent := w.lazy("type=nothing")
	_ = silent // reads nothing, so it answers no ping
	sse := w.events("", w.token(w.owner))
	sse.next() // and reads no more
	for i := range uint64(100) {
		w.append(w.big(int(i))).want(t, http.StatusCreated)
		require.Equal(t, []uint64{at + i}, bystander.seqs(at+i, at+i+1))
	}
	opened := 0
	require.Eventually(t, func() bool {
		if conn, _, err := w.dial(w.feedPath("type=nothing"), w.token(w.owner), nil); err == nil {
			opened++ // and stays open: each takes a place
			t.Cleanup(func() { _ = conn.Close() })
			go func() {
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return
					}
				}
			}()
		}
		return opened == dead
	}, feedPatience, 20*time.Millisecond, "the places of the dead are free")
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	require.Equal(t, []uint64{at + 100}, bystander.seqs(at+100, at+101))
	_ = stalled.Close()
}

// seqOf is the seq in a message of an entry, without reading all of it.
func seqOf(message []byte) (uint64, error) {
	const name = `"seq":`
	i := bytes.Index(message, []byte(name))
	if i < 0 {
		return 0, fmt.Errorf("no seq in %.200s", message)
	}
	digits := message[i+len(name):]
	end := bytes.IndexAny(digits, ",}")
	return strconv.ParseUint(string(digits[:end]), 10, 64)
}

// A thousand clients see every entry, in order.
func TestFeedThousandClients(t *testing.T) {
	t.Parallel()
	clients, entries := 1000, 200
	if testing.Short() {
		clients, entries = 100, 60
	}
	w, stop := serve(t, httpapi.Limits{Stall: time.Minute, Drain: time.Minute})
	at := w.size()
	token := w.token(w.owner)
	var before, open, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	var ready, listening sync.WaitGroup
	var failed atomic.Pointer[error]
	fail := func(err error) { failed.CompareAndSwap(nil, &err) }
	var seen atomic.Int64
	connecting := make(chan struct{}, 64) // handshakes at once
	ready.Add(clients)
	for n := range clients {
		listening.Go(func() {
			connecting <- struct{}{}
			d := websocket.Dialer{Subprotocols: []string{"logline.v1"}, ReadBufferSize: 2048, WriteBufferSize: 512}
			conn, _, err := d.Dial("ws"+w.url[len("http"):]+w.feedPath(""), http.Header{"Authorization": {"Bearer " + token}})
			<-connecting
			if err != nil {
				fail(fmt.Errorf("client %d: %w", n, err))
				ready.Done()
				return
			}
			defer conn.Close()
			greeted := sync.OnceFunc(ready.Done)
			defer greeted()
			for next := at; next < at+uint64(entries); {
				_ = conn.SetReadDeadline(time.Now().Add(2 * feedPatience))
				_, message, err := conn.ReadMessage()
				if err != nil {
					fail(fmt.Errorf("client %d at %d: %w", n, next, err))
					return
				}
				switch {
				case bytes.HasPrefix(message, []byte(`{"type":"entry"`)):
					seq, err := seqOf(message)
					if err != nil || seq != next {
						fail(errors.Join(fmt.Errorf("client %d got %d, not %d", n, seq, next), err))
						return
					}
					seen.Add(1)
					next++
				case bytes.HasPrefix(message, []byte(`{"type":"hello"`)):
					greeted()
				case bytes.HasPrefix(message, []byte(`{"type":"gap"`)):
					fail(fmt.Errorf("client %d: %s", n, message))
					return
				}
			}
		})
	}
	ready.Wait()
	runtime.GC()
	runtime.ReadMemStats(&open)
	begun := time.Now()
	const batch = 20
	for i := 0; i < entries; i += batch {
		var lines [][]byte
		for n := range batch {
			lines = append(lines, w.note(w.owner, i+n))
		}
		w.appendLines(lines...).want(t, http.StatusOK)
	}
	listening.Wait()
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	require.EqualValues(t, clients*entries, seen.Load())
	t.Logf("%d clients × %d entries in %s: %.0f messages/s; %d KiB a client held open (both ends), heap %d MiB at the end",
		clients, entries, took.Round(time.Millisecond), float64(clients*entries)/took.Seconds(),
		(int64(open.HeapInuse+open.StackInuse)-int64(before.HeapInuse+before.StackInuse))/int64(clients)>>10, after.HeapInuse>>20)
	require.NoError(t, stop())
}
