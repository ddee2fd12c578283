// Package liar is a node that lies, for tests alone. Its operator holds every key
// that a node has and signs whatever is asked; what it serves looks like a node's
// answers in every respect but the one that a test makes false. It checks
// nothing: whatever a verifier lets pass of it, a real adversary gets past too.
package liar

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Ledger is a timeline whose operator obeys no rule. It is not safe for
// concurrent use.
type Ledger struct {
	t     testing.TB
	rand  *rand.ChaCha8
	Clock time.Time // of the last entry; each takes a second

	Node, Owner *id.Keys
	Log         id.Signer // signs checkpoints
	LogKey      id.Signer // the key said to be the log's; Log, unless a lie is told about it
	Origin      tree.Origin
	Genesis     *span.Genesis

	Entries []bundle.Entry
	Spans   []*span.Span
	hashes  levels
	edge    *tree.Range

	// Said is what checkpoints claim where it is not what the entries lead to; by size.
	Said map[uint64]span.Hash
}

type levels map[int][]span.Hash

func (l levels) Hashes(_ context.Context, level int, from, to uint64) ([]span.Hash, error) {
	return slices.Clone(l[level][from:to]), nil
}

// Found makes a timeline of the owner with its five founding entries, as honest
// as any; owner nil makes one.
func Found(t testing.TB, seed byte, owner *id.Keys, at time.Time) *Ledger {
	t.Helper()
	l := &Ledger{t: t, rand: rand.NewChaCha8([32]byte{seed}), Clock: at, Owner: owner, hashes: levels{}, edge: &tree.Range{}, Said: map[uint64]span.Hash{}}
	var err error
	l.Node = l.Keys(id.SubjectNode)
	if owner == nil {
		l.Owner = l.Keys(id.SubjectPerson)
	}
	_, log, err := l.Node.Delegate("log", []string{id.TypeLog}, "", l.Clock, l.rand)
	require.NoError(t, err)
	l.Log, l.LogKey = log, log
	l.Genesis = &span.Genesis{
		Slug: "acme", Name: "Acme", Node: l.Node.ID(), LogKey: tree.EncodeLogKey(l.public(log)),
		Owner: l.Owner.ID(), Nonce: span.B64(l.random(16)),
	}
	l.Genesis.Tenant = l.Genesis.TenantID()
	l.Origin = tree.Origin{Tenant: l.Genesis.Tenant, Node: l.Node.ID()}
	l.ByNode(span.TypeGenesis, l.Genesis.Canonical())
	l.Embed(l.Node.Events()...)
	l.Embed(l.Owner.Events()...)
	l.Member(l.Node, l.Owner.ID(), "owner")
	return l
}

// Fork is another timeline that is the same so far; what is added to the one from
// now on is not in the other.
func (l *Ledger) Fork(seed byte) *Ledger {
	f := *l
	f.rand = rand.NewChaCha8([32]byte{seed, 1})
	f.Entries, f.Spans, f.edge = slices.Clone(l.Entries), slices.Clone(l.Spans), l.edge.Clone()
	f.hashes, f.Said = levels{}, maps.Clone(l.Said)
	for level, hashes := range l.hashes {
		f.hashes[level] = slices.Clone(hashes)
	}
	return &f
}

// Keys makes keys of a new identity.
func (l *Ledger) Keys(subject string) *id.Keys {
	keys, err := id.NewKeys(subject, l.Clock, l.rand)
	require.NoError(l.t, err)
	return keys
}

// Delegate has keys delegate one for the types, until expires where that is not
// "", and embeds the event.
func (l *Ledger) Delegate(keys *id.Keys, expires string, types ...string) id.Signer {
	event, key, err := keys.Delegate("spare", types, expires, l.Clock, l.rand)
	require.NoError(l.t, err)
	l.Embed(event.Raw)
	return key
}

// Rotate changes the key of an identity, and gives the event, which no entry holds yet.
func (l *Ledger) Rotate(keys *id.Keys) []byte {
	event, err := keys.Rotate(l.Clock, l.rand)
	require.NoError(l.t, err)
	return event.Raw
}

// Size is the number of entries.
func (l *Ledger) Size() uint64 { return l.edge.End() }

func (l *Ledger) public(s id.Signer) ed25519.PublicKey {
	raw, err := span.ParseB64(s.Public(), ed25519.PublicKeySize)
	require.NoError(l.t, err)
	return raw
}

func (l *Ledger) random(n int) []byte {
	out := make([]byte, n)
	_, _ = l.rand.Read(out)
	return out
}

// ByNode adds a span that the node signs.
func (l *Ledger) ByNode(typ string, payload []byte) *span.Span {
	return l.Add(l.Node.Signer(), l.Node.ID(), typ, payload, nil)
}

