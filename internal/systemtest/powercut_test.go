package systemtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/systemtest/syscalls"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
)

// The files of a server: its database or NDJSON files, its keys, the bootstrap
// token, the checkpoints given out.

// keptIn are the ways to keep timelines on a disk.
var keptIn = []struct {
	name  string
	flags func(root string) []string
}{
	{"sqlite", func(string) []string { return nil }},
	{"files", func(root string) []string {
		return []string{"--timeline", "ndjson:" + filepath.Join(root, "lines"), "--mirror", filepath.Join(root, "mirror")}
	}},
}

// tracedServer is a server with its data below root and its calls watched.
func tracedServer(t *testing.T, root string, plan syscalls.Plan, flags []string) *program.Server {
	t.Helper()
	p, err := program.New(binary, filepath.Join(root, "data"), flags...)
	require.NoError(t, err)
	plan.Root = root
	self, err := os.Executable()
	require.NoError(t, err)
	p.Cmd.Path, p.Cmd.Args = self, plan.Wrap(self, p.Cmd.Args...)
	return p
}

// shortLife is what clients do with a server that lives for some seconds: single
// spans, lines, a redaction. They end where it fails.
func (y *tenancy) shortLife(l *ledger) {
	for n := range 4 {
		raw := y.note(n)
		l.send(raw)
		if a, err := y.api.Append(background(), y.tenant.Id, raw); err == nil {
			l.ack(raw, a.Receipt)
		}
	}
	lines := make([][]byte, 20)
	for n := range lines {
		lines[n] = y.note(n)
		l.send(lines[n])
	}
	results, _ := y.api.AppendMany(background(), y.tenant.Id, lines)
	for i, r := range results {
		if r.Problem == nil && r.Receipt != nil {
			l.ack(lines[i], r.Receipt)
		}
	}
}

// TestPowerCutOfAServer records every call that a server makes while clients
// append, and cuts the power at some of them: the next start has every span
// that was acknowledged by then, once, under checkpoints that contradict none
// that was given out, and the same node.
func TestPowerCutOfAServer(t *testing.T) {
	t.Parallel()
	traceable(t)
	moments := 60
	if testing.Short() {
		moments = 10
	}
	for _, kind := range keptIn {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			random := seed(t)
			root := filepath.Join(t.TempDir(), "root")
			require.NoError(t, os.Mkdir(root, 0o700))
			log := filepath.Join(t.TempDir(), "calls")
			model := faultfs.New(random)
			require.NoError(t, model.Load(root))

			y := onboard(t, started(t, tracedServer(t, root, syscalls.Plan{Log: log, At: -1}, kind.flags(root))))
			l := newLedger()
			y.shortLife(l)
			require.Len(t, l.acks, 24)
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
			calls, err := syscalls.Read(log)
			require.NoError(t, err)

			chosen := (&scene{some: moments}).chosen(len(calls), random)
			var said bytes.Buffer
			for n, c := range calls {
				if chosen[n] {
					cut := cuts(random, 3)
					left := filepath.Join(t.TempDir(), fmt.Sprint(n))
					require.NoError(t, model.Survivor(cut[random.IntN(len(cut))]).Store(root, left))
					y.requireRisen(t, left, kind.flags(left), l, said.String(), random)
					require.NoError(t, os.RemoveAll(left))
					if t.Failed() {
						t.Fatalf("the power was cut before call %d of:\n%s", n, list(calls[:n+1], root))
					}
				}
				if c.Op == syscalls.Said {
					said.Write(c.Data)
					continue
				}
				redo(t, model, c)
			}
			t.Logf("%d calls, %d power cuts", syscalls.Changes(calls), len(chosen))
		})
	}
}

