package systemtest

import (
	"bytes"
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// wards is how many tenants a round has.
const wards = 2

// proofsAtOnce bounds the checkpoints of one timeline whose consistency is proved
// after one kill.
const proofsAtOnce = 40

// round is one node under load from its first start on, that is killed and
// started again, and held against what everybody was told.
type round struct {
	t     *testing.T
	kind  kind
	stage *stage
	dir   string
	seed  uint64 // of its moments, and of what callers choose
	kills int

	figures figures

	random   *mathrand.Rand
	env      []string
	database string // name of the PostgreSQL database, "" for none
	server   *server
	wards    []*ward
	nomad    *nomad
	wire     tripwire
	struck   atomic.Bool // from now on callers fail
}

// ward is a tenant, with everybody who uses it.
type ward struct {
	*tenancy
	ledger  *ledger
	changes *changes
	deals   *deals // under a contract
	seen    *sightings
	socket  onlooker // over the client's own feed
	stream  onlooker // over server-sent events
	config  string   // of a monitor that remembers
}

// run goes through the whole round, or fails its test, also when ctx ends.
func (r *round) run(ctx context.Context) {
	r.random = mathrand.New(mathrand.NewPCG(r.seed, r.seed))
	began := time.Now()
	defer func() {
		for _, w := range r.wards {
			r.figures.Lost += w.ledger.lost
		}
	}()
	r.open()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	var looking sync.WaitGroup
	r.onlookers(ctx, &looking)
	for range r.kills {
		r.kill(ctx)
		r.check()
	}
	leave()
	looking.Wait()
	r.close()
	r.figures.Rounds, r.figures.Seconds = 1, time.Since(began).Seconds()
}

// open starts a node, with tenants and members.
func (r *round) open() {
	t := r.t
	r.env, r.database = r.kind.environment(t, r.stage, r.dir)
	p, err := program.New(binary, filepath.Join(r.dir, "data"))
	require.NoError(t, err)
	p.Cmd.Env = append(p.Cmd.Env, r.env...)
	p.Cmd.SysProcAttr = endWithParent()
	r.server = started(t, p)
	first := onboard(t, r.server)
	r.nomad = &nomad{keys: register(t, r.server, first.api), random: r.fork()}
	for n := range wards {
		y := *first
		if n > 0 {
			slug := fmt.Sprintf("ward%d", n)
			y.tenant, err = first.api.CreateTenant(background(), "", client.NewTenant{Slug: slug, Name: slug, Owner: y.owner.ID()})
			require.NoError(t, err)
		}
		w := &ward{tenancy: &y, ledger: newLedger(), seen: newSightings(y.tenant.LogKey), config: filepath.Join(r.dir, "monitor", y.tenant.Id)}
		w.ledger.onSend = r.wire.touch
		w.changes = newChanges(w.tenancy, w.ledger, r.fork())
		w.deals = newDeals(w.tenancy, w.ledger, r.fork())
		w.grant(r.nomad.keys, span.RoleMember)
		require.NoError(t, os.MkdirAll(w.config, 0o700))
		w.profile(w.config)
		r.wards = append(r.wards, w)
	}
	r.nomad.homes = r.wards
}

func (r *round) fork() *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(r.random.Uint64(), r.random.Uint64()))
}

// onlookers follow every tenant from its first entry on, over all restarts.
func (r *round) onlookers(ctx context.Context, looking *sync.WaitGroup) {
	for _, w := range r.wards {
		at := *w.tenancy // the address stays, the process changes
		api := at.swift()
		looking.Go(func() { w.socket.watch(ctx, api, at.tenant.Id, w.seen) })
		looking.Go(func() { w.stream.listen(ctx, &at) })
	}
}