// Embed adds key events.
func (l *Ledger) Embed(events ...[]byte) {
	for _, e := range events {
		l.ByNode(span.TypeIdentity, fmt.Appendf(nil, `{"event":%s}`, e))
	}
}

// Enrol embeds a new identity and has the owner give it roles, if any.
func (l *Ledger) Enrol(roles ...string) *id.Keys {
	keys := l.Keys(id.SubjectPerson)
	l.Embed(keys.Events()...)
	if len(roles) > 0 {
		l.Member(l.Owner, keys.ID(), roles...)
	}
	return keys
}

// Member adds a grant of roles.
func (l *Ledger) Member(by *id.Keys, identity string, roles ...string) {
	l.Add(by.Signer(), by.ID(), span.TypeMember, l.canonical(span.Member{Identity: identity, Roles: roles, Action: span.ActionGrant}), nil)
}

func (l *Ledger) canonical(v any) []byte {
	b, err := span.Canonical(v)
	require.NoError(l.t, err)
	return b
}

// Ref names a span of the ledger.
func Ref(s *span.Span) span.SpanRef {
	return span.SpanRef{Span: s.ID, HeaderHash: s.Header.Hash().String()}
}

// Redact adds a redaction by an identity, and erases what it names.
func (l *Ledger) Redact(by *id.Keys, s *span.Span) {
	l.Add(by.Signer(), by.ID(), span.TypeRedaction, l.canonical(span.Redaction{Spans: []span.SpanRef{Ref(s)}, Reason: "asked"}), nil)
	l.Withhold(s, span.WithheldRedacted)
}

// Withhold takes the payload away and says why.
func (l *Ledger) Withhold(s *span.Span, why string) {
	for i := range l.Spans {
		if l.Spans[i].ID == s.ID {
			l.Entries[i].Payload, l.Entries[i].Salt, l.Entries[i].Withheld = nil, "", why
		}
	}
}

// Say adds a note of the owner's.
func (l *Ledger) Say(text string) *span.Span {
	return l.Add(l.Owner.Signer(), l.Owner.ID(), "note.written", l.canonical(map[string]string{"text": text}), nil)
}

// Grow adds n notes.
func (l *Ledger) Grow(n int) {
	for i := range n {
		l.Say(fmt.Sprintf("note %d", i))
	}
}

