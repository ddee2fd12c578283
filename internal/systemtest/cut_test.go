package systemtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/syscalls"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
)

// traceable skips a test where system calls cannot be watched.
func traceable(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("system calls are watched by ptrace on Linux on amd64")
	}
	cmd := traced(t, syscalls.Plan{Root: "/nowhere"}, "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("this system does not let a process be traced (ptrace): %v %s", err, out)
	}
}

// traced is a command below the tracer.
func traced(t *testing.T, plan syscalls.Plan, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	line := plan.Wrap(self, args...)
	return exec.Command(line[0], line[1:]...)
}

// scene is something that changes files.
type scene struct {
	name    string
	prepare func(t *testing.T, root string) // before it; nil for nothing
	command func(root string) (args, env []string)
	// check looks at what is left at root after everything that was said.
	check func(t *testing.T, root, said string)
	// some is how many calls are cut at or made to fail, chosen by chance; 0 for
	// all. It is for scenes that take long.
	some  int
	again bool // the command, once more and undisturbed, mends what was left
}

func (s *scene) at(t *testing.T) string {
	root := filepath.Join(t.TempDir(), "root")
	require.NoError(t, os.Mkdir(root, 0o700))
	if s.prepare != nil {
		s.prepare(t, root)
	}
	return root
}

// run runs the scene's command under a plan and returns what it printed.
func (s *scene) run(t *testing.T, root string, plan syscalls.Plan) (string, error) {
	plan.Root = root
	args, env := s.command(root)
	cmd := traced(t, plan, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = root
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// record runs the scene to its end and returns its calls, and the files before.
func (s *scene) record(t *testing.T) (root string, before *faultfs.FS, calls []syscalls.Call) {
	root = s.at(t)
	before = faultfs.New(rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, before.Load(root))
	log := filepath.Join(t.TempDir(), "calls")
	out, err := s.run(t, root, syscalls.Plan{Log: log, At: -1})
	require.NoError(t, err, out)
	calls, err = syscalls.Read(log)
	require.NoError(t, err)
	return root, before, calls
}

// cuts of the power: what luck may do to what was not flushed.
func cuts(random *rand.Rand, seeds int) []faultfs.Luck {
	all := []faultfs.Luck{faultfs.Nothing(), faultfs.NamesAlone(), faultfs.Everything()}
	for range seeds {
		all = append(all, faultfs.Chance(random))
	}
	return all
}

// redo does a recorded call to the model.
func redo(t *testing.T, model *faultfs.FS, c syscalls.Call) {
	t.Helper()
	var err error
	switch c.Op {
	case syscalls.Create:
		_, err = model.Open(c.Path, true)
	case syscalls.Mkdir:
		err = model.Mkdir(c.Path)
	case syscalls.Write, syscalls.Truncate:
		f, failed := model.Open(c.Path, false)
		require.NoError(t, failed, "%s %s", c.Op, c.Path)
		if c.Op == syscalls.Write {
			_, err = f.WriteAt(c.Data, c.At)
		} else {
			err = f.Truncate(c.At)
		}
	case syscalls.Rename:
		err = model.Rename(c.Path, c.To)
	case syscalls.Link:
		err = model.Link(c.Path, c.To)
	case syscalls.Remove:
		err = model.Remove(c.Path)
	case syscalls.Sync:
		err = model.Sync(c.Path)
	default:
		t.Fatalf("the model does not know a call that changes %s", c.Path)
	}
	require.NoError(t, err, "%s %s", c.Op, c.Path)
}

// cutPower runs the scene once and looks at what a power cut at each of its
// calls would have left.
func (s *scene) cutPower(t *testing.T) {
	root, model, calls := s.record(t)
	random, seeds := seed(t), 20
	if testing.Short() {
		seeds = 8
	}
	if s.some > 0 {
		seeds = 1
	}
	var said bytes.Buffer
	looked := 0
	look := func(n int) {
		for i, luck := range cuts(random, seeds) {
			left := filepath.Join(t.TempDir(), fmt.Sprintf("%d-%d", n, i))
			require.NoError(t, model.Survivor(luck).Store(root, left))
			s.check(t, left, said.String())
			looked++
			require.NoError(t, os.RemoveAll(left))
			if t.Failed() {
				t.Fatalf("the power was cut before call %d, survival %d; calls:\n%s", n, i, list(calls, root))
			}
		}
	}
	chosen := s.chosen(len(calls), random)
	for n, c := range calls {
		if c.Op == syscalls.Said {
			said.Write(c.Data)
			continue
		}
		if chosen[n] {
			look(n)
		}
		redo(t, model, c)
	}
	look(len(calls))
	t.Logf("%d calls, %d power cuts", syscalls.Changes(calls), looked)
}

// chosen are the calls of a scene that are looked at, the last ones among them.
func (s *scene) chosen(total int, random *rand.Rand) map[int]bool {
	some := s.some
	if some == 0 || some > total {
		some = total
	}
	out := map[int]bool{}
	for _, n := range random.Perm(total)[:some] {
		out[n] = true
	}
	for n := max(0, total-10); n < total; n++ { // where things get their places
		out[n] = true
	}
	return out
}

// failCalls runs the scene again and again, with another call failing each time,
// in every way, and then perhaps undisturbed.
func (s *scene) failCalls(t *testing.T) {
	_, _, calls := s.record(t)
	total := syscalls.Changes(calls)
	require.NotZero(t, total)
	runs := 0
	random := seed(t)
	chosen := s.chosen(total, random)
	for n := range total {
		for i, fault := range syscalls.Faults {
			if !chosen[n] || s.some > 0 && i != random.IntN(len(syscalls.Faults)) {
				continue
			}
			root := s.at(t)
			out, err := s.run(t, root, syscalls.Plan{At: n, Fault: fault})
			require.NotContains(t, out, "panic", "%s at call %d", fault, n)
			require.NotContains(t, out, "goroutine ", "%s at call %d", fault, n)
			said := out
			if err != nil && (fault != syscalls.Kill && fault != syscalls.KillAfter) {
				require.NotEmpty(t, out, "%s at call %d: it fails and does not say why", fault, n)
			}
			s.check(t, root, said)
			if s.again {
				out, err = s.run(t, root, syscalls.Plan{At: -1})
				require.NoError(t, err, "once more, after %s at call %d:\n%s", fault, n, out)
				s.check(t, root, out)
			}
			runs++
			if t.Failed() {
				t.Fatalf("%s at call %d (%v):\n%s\ncalls:\n%s", fault, n, err, out, list(calls, root))
			}
		}
	}
	t.Logf("%d calls, %d runs", total, runs)
}

// list is the calls for a person.
func list(calls []syscalls.Call, root string) string {
	var b bytes.Buffer
	for i, c := range calls {
		fmt.Fprintf(&b, "%d %s %s %s %d\n", i, c.Op, rel(root, c.Path), rel(root, c.To), len(c.Data))
	}
	return b.String()
}

func rel(root, path string) string {
	if r, err := filepath.Rel(root, path); err == nil && path != "" {
		return r
	}
	return path
}
