package systemtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/program"
)

const importMap = `
name: sensor
id: .id
time: .t
type: '"sensor." + .kind'
author: .who
causes: .after
`

// records is an input of n good lines and some bad ones between them.
func records(n int) (input []byte, bad int) {
	var b bytes.Buffer
	for i := range n {
		if i%97 == 0 {
			fmt.Fprintf(&b, "{\"id\": %d, broken\n", i)
			bad++
		}
		fmt.Fprintf(&b, `{"id":%d,"t":%d,"kind":"read","who":"p%d@example.org","after":[%d],"v":%d}`+"\n", i, 1700000000+i, i%40, i-1, i*i)
	}
	return b.Bytes(), bad
}

// workplace is a folder with a profile, an input and a map.
type workplace struct {
	t   *testing.T
	dir string
}

func (w workplace) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = w.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "LOGLINE_CONFIG_DIR=" + filepath.Join(w.dir, "config")}
	return cmd
}

// run runs a command to its end and gives its exit code and output.
func (w workplace) run(args ...string) (int, string) {
	w.t.Helper()
	cmd := w.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, _ := cmd.Output()
	w.t.Logf("%v: exit %d\n%s%s", args, cmd.ProcessState.ExitCode(), out, errs.Bytes())
	return cmd.ProcessState.ExitCode(), string(out)
}

func newWorkplace(t *testing.T, s *server, input []byte) workplace {
	t.Helper()
	w := workplace{t, t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "in.jsonl"), input, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "sensor.yaml"), []byte(importMap), 0o600))
	code, _ := w.run("onboard", "acme", "--no-passphrase", "--url", s.URL, "--data-dir", s.Dir)
	require.Zero(t, code)
	return w
}

// outcome is what `import --json` says.
type outcome struct{ Added, Already, Failed, Rejected int }

// An import that is killed at any moment, several times, and then run to its
// end has brought in every record once, and rejected every bad line.
func TestImportKilledAndRunAgain(t *testing.T) {
	n, rounds := 20_000, 8
	if testing.Short() {
		n, rounds = 5_000, 3
	}
	random := seed(t)
	s := start(t, t.TempDir())
	input, bad := records(n)
	w := newWorkplace(t, s, input)
	args := []string{"import", "jsonl", "in.jsonl", "--map", "sensor.yaml", "--batch", "100", "--json"}
	killed := 0
	for range rounds {
		cmd := w.command(args...)
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		moment := time.NewTimer(time.Duration(50+random.IntN(700)) * time.Millisecond)
		select {
		case <-moment.C:
			require.NoError(t, cmd.Process.Kill())
			<-ended
			killed++
		case <-ended:
			moment.Stop()
		}
	}
	require.NotZero(t, killed)
	w.requireWhole(args, n, bad)
	require.Zero(t, s.terminate(), "log:\n%s", s.Log)
}

// An import whose node is killed under it waits for the node and goes on.
func TestImportOutlivesItsNode(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 5_000
	}
	random := seed(t)
	s := start(t, t.TempDir())
	input, bad := records(n)
	w := newWorkplace(t, s, input)
	args := []string{"import", "jsonl", "in.jsonl", "--map", "sensor.yaml", "--batch", "100", "--json"}
	cmd := w.command(args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	for range 3 {
		moment := time.NewTimer(time.Duration(100+random.IntN(400)) * time.Millisecond)
		select {
		case <-moment.C:
		case <-ended:
			moment.Stop()
		}
		s.Kill()
		s = startAt(t, s.Dir, s.URL)
	}
	<-ended
	require.Equal(t, 6, cmd.ProcessState.ExitCode(), "%s", out.Bytes())
	var first outcome
	require.NoError(t, json.Unmarshal(out.Bytes(), &first))
	require.Equal(t, n, first.Added+first.Already)
	require.Zero(t, first.Failed)
	w.requireWhole(args, n, bad)
}

// startAt starts a server at the address that another one had.
func startAt(t *testing.T, dir, url string) *server {
	t.Helper()
	p, err := program.New(binary, dir, "--listen", url[len("http://"):])
	require.NoError(t, err)
	p.URL = url
	return started(t, p)
}

// requireWhole runs the import to its end twice and counts what is there.
func (w workplace) requireWhole(args []string, n, bad int) {
	t := w.t
	t.Helper()
	var got outcome
	for range 2 {
		code, out := w.run(args...)
		require.Equal(t, 6, code)
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, n, got.Added+got.Already)
		require.Zero(t, got.Failed)
		require.Equal(t, bad, got.Rejected)
	}
	require.Equal(t, outcome{Already: n, Rejected: bad}, got, "a second whole run adds nothing")
	rejects, err := os.ReadFile(filepath.Join(w.dir, "in.jsonl.rejects"))
	require.NoError(t, err)
	require.Equal(t, bad, bytes.Count(rejects, []byte("broken\n")))

	code, _ := w.run("export", "all.ndjson")
	require.Zero(t, code)
	code, verdict := w.run("verify", "all.ndjson")
	require.Zero(t, code, verdict)
	bundle, err := os.ReadFile(filepath.Join(w.dir, "all.ndjson"))
	require.NoError(t, err)
	require.Equal(t, n, bytes.Count(bundle, []byte(`"type":"sensor.read"`)), "every record is there once")
	seen := map[float64]bool{}
	for line := range bytes.Lines(bundle) {
		var e struct {
			Span struct {
				Payload struct {
					ID *float64 `json:"id"`
				} `json:"payload"`
			} `json:"span"`
		}
		if json.Unmarshal(line, &e) == nil && e.Span.Payload.ID != nil {
			seen[*e.Span.Payload.ID] = true
		}
	}
	require.Len(t, seen, n)
}
