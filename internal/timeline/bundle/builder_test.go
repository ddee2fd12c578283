package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// builder makes an honest timeline in memory, step by step.
type builder struct {
	t      testing.TB
	rand   *rand.ChaCha8
	now    time.Time
	node   *id.Keys
	log    id.Signer
	owner  *id.Keys
	tenant string
	gen    *span.Genesis
	state  *standing.State
	tx     *standing.Tx
	refs   map[string]standing.Ref

	entries []Entry
	spans   []*span.Span
	tree    memoryTree
	edge    *tree.Range
	epoch   uint64
}

type memoryTree map[int][]span.Hash

func (m memoryTree) Hashes(_ context.Context, level int, from, to uint64) ([]span.Hash, error) {
	return slices.Clone(m[level][from:to]), nil
}

// newBuilder makes the founding entries: genesis, the node's inception, the log
// key, the owner's inception and grant.
func newBuilder(t testing.TB, seed byte) *builder {
	t.Helper()
	b := &builder{
		t: t, rand: rand.NewChaCha8([32]byte{seed}), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		state: standing.New(id.DefaultVerifier()), refs: map[string]standing.Ref{}, tree: memoryTree{}, edge: &tree.Range{},
	}
	b.tx = b.state.Begin()
	var err error
	b.node, err = id.NewKeys(id.SubjectNode, b.now, b.rand)
	require.NoError(t, err)
	_, b.log, err = b.node.Delegate("log", []string{id.TypeLog}, "", b.now, b.rand)
	require.NoError(t, err)
	b.owner, err = id.NewKeys(id.SubjectPerson, b.now, b.rand)
	require.NoError(t, err)
	b.gen = &span.Genesis{
		Slug: "acme", Name: "Acme", Node: b.node.ID(), LogKey: tree.EncodeLogKey(b.logKey()),
		Owner: b.owner.ID(), Nonce: span.B64(b.random(16)),
	}
	b.gen.Tenant = b.gen.TenantID()
	b.tenant = b.gen.Tenant
	b.byNode(span.TypeGenesis, b.gen.Canonical())
	b.embed(b.node.Events()...)
	b.embed(b.owner.Events()...)
	b.member(b.node, b.owner.ID(), "owner")
	return b
}

func (b *builder) logKey() ed25519.PublicKey {
	raw, err := span.ParseB64(b.log.Public(), 32)
	require.NoError(b.t, err)
	return raw
}

func (b *builder) random(n int) []byte {
	out := make([]byte, n)
	_, _ = b.rand.Read(out)
	return out
}

func (b *builder) byNode(typ string, payload []byte) *span.Span {
	return b.add(b.node.Signer(), b.node.ID(), typ, payload, func(h *span.Header) {
		if span.MustBePublic(typ) {
			h.Visibility = span.VisibilityPublic
		}
	}, nil)
}

func (b *builder) embed(events ...[]byte) {
	for _, e := range events {
		b.byNode(span.TypeIdentity, fmt.Appendf(nil, `{"event":%s}`, e))
	}
}

func (b *builder) member(by *id.Keys, identity string, roles ...string) {
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: roles, Action: span.ActionGrant})
	require.NoError(b.t, err)
	b.add(by.Signer(), by.ID(), span.TypeMember, payload, nil, nil)
}

func (b *builder) say(typ, payload string) *span.Span {
	return b.add(b.owner.Signer(), b.owner.ID(), typ, []byte(payload), nil, nil)
}

func (b *builder) detail(notes ...string) *span.Detail {
	return &span.Detail{Salt: span.B64(b.random(16)), Notes: notes}
}

