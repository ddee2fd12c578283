package bundle

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func TestHonestBundleVerifies(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.story()
	rep := verify(t, b.whole(), Options{})
	require.Empty(t, rep.Problems)
	assert.True(t, rep.OK)
	assert.False(t, rep.Authenticated)
	assert.Equal(t, "consistent; origin not authenticated (node "+b.node.ID()+")", rep.Verdict)
	assert.Equal(t, b.edge.Root().String(), rep.Root)
	assert.Equal(t, len(b.entries), rep.Entries)
	assert.Equal(t, 1, rep.WithheldRedacted)
	assert.Equal(t, len(b.entries)-1, rep.Checked)
	assert.Equal(t, b.origin().String(), rep.Origin)

	require.NotEmpty(t, rep.Authors)
	for _, a := range rep.Authors {
		if a.ID == b.owner.ID() {
			require.NotNil(t, a.LastEvent)
			assert.Equal(t, id.KindRotation, a.LastEvent.Kind, "the owner's last event is its rotation")
			line := splitLines(b.whole())[a.LastEvent.Line-1]
			assert.Contains(t, string(line), `"kind":"rotation"`)
		}
	}

	pinned := verify(t, b.whole(), Options{Node: b.node.ID()})
	assert.True(t, pinned.Authenticated)
	assert.Contains(t, pinned.Verdict, "consistent; origin authenticated")
}

func TestAWhollyForgedBundleIsToldByItsNode(t *testing.T) {
	t.Parallel()
	honest, forged := newBuilder(t, 1), newBuilder(t, 2)
	honest.grow(3)
	forged.grow(3)
	rep := verify(t, forged.whole(), Options{})
	assert.True(t, rep.OK)
	assert.False(t, rep.Authenticated)
	assert.True(t, strings.HasPrefix(rep.Verdict, "consistent; origin not authenticated"), rep.Verdict)

	rep = verify(t, forged.whole(), Options{Node: honest.node.ID()})
	assert.False(t, rep.OK)
	assert.Equal(t, []string{"node_not_pinned"}, codes(rep))
	rep = verify(t, forged.whole(), Options{Checkpoint: honest.checkpointAt(honest.edge.End())})
	assert.Equal(t, []string{"checkpoint_not_pinned"}, codes(rep))

	// Claiming to be the honest node does not help.
	info := forged.info(0, forged.edge.End())
	info.Node, info.Events = honest.node.ID(), honest.node.Events()
	rep = verify(t, forged.writeInfo(info), Options{Node: honest.node.ID()})
	assert.False(t, rep.OK)
}

