package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
)

// engineRoomStub answers what a test says; it may be gone.
type engineRoomStub struct {
	mu        sync.Mutex // guards the rest
	gone      bool
	tenants   []client.Tenant
	forbidden map[string]bool
	queues    []client.Queue
	running   []client.Task
	followers []client.Follower
}

func (e *engineRoomStub) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

func (e *engineRoomStub) Tenants(context.Context) ([]client.Tenant, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil, errors.New("connection refused")
	}
	return e.tenants, nil
}

func (e *engineRoomStub) Queues(_ context.Context, tenant string) ([]client.Queue, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.forbidden[tenant] {
		return nil, &client.Problem{Code: "role_forbidden", Status: 403}
	}
	return e.queues, nil
}

func (e *engineRoomStub) Tasks(context.Context, string, client.TaskFilter) (*client.TaskPage, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &client.TaskPage{Items: e.running}, nil
}

func (e *engineRoomStub) Followers(context.Context, string) ([]client.Follower, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.followers, nil
}

var topTime = time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)

func newEngineRoom() *engineRoomStub {
	entry := uint64(4711)
	return &engineRoomStub{
		tenants:   []client.Tenant{{Id: "a", Slug: "acme"}, {Id: "b", Slug: "secret"}},
		forbidden: map[string]bool{"b": true},
		queues: []client.Queue{
			{Queue: "call", Limit: 16, Queued: 1234, Running: 16, Completed: 90_000, Failed: 3, WaitSeconds: 95, Recent: client.QueueRecent{Minutes: 5, Completed: 100, Failed: 100, PerMinute: 20, FailureRate: 0.5}},
			{Queue: "emit", Limit: 16, Completed: 12},
		},
		running: []client.Task{{Id: "01890a5d-ac96-774b-bcce-b302099a8050.0", Kind: "call", Name: "till", Attempt: 2, Worker: "host/4242", ChangedAt: "2026-03-01T12:00:02.000Z"}},
		followers: []client.Follower{
			{Follower: "tasks", State: "parked", Lag: 17, LagSeconds: 61, Entry: &entry, Error: "it makes\x1b[31m no sense"},
			{Follower: "words", State: "running"},
		},
	}
}

func newTop(room engineRoom, out io.Writer) *top {
	env := &environment{Stdout: out, Stderr: io.Discard, Getenv: func(string) string { return "" }, Now: func() time.Time { return topTime }}
	return &top{env: env, node: room, where: "http://127.0.0.1:8080", every: 10 * time.Millisecond}
}

// All that matters is within 80 columns and 24 rows, and no line is wider or more
// than there is room for, however small that is.
func TestTopFits(t *testing.T) {
	t.Parallel()
	room := newEngineRoom()
	l, err := newTop(room, io.Discard).look(t.Context())
	require.NoError(t, err)
	text := textOf(l.render(80, 24))
	require.Contains(t, text, "1,234 queued, 16 running, 1 PARKED")
	require.Regexp(t, `(?m)^acme +call +1,234 +16/16 +90,000 +3 +1 min 35 s +20\.0 +50 %$`, text)
	require.Regexp(t, `(?m)^01890a5d-ac96-774b-bcce-b302099a8050\.0 +call +2 +3\.0 s +host/4242 +till$`, text)
	require.Regexp(t, `(?m)^acme +tasks +parked +17 +1 min 01 s +entry 4711: it makes \[31m no s`, text)
	require.NotContains(t, text, "secret", "tenants whose tasks it may not see are left out")
	require.NotContains(t, text, "\x1b")

	for n := range 60 {
		room.queues = append(room.queues, client.Queue{Queue: fmt.Sprintf("queue-with-a-long-name-%d", n), Queued: 123_456_789, WaitSeconds: 1e6})
		room.running = append(room.running, room.running[0])
		room.followers = append(room.followers, room.followers[0])
	}
	l, err = newTop(room, io.Discard).look(t.Context())
	require.NoError(t, err)
	l.err = errors.New("connection refused")
	for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 12}, {20, 6}, {1, 1}} {
		lines := l.render(size[0], size[1])
		require.LessOrEqual(t, len(lines), size[1])
		for _, line := range lines {
			require.LessOrEqual(t, utf8.RuneCountInString(line.text), size[0], line.text)
		}
	}
	text = textOf(l.render(80, 24))
	require.Contains(t, text, "cannot look: connection refused")
	require.Equal(t, 3, strings.Count(text, "… and "), "each table has its share")
	require.Greater(t, len(l.render(80, 0)), 180, "without a height everything is there")
}

func textOf(lines []topLine) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}

// Where there is no terminal, looks are printed below each other, without
// colours; a node that is gone for a while ends nothing.
func TestTopWithoutATerminal(t *testing.T) {
	t.Parallel()
	room := newEngineRoom()
	room.gone = true
	out, in := io.Pipe()
	top := newTop(room, in)
	var stderr strings.Builder
	top.env.Stderr = &stderr
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- top.run(ctx); _ = in.Close() }()
	room.set(func() { room.gone = false })
	buf := make([]byte, 4096)
	seen := ""
	for strings.Count(seen, "logline top") < 2 {
		n, err := out.Read(buf)
		require.NoError(t, err)
		seen += string(buf[:n])
	}
	cancel()
	_, err := io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.NoError(t, <-ended)
	require.Contains(t, seen, "1 PARKED")
	require.NotContains(t, seen, "\x1b")
}
