package relay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
)

// patience bounds what a test waits for on a busy machine.
const patience = 30 * time.Second

// redisServer is a server of the test's own, to be stopped and started again.
type redisServer struct {
	t        *testing.T
	port     string
	password string
	cmd      *exec.Cmd
}

func newRedisServer(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server here; `make test` installs one")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	s := &redisServer{t: t, port: port, password: "s3cret"}
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", "--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--requirepass", s.password, "--dir", s.t.TempDir())
	require.NoError(s.t, s.cmd.Start())
}

func (s *redisServer) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *redisServer) carrier() *Redis {
	s.t.Helper()
	c, err := NewRedis("redis://default:"+s.password+"@127.0.0.1:"+s.port+"/2", "logline.test")
	require.NoError(s.t, err)
	return c
}

// locked is a buffer that a logger and a test share.
type locked struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *locked) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// hears has a publish until b hears it: until both are connected, wake-ups are lost.
func hears(t *testing.T, a, b node, size uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for again := time.NewTicker(50 * time.Millisecond); ; {
		a.Publish(bus.Appended{Tenant: tenant, Size: size})
		select {
		case <-ctx.Done():
			t.Fatalf("size %d was not heard of in %s", size, patience)
		case <-again.C:
		case <-b.follower.C:
			for _, got := range b.follower.Take() {
				if got == (bus.Appended{Tenant: tenant, Size: size}) {
					again.Stop()
					return
				}
			}
		}
	}
}

// Redis is down at the start, comes, dies without a word, and comes back: each
// time the relay finds it by itself, and says little.
func TestRedisComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	out := &locked{}
	a := run(t, s.carrier(), slog.New(slog.NewTextHandler(out, nil)))
	b := run(t, s.carrier(), slog.New(slog.DiscardHandler))
	for round := range uint64(3) {
		for n := range 1000 { // nobody waits for a carrier that is down
			a.Publish(bus.Appended{Tenant: tenant, Size: round*1000 + uint64(n)})
		}
		s.start()
		hears(t, a, b, 10_000+round)
		hears(t, b, a, 20_000+round)
		s.kill()
	}
	a.stop()
	b.stop()
	require.LessOrEqual(t, strings.Count(out.String(), "\n"), 8, "one line for each loss and each return:\n%s", out)
	require.Contains(t, out.String(), "relay lost")
	require.NotContains(t, out.String(), s.password)
}

// A server that wants a password and gets a wrong one is a lost relay, not more.
func TestRedisRefusesUs(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	s.start()
	b := run(t, s.carrier(), slog.New(slog.DiscardHandler))
	a := run(t, s.carrier(), slog.New(slog.DiscardHandler))
	hears(t, a, b, 1) // it is up
	s.password = "wrong"
	_, err := s.carrier().Connect(t.Context())
	require.Equal(t, "relay_lost", fault.CodeOf(err))
	require.NotContains(t, err.Error(), "wrong@")
	a.stop()
	b.stop()
}

// The shared server, with as much as it takes: both hear the last of everything.
func TestRedisUnderLoad(t *testing.T) {
	t.Parallel()
	url := os.Getenv("LOGLINE_TEST_REDIS")
	if url == "" {
		t.Skip("LOGLINE_TEST_REDIS is not set; `make test` sets it")
	}
	carrier := func() *Redis {
		c, err := NewRedis(url, fmt.Sprintf("logline.test.%d.%d", os.Getpid(), time.Now().UnixNano()/1e12))
		require.NoError(t, err)
		return c
	}
	a, b := run(t, carrier(), nil), run(t, carrier(), nil)
	hears(t, a, b, 1)
	for size := range uint64(50_000) {
		a.Publish(bus.Appended{Tenant: tenant, Size: 2 + size})
	}
	deadline := time.After(patience)
	for last := uint64(0); last < 50_001; {
		select {
		case <-b.follower.C:
			for _, got := range b.follower.Take() {
				last = got.Size
			}
		case <-deadline:
			t.Fatalf("the last size heard of is %d", last)
		}
	}
	a.stop()
	b.stop()
}

func TestRedisURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"redis://h:6379", "rediss://u:p@h:6380/3", "unix:///run/redis.sock?db=1", "redis://h"} {
		c, err := NewRedis(url, "c")
		require.NoError(t, err, url)
		require.Equal(t, strings.HasPrefix(url, "rediss"), c.options.TLSConfig != nil)
	}
	for _, url := range []string{"", "h:6379", "http://u:secret@h", "redis://u:secret@h:port/x", "redis://u:secret@h/1/2", "redis://h?nonsense=1", "redis://u:secret@h:6379/db"} {
		_, err := NewRedis(url, "c")
		require.Equal(t, "redis_url_invalid", fault.CodeOf(err), url)
		require.NotContains(t, err.Error(), "secret")
	}
}

// A silent connection is asked and stays; one to a server that stands still is
// given up.
func TestRedisIsSilent(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	s.start()
	b := run(t, s.carrier(), slog.New(slog.DiscardHandler))
	a := run(t, s.carrier(), slog.New(slog.DiscardHandler))
	hears(t, a, b, 1) // it is up
	a.stop()
	b.stop()

	c := s.carrier()
	c.idle = 300 * time.Millisecond
	link, err := c.Connect(t.Context())
	require.NoError(t, err)
	received := make(chan string, 1)
	failed := make(chan error, 1)
	go func() {
		for {
			text, err := link.Receive(context.Background())
			if err != nil {
				failed <- err
				return
			}
			received <- text
		}
	}()
	for range 3 {
		select {
		case err := <-failed:
			t.Fatalf("a silent connection was given up: %v", err)
		case <-time.After(3 * c.idle):
		}
		require.NoError(t, link.Send(t.Context(), "still here"))
		require.Equal(t, "still here", <-received)
	}
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	require.Equal(t, "relay_lost", fault.CodeOf(<-failed))
	require.NoError(t, link.Close())
}