func TestPinnedCheckpoints(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(20)
	size := b.edge.End()
	for _, at := range []uint64{1, 2, 9, size} {
		rep := verify(t, b.whole(), Options{Checkpoint: b.checkpointAt(at)})
		assert.True(t, rep.Authenticated, "at %d: %v", at, rep.Problems)
	}
	part := b.write(7, 15)
	for _, at := range []uint64{7, 10, 15, size} {
		rep := verify(t, part, Options{Checkpoint: b.checkpointAt(at)})
		assert.True(t, rep.Authenticated, "at %d: %v", at, rep.Problems)
	}
	for _, at := range []uint64{3, 16} {
		assert.Equal(t, []string{"checkpoint_not_comparable"}, codes(verify(t, part, Options{Checkpoint: b.checkpointAt(at)})))
	}

	// The root of the empty tree is everybody's.
	rep := verify(t, b.whole(), Options{Checkpoint: b.checkpointAt(0)})
	assert.Equal(t, []string{"checkpoint_not_comparable"}, codes(rep))
	assert.False(t, rep.Authenticated)

	// Entries that another node appends to what is believed, in a part that does
	// not show how it came to write.
	pin := b.checkpointAt(size)
	intruder := newBuilder(t, 3)
	intruder.tree, intruder.edge, intruder.tenant, intruder.entries = b.tree, b.edge.Clone(), b.tenant, b.entries
	intruder.gen = b.gen
	intruder.rogue(intruder.owner.Signer(), intruder.owner.ID(), "note.written", []byte(`{}`), nil)
	grafted := intruder.write(size, size+1)
	require.True(t, verify(t, grafted, Options{}).OK, "nobody believed: it is consistent in itself")
	assert.Equal(t, []string{"checkpoint_not_pinned"}, codes(verify(t, grafted, Options{Checkpoint: pin})))

	// A fork of the same timeline by the same node.
	fork := newBuilder(t, 1)
	fork.grow(10)
	fork.say("something.else", `{}`)
	fork.grow(9)
	assert.Equal(t, []string{"checkpoint_not_pinned"}, codes(verify(t, b.whole(), Options{Checkpoint: fork.checkpointAt(size)})))
	// A note of the right root, signed by nobody we know.
	bad := b.checkpointAt(9)
	if c := &bad[len(bad)-20]; *c != 'A' { // still base64
		*c = 'A'
	} else {
		*c = 'B'
	}
	assert.Equal(t, []string{"checkpoint_not_pinned"}, codes(verify(t, b.whole(), Options{Checkpoint: bad})))

	_, err := Verify(t.Context(), bytes.NewReader(b.whole()), Options{Checkpoint: []byte("x")})
	assert.Error(t, err)
	_, err = Verify(t.Context(), bytes.NewReader(b.whole()), Options{Node: "x"})
	assert.Error(t, err)
}

// covers says whether a problem names the line, alone or in a stretch.
func covers(rep *Report, line int) bool {
	for _, p := range rep.Problems {
		if p.Line == line || p.Line <= line && line <= p.LineTo {
			return true
		}
	}
	return false
}

// Every byte of a small bundle counts, and the line it stands in is named.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	src := b.write(0, 4) // with a range proof
	v := newRemembering()
	for i := 0; i < len(src); i += stride(1) {
		flipped(t, v, src, i, []byte{0x01, 0x20, 0x80}[i%3])
	}
}

// The same for a longer story, at every 29th byte, and for a part of it.
func TestSampledBytesCount(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.story()
	v := newRemembering()
	src := b.whole()
	for i := 0; i < len(src); i += stride(29) {
		flipped(t, v, src, i, byte(1<<(i%8)))
	}
	first := verify(t, b.write(0, 6), Options{})
	src = b.write(6, 11)
	for i := 0; i < len(src); i += stride(5) {
		bad := bytes.Clone(src)
		bad[i] ^= byte(1 << (i % 8))
		rep := verify(t, bad, Options{Verifier: v, Workers: 1, State: first.State()})
		require.False(t, rep.OK, "byte %d (%q)", i, src[i])
	}
}

// stride is n, or many times as much in a short run.
func stride(n int) int {
	if testing.Short() {
		return 11 * n
	}
	return n
}

// flipped verifies src with one byte altered and wants its line, or a stretch
// around it, among the problems.
func flipped(t *testing.T, v id.Verifier, src []byte, at int, flip byte) {
	t.Helper()
	bad := bytes.Clone(src)
	bad[at] ^= flip
	rep := verify(t, bad, Options{Verifier: v, Workers: 1})
	line := 1 + bytes.Count(src[:at], []byte("\n"))
	if rep.OK || !covers(rep, line) {
		t.Fatalf("byte %d (%q) of line %d, xor %#x: ok %v, problems %v", at, src[at], line, flip, rep.OK, rep.Problems)
	}
}

