package systemtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
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
	mu      sync.Mutex // guards the rest
	sent    map[string][]byte
	acks    map[string]*client.Receipt
	doubted map[string]bool   // sent, and their sender may lack the right to
	refused map[string]string // what was answered to those: its code
	lost    int               // acknowledged and not found where they were said to be
	onSend  func()            // called for each span sent, where set before the first
}

func newLedger() *ledger {
	return &ledger{
		sent: map[string][]byte{}, acks: map[string]*client.Receipt{},
		doubted: map[string]bool{}, refused: map[string]string{},
	}
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
	l.sent[spanID(raw)] = raw
	l.mu.Unlock()
	if l.onSend != nil {
		l.onSend()
	}
}

func (l *ledger) ack(raw []byte, r *client.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks[spanID(raw)] = r
}

// doubt is send for a span that may be refused for lack of a right.
func (l *ledger) doubt(raw []byte) {
	l.mu.Lock()
	l.doubted[spanID(raw)] = true
	l.mu.Unlock()
	l.send(raw)
}

// refuse notes that a span is not recorded and never shall be: nobody sends it again.
func (l *ledger) refuse(raw []byte, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[spanID(raw)] = code
}

// acknowledged is how many spans were.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// unanswered are the spans whose fate their sender does not know.
func (l *ledger) unanswered() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out [][]byte
	for spanID, raw := range l.sent {
		if l.acks[spanID] == nil && l.refused[spanID] == "" {
			out = append(out, raw)
		}
	}
	return out
}

// certain are those whose sender has the right to send them.
func (l *ledger) certain(lines [][]byte) (out [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, raw := range lines {
		if !l.doubted[spanID(raw)] {
			out = append(out, raw)
		}
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
		if r.Problem != nil && l.doubted[spanID(lines[i])] && (unentitled(r.Problem) || refusedByContract(r.Problem)) {
			l.refuse(lines[i], r.Problem.Code)
			continue
		}
		require.Nil(y.t, r.Problem, "%v", r.Problem)
		l.ack(lines[i], r.Receipt)
	}
}

// unentitled says that a span was refused because its author holds no role.
func unentitled(p *client.Problem) bool { return p.Code == "not_a_member" }

// recorded is a timeline as it was exported and verified.
type recorded struct {
	leaves   []span.Hash
	indexOf  map[string]uint64 // of each span id
	erased   map[string]bool   // spans whose payload is withheld: redacted
	note     string            // the checkpoint of all of it
	rootOf   []span.Hash       // of the first 0, 1, 2 … entries
	exported *bytes.Buffer
}

// recorded reads the whole timeline; every leaf is made from the entry itself.
func (y *tenancy) recorded() *recorded {
	t := y.t
	t.Helper()
	r := &recorded{indexOf: map[string]uint64{}, erased: map[string]bool{}, exported: y.export()}
	lines := bufio.NewScanner(bytes.NewReader(r.exported.Bytes()))
	lines.Buffer(nil, 1<<20)
	require.True(t, lines.Scan())
	var err error
	r.note, err = checkpointOf(lines.Bytes())
	require.NoError(t, err)
	for lines.Scan() {
		var e map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		header := e["span"].(map[string]any)
		spanID := header["id"].(string)
		r.erased[spanID] = header["withheld"] == "redacted"
		delete(header, "payload")
		delete(header, "salt")
		delete(header, "withheld")
		if d, ok := e["decision"].(map[string]any); ok {
			delete(d, "detail")
			delete(d, "withheld")
		}
		line, err := span.Canonical(e)
		require.NoError(t, err)
		if _, twice := r.indexOf[spanID]; twice {
			t.Fatalf("span %s is recorded twice", spanID)
		}
		r.indexOf[spanID] = uint64(len(r.leaves))
		r.leaves = append(r.leaves, span.LeafHash(line))
	}
	r.rootOf = roots(t, r.leaves)
	return r
}

// roots are those of the trees of the first 0, 1, 2 … leaves.
func roots(t *testing.T, leaves []span.Hash) []span.Hash {
	t.Helper()
	grown, err := tree.NewRange(0, 0, nil)
	require.NoError(t, err)
	out := []span.Hash{grown.Root()}
	for _, leaf := range leaves {
		grown.Append(leaf, nil)
		out = append(out, grown.Root())
	}
	return out
}

// requireAll checks the exported timeline against what clients were told: every
// acknowledged span once, at its index, in the very tree its checkpoint signed,
// and none that was refused.
func (y *tenancy) requireAll(l *ledger, random *rand.Rand) *recorded {
	t := y.t
	t.Helper()
	r := y.recorded()
	require.EqualValues(t, y.checkpoint().Size, len(r.leaves))
	y.requireReceipts(l, r)
	for spanID, code := range l.refused {
		if _, there := r.indexOf[spanID]; there {
			t.Errorf("span %s was refused (%s) and is recorded", spanID, code)
		}
	}
	for _, spanID := range sample(random, slices.Sorted(maps.Keys(l.acks)), 5) {
		again, err := y.api.Append(background(), y.tenant.Id, l.sent[spanID])
		require.NoError(t, err)
		require.True(t, again.Repeat())
		require.Equal(t, l.acks[spanID], again.Receipt, "the first receipt, for ever")
	}
	return r
}

// requireReceipts checks that every acknowledged span stands where its receipt
// says, and names all that do not.
func (y *tenancy) requireReceipts(l *ledger, r *recorded) {
	t := y.t
	t.Helper()
	signed := map[string]bool{} // checkpoints that were looked at
	for spanID, receipt := range l.acks {
		index, ok := r.indexOf[spanID]
		if !ok || receipt.Inclusion.Index != index || receipt.LeafHash != r.leaves[index].String() {
			t.Errorf("span %s was acknowledged at %d: it stands at %d (%v)", spanID, receipt.Inclusion.Index, index, ok)
			l.lost++
			continue
		}
		size := receipt.Inclusion.Size
		if !signed[receipt.Checkpoint] {
			signed[receipt.Checkpoint] = true
			cp, err := tree.OpenNote([]byte(receipt.Checkpoint), y.tenant.LogKey)
			require.NoError(t, err)
			require.Equal(t, size, cp.Size)
			require.Less(t, size, uint64(len(r.rootOf)), "a checkpoint was given out of more entries than there are")
			require.Equal(t, r.rootOf[size], cp.Root, "the checkpoint given out at size %d", size)
		}
		if err := tree.VerifyInclusion(r.leaves[index], index, size, hashes(t, receipt.Inclusion.Hashes), r.rootOf[size]); err != nil {
			t.Fatalf("receipt of span %s: %v", spanID, err)
		}
	}
	require.Zero(t, l.lost, "of %d acknowledged spans", len(l.acks))
}

// sample is at most n of all, in random order.
func sample[T any](random *rand.Rand, all []T, n int) []T {
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
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
