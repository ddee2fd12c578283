package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var errBroken = errors.New("broken pipe")

// failing breaks after some bytes.
type failing struct {
	src   *bytes.Reader
	after int
}

func (f *failing) Read(p []byte) (int, error) {
	if f.after <= 0 {
		return 0, errBroken
	}
	n, err := f.src.Read(p[:min(len(p), f.after)])
	f.after -= n
	return n, err
}

func packageOf(leaves []span.Hash) span.Hash {
	r := &tree.Range{}
	for _, l := range leaves {
		r.Append(l, nil)
	}
	return r.Root()
}

func TestAllPartsOfATimelineVerify(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(695)
	size := b.edge.End()
	require.Equal(t, uint64(700), size)
	random := rand.New(rand.NewChaCha8(seedFor(7)))
	var ranges [][2]uint64
	edges := []uint64{0, 1, 3, 255, 256, 257, 512, 699, 700}
	for _, from := range edges {
		for _, to := range edges {
			if from <= to {
				ranges = append(ranges, [2]uint64{from, to})
			}
		}
	}
	for range 20 {
		from := random.Uint64N(size + 1)
		ranges = append(ranges, [2]uint64{from, from + random.Uint64N(size-from+1)})
	}
	v := newRemembering()
	for _, r := range ranges {
		src := b.write(r[0], r[1])
		rep := verify(t, src, Options{Verifier: v, Node: b.node.ID()})
		require.True(t, rep.OK, "[%d,%d): %v", r[0], r[1], rep.Problems)
		require.Equal(t, b.edge.Root().String(), rep.Root)
		require.Equal(t, int(r[1]-r[0]), rep.Entries)
		if r[0] > 0 {
			require.Equal(t, rep.Entries, rep.RightsUnchecked)
			require.Contains(t, strings.Join(rep.Notes, "\n"), "--state")
		}
	}
}

// Every possible part, on a tree small enough for all of them.
func TestEveryPartOfASmallTimeline(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(9)
	v := newRemembering()
	for from := uint64(0); from <= b.edge.End(); from++ {
		for to := from; to <= b.edge.End(); to++ {
			rep := verify(t, b.write(from, to), Options{Verifier: v})
			require.True(t, rep.OK, "[%d,%d): %v", from, to, rep.Problems)
		}
	}
}

func TestWrongRangeProofs(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(40)
	src := b.write(9, 30)
	for name, edit := range map[string]func(h *header){
		"missing":         func(h *header) { h.RangeProof = nil },
		"left short":      func(h *header) { h.RangeProof.Left = h.RangeProof.Left[1:] },
		"right short":     func(h *header) { h.RangeProof.Right = h.RangeProof.Right[1:] },
		"right long":      func(h *header) { h.RangeProof.Right = append(h.RangeProof.Right, h.Packages[0]) },
		"left altered":    func(h *header) { h.RangeProof.Left[0] = h.Packages[0] },
		"right altered":   func(h *header) { h.RangeProof.Right[0] = h.Packages[0] },
		"not a hash":      func(h *header) { h.RangeProof.Left[0] = "x" },
		"package altered": func(h *header) { h.Packages[0] = h.RangeProof.Left[0] },
		"package missing": func(h *header) { h.Packages = nil },
		"to moved":        func(h *header) { h.To++ },
		"from moved":      func(h *header) { h.From-- },
		"beyond":          func(h *header) { h.To = 1000 },
	} {
		lines := splitLines(src)
		h, err := parseHeader(lines[0])
		require.NoError(t, err)
		edit(h)
		lines[0], err = h.append()
		require.NoError(t, err)
		rep := verify(t, joinLines(lines...), Options{})
		assert.False(t, rep.OK, name)
		assert.True(t, covers(rep, 1) || name == "to moved" || name == "from moved", "%s: %v", name, rep.Problems)
	}
	// A whole bundle needs no range proof, and may not have one.
	lines := splitLines(b.whole())
	h, err := parseHeader(lines[0])
	require.NoError(t, err)
	h.RangeProof = &rangeProof{}
	lines[0], err = h.append()
	require.NoError(t, err)
	assert.False(t, verify(t, joinLines(lines...), Options{}).OK)
}