func TestStructuralDamage(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(12)
	src := b.whole()
	lines := splitLines(src)
	other := newBuilder(t, 2)
	other.grow(12)
	otherLines := splitLines(other.whole())

	edit := func(f func(l [][]byte) [][]byte) []byte {
		clone := make([][]byte, len(lines))
		copy(clone, lines)
		return joinLines(f(clone)...)
	}
	for name, c := range map[string]struct {
		src  []byte
		line int
		code string
	}{
		"truncated":        {edit(func(l [][]byte) [][]byte { return l[:len(l)-2] }), len(lines) - 2, "truncated"},
		"cut mid-line":     {src[:len(src)-40], len(lines), "json_syntax"},
		"line missing":     {edit(func(l [][]byte) [][]byte { return append(l[:8], l[9:]...) }), 9, "seq_skipped"},
		"line twice":       {edit(func(l [][]byte) [][]byte { return append(l[:9], append([][]byte{l[8]}, l[9:]...)...) }), 10, "seq_repeated"},
		"two lines change": {edit(func(l [][]byte) [][]byte { l[8], l[9] = l[9], l[8]; return l }), 9, "seq_skipped"},
		"line split":       {edit(func(l [][]byte) [][]byte { l[9] = append(append(bytes.Clone(l[9][:50]), '\n'), l[9][50:]...); return l }), 10, "json_syntax"},
		"lines joined": {edit(func(l [][]byte) [][]byte {
			l[9] = append(bytes.TrimSuffix(bytes.Clone(l[9]), []byte("\n")), l[10]...)
			return append(l[:10], l[11:]...)
		}), 10, "json_trailing_data"},
		"junk line":        {edit(func(l [][]byte) [][]byte { return append(l[:9:9], append([][]byte{[]byte("junk")}, l[9:]...)...) }), 10, "json_syntax"},
		"empty line":       {edit(func(l [][]byte) [][]byte { return append(l[:9:9], append([][]byte{nil}, l[9:]...)...) }), 10, "json_syntax"},
		"junk at the end":  {append(bytes.Clone(src), "junk\n"...), len(lines) + 1, "json_syntax"},
		"more at the end":  {append(bytes.Clone(src), lines[len(lines)-1]...), len(lines) + 1, "seq_repeated"},
		"spliced line":     {edit(func(l [][]byte) [][]byte { l[9] = otherLines[9]; return l }), 10, "tenant_mismatch"},
		"last seq altered": {bytes.Replace(src, []byte(fmt.Sprintf(`"seq":%d,`, b.edge.End()-1)), []byte(`"seq":99,`), 1), len(lines), "seq_not_dense"},
		"seq far ahead":    {bytes.Replace(src, []byte(`"seq":8,`), []byte(`"seq":12,`), 1), 10, "seq_not_dense"},
		"long line":        {edit(func(l [][]byte) [][]byte { l[9] = bytes.Repeat([]byte("x"), 3<<20); return l }), 10, "line_too_large"},
	} {
		rep := verify(t, c.src, Options{Limits: span.Limits{Payload: 1 << 20}})
		require.NotEmpty(t, rep.Problems, name)
		found := false
		for _, p := range rep.Problems {
			found = found || p.Code == c.code && (p.Line == c.line || p.Line <= c.line && c.line <= p.LineTo)
		}
		assert.True(t, found, "%s: want %s on line %d, got %v", name, c.code, c.line, rep.Problems)
	}

	for name, bad := range map[string][]byte{"nothing": nil, "no header": joinLines(lines[1:]...), "other header": joinLines(append([][]byte{otherLines[0]}, lines[1:]...)...)} {
		assert.False(t, verify(t, bad, Options{}).OK, name)
	}
}