// Add signs a span and appends its entry, whatever the rules say. edit may change
// header and entry before they are signed and hashed.
func (l *Ledger) Add(by id.Signer, author, typ string, payload []byte, edit func(*span.Header, *span.Entry)) *span.Span {
	l.t.Helper()
	l.Clock = l.Clock.Add(time.Second)
	e := &span.Entry{Seq: l.Size(), RecordedAt: span.FormatTime(l.Clock), Decision: span.Decision{Outcome: span.OutcomeAllow}}
	h := span.Header{
		ID: span.NewID(l.Clock, [10]byte(l.random(10))), Tenant: l.Genesis.Tenant, Author: author, Type: typ,
		Time: span.FormatTime(l.Clock), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	if span.MustBePublic(typ) {
		h.Visibility = span.VisibilityPublic
	}
	if edit != nil {
		edit(&h, e)
	}
	s, err := id.SealSpan(by, h, payload, l.random(16))
	require.NoError(l.t, err)
	e.Span = s.Header
	l.Take(s, e)
	return s
}

// Take appends an entry as it is.
func (l *Ledger) Take(s *span.Span, e *span.Entry) {
	line := e.AppendLine(nil)
	leaf := span.LeafHash(line)
	l.Entries = append(l.Entries, bundle.Entry{Seq: l.Size(), Line: line, Leaf: leaf, Payload: s.Payload, Salt: s.Salt})
	l.Spans = append(l.Spans, s)
	l.hashes[0] = append(l.hashes[0], leaf)
	l.edge.Append(leaf, func(s tree.Subtree) { l.hashes[s.Level] = append(l.hashes[s.Level], s.Hash) })
}

// Checkpoint is the log's note for a size, with the root that the operator says
// it has.
func (l *Ledger) Checkpoint(size uint64) []byte {
	root, said := l.Said[size]
	if !said {
		var err error
		root, err = tree.Root(context.Background(), l.hashes, size)
		require.NoError(l.t, err)
	}
	note, err := tree.Checkpoint{Origin: l.Origin, Size: size, Root: root}.Sign(l.public(l.Log), l.Log.Sign)
	require.NoError(l.t, err)
	return note
}

// VerifierKey is the key of the log as the operator names it.
func (l *Ledger) VerifierKey() string {
	vkey, err := tree.VerifierKey(l.Origin, l.public(l.LogKey))
	require.NoError(l.t, err)
	return vkey
}

// Info is what a bundle of the part says it is of.
func (l *Ledger) Info(from, to uint64) bundle.Info {
	return bundle.Info{
		Tenant: l.Genesis.Tenant, Slug: l.Genesis.Slug, Name: l.Genesis.Name, Node: l.Node.ID(), Events: l.Node.Events(),
		LogKey: l.VerifierKey(), Checkpoint: l.Checkpoint(l.Size()), From: from, To: to,
	}
}

// Bundle is the part in a file.
func (l *Ledger) Bundle(from, to uint64) []byte {
	l.t.Helper()
	return l.BundleOf(l.Info(from, to))
}

// BundleOf is a bundle that says of itself what info does.
func (l *Ledger) BundleOf(info bundle.Info) []byte {
	l.t.Helper()
	var out bytes.Buffer
	require.NoError(l.t, bundle.Write(context.Background(), &out, info, l.hashes, l.entries(info.From, info.To)))
	return out.Bytes()
}

func (l *Ledger) entries(from, to uint64) iter.Seq2[bundle.Entry, error] {
	return func(yield func(bundle.Entry, error) bool) {
		for _, e := range l.Entries[from:to] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Opened is an entry as a reader gets it.
func (l *Ledger) Opened(seq uint64) []byte {
	e := l.Entries[seq]
	parsed, err := span.ParseLine(e.Line)
	require.NoError(l.t, err)
	o := span.Opened{Entry: *parsed, Payload: e.Payload, Salt: e.Salt, Withheld: e.Withheld}
	return o.AppendLine(nil)
}

// Inclusion proves that entry seq is in the tree of size.
func (l *Ledger) Inclusion(seq, size uint64) []span.Hash {
	proof, err := tree.Inclusion(context.Background(), l.hashes, seq, size)
	require.NoError(l.t, err)
	return proof
}

// Consistency proves that the tree of to extends that of from.
func (l *Ledger) Consistency(from, to uint64) []span.Hash {
	proof, err := tree.Consistency(context.Background(), l.hashes, from, to)
	require.NoError(l.t, err)
	return proof
}

// Proof is the proof file of an entry.
func (l *Ledger) Proof(seq, size uint64) *tree.ProofFile {
	return &tree.ProofFile{Extra: l.Entries[seq].Line, Index: seq, Hashes: l.Inclusion(seq, size), Checkpoint: l.Checkpoint(size)}
}

// Resign alters the header of an entry after it was signed, and hashes it anew:
// the tree, the checkpoints and the proofs are of what it is now.
func (l *Ledger) Resign(seq uint64, edit func(h *span.Header)) {
	parsed, err := span.ParseLine(l.Entries[seq].Line)
	require.NoError(l.t, err)
	edit(&parsed.Span)
	entries, spans := l.Entries, l.Spans
	l.Entries, l.Spans, l.hashes, l.edge = nil, nil, levels{}, &tree.Range{}
	for i, s := range spans {
		e, err := span.ParseLine(entries[i].Line)
		require.NoError(l.t, err)
		if uint64(i) == seq {
			s.Header, e.Span = parsed.Span, parsed.Span
		}
		l.Take(s, e)
		l.Entries[i] = bundle.Entry{Seq: uint64(i), Line: l.Entries[i].Line, Leaf: l.Entries[i].Leaf,
			Payload: entries[i].Payload, Salt: entries[i].Salt, Withheld: entries[i].Withheld}
	}
}

// BeginEpoch adds the entry of a new epoch by the same node that claims to
// continue a root, and signs from now on under it.
func (l *Ledger) BeginEpoch(root span.Hash) {
	l.ByNode(span.TypeEpoch, l.canonical(span.Epoch{
		PrevOrigin: l.Origin.String(), PrevSize: l.Size(), PrevRoot: root.String(), LogKey: l.Genesis.LogKey,
	}))
	l.Origin.Epoch++
}

// StolenRotation is a rotation of an identity to a key that it never committed
// to, as a thief of its primary key would make one.
func StolenRotation(l *Ledger, victim *id.Keys) []byte {
	head, thief := victim.Chain(), l.Keys(id.SubjectPerson)
	body := map[string]any{
		"v": 1, "kind": id.KindRotation, "seq": 1, "prev": head.Head().String(), "key": thief.Signer().Public(),
		"next": span.B64(l.random(32)), "time": span.FormatTime(l.Clock),
	}
	message := append([]byte("logline.key.v1\n"), l.canonical(body)...)
	body["signature"] = map[string]string{"key": thief.Signer().Public(), "value": span.B64(thief.Signer().Sign(message))}
	return l.canonical(body)
}
