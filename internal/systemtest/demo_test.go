package systemtest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// demo is one process of "logline demo" on a repository.
type demo struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *program.Log
	err    *program.Log
	exited chan struct{}
}

func startDemo(t *testing.T, dir string, flags ...string) *demo {
	t.Helper()
	require.NoError(t, lookAtSources())
	d := &demo{t: t, out: &program.Log{}, err: &program.Log{}, exited: make(chan struct{})}
	args := append([]string{"demo", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"), "--repo", filepath.Join(dir, "repo")}, flags...)
	d.cmd = exec.Command(binary, args...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.err
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LOGLINE_CONFIG_DIR=" + filepath.Join(dir, "config")}
	require.NoError(t, d.cmd.Start())
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.exited
	})
	return d
}

// until waits for what find finds, and fails when the process ends before.
func (d *demo) until(what string, find func() bool) {
	d.t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for !find() {
		select {
		case <-d.exited:
			require.True(d.t, find(), "the demo ended before %s\n%s\n%s", what, d.out, d.err)
			return
		case <-deadline.C:
			require.Fail(d.t, "no "+what, "%s\n%s", d.out, d.err)
		case <-poll.C:
		}
	}
}

// end waits for the process and gives its exit code.
func (d *demo) end() int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(time.Minute):
		require.Fail(d.t, "the demo does not end", "%s\n%s", d.out, d.err)
	}
	require.NotContains(d.t, d.err.String(), "panic")
	return d.cmd.ProcessState.ExitCode()
}

func (d *demo) interrupt() int {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGINT))
	return d.end()
}

// history makes a repository of n commits under dir.
func history(t *testing.T, dir string, n int) {
	t.Helper()
	repo := filepath.Join(dir, "repo")
	var stream bytes.Buffer
	for i := range n {
		message := fmt.Sprintf("Commit %d", i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Ana <ana@example.org> %d +0000\ndata %d\n%s\n", 1_700_000_000+i, len(message), message)
	}
	git := func(stdin *bytes.Buffer, args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
		if stdin != nil {
			cmd.Stdin = stdin
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	git(nil, "init", "-q", "-b", "main", repo)
	git(&stream, "-C", repo, "fast-import", "--quiet")
}

var (
	demoServer = regexp.MustCompile(`(?m)^ *server +(http://\S+)`)
	demoTenant = regexp.MustCompile(`(?m)^ *tenant +\S+ +([0-9a-f-]{36})`)
	demoCounts = regexp.MustCompile(`(\d[\d,]*) added, (\d[\d,]*) already there, 0 failed`)
)

func counts(t *testing.T, d *demo) (added, already int) {
	t.Helper()
	m := demoCounts.FindStringSubmatch(d.out.String())
	require.NotNil(t, m, "%s", d.out)
	for i, into := range []*int{&added, &already} {
		_, err := fmt.Sscan(strings.ReplaceAll(m[i+1], ",", ""), into)
		require.NoError(t, err)
	}
	return added, already
}

// Ctrl-C while the demo serves ends it as a success, and the data goes on.
func TestDemoInterruptedWhileServing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	history(t, dir, 3)
	d := startDemo(t, dir)
	d.until("its last words", func() bool { return strings.Contains(d.out.String(), "Ctrl-C") })
	url := demoServer.FindStringSubmatch(d.out.String())
	require.NotNil(t, url, "%s", d.out)
	resp, err := http.Get(url[1] + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "it serves")
	require.Zero(t, d.interrupt(), "%s\n%s", d.out, d.err)
	require.Contains(t, d.out.String(), "Stopping.")
	_, err = http.Get(url[1] + "/readyz")
	require.Error(t, err, "nobody answers any more")

	again := startDemo(t, dir, "--exit")
	require.Zero(t, again.end(), "%s\n%s", again.out, again.err)
	added, already := counts(t, again)
	require.Equal(t, []int{0, 3}, []int{added, already})
}

// Ctrl-C while the demo imports leaves a timeline that holds whole spans, and
// the next run goes on where it stopped.
func TestDemoInterruptedWhileImporting(t *testing.T) {
	t.Parallel()
	const commits = 6000
	dir := t.TempDir()
	history(t, dir, commits)
	d := startDemo(t, dir)
	var size uint64
	d.until("entries", func() bool {
		server, tenant := demoServer.FindStringSubmatch(d.out.String()), demoTenant.FindStringSubmatch(d.out.String())
		if server == nil || tenant == nil {
			return false
		}
		api, err := client.New(server[1])
		require.NoError(t, err)
		note, err := api.Checkpoint(background(), tenant[1])
		if err != nil {
			return false
		}
		n, err := tree.ParseNote(note)
		require.NoError(t, err)
		size = n.Checkpoint.Size
		return size > 100
	})
	code := d.interrupt()
	require.NotZero(t, code, "what was asked for was not done")
	require.Less(t, code, 128, "it ended by itself: %s", d.err)
	require.NotContains(t, d.out.String(), "already there, 0 failed", "this test came too late to interrupt anything")

	again := startDemo(t, dir, "--exit")
	require.Zero(t, again.end(), "%s\n%s", again.out, again.err)
	added, already := counts(t, again)
	require.Equal(t, commits, added+already)
	require.Greater(t, already, 50, "what was acknowledged is there")
	require.Greater(t, added, 0)
	require.Contains(t, again.out.String(), "consistent; origin authenticated")
}