// What an altered recorded_at breaks is only the tree: the package is named.
func TestOnlyThePackageIsKnown(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(700)
	lines := splitLines(b.whole())
	const line = 400 // entry 398, in package 256 to 511
	lines[line-1] = bytes.Replace(lines[line-1], []byte(`:39.000Z","seq"`), []byte(`:39.001Z","seq"`), 1)
	if !bytes.Contains(lines[line-1], []byte(`.001Z","seq"`)) {
		at := bytes.Index(lines[line-1], []byte(`.000Z","seq"`))
		lines[line-1][at+3] = '1'
	}
	rep := verify(t, joinLines(lines...), Options{})
	require.Equal(t, []string{"package_mismatch"}, codes(rep))
	assert.Equal(t, Problem{Line: 258, LineTo: 513, Seq: 256, Code: "package_mismatch", Reason: rep.Problems[0].Reason}, rep.Problems[0])
	assert.NotEqual(t, b.edge.Root().String(), rep.Root)

	// With the header's package root made to fit, the checkpoint is left to tell.
	h, err := parseHeader(lines[0])
	require.NoError(t, err)
	forged := &builder{tree: memoryTree{}}
	for _, l := range lines[1:] {
		o, err := span.ParseOpened(l, span.Limits{})
		require.NoError(t, err)
		forged.tree[0] = append(forged.tree[0], span.LeafHash(o.Entry.AppendLine(nil)))
	}
	root := packageOf(forged.tree[0][256:512])
	h.Packages[1] = root.String()
	first, err := h.append()
	require.NoError(t, err)
	rep = verify(t, joinLines(append([][]byte{first}, lines[1:]...)...), Options{})
	assert.Equal(t, []string{"root_mismatch"}, codes(rep))
}

func TestManyBadLinesAreCountedAndBounded(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(300)
	src := bytes.ReplaceAll(b.whole(), []byte(`"type":"note.written"`), []byte(`"type":"note.altered"`))
	rep := verify(t, src, Options{MaxProblems: 7})
	assert.Len(t, rep.Problems, 7)
	assert.Equal(t, 300, rep.ProblemCount)
	assert.Equal(t, 300, rep.Bad)
	assert.Equal(t, "not consistent: 300 problems", rep.Verdict)
}

func TestSwappedPayloads(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(2)
	n := len(b.entries)
	x, y := &b.entries[n-2], &b.entries[n-1]
	x.Payload, x.Salt, y.Payload, y.Salt = y.Payload, y.Salt, x.Payload, x.Salt
	rep := verify(t, b.whole(), Options{})
	assert.Equal(t, []string{"payload_hash_mismatch", "payload_hash_mismatch"}, codes(rep))
	assert.Equal(t, n, rep.Problems[0].Line)
}

func TestWithheldEntries(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.story()
	b.grow(3)
	n := len(b.entries)
	b.entries[n-1] = Entry{Seq: uint64(n - 1), Hidden: true, Leaf: b.entries[n-1].Leaf}
	b.entries[n-2].Payload, b.entries[n-2].Salt, b.entries[n-2].Withheld = nil, "", span.WithheldPrivate
	for i := range b.entries {
		if e := &b.entries[i]; e.Detail != nil {
			e.Detail, e.DetailWithheld = nil, span.WithheldPrivate
		}
	}
	rep := verify(t, b.whole(), Options{})
	require.Empty(t, rep.Problems)
	assert.Equal(t, 1, rep.WithheldRedacted)
	assert.Equal(t, 2, rep.WithheldPrivate)
	assert.Equal(t, 1, rep.Hidden)
	assert.Equal(t, n-4, rep.Checked)

	hidden := splitLines(b.whole())[n]
	assert.JSONEq(t, fmt.Sprintf(`{"seq":%d,"leaf":%q}`, n-1, b.tree[0][n-1].String()), string(hidden))
	wrong := bytes.Replace(b.whole(), []byte(b.tree[0][n-1].String()), []byte(b.tree[0][n-2].String()), 1)
	assert.Equal(t, []string{"package_mismatch"}, codes(verify(t, wrong, Options{})))
}

// A payload may be gone, but not without its redaction, as far as that can be told.
func TestRedactionsThatNobodyRecorded(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.story()
	assert.True(t, verify(t, b.whole(), Options{}).OK)
	b.grow(2)
	at := b.edge.End() - 2
	b.redact(at)
	rep := verify(t, b.whole(), Options{})
	require.Equal(t, []string{"redaction_missing"}, codes(rep))
	assert.Equal(t, at, rep.Problems[0].Seq)
	assert.Equal(t, int(at)+2, rep.Problems[0].Line)
	assert.True(t, verify(t, b.write(0, at+1), Options{}).OK, "its redaction may follow")
	live := verify(t, b.whole(), Options{LiveRedactions: true})
	assert.True(t, live.OK)
	assert.Equal(t, []uint64{at}, live.Unexplained())
	b.entries[at+1] = Entry{Seq: at + 1, Hidden: true, Leaf: b.entries[at+1].Leaf}
	assert.NotContains(t, codes(verify(t, b.whole(), Options{})), "redaction_missing", "it may be hidden from this reader")
}

