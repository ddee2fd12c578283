// Package program runs the real LogLine program as a process of its own, for
// system tests and benchmarks: build it, start a server, wait until it is
// ready, end it gently or not, and make the first tenant.
package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 40 * time.Second
)

// Build compiles cmd/logline of the repository at root into dir, stripped as a
// release is, and returns the binary's path.
func Build(ctx context.Context, root, dir string) (string, error) {
	binary := filepath.Join(dir, "logline")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "./cmd/logline")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/logline: %w\n%s", err, out)
	}
	return binary, nil
}

// Server is one process of "logline serve". Change Cmd between New and Start.
type Server struct {
	URL string
	Dir string // data directory
	Cmd *exec.Cmd
	Log *Log // what it printed

	exited chan struct{} // closed when the process has ended; err is set then
	err    error
}

// New prepares a server on dir and a free port of the loopback address. Its
// environment is this one's without settings of the program.
func New(binary, dir string, flags ...string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--listen", address, "--data-dir", dir, "--log-format", "json"}, flags...)
	s := &Server{
		URL: "http://" + address, Dir: dir, Cmd: exec.Command(binary, args...),
		Log: &Log{}, exited: make(chan struct{}),
	}
	s.Cmd.Stdout, s.Cmd.Stderr = s.Log, s.Log
	s.Cmd.Env = environment()
	return s, nil
}

// Again prepares one more process of a server that has ended: the same command
// line and so the same address, directory and environment.
func (s *Server) Again() *Server {
	next := &Server{URL: s.URL, Dir: s.Dir, Cmd: exec.Command(s.Cmd.Path, s.Cmd.Args[1:]...), Log: &Log{}, exited: make(chan struct{})}
	next.Cmd.Stdout, next.Cmd.Stderr = next.Log, next.Log
	next.Cmd.Env, next.Cmd.SysProcAttr = s.Cmd.Env, s.Cmd.SysProcAttr
	return next
}

func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "LOGLINE_"), name == "DATABASE_URL", name == "PORT", name == "REDIS_URL":
		default:
			env = append(env, kv)
		}
	}
	return env
}

// Start runs the process and returns when it is ready. It fails, with the log's
// end in the error, when the process ends or takes more than 20 s.
func (s *Server) Start() error { return s.start(s.answers) }

// StartSilent is Start for a process that serves no HTTP: its log says that it
// is ready.
func (s *Server) StartSilent() error {
	return s.start(func() bool { return strings.Contains(s.Log.String(), `"msg":"ready"`) })
}

func (s *Server) start(ready func() bool) error {
	if err := s.Cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.err = s.Cmd.Wait()
		close(s.exited)
	}()
	if err := s.waitReady(ready); err != nil {
		s.Kill()
		return fmt.Errorf("%w; log:\n%s", err, s.Log)
	}
	return nil
}

func (s *Server) waitReady(ready func() bool) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended: %w", s.err)
		case <-deadline.C:
			return fmt.Errorf("the server was not ready after %s", startTimeout)
		case <-poll.C:
			if ready() {
				return nil
			}
		}
	}
}

// answers says whether /readyz does with 200.
func (s *Server) answers() bool {
	resp, err := http.Get(s.URL + "/readyz")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Kill ends the process as a power cut would; harmless when it has ended.
func (s *Server) Kill() {
	if s.Cmd.Process == nil {
		return
	}
	_ = s.Cmd.Process.Kill()
	<-s.exited
}

// Wait returns when the process has ended and all that it printed is kept.
func (s *Server) Wait() { <-s.exited }

// Terminate sends SIGTERM and returns the exit code.
func (s *Server) Terminate() (int, error) {
	if err := s.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return -1, err
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-s.exited:
		return s.Cmd.ProcessState.ExitCode(), nil
	case <-timeout.C:
		return -1, fmt.Errorf("still running %s after SIGTERM; log:\n%s", stopTimeout, s.Log)
	}
}

// FirstTenant registers owner and makes the first tenant with the bootstrap
// token that the server left in its data directory.
func (s *Server) FirstTenant(ctx context.Context, api *client.Client, owner *id.Keys, slug, name string) (*client.Tenant, error) {
	if _, _, err := api.Register(ctx, Registration(owner)); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(s.Dir, "bootstrap-token"))
	if err != nil {
		return nil, err
	}
	return api.CreateTenant(ctx, strings.TrimSpace(string(token)), client.NewTenant{Slug: slug, Name: name, Owner: owner.ID()})
}

// Registration is what registers an identity.
func Registration(keys *id.Keys) client.Registration {
	var r client.Registration
	for _, e := range keys.Events() {
		r.Events = append(r.Events, json.RawMessage(e))
	}
	return r
}

// Log keeps what a process printed. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

var errClosedLog = errors.New("the log is full")

// maxLog bounds what is kept of a process that prints without end, in bytes.
const maxLog = 64 << 20

// Write keeps p; it fails once 64 MiB are kept, so that a process that prints
// without end is stopped by its closed pipe.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > maxLog {
		return 0, errClosedLog
	}
	return l.buf.Write(p)
}

// Bytes is a copy of all that is kept.
func (l *Log) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.buf.Bytes())
}

// String is the end of the log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf.Bytes()
	if len(b) > 4000 {
		b = b[len(b)-4000:]
	}
	return string(b)
}
