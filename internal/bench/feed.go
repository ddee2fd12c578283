package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
)

// Sizes of what is followed.
const (
	fewClients  = 50
	manyClients = 1000
	liveRate    = 1000 // spans a second
	restRate    = 20
)

// measureFeed follows a timeline with many clients at once: how soon each has
// what was committed, and how much is sent to all of them together.
func measureFeed(ctx context.Context, b *bench) (figures []figure, err error) {
	b.say("feed: bare round trips")
	trips, err := roundTrips(ctx, b.pick(5_000, 500))
	if err != nil {
		return nil, err
	}
	for _, store := range b.stores {
		if store != sqlite && store != postgres {
			continue // the feed is the same on all of them
		}
		f, err := b.measureFeedOn(ctx, store, trips)
		figures = append(figures, f...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
	}
	return figures, nil
}

func (b *bench) measureFeedOn(ctx context.Context, store string, trips loadgen.Latencies) ([]figure, error) {
	n, err := b.start(ctx, store)
	if err != nil {
		return nil, err
	}
	defer n.remove()
	b.say("feed, %s: %d clients", store, fewClients)
	rest, err := n.follow(ctx, restRate, b.pick(200, 20))
	if err != nil {
		return nil, err
	}
	live, err := n.follow(ctx, liveRate, b.pick(15_000, 500))
	if err != nil {
		return nil, err
	}
	trip := trips.Percentile(50)
	more := max(0, live.Percentile(99)-rest.Percentile(99))
	delay := figure{Group: "feed", Name: fmt.Sprintf("%d clients at %d spans/s, p99 more than at rest", fewClients, liveRate), Store: store,
		Measured: more.Seconds(), Unit: inSeconds, Target: &target{Text: "20 bare round trips", Bound: 20 * trip.Seconds(), Sense: atMost},
		Note: fmt.Sprintf("receipt to client: p50 %s, p99 %s; at rest p50 %s, p99 %s; a bare round trip p50 %s, p99 %s",
			loadgen.Show(live.Percentile(50)), loadgen.Show(live.Percentile(99)), loadgen.Show(rest.Percentile(50)), loadgen.Show(rest.Percentile(99)),
			loadgen.Show(trip), loadgen.Show(trips.Percentile(99)))}
	b.say("feed, %s: %d clients", store, manyClients)
	fanned, err := b.measureFanout(ctx, n)
	return []figure{delay, fanned}, err
}

// follow appends spans one by one at a rate and is how long after the receipt
// each of the clients had each entry. What came before its receipt counts 0.
func (n *node) follow(ctx context.Context, rate, spans int) (loadgen.Latencies, error) {
	size, err := n.size(ctx)
	if err != nil {
		return nil, err
	}
	committed := make([]atomic.Int64, spans)
	arrived := make([][]int64, fewClients)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reading sync.WaitGroup
	for i := range arrived {
		conn, err := n.dialFeed(ctx)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		arrived[i] = make([]int64, spans)
		reading.Go(func() {
			if err := readEntries(conn, size, arrived[i]); err != nil {
				cancel(err)
			}
		})
	}
	defer context.AfterFunc(ctx, func() { cancel(nil) })()
	if err := n.post(ctx, rate, size, committed); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() { reading.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		return nil, errors.New("a feed did not show every entry within a minute")
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var all loadgen.Latencies
	for _, times := range arrived {
		for i, at := range times {
			all = append(all, time.Duration(max(0, at-committed[i].Load())))
		}
	}
	return all, nil
}

// clock is the time that receipts and arrivals are compared by, in nanoseconds.
var clock = func() func() int64 {
	began := time.Now()
	return func() int64 { return int64(time.Since(began)) }
}()

// post appends one span after the other from a few callers, at a rate.
func (n *node) post(ctx context.Context, rate int, first uint64, committed []atomic.Int64) error {
	callers := min(8, max(1, rate/100))
	c := loadgen.Case{Callers: 1, Lines: 1, Spans: len(committed)}
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return err
	}
	every := time.Duration(callers) * time.Second / time.Duration(rate)
	ended := make(chan error, callers)
	for caller := range callers {
		go func() {
			h := &http.Client{Transport: &http.Transport{}}
			defer h.CloseIdleConnections()
			due := time.Now().Add(every * time.Duration(caller) / time.Duration(callers))
			for body := range stride(bodies, caller, callers) {
				err := wait(ctx, time.Until(due))
				due = due.Add(every)
				var seq uint64
				if err == nil {
					seq, err = postOne(ctx, h, n.spansURL(), body)
				}
				if err != nil {
					ended <- err
					return
				}
				committed[seq-first].Store(clock())
			}
			ended <- nil
		}()
	}
	for range callers {
		err = errors.Join(err, <-ended)
	}
	return err
}

// postOne appends a span and reads which seq it got.
func postOne(ctx context.Context, h *http.Client, to string, body []byte) (uint64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.Do(req)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusCreated {
		return 0, fmt.Errorf("a span was answered %s: %.300s", resp.Status, answer)
	}
	return seqIn(answer)
}

// seqIn is the first seq that stands in an entry or a receipt.
func seqIn(text []byte) (uint64, error) {
	_, rest, ok := bytes.Cut(text, []byte(`"seq":`))
	end := bytes.IndexAny(rest, ",}")
	if !ok || end < 0 {
		return 0, fmt.Errorf("no seq in %.200s", text)
	}
	return strconv.ParseUint(string(rest[:end]), 10, 64)
}

var entryPrefix = []byte(`{"type":"entry"`)

// readEntries notes when each entry from first on arrives, until all have.
func readEntries(conn *websocket.Conn, first uint64, arrived []int64) error {
	for left := len(arrived); left > 0; {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(message, entryPrefix) {
			continue
		}
		now := clock()
		seq, err := seqIn(message)
		if err != nil {
			return err
		}
		arrived[seq-first] = now
		left--
	}
	return nil
}

// size is how many entries the timeline has.
func (n *node) size(ctx context.Context) (uint64, error) {
	note, err := n.api.Checkpoint(ctx, n.tenant.Id)
	if err != nil {
		return 0, err
	}
	lines := strings.SplitN(string(note), "\n", 3)
	return strconv.ParseUint(lines[1], 10, 64)
}

// dialFeed opens a feed from now on.
func (n *node) dialFeed(ctx context.Context) (*websocket.Conn, error) {
	token, err := id.SignToken(n.owner.Signer(), n.owner.ID(), n.tenant.Node, time.Now(), 5*time.Minute)
	if err != nil {
		return nil, err
	}
	conn, err := dialSocket(ctx, n.URL+"/v1/tenants/"+n.tenant.Id+"/feed?from=now", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return nil, err
	}
	_, _, err = conn.ReadMessage() // its hello: from here on nothing is missed
	return conn, err
}

func dialSocket(ctx context.Context, to string, header http.Header) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"logline.v1"}, ReadBufferSize: 16 << 10}
	conn, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(to, "http"), header)
	if err != nil && resp != nil {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // it is an error already
		return nil, fmt.Errorf("%w: %s: %s", err, resp.Status, text)
	}
	return conn, err
}

// roundTrips are those of a short message through a bare WebSocket.
func roundTrips(ctx context.Context, times int) (trips loadgen.Latencies, err error) {
	s, err := startBare(ctx, fanoutCommand, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	conn, err := dialSocket(ctx, s.url+"/echo", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	message := bytes.Repeat([]byte("x"), 900)
	for range times {
		sent := time.Now()
		if err := conn.WriteMessage(websocket.TextMessage, message); err != nil {
			return nil, err
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			return nil, err
		}
		trips = append(trips, time.Since(sent))
	}
	slices.Sort(trips)
	return trips, nil
}