// A node may be set to larger headers and payloads than by default; what it
// took verifies without knowing its settings.
func TestLargePayloadsOfANodeSetToThem(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	for range 3 {
		b.say("note.written", `{"s":"`+strings.Repeat("x", 3<<20)+`"}`)
	}
	b.add(b.owner.Signer(), b.owner.ID(), "note.written", []byte(`{}`), func(h *span.Header) {
		for i := range 32 {
			h.Tags = append(h.Tags, strings.Repeat("\x01", 100)+string(rune('a'+i%26)))
		}
	}, nil)
	b.grow(2)
	rep := verify(t, b.whole(), Options{})
	assert.True(t, rep.OK, "%v", rep.Problems)
	rep = verify(t, b.whole(), Options{Limits: span.Limits{Payload: 1 << 20}})
	assert.Equal(t, 3, rep.Bad)
}

// What a hostile bundle says reaches no terminal as control characters.
func TestReasonsArePrintable(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(1)
	src := bytes.Replace(b.whole(), []byte(`"payload":{"n":0}`), []byte(`"pay\u001b[2Jload":{"n":0}`), 1)
	rep := verify(t, src, Options{})
	require.NotEmpty(t, rep.Problems)
	for _, p := range rep.Problems {
		assert.NotContains(t, p.String(), "\x1b")
	}
}

// Nor does what it calls itself, nor more of it than a person reads.
func TestWhatABundleSaysIsPrintableAndShort(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(1)
	info := b.info(0, b.edge.End())
	info.Slug, info.Name, info.Node = "a\x1b[2Jb", strings.Repeat("\u009b", 9), "logline-id://\x1b]0;x\x07"
	rep := verify(t, b.writeInfo(info), Options{})
	require.False(t, rep.OK)
	said := strings.Join(append(rep.Notes, rep.Slug, rep.Name, rep.Node, rep.Tenant, rep.Verdict), "")
	for _, p := range rep.Problems {
		said += p.String()
	}
	assert.NotContains(t, said, "\x1b")
	assert.NotContains(t, said, "\u009b")

	huge := strings.Repeat("x", 1<<20)
	info = b.info(0, b.edge.End())
	info.Slug = huge
	lines := splitLines(b.writeInfo(info))
	for i := range lines[1:] {
		lines[1+i] = []byte(`{"` + huge + `":1}`)
	}
	rep = verify(t, joinLines(lines...), Options{})
	require.NotEmpty(t, rep.Problems)
	for _, p := range rep.Problems {
		assert.Less(t, len(p.String()), 5000)
	}
	assert.Less(t, len(rep.Slug), 5000)
}

func TestWhatMayNotBeWithheld(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.redact(4) // the owner's grant
	rep := verify(t, b.whole(), Options{})
	require.NotEmpty(t, rep.Problems)
	assert.Equal(t, "payload_missing", rep.Problems[0].Code)
	assert.Equal(t, 6, rep.Problems[0].Line)
	for _, p := range rep.Problems[1:] {
		assert.Contains(t, p.Reason, "may follow from line 6")
	}

	// Nothing withheld, nothing there.
	b = newBuilder(t, 1)
	b.grow(1)
	lines := splitLines(b.whole())
	last := lines[len(lines)-1]
	last = append(bytes.Clone(last[:bytes.Index(last, []byte(`"payload":`))]), last[bytes.Index(last, []byte(`"payload_hash"`)):]...)
	at := bytes.Index(last, []byte(`"salt":`))
	last = append(bytes.Clone(last[:at]), last[at+len(`"salt":"1234567890123456789012",`):]...)
	lines[len(lines)-1] = last
	rep = verify(t, joinLines(lines...), Options{})
	assert.Equal(t, []string{"payload_missing"}, codes(rep))
}