// kill lets everybody work, kills at some moment, and brings back what was killed.
func (r *round) kill(ctx context.Context) {
	t := r.t
	r.struck.Store(false)
	told := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	before := r.acknowledged()
	var working sync.WaitGroup
	r.load(ctx, &working)
	m := moments[r.random.IntN(len(moments))]
	s := r.kind.strikes[r.random.IntN(len(r.kind.strikes))]
	bounded, cancel := context.WithTimeout(ctx, longestLoad)
	what := m.await(bounded, r, r.random)
	cancel()
	r.struck.Store(true)
	gone := s.do(r)
	stop()
	working.Wait()
	took := r.acknowledged() - before
	r.figures.Kills++
	r.figures.count("moment "+m.name, 1)
	r.figures.count("kill "+s.name, 1)

	began := time.Now()
	s.revive(r)
	if told.Err() != nil {
		t.SkipNow() // told to stop, and what others need is there again
	}
	revived := time.Since(began)
	if gone && r.random.IntN(2) == 0 {
		r.fsck() // of what the kill has left, before a start mends it
	}
	ready := revived + r.resume(gone)
	r.figures.Ready = append(r.figures.Ready, int(ready.Milliseconds()))
	t.Logf("kill of the %s %s: %d spans acknowledged before it, the next one %d ms after the restart began", s.name, what, took, ready.Milliseconds())
}

// load starts everybody who changes something, and who asks for checkpoints.
func (r *round) load(ctx context.Context, working *sync.WaitGroup) {
	failed := func(err error) {
		if err != nil && ctx.Err() == nil && !r.struck.Load() {
			r.t.Errorf("a caller failed before anything was killed: %v", err)
		}
	}
	for _, w := range r.wards {
		working.Go(func() { w.load(ctx, w.ledger, w.swift, failed) })
		owner, waverer, poller, dealer := w.swift(), w.swift(), w.swift(), w.swift()
		working.Go(func() { failed(w.deals.run(ctx, dealer)) })
		working.Go(func() { failed(w.changes.run(ctx, owner)) })
		working.Go(func() { failed(w.changes.waver(ctx, waverer)) })
		working.Go(func() { failed(w.seen.poll(ctx, poller, w.tenant.Id)) })
	}
	api := r.wards[0].swift()
	working.Go(func() { failed(r.nomad.run(ctx, api)) })
}

func (r *round) acknowledged() (n int) {
	for _, w := range r.wards {
		n += w.ledger.acknowledged()
	}
	return n
}