func TestStateCarriesKeysAndRolesOver(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.story()
	middle := b.edge.End()
	b.grow(3)
	agent, err := id.NewKeys(id.SubjectAgent, b.now, b.rand)
	require.NoError(t, err)
	b.embed(agent.Events()...)
	b.member(b.owner, agent.ID(), "agent")
	first := verify(t, b.write(0, middle), Options{})
	require.NotNil(t, first.State(), "%v", first.Problems)
	var file bytes.Buffer
	require.NoError(t, first.State().Write(&file))
	text := file.String()
	state, err := ReadState(strings.NewReader(text))
	require.NoError(t, err)

	second := verify(t, b.write(middle, b.edge.End()), Options{State: state})
	require.True(t, second.OK, "%v", second.Problems)
	assert.Equal(t, second.Entries, second.Checked)
	assert.Zero(t, second.RightsUnchecked)
	for _, a := range second.Authors {
		assert.NotNil(t, a.LastEvent)
	}
	require.NotNil(t, second.State())
	whole := verify(t, b.whole(), Options{})
	var one, two bytes.Buffer
	require.NoError(t, whole.State().Write(&one))
	require.NoError(t, second.State().Write(&two))
	assert.Equal(t, one.String(), two.String(), "in two steps or in one, the state is the same")

	// It does not fit elsewhere, nor another timeline.
	assert.Contains(t, codes(verify(t, b.write(middle+1, b.edge.End()), Options{State: state})), "state_mismatch")
	other := newBuilder(t, 2)
	other.story()
	other.grow(5)
	assert.Contains(t, codes(verify(t, other.write(middle, other.edge.End()), Options{State: state})), "state_mismatch")

	// A key that is not the owner's is seen only with the state.
	b.rogue(b.node.Signer(), b.owner.ID(), "note.written", []byte(`{}`), nil)
	src := b.write(middle, b.edge.End())
	assert.True(t, verify(t, src, Options{}).OK)
	assert.Equal(t, []string{"key_unknown"}, codes(verify(t, src, Options{State: state})))

	for _, bad := range []string{"", "{}", text[:len(text)/2], strings.Replace(text, `"v":1`, `"v":2`, 1), strings.Replace(text, `"edge":["`, `"edge":["A`, 1)} {
		_, err := ReadState(strings.NewReader(bad))
		assert.Equal(t, "state_invalid", fault.CodeOf(err))
	}
}

func TestIdentitiesKnownFromElsewhere(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(2)
	src := b.whole()
	known := func(events ...[]byte) Options {
		return Options{Identities: strings.NewReader(fmt.Sprintf("{\"events\":[%s]}\n\n", bytes.Join(events, []byte(","))))}
	}
	rep := verify(t, src, known(b.owner.Events()...))
	assert.True(t, rep.OK)
	assert.Contains(t, strings.Join(rep.Notes, "\n"), "1 of the 1 identities")

	rotation, err := b.owner.Rotate(b.now, b.rand)
	require.NoError(t, err)
	rep = verify(t, src, known(b.owner.Events()...))
	assert.Equal(t, []string{"identity_longer"}, codes(rep))
	assert.Contains(t, rep.Problems[0].Reason, rotation.Time)

	// The same identity rotated otherwise: somebody holds both keys.
	b.embed(rotation.Raw)
	twin := newBuilder(t, 1)
	_, err = twin.owner.Rotate(twin.now.Add(5e9), twin.rand)
	require.NoError(t, err)
	assert.Equal(t, []string{"identity_conflict"}, codes(verify(t, b.whole(), known(twin.owner.Events()...))))

	stranger := newBuilder(t, 9)
	assert.True(t, verify(t, src, known(stranger.owner.Events()...)).OK)
	for _, bad := range []string{"x", `{"events":[]}`, `{"events":[{}]}`} {
		_, err := Verify(t.Context(), bytes.NewReader(src), Options{Identities: strings.NewReader(bad)})
		assert.Equal(t, "identities_invalid", fault.CodeOf(err))
	}
}

func TestWriteRefusesWhatIsNoBundle(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(3)
	var out bytes.Buffer
	write := func(i Info, from, to uint64) error { return Write(t.Context(), &out, i, b.tree, b.all(from, to)) }
	assert.Equal(t, "bundle_range_invalid", fault.CodeOf(write(b.info(0, 100), 0, 3)))
	assert.Equal(t, "bundle_range_invalid", fault.CodeOf(write(b.info(3, 2), 0, 3)))
	assert.Equal(t, "bundle_order", fault.CodeOf(write(b.info(0, 5), 0, 3)))
	assert.Equal(t, "bundle_order", fault.CodeOf(write(b.info(0, 5), 0, 6)))
	assert.Equal(t, "bundle_order", fault.CodeOf(write(b.info(0, 5), 1, 5)))
	bad := b.info(0, 5)
	bad.Checkpoint = []byte("x")
	assert.Equal(t, "checkpoint_invalid", fault.CodeOf(write(bad, 0, 5)))
	b.entries[4].Payload = nil
	assert.Equal(t, "bundle_entry", fault.CodeOf(write(b.info(0, 5), 0, 5)))
}