// After a hidden entry a missing role is not proof of anything.
func TestRolesThatRestOnHiddenEntriesAreNotChecked(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	agent, err := id.NewKeys(id.SubjectAgent, b.now, b.rand)
	require.NoError(t, err)
	b.embed(agent.Events()...)
	b.member(b.owner, agent.ID(), "agent")
	grant := len(b.entries) - 1
	b.add(agent.Signer(), agent.ID(), "task.done", []byte(`{}`), nil, nil)
	b.entries[grant] = Entry{Seq: uint64(grant), Hidden: true, Leaf: b.entries[grant].Leaf}
	rep := verify(t, b.whole(), Options{})
	assert.True(t, rep.OK, "%v", rep.Problems)
	assert.Equal(t, 1, rep.RightsUnchecked)
}

// rogue appends a span that the rules forbid, as a dishonest node would.
func (b *builder) rogue(by id.Signer, author, typ string, payload []byte, edit func(*span.Header)) {
	h := span.Header{ID: span.NewID(b.now, [10]byte(b.random(10))), Tenant: b.tenant, Author: author, Type: typ,
		Time: span.FormatTime(b.now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization}
	if edit != nil {
		edit(&h)
	}
	sp, err := id.SealSpan(by, h, payload, b.random(16))
	require.NoError(b.t, err)
	b.append(sp, &span.Entry{Seq: b.edge.End(), RecordedAt: span.FormatTime(b.now), Span: sp.Header,
		Decision: span.Decision{Outcome: span.OutcomeAllow}}, nil)
}

// A node that signs a timeline against the rules is found out.
func TestADishonestNode(t *testing.T) {
	t.Parallel()
	for code, act := range map[string]func(b *builder){
		"author_unknown": func(b *builder) {
			stranger, err := id.NewKeys(id.SubjectPerson, b.now, b.rand)
			require.NoError(t, err)
			b.rogue(stranger.Signer(), stranger.ID(), "note.written", []byte(`{}`), nil)
		},
		"not_a_member": func(b *builder) {
			stranger, err := id.NewKeys(id.SubjectPerson, b.now, b.rand)
			require.NoError(t, err)
			b.embed(stranger.Events()...)
			b.rogue(stranger.Signer(), stranger.ID(), "note.written", []byte(`{}`), nil)
		},
		"key_rotated": func(b *builder) {
			old := b.owner.Signer()
			rotation, err := b.owner.Rotate(b.now, b.rand)
			require.NoError(t, err)
			b.embed(rotation.Raw)
			b.rogue(old, b.owner.ID(), "note.written", []byte(`{}`), nil)
		},
		"key_unknown": func(b *builder) {
			b.rogue(b.node.Signer(), b.owner.ID(), "note.written", []byte(`{}`), nil)
		},
		"tenant_mismatch": func(b *builder) {
			b.rogue(b.owner.Signer(), b.owner.ID(), "note.written", []byte(`{}`), func(h *span.Header) {
				h.Tenant = "00000000-0000-8000-8000-000000000000"
			})
		},
		"reserved_author": func(b *builder) {
			b.rogue(b.owner.Signer(), b.owner.ID(), span.TypeEvidence, []byte(`{}`), nil)
		},
		"reserved_type_unknown": func(b *builder) {
			b.rogue(b.owner.Signer(), b.owner.ID(), "logline.nonsense", []byte(`{}`), nil)
		},
		"id_spent": func(b *builder) {
			first := b.say("note.written", `{}`)
			b.rogue(b.owner.Signer(), b.owner.ID(), "note.written", []byte(`{}`), func(h *span.Header) { h.ID = first.ID })
		},
		"recorded_at_decreases": func(b *builder) {
			b.grow(1)
			b.now = b.now.Add(-1e9)
			b.rogue(b.owner.Signer(), b.owner.ID(), "note.written", []byte(`{}`), nil)
		},
		"genesis_repeated": func(b *builder) {
			b.rogue(b.node.Signer(), b.node.ID(), span.TypeGenesis, b.gen.Canonical(), func(h *span.Header) { h.Visibility = span.VisibilityPublic })
		},
	} {
		b := newBuilder(t, 1)
		act(b)
		rep := verify(t, b.whole(), Options{Node: b.node.ID()})
		assert.Equal(t, []string{code}, codes(rep))
		if code != "recorded_at_decreases" && len(rep.Problems) > 0 {
			assert.Equal(t, len(b.entries)+1, rep.Problems[0].Line, code)
		}
	}
}

// The id that a refusal names is spent.
func TestIDsSpentByRefusals(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	spent := span.NewID(b.now, [10]byte(b.random(10)))
	refusal, err := span.Canonical(span.Refusal{Span: spent, HeaderHash: span.Sum(nil).String(), Type: "note.written",
		Author: b.owner.ID(), Contract: "a@1.0.0#" + span.Sum(nil).String(), Rule: "a/b"})
	require.NoError(t, err)
	b.byNode(span.TypeDecision, refusal)
	require.True(t, verify(t, b.whole(), Options{}).OK)
	b.rogue(b.owner.Signer(), b.owner.ID(), "note.written", []byte(`{}`), func(h *span.Header) { h.ID = spent })
	assert.Equal(t, []string{"id_spent"}, codes(verify(t, b.whole(), Options{})))
}

// The header may not name another key, epoch, node or tenant than the entries.
func TestHeadersThatDisagreeWithTheEntries(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(3)
	size := b.edge.End()
	for code, edit := range map[string]func(b *builder, i *Info){
		"header_invalid": func(_ *builder, i *Info) { i.Slug = "other" },
		"epoch_mismatch": func(b *builder, i *Info) {
			b.epoch = 1
			i.LogKey, i.Checkpoint = b.info(0, size).LogKey, b.checkpointAt(size)
			b.epoch = 0
		},
		"log_key_mismatch": func(b *builder, i *Info) { // the node delegates a second key
			honest, events := b.log, b.node.Events()
			_, second, err := b.node.Delegate("log2", []string{id.TypeLog}, "", b.now, b.rand)
			require.NoError(t, err)
			b.log = second
			i.LogKey, i.Checkpoint = b.info(0, size).LogKey, b.checkpointAt(size)
			b.log, i.Events = honest, events
		},
		"node_events_conflict": func(b *builder, i *Info) { i.Events = i.Events[:1] },
		"node_events_invalid":  func(b *builder, i *Info) { i.Events = b.owner.Events() },
	} {
		info := b.info(0, size)
		edit(b, &info)
		rep := verify(t, b.writeInfo(info), Options{})
		require.NotEmpty(t, rep.Problems, code)
		assert.Equal(t, code, rep.Problems[0].Code)
		assert.Equal(t, 1, rep.Problems[0].Line)
	}
}

func TestReadersAndContexts(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(500)
	src := b.whole()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Verify(ctx, bytes.NewReader(src), Options{})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = Verify(t.Context(), &failing{src: bytes.NewReader(src), after: len(src) / 2}, Options{})
	assert.ErrorIs(t, err, errBroken)
	for _, workers := range []int{1, 7} {
		assert.True(t, verify(t, src, Options{Workers: workers}).OK)
	}
	assert.True(t, verify(t, bytes.TrimSuffix(src, []byte("\n")), Options{}).OK, "the last newline carries nothing")
}

// A span may nest 64 levels; its payload stands two levels deeper in a bundle.
func TestTheDeepestPayloadVerifies(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	deep := strings.Repeat(`{"a":`, 62) + `{}` + strings.Repeat(`}`, 62)
	sp := b.say("note.written", deep)
	_, err := span.Parse(sp.Canonical(), span.Limits{})
	require.NoError(t, err, "a span this deep is accepted")
	assert.Empty(t, verify(t, b.whole(), Options{}).Problems)
}
