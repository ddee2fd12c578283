package systemtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// seed makes random moments that can be repeated.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("LOGLINE_TEST_SEED"); s != "" {
		var err error
		n, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("LOGLINE_TEST_SEED=%d", n)
	return rand.New(rand.NewPCG(n, n))
}

// ledger is what clients know: which spans they sent and what was answered.
type ledger struct {
	mu   sync.Mutex // guards both
	sent map[string][]byte
	acks map[string]*client.Receipt
}

func newLedger() *ledger {
	return &ledger{sent: map[string][]byte{}, acks: map[string]*client.Receipt{}}
}

// spanID is the id of a sealed span.
func spanID(raw []byte) string {
	var h struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(raw, &h)
	return h.ID
}

func (l *ledger) send(raw []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[spanID(raw)] = raw
}

func (l *ledger) ack(raw []byte, r *client.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks[spanID(raw)] = r
}

// unanswered are the spans whose fate their sender does not know.
func (l *ledger) unanswered() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out [][]byte
	for spanID, raw := range l.sent {
		if l.acks[spanID] == nil {
			out = append(out, raw)
		}
	}
	return out
}

// load appends until the server is gone: single spans from some callers, NDJSON
// from another, and one who repeats what is known.
func (y *tenancy) load(ctx context.Context, l *ledger) {
	var wg sync.WaitGroup
	for range 3 {
		api := y.server.client()
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				raw := y.note(n)
				l.send(raw)
				a, err := api.Append(ctx, y.tenant.Id, raw)
				if err != nil {
					return
				}
				l.ack(raw, a.Receipt)
				if n%10 == 9 { // the client asks again, having lost the answer
					if _, err := api.Append(ctx, y.tenant.Id, raw); err != nil {
						return
					}
				}
			}
		})
	}
	api := y.server.client()
	wg.Go(func() {
		for ctx.Err() == nil {
			lines := make([][]byte, 40)
			for n := range lines {
				lines[n] = y.note(n)
				l.send(lines[n])
			}
			results, err := api.AppendMany(ctx, y.tenant.Id, lines)
			for i, r := range results {
				if r.Problem == nil {
					l.ack(lines[i], r.Receipt)
				}
			}
			if err != nil {
				return
			}
		}
	})
	wg.Wait()
}

func TestKillNineUnderLoad(t *testing.T) {
	dir := t.TempDir()
	y := killUnderLoad(t, dir)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
}

