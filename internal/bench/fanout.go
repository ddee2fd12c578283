package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/danvoulez/logline/internal/loadgen"
)

// measureFanout sends a burst of entries to many clients, and then the very same
// messages by a bare server that has nothing else to do.
func (b *bench) measureFanout(ctx context.Context, n *node) (f figure, err error) {
	conns := make([]*websocket.Conn, manyClients)
	for i := range conns {
		if conns[i], err = n.dialFeed(ctx); err != nil {
			return f, err
		}
		defer conns[i].Close()
	}
	size, err := n.size(ctx)
	if err != nil {
		return f, err
	}
	c := loadgen.Case{Callers: 1, Lines: 500, Spans: b.pick(2_000, 500)}
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return f, err
	}
	last := fmt.Appendf(nil, `"seq":%d,`, size+uint64(c.Spans)-1)
	var first [][]byte // what the first client got
	fanned, err := fan(conns, func() error {
		_, err := n.load(ctx, bodies, c)
		return err
	}, func(client int, message []byte) bool {
		if client == 0 {
			first = append(first, bytes.Clone(message))
		}
		return bytes.HasPrefix(message, entryPrefix) && bytes.Contains(message, last)
	})
	if err != nil {
		return f, err
	}
	path := filepath.Join(b.dir, "fanout.ndjson")
	if err := os.WriteFile(path, append(bytes.Join(first, []byte("\n")), '\n'), 0o600); err != nil {
		return f, err
	}
	bare, err := fanBare(ctx, path, len(first))
	if err != nil {
		return f, fmt.Errorf("bare fan-out: %w", err)
	}
	return figure{Group: "feed", Name: fmt.Sprintf("%d clients, messages", manyClients), Store: n.store, Measured: fanned, Unit: perSecond,
		Target: &target{Text: "0.6 of a bare fan-out", Bound: 0.6 * bare, Sense: atLeast},
		Note:   fmt.Sprintf("a burst of %d entries, appends included; bare PreparedMessages of the same bytes %s", c.Spans, perSecond.show(bare))}, nil
}

// fan starts the sending and reads on every connection until done says that its
// last message has come. It is the messages a second, of all together.
func fan(conns []*websocket.Conn, start func() error, done func(client int, message []byte) bool) (float64, error) {
	var count atomic.Int64
	var mu sync.Mutex // guards failed
	var failed error
	var reading sync.WaitGroup
	begin := time.Now()
	for i, conn := range conns {
		_ = conn.SetReadDeadline(begin.Add(3 * time.Minute)) // it fails for nobody
		reading.Go(func() {
			n := int64(0)
			for ended := false; !ended; {
				_, message, err := conn.ReadMessage()
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
				n++
				ended = done(i, message)
			}
			count.Add(n)
		})
	}
	err := start()
	reading.Wait()
	elapsed := time.Since(begin)
	return float64(count.Load()) / elapsed.Seconds(), errors.Join(err, failed)
}

// fanBare has the bare server send the messages of a file.
func fanBare(ctx context.Context, path string, messages int) (rate float64, err error) {
	s, err := startBare(ctx, fanoutCommand, path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	conns := make([]*websocket.Conn, manyClients)
	for i := range conns {
		if conns[i], err = dialSocket(ctx, s.url+"/feed", nil); err != nil {
			return 0, err
		}
		defer conns[i].Close()
	}
	got := make([]int, manyClients)
	return fan(conns, func() error {
		resp, err := http.Get(s.url + "/go")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}, func(client int, _ []byte) bool {
		got[client]++
		return got[client] == messages
	})
}

// serveFanout echoes at /echo, and sends the lines of a file to everybody at
// /feed once /go is asked for, until stdin ends. Each is prepared once.
func serveFanout(path string, stdin io.Reader, stdout io.Writer) error {
	var messages []*websocket.PreparedMessage
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			m, err := websocket.NewPreparedMessage(websocket.TextMessage, bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				return err
			}
			messages = append(messages, m)
		}
	}
	up := websocket.Upgrader{Subprotocols: []string{"logline.v1"}, WriteBufferPool: &sync.Pool{}}
	begin := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/go", func(http.ResponseWriter, *http.Request) { close(begin) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/feed", func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		<-begin
		for _, m := range messages {
			if conn.WritePreparedMessage(m) != nil {
				return
			}
		}
		_, _, _ = conn.ReadMessage() // until the client has all and goes
	})
	return serveBare(mux, stdin, stdout)
}