// add signs a span, admits it by the rules and appends its entry.
func (b *builder) add(by id.Signer, author, typ string, payload []byte, edit func(*span.Header), detail *span.Detail) *span.Span {
	b.t.Helper()
	b.now = b.now.Add(time.Second)
	h := span.Header{
		ID: span.NewID(b.now, [10]byte(b.random(10))), Tenant: b.tenant, Author: author, Type: typ,
		Time: span.FormatTime(b.now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	if edit != nil {
		edit(&h)
	}
	sp, err := id.SealSpan(by, h, payload, b.random(16))
	require.NoError(b.t, err)
	e := &span.Entry{Seq: b.edge.End(), RecordedAt: span.FormatTime(b.now), Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
	if detail != nil {
		e.Decision.DetailHash = detail.Hash().String()
	}
	require.NoError(b.t, b.tx.Check(&sp.Header, sp.Payload, standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt}, b.look), typ)
	b.append(sp, e, detail)
	return sp
}

// append takes an entry without asking anybody.
func (b *builder) append(sp *span.Span, e *span.Entry, detail *span.Detail) {
	if _, err := b.tx.Apply(e, sp.Payload, b.look); err != nil {
		b.t.Logf("entry %d appended against the rules: %v", e.Seq, err)
	}
	b.refs[sp.ID] = standing.Ref{
		ID: sp.ID, Seq: e.Seq, Author: sp.Author, OnBehalfOf: sp.OnBehalfOf, Type: sp.Type, Visibility: sp.Visibility,
		Status: standing.InitialStatus(e), HeaderHash: sp.Header.Hash(),
	}
	out := Entry{Seq: e.Seq, Line: e.AppendLine(nil), Payload: sp.Payload, Salt: sp.Salt}
	if detail != nil {
		out.Detail = detail.Canonical()
	}
	out.Leaf = span.LeafHash(out.Line)
	b.entries, b.spans = append(b.entries, out), append(b.spans, sp)
	b.tree[0] = append(b.tree[0], out.Leaf)
	b.edge.Append(out.Leaf, func(s tree.Subtree) { b.tree[s.Level] = append(b.tree[s.Level], s.Hash) })
}

func (b *builder) look(spanID string) (standing.Ref, bool) {
	r, ok := b.refs[spanID]
	return r, ok
}

func (b *builder) origin() tree.Origin {
	return tree.Origin{Tenant: b.tenant, Node: b.node.ID(), Epoch: b.epoch}
}

func (b *builder) checkpointAt(size uint64) []byte {
	root, err := tree.Root(context.Background(), b.tree, size)
	require.NoError(b.t, err)
	note, err := tree.Checkpoint{Origin: b.origin(), Size: size, Root: root}.Sign(b.logKey(), b.log.Sign)
	require.NoError(b.t, err)
	return note
}

func (b *builder) info(from, to uint64) Info {
	vkey, err := tree.VerifierKey(b.origin(), b.logKey())
	require.NoError(b.t, err)
	return Info{
		Tenant: b.tenant, Slug: b.gen.Slug, Name: b.gen.Name, Node: b.node.ID(), Events: b.node.Events(),
		LogKey: vkey, Checkpoint: b.checkpointAt(b.edge.End()), From: from, To: to,
	}
}

func (b *builder) all(from, to uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range b.entries[from:to] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (b *builder) write(from, to uint64) []byte {
	b.t.Helper()
	return b.writeInfo(b.info(from, to))
}

func (b *builder) writeInfo(info Info) []byte {
	b.t.Helper()
	var out bytes.Buffer
	require.NoError(b.t, Write(context.Background(), &out, info, b.tree, b.all(info.From, info.To)))
	return out.Bytes()
}

func (b *builder) whole() []byte { return b.write(0, b.edge.End()) }

// grow appends n plain spans.
func (b *builder) grow(n int) {
	for i := range n {
		b.say("note.written", fmt.Sprintf(`{"n":%d}`, i))
	}
}

// story appends one of everything: details, a private span, work on behalf of
// another, a delegated agent, a rotation, a revert and a redaction.
func (b *builder) story() {
	first := b.say("payment.requested", `{"amount":12,"text":"häagen \"dazs\""}`)
	b.add(b.owner.Signer(), b.owner.ID(), "payment.made", []byte(`{"a":[1,2,{"b":null}]}`), func(h *span.Header) {
		h.Causes, h.Tags, h.Subject, h.Title = []string{first.ID}, []string{"x", "y"}, "invoice/7", "paid"
		h.OccurredAt = "2025-12-01T00:00:00.000Z"
	}, b.detail("fine", "quick"))
	b.add(b.owner.Signer(), b.owner.ID(), "diary.written", []byte(`{"dear":"diary"}`), func(h *span.Header) {
		h.Visibility = span.VisibilityPrivate
	}, nil)
	agent, err := id.NewKeys(id.SubjectAgent, b.now, b.rand)
	require.NoError(b.t, err)
	b.embed(agent.Events()...)
	b.member(b.owner, agent.ID(), "agent")
	b.add(agent.Signer(), agent.ID(), "task.done", []byte(`{}`), func(h *span.Header) { h.OnBehalfOf = b.owner.ID() }, nil)
	rotation, err := b.owner.Rotate(b.now, b.rand)
	require.NoError(b.t, err)
	b.embed(rotation.Raw)
	b.say("payment.requested", `{"amount":13}`)
	ref := func(sp *span.Span) span.SpanRef {
		return span.SpanRef{Span: sp.ID, HeaderHash: sp.Header.Hash().String()}
	}
	revert, err := span.Canonical(span.Revert{Span: first.ID, HeaderHash: ref(first).HeaderHash, Reason: "wrong"})
	require.NoError(b.t, err)
	b.say(span.TypeRevert, string(revert))
	redaction, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{ref(first)}, Reason: "asked"})
	require.NoError(b.t, err)
	b.say(span.TypeRedaction, string(redaction))
	b.redact(refSeq(b, first))
}

func refSeq(b *builder, sp *span.Span) uint64 { return b.refs[sp.ID].Seq }

func (b *builder) redact(seq uint64) {
	e := &b.entries[seq]
	e.Payload, e.Salt, e.Withheld = nil, "", span.WithheldRedacted
	if e.Detail != nil {
		e.Detail, e.DetailWithheld = nil, span.WithheldRedacted
	}
}

func verify(t testing.TB, src []byte, opt Options) *Report {
	t.Helper()
	rep, err := Verify(context.Background(), bytes.NewReader(src), opt)
	require.NoError(t, err)
	require.Equal(t, rep.ProblemCount == 0, rep.OK)
	return rep
}

func codes(rep *Report) []string {
	var out []string
	for _, p := range rep.Problems {
		out = append(out, p.Code)
	}
	return out
}

func splitLines(src []byte) [][]byte {
	return bytes.SplitAfter(bytes.TrimSuffix(src, []byte("\n")), []byte("\n"))
}

func joinLines(lines ...[]byte) []byte {
	var out []byte
	for _, l := range lines {
		out = append(append(out, bytes.TrimSuffix(l, []byte("\n"))...), '\n')
	}
	return out
}

func seedFor(parts ...int) (s [32]byte) {
	for i, p := range parts {
		binary.BigEndian.PutUint64(s[8*i:], uint64(p))
	}
	return s
}

// remembering is a Verifier that checks each signature once: tests that verify
// almost the same bundle thousands of times would spend their time on nothing else.
type remembering struct {
	id.Verifier
	known sync.Map // hash of the arguments -> bool
}

func newRemembering() *remembering { return &remembering{Verifier: id.DefaultVerifier()} }

func (r *remembering) Verify(pub, message, sig []byte) bool {
	key := span.Sum(pub, sig, message)
	if ok, met := r.known.Load(key); met {
		return ok.(bool)
	}
	ok := r.Verifier.Verify(pub, message, sig)
	r.known.Store(key, ok)
	return ok
}