// requireRisen starts a server on what is left and holds it against what was
// said until then.
func (y *tenancy) requireRisen(t *testing.T, root string, flags []string, l *ledger, said string, random *rand.Rand) {
	t.Helper()
	known := newLedger() // what clients knew at that moment
	for spanID, raw := range l.sent {
		if receipt := l.acks[spanID]; bytes.Contains([]byte(said), []byte(spanID)) && receipt != nil {
			known.sent[spanID], known.acks[spanID] = raw, receipt
		}
	}
	p, err := program.New(binary, filepath.Join(root, "data"), flags...)
	require.NoError(t, err)
	s := started(t, p)
	defer s.Kill()
	node, err := s.client().Node(background())
	require.NoError(t, err)
	if bytes.Contains([]byte(said), []byte(y.node)) {
		require.Equal(t, y.node, node.Id, "a node that was seen keeps its keys")
	}
	if len(known.acks) == 0 {
		return // perhaps the tenant is not there yet
	}
	next := &tenancy{owner: y.owner, tenant: y.tenant}
	next.attach(s)
	next.requireAll(known, random)
	maps.DeleteFunc(known.sent, func(string, []byte) bool { return true })
	for spanID, raw := range l.sent { // clients send again what they do not know of
		if known.acks[spanID] == nil {
			known.sent[spanID] = raw
		}
	}
	next.settle(known)
	known.sent = l.sent
	next.requireAll(known, random)
	require.Zero(t, s.terminate(), "log:\n%s", s.Log)
	runs(t, root, nil, append([]string{binary, "fsck", "--data-dir", filepath.Join(root, "data")}, storeFlags(flags)...)...)
}

// storeFlags are those of fsck among a server's.
func storeFlags(flags []string) []string { return flags[:min(2, len(flags))] }

// TestCallsOfAServerFail makes one of the calls fail that a server makes while
// clients append, or kills it there, and starts another one on what is left.
func TestCallsOfAServerFail(t *testing.T) {
	t.Parallel()
	traceable(t)
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for _, kind := range keptIn {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			random := seed(t)
			total := 0
			for round := range rounds + 1 {
				root := filepath.Join(t.TempDir(), "root")
				require.NoError(t, os.Mkdir(root, 0o700))
				y := onboard(t, start(t, filepath.Join(root, "data"), kind.flags(root)...))
				require.Zero(t, y.terminate(), "log:\n%s", y.Log)

				plan := syscalls.Plan{At: -1, Log: filepath.Join(t.TempDir(), "calls")}
				if round > 0 { // the first round counts
					plan.At, plan.Fault = random.IntN(total), syscalls.Faults[random.IntN(len(syscalls.Faults))]
				}
				l := newLedger()
				p := tracedServer(t, root, plan, kind.flags(root))
				t.Cleanup(p.Kill)
				if err := p.Start(); err == nil {
					lived := &tenancy{owner: y.owner, tenant: y.tenant, node: y.node, server: &server{p, t}}
					lived.api = lived.client(client.WithSigner(y.owner.Signer(), y.owner.ID(), y.node))
					lived.shortLife(l)
					if _, err = p.Terminate(); !errors.Is(err, os.ErrProcessDone) {
						require.NoError(t, err)
					}
				}
				require.NotContains(t, p.Log.String(), "panic:", "%s at call %d", plan.Fault, plan.At)
				require.NotContains(t, p.Log.String(), "goroutine ", "%s at call %d", plan.Fault, plan.At)
				if round == 0 {
					calls, err := syscalls.Read(plan.Log)
					require.NoError(t, err)
					total = syscalls.Changes(calls)
					require.Greater(t, total, 20)
					require.Len(t, l.acks, 24)
				}
				if len(l.acks) > 0 || len(l.sent) > 0 {
					y.requireRisen(t, root, kind.flags(root), l, saidOf(l, y.node), random)
				}
				if t.Failed() {
					t.Fatalf("%s at call %d of %d; log:\n%s", plan.Fault, plan.At, total, p.Log)
				}
			}
			t.Logf("%d calls, one made to fail in each of %d rounds", total, rounds)
		})
	}
}

// saidOf is all that clients heard.
func saidOf(l *ledger, node string) string {
	out := node
	for spanID := range l.acks {
		out += " " + spanID
	}
	return out
}
