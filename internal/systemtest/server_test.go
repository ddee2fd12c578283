package systemtest

import (
	"bytes"
	"context"
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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
)

// binary is the program under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "logline-system")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "logline")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/logline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build cmd/logline: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// server is one process of the program.
type server struct {
	t      *testing.T
	url    string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended; exit is set then
	exit   error
	log    *tail
}

// tail keeps what the process printed, for failures.
type tail struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.buf.String()
	if len(s) > 4000 {
		s = "…" + s[len(s)-4000:]
	}
	return s
}

// start runs a server on dir and returns when it is ready.
func start(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	s := prepare(t, dir, "", flags...)
	s.run()
	require.NoError(t, s.waitReady(), "log:\n%s", s.log)
	return s
}

// prepare makes a server that does not run yet. before, if given, is a shell
// line that runs first in the same process.
func prepare(t *testing.T, dir, before string, flags ...string) *server {
	t.Helper()
	address := freeAddress(t)
	args := append([]string{"serve", "--listen", address, "--data-dir", dir, "--log-format", "json"}, flags...)
	s := &server{t: t, url: "http://" + address, dir: dir, exited: make(chan struct{}), log: &tail{}}
	if before == "" {
		s.cmd = exec.Command(binary, args...)
	} else {
		s.cmd = exec.Command("sh", append([]string{"-c", before + ` && exec "$0" "$@"`, binary}, args...)...)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = cleanEnvironment()
	return s
}

func (s *server) run() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Start())
	go func() {
		s.exit = s.cmd.Wait()
		close(s.exited)
	}()
	s.t.Cleanup(s.kill)
}

// cleanEnvironment is the environment without settings of the program.
func cleanEnvironment() []string {
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

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// waitReady polls readyz until it says yes or the process ends.
func (s *server) waitReady() error {
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended: %w", s.exit)
		case <-deadline.C:
			return errors.New("the server did not become ready in 20 s")
		case <-poll.C:
			resp, err := http.Get(s.url + "/readyz")
			if err != nil {
				continue
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// kill ends the process as a power cut would; harmless when it has ended.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// terminate asks the process to end and returns its exit code.
func (s *server) terminate() int {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		s.t.Fatalf("still running 40 s after SIGTERM; log:\n%s", s.log)
	}
	return s.cmd.ProcessState.ExitCode()
}

// client talks to the server; each has its own connections.
func (s *server) client(opts ...client.Option) *client.Client {
	s.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	s.t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(s.url, append([]client.Option{client.WithHTTPClient(&http.Client{Transport: transport, Timeout: 30 * time.Second})}, opts...)...)
	require.NoError(s.t, err)
	return c
}

func background() context.Context { return context.Background() }
