package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// tailPatience is how long a tail may take for what is there already.
const tailPatience = 60 * time.Second

// follower is a running "logline tail -f --json".
type follower struct {
	t    *testing.T
	cmd  *exec.Cmd
	errs *program.Log
	next atomic.Uint64 // seqs before it were printed, each once and in order
	bad  atomic.Value  // string: the first line that was not the one due
	done chan struct{} // closed at the end of what it prints
}

// profile writes a configuration folder for commands: a profile of the tenant,
// as its owner.
func (y *tenancy) profile(config string) {
	t := y.t
	t.Helper()
	key := filepath.Join(config, "owner.key")
	require.NoError(t, id.SaveKeys(key, y.owner, ""))
	profiles, err := json.Marshal(map[string]any{"current": "p", "profiles": []any{map[string]string{
		"name": "p", "url": y.URL, "tenant": y.tenant.Id, "identity": y.owner.ID(), "key_file": key,
	}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), profiles, 0o600))
}

// tail starts a tail of the tenant from the beginning, as its owner.
func (y *tenancy) tail(args ...string) *follower {
	t := y.t
	t.Helper()
	config := t.TempDir()
	y.profile(config)
	f := &follower{t: t, errs: &program.Log{}, done: make(chan struct{})}
	f.cmd = exec.Command(binary, append([]string{"tail", "-f", "--from", "beginning", "--json"}, args...)...)
	f.cmd.Env = append(os.Environ(), "LOGLINE_CONFIG_DIR="+config)
	f.cmd.Stderr = f.errs
	out, err := f.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, f.cmd.Start())
	t.Cleanup(func() { _ = f.cmd.Process.Kill(); <-f.done })
	go f.read(out)
	return f
}

func (f *follower) read(out io.Reader) {
	defer close(f.done)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		var e struct{ Seq *uint64 }
		if json.Unmarshal([]byte(line), &e) != nil || e.Seq == nil || *e.Seq != f.next.Load() {
			f.bad.CompareAndSwap(nil, line)
			return
		}
		f.next.Add(1)
	}
}

// requireAt waits until everything before seq was printed.
func (f *follower) requireAt(seq uint64) {
	f.t.Helper()
	reached := func() bool {
		select {
		case <-f.done:
			return true
		default:
			return f.next.Load() >= seq
		}
	}
	require.Eventually(f.t, reached, tailPatience, 10*time.Millisecond, "entry %d; it says:\n%s", seq, f.errs)
	require.Nil(f.t, f.bad.Load(), "entry %d was due", f.next.Load())
	require.GreaterOrEqual(f.t, f.next.Load(), seq, "it ended and says:\n%s", f.errs)
}

// interrupt ends it as Ctrl-C does.
func (f *follower) interrupt() int {
	f.t.Helper()
	require.NoError(f.t, f.cmd.Process.Signal(syscall.SIGINT))
	<-f.done
	_ = f.cmd.Wait()
	return f.cmd.ProcessState.ExitCode()
}

// again starts a server on the same directory and address, as an operator would.
func (y *tenancy) again() {
	y.attach(started(y.t, y.Again()))
}

// A tail goes through kills and orderly restarts of its server under load, and
// prints every entry once, in order.
func TestTailMissesNothing(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	random := seed(t)
	y := onboard(t, start(t, t.TempDir()))
	f := y.tail()
	l := newLedger()
	for round := range rounds {
		ctx, stop := context.WithCancel(background())
		ended := make(chan struct{})
		go func() { defer close(ended); y.load(ctx, l, y.checked, unheard) }()
		f.requireAt(f.next.Load() + 1 + random.Uint64N(1500))
		if round%3 == 2 {
			stop()
			<-ended
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		} else {
			y.Kill()
			stop()
			<-ended
		}
		y.again()
		y.settle(l)
		f.requireAt(y.checkpoint().Size)
	}
	size := y.checkpoint().Size
	require.Equal(t, size, f.next.Load(), "nothing more than there is")
	require.Contains(t, f.errs.String(), "connected again", "and it told of it")
	require.Zero(t, f.interrupt(), "it says:\n%s", f.errs)
	t.Logf("%d entries over %d restarts", size, rounds)
}
