package systemtest

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/secret/plant"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/systemtest/syscalls"
)

// binary is the program under test, built once by TestMain, or the one that
// LOGLINE_TEST_BINARY names.
var binary string

func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case syscalls.Flag:
			os.Exit(syscalls.Trace(os.Args[1:]))
		case helperFlag:
			if err := do(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binary = os.Getenv("LOGLINE_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "logline-system")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = program.Build(background(), "../..", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// lookAtSources makes go test run these tests again when the program's source
// has changed: it knows so only of files that a running test looks at.
var lookAtSources = sync.OnceValue(func() error {
	const root = "../.."
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".sql":
			return nil
		}
		_, err = os.Stat(path)
		return err
	})
})

// server is one process of the program in a test.
type server struct {
	*program.Server
	t *testing.T
}

// start runs a server on dir and returns when it is ready.
func start(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	p, err := program.New(binary, dir, flags...)
	require.NoError(t, err)
	return started(t, p)
}

func started(t *testing.T, p *program.Server) *server {
	t.Helper()
	require.NoError(t, lookAtSources())
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		p.Kill()
		require.Empty(t, plant.Looks(p.Log.Bytes()), "secrets in what a server printed")
	})
	return &server{Server: p, t: t}
}

// startAfter is start with a command line that runs the program in the end, in
// the same process.
func startAfter(t *testing.T, dir string, wrapper ...string) *server {
	t.Helper()
	p, err := program.New(binary, dir)
	require.NoError(t, err)
	p.Cmd.Args = append(wrapper, p.Cmd.Args...)
	p.Cmd.Path, err = exec.LookPath(wrapper[0])
	require.NoError(t, err)
	return started(t, p)
}

// terminate asks the process to end and returns its exit code.
func (s *server) terminate() int {
	s.t.Helper()
	code, err := s.Terminate()
	require.NoError(s.t, err)
	return code
}

// client talks to the server; each has its own connections, and holds every
// answer against the API's document.
func (s *server) client(opts ...client.Option) *client.Client {
	s.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	s.t.Cleanup(transport.CloseIdleConnections)
	h := &http.Client{Transport: spectest.Transport(s.t, transport), Timeout: 30 * time.Second}
	c, err := client.New(s.URL, append([]client.Option{client.WithHTTPClient(h)}, opts...)...)
	require.NoError(s.t, err)
	return c
}

func background() context.Context { return context.Background() }