// resume starts the server again where it is gone, and returns how long it took
// until a span was acknowledged in every tenant.
func (r *round) resume(gone bool) time.Duration {
	began := time.Now()
	if gone {
		r.server = started(r.t, r.server.Again())
		for _, w := range r.wards {
			w.attach(r.server)
		}
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for _, w := range r.wards {
		insist(ctx, w.ledger, w.tenant.Id, [][]byte{w.note(0)}, nil, func() *client.Client { return w.api })
	}
	require.NoError(r.t, ctx.Err(), "no span is taken again; log:\n%s", r.server.Log)
	took := time.Since(began)
	for _, w := range r.wards { // as every caller does who has no answer
		lines := w.ledger.unanswered()
		r.figures.Resent += len(lines)
		insist(ctx, w.ledger, w.tenant.Id, w.ledger.certain(lines), nil, func() *client.Client { return w.api })
		w.settle(w.ledger) // and whoever may be refused
	}
	require.NoError(r.t, r.nomad.settle(ctx, r.wards[0].api))
	return took
}

// check holds everything there is against what anybody was told.
func (r *round) check() {
	for _, w := range r.wards {
		all := w.requireAll(w.ledger, r.random)
		w.socket.requireAll(r.t, all)
		w.stream.requireAll(r.t, all)
		r.figures.Proofs += r.sightings(w, all)
		w.changes.requireSeen(all)
		w.deals.requireHeld()
		r.monitor(w)
		r.verify(w, all)
	}
	r.nomad.requireTurned()
}

// sightings checks all checkpoints that were ever given out.
func (r *round) sightings(w *ward, all *recorded) (proofs int) {
	w.seen.take(all.note)
	for _, receipt := range w.ledger.acks {
		w.seen.take(receipt.Checkpoint)
	}
	note, err := timeline.GivenOutNote(filepath.Join(r.dir, "data", "checkpoints"), w.tenant.Id)
	require.NoError(r.t, err)
	w.seen.take(string(note))
	if r.kind.files {
		note, err := os.ReadFile(filepath.Join(r.dir, "mirror", w.tenant.Id, "checkpoint"))
		require.NoError(r.t, err)
		w.seen.take(string(note))
	}
	return w.seen.requireOne(w.tenancy, all, r.random, proofsAtOnce)
}

// monitor is "logline verify" at the node, which remembers the last checkpoint
// it saw and takes no other history.
func (r *round) monitor(w *ward) {
	r.command(w.config, "verify", "--tenant", w.tenant.Id, "--node", w.node)
	r.figures.Monitored++
}

// verify is "logline verify" of the exported bundle, by somebody who knows the node.
func (r *round) verify(w *ward, all *recorded) {
	file := filepath.Join(r.dir, "bundle.ndjson")
	require.NoError(r.t, os.WriteFile(file, all.exported.Bytes(), 0o600))
	r.command(w.config, "verify", file, "--node", w.node)
	r.figures.Verified++
}

// fsck is "logline fsck" of the data of a server that does not run.
func (r *round) fsck() {
	r.command(filepath.Join(r.dir, "keeper"), "fsck")
	r.figures.Fsck++
}

// command runs the program, which must find that all is well.
func (r *round) command(config string, args ...string) {
	r.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.SysProcAttr = r.dir, endWithParent()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "LOGLINE_CONFIG_DIR=" + config}, r.env...)
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "logline %v:\n%s", args, out)
}

// close ends the server in order and looks at what it leaves.
func (r *round) close() {
	t := r.t
	sizes := map[string]uint64{}
	for _, w := range r.wards {
		sizes[w.tenant.Id] = w.checkpoint().Size
		r.figures.tally(w)
	}
	r.figures.Rotations += r.nomad.turns
	require.Zero(t, r.server.terminate(), "log:\n%s", r.server.Log)
	require.NotContains(t, r.server.Log.String(), "panic")
	require.NotContains(t, r.server.Log.String(), "checkpoint_regression")
	r.fsck()
	if r.kind.files {
		for _, w := range r.wards {
			r.requireFiles(w, sizes[w.tenant.Id])
		}
	}
}

// requireFiles checks that a timeline's files and its mirror hold the same lines,
// as many as the checkpoint said, and that these make the mirror's checkpoint.
func (r *round) requireFiles(w *ward, size uint64) {
	t := r.t
	t.Helper()
	lines := catLines(t, filepath.Join(r.dir, "timelines", w.tenant.Id))
	require.EqualValues(t, size, bytes.Count(lines, []byte("\n")))
	mirror := filepath.Join(r.dir, "mirror", w.tenant.Id)
	require.True(t, bytes.Equal(lines, catLines(t, mirror)), "the mirror has every line, and none twice")
	raw, err := os.ReadFile(filepath.Join(mirror, "checkpoint"))
	require.NoError(t, err)
	note, err := tree.OpenNote(raw, w.tenant.LogKey)
	require.NoError(t, err)
	var leaves []span.Hash
	for line := range bytes.Lines(lines) {
		leaves = append(leaves, span.LeafHash(bytes.TrimSuffix(line, []byte("\n"))))
	}
	require.EqualValues(t, note.Size, len(leaves))
	require.Equal(t, note.Root, roots(t, leaves)[note.Size], "the mirror's lines make the root of its checkpoint")
}

// catLines is what cat prints of a timeline's lines.
func catLines(t *testing.T, dir string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "lines", "*.ndjson"))
	require.NoError(t, err)
	var out []byte
	for _, name := range names {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		out = append(out, raw...)
	}
	return out
}