// TestKillNineOfFiles does the same to timelines in NDJSON files, with a
// mirror of them.
func TestKillNineOfFiles(t *testing.T) {
	dir := t.TempDir()
	files, mirror := filepath.Join(dir, "timelines"), filepath.Join(dir, "mirror")
	y := killUnderLoad(t, dir, "--timeline", "ndjson:"+files, "--mirror", mirror)
	size := y.checkpoint().Size
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	lines := catLines(t, filepath.Join(files, y.tenant.Id))
	require.EqualValues(t, size, bytes.Count(lines, []byte("\n")))
	require.Equal(t, string(lines), string(catLines(t, filepath.Join(mirror, y.tenant.Id))), "the mirror has every line, and none twice")
	raw, err := os.ReadFile(filepath.Join(mirror, y.tenant.Id, "checkpoint"))
	require.NoError(t, err)
	note, err := tree.OpenNote(raw, y.tenant.LogKey)
	require.NoError(t, err)
	grown := &tree.Range{}
	for line := range bytes.Lines(lines) {
		grown.Append(span.LeafHash(bytes.TrimSuffix(line, []byte("\n"))), nil)
	}
	require.Equal(t, note.Size, grown.End())
	require.Equal(t, note.Root, grown.Root(), "the mirror's lines make the root of its checkpoint")
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

// killUnderLoad kills a server again and again while clients append, and holds
// what it has afterwards against what they were told.
func killUnderLoad(t *testing.T, dir string, flags ...string) *tenancy {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	random := seed(t)
	y := onboard(t, start(t, dir, flags...))
	l := newLedger()
	last := y.checkpoint()
	for round := range rounds {
		ctx, stop := context.WithCancel(background())
		ended := make(chan struct{})
		go func() { defer close(ended); y.load(ctx, l) }()
		moment := time.NewTimer(time.Duration(20+random.IntN(180)) * time.Millisecond)
		select {
		case <-moment.C:
		case <-ended:
			t.Fatalf("round %d: the load ended before the kill; log:\n%s", round, y.Log)
		}
		y.Kill()
		stop()
		<-ended

		y.attach(start(t, dir, flags...))
		now := y.checkpoint()
		y.requireConsistent(last, now)
		y.settle(l)
		y.requireAll(l, random)
		last = now
	}
	t.Logf("%d spans acknowledged over %d kills, %d entries", len(l.acks), rounds, y.checkpoint().Size)
	return y
}

// requireConsistent checks that now extends before, by the server's own proof.
func (y *tenancy) requireConsistent(before, now tree.Checkpoint) {
	y.t.Helper()
	require.GreaterOrEqual(y.t, now.Size, before.Size)
	p, err := y.api.Consistency(background(), y.tenant.Id, before.Size, now.Size)
	require.NoError(y.t, err)
	require.NoError(y.t, tree.VerifyConsistency(before.Size, now.Size, before.Root, now.Root, hashes(y.t, p.Hashes)))
}

func hashes(t *testing.T, texts []string) []span.Hash {
	t.Helper()
	out := make([]span.Hash, len(texts))
	for i, s := range texts {
		var err error
		out[i], err = span.ParseHash(s)
		require.NoError(t, err)
	}
	return out
}

// settle sends again what was never answered; it is recorded once either way.
func (y *tenancy) settle(l *ledger) {
	y.t.Helper()
	lines := l.unanswered()
	results, err := y.api.AppendMany(background(), y.tenant.Id, lines)
	require.NoError(y.t, err)
	for i, r := range results {
		require.Nil(y.t, r.Problem, "%v", r.Problem)
		l.ack(lines[i], r.Receipt)
	}
}

// requireAll checks the exported timeline against what clients were told: every
// acknowledged span once, at its index, in the very tree its checkpoint signed.
func (y *tenancy) requireAll(l *ledger, random *rand.Rand) {
	t := y.t
	t.Helper()
	leaves, indexOf := y.leaves()
	require.EqualValues(t, y.checkpoint().Size, len(leaves))
	roots := map[uint64]span.Hash{}
	sample := 5
	for spanID, r := range l.acks {
		index, ok := indexOf[spanID]
		if !ok || r.Inclusion.Index != index || r.LeafHash != leaves[index].String() {
			t.Fatalf("span %s was acknowledged at %d: it stands at %d (%v)", spanID, r.Inclusion.Index, index, ok)
		}
		if _, done := roots[r.Inclusion.Size]; !done {
			cp, err := tree.OpenNote([]byte(r.Checkpoint), y.tenant.LogKey)
			require.NoError(t, err)
			require.Equal(t, r.Inclusion.Size, cp.Size)
			roots[cp.Size] = cp.Root
		}
		if err := tree.VerifyInclusion(leaves[index], index, r.Inclusion.Size, hashes(t, r.Inclusion.Hashes), roots[r.Inclusion.Size]); err != nil {
			t.Fatalf("receipt of span %s: %v", spanID, err)
		}
		if sample > 0 && random.IntN(20) == 0 {
			sample--
			again, err := y.api.Append(background(), y.tenant.Id, l.sent[spanID])
			require.NoError(t, err)
			require.True(t, again.Repeat())
			require.Equal(t, r, again.Receipt, "the first receipt, for ever")
		}
	}
	grown, err := tree.NewRange(0, 0, nil)
	require.NoError(t, err)
	for i, leaf := range leaves {
		grown.Append(leaf, nil)
		if root, given := roots[uint64(i+1)]; given {
			require.Equal(t, root, grown.Root(), "the checkpoint given out at size %d", i+1)
		}
	}
}

// leaves is every leaf of the exported timeline, made from the entries
// themselves, and where each span id stands.
func (y *tenancy) leaves() ([]span.Hash, map[string]uint64) {
	t := y.t
	lines := bufio.NewScanner(y.export())
	lines.Buffer(nil, 1<<20)
	require.True(t, lines.Scan())
	var leaves []span.Hash
	indexOf := map[string]uint64{}
	for lines.Scan() {
		var e map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		header := e["span"].(map[string]any)
		delete(header, "payload")
		delete(header, "salt")
		line, err := span.Canonical(e)
		require.NoError(t, err)
		spanID := header["id"].(string)
		if _, twice := indexOf[spanID]; twice {
			t.Fatalf("span %s is recorded twice", spanID)
		}
		indexOf[spanID] = uint64(len(leaves))
		leaves = append(leaves, span.LeafHash(line))
	}
	return leaves, indexOf
}

func TestTerminateUnderLoadDrains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	y := onboard(t, start(t, dir))
	l := newLedger()
	ctx, stop := context.WithCancel(background())
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); y.load(ctx, l) }()
	busy := time.NewTicker(5 * time.Millisecond)
	defer busy.Stop()
	for range busy.C {
		l.mu.Lock()
		enough := len(l.acks) > 100
		l.mu.Unlock()
		if enough {
			break
		}
	}
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	<-ended
	require.NotContains(t, y.Log.String(), "panic")

	y.attach(start(t, dir))
	y.settle(l)
	y.requireAll(l, seed(t))
	require.Zero(t, y.terminate())
}
