package standing_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var epochStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type object = map[string]any

// world is one timeline in the making: what submit would do around the rules.
type world struct {
	t       testing.TB
	rand    *rand.ChaCha8
	state   *standing.State
	tx      *standing.Tx
	refs    map[string]standing.Ref
	log     []appended
	spans   int
	node    *id.Keys
	owner   *id.Keys
	logKey  string
	tenant  string
	genesis span.Genesis
}

type appended struct {
	entry   *span.Entry
	payload []byte
}

// newWorld has keys and a genesis, and nothing appended.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, rand: rand.NewChaCha8([32]byte{7}), state: standing.New(id.StdVerifier()), refs: map[string]standing.Ref{}}
	w.tx = w.state.Begin()
	w.node, w.owner = w.keys(id.SubjectNode), w.keys(id.SubjectPerson)
	w.logKey = w.delegateLog(w.node)
	w.genesis = span.Genesis{
		Slug: "acme", Name: "Acme", Node: w.node.ID(), LogKey: w.logKey, Owner: w.owner.ID(), Nonce: span.B64(make([]byte, 16)),
	}
	w.genesis.Tenant = w.genesis.TenantID()
	w.tenant = w.genesis.Tenant
	return w
}

// founded has a timeline whose owner is granted: five entries.
func founded(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.must(w.span(w.node, span.TypeGenesis, w.genesis, public))
	w.embed(w.node)
	w.embed(w.owner)
	w.must(w.grant(w.node, w.owner, "owner"))
	return w
}

func (w *world) keys(subject string) *id.Keys {
	w.t.Helper()
	k, err := id.NewKeys(subject, epochStart, w.rand)
	require.NoError(w.t, err)
	return k
}

// delegateLog delegates a fresh log key and gives it in the form of genesis.
func (w *world) delegateLog(k *id.Keys) string {
	w.t.Helper()
	_, key, err := k.Delegate("log", []string{id.TypeLog}, "", epochStart, w.rand)
	require.NoError(w.t, err)
	raw, err := span.ParseB64(key.Public(), 32)
	require.NoError(w.t, err)
	return span.B64(append([]byte{1}, raw...))
}

// member is an embedded identity with roles.
func (w *world) member(roles ...string) *id.Keys {
	w.t.Helper()
	k := w.keys(id.SubjectPerson)
	w.embed(k)
	w.must(w.grant(w.owner, k, roles...))
	return k
}

func public(h *span.Header)  { h.Visibility = span.VisibilityPublic }
func private(h *span.Header) { h.Visibility = span.VisibilityPrivate }

// span seals a span by author's primary key; edits come before the signature.
func (w *world) span(author *id.Keys, typ string, payload any, edits ...func(*span.Header)) *span.Span {
	w.t.Helper()
	return w.spanBy(author.Signer(), author.ID(), typ, payload, edits...)
}

func (w *world) spanBy(s id.Signer, author, typ string, payload any, edits ...func(*span.Header)) *span.Span {
	w.t.Helper()
	canonical, err := span.Canonical(payload)
	require.NoError(w.t, err)
	w.spans++
	spanID, err := span.RandomID(epochStart, w.rand)
	require.NoError(w.t, err)
	h := span.Header{
		ID: spanID, Tenant: w.tenant, Author: author, Type: typ, Time: w.next().RecordedAt,
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, edit := range edits {
		edit(&h)
	}
	sp, err := id.SealSpan(s, h, canonical, bytes.Repeat([]byte{byte(w.spans)}, 16))
	require.NoError(w.t, err)
	return sp
}

func (w *world) grant(by, to *id.Keys, roles ...string) *span.Span {
	w.t.Helper()
	return w.span(by, span.TypeMember, object{"identity": to.ID(), "roles": roles, "action": "grant"})
}

func (w *world) withdraw(by, from *id.Keys, roles ...string) *span.Span {
	w.t.Helper()
	return w.span(by, span.TypeMember, object{"identity": from.ID(), "roles": roles, "action": "withdraw"})
}

// event embeds one key event.
func (w *world) event(raw []byte) *span.Span {
	w.t.Helper()
	payload := append(append([]byte(`{"event":`), raw...), '}')
	sp := w.span(w.node, span.TypeIdentity, object{}, public)
	sealed, err := id.SealSpan(w.node.Signer(), sp.Header, payload, make([]byte, 16))
	require.NoError(w.t, err)
	return sealed
}

func (w *world) embed(k *id.Keys) {
	w.t.Helper()
	for _, raw := range k.Events() {
		w.must(w.event(raw))
	}
}

func (w *world) next() standing.Position {
	n := uint64(len(w.log))
	return standing.Position{Seq: n, RecordedAt: span.FormatTime(epochStart.Add(time.Duration(n) * time.Second))}
}

func (w *world) look(spanID string) (standing.Ref, bool) {
	r, ok := w.refs[spanID]
	return r, ok
}

func (w *world) check(sp *span.Span) error {
	return w.tx.Check(&sp.Header, sp.Payload, w.next(), w.look)
}

// add appends if the rules allow it.
func (w *world) add(sp *span.Span, outcome string) (standing.Change, error) {
	if err := w.check(sp); err != nil {
		return standing.Change{}, err
	}
	at := w.next()
	e := &span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: sp.Header, Decision: span.Decision{Outcome: outcome}}
	c, err := w.tx.Apply(e, sp.Payload, w.look)
	if err != nil {
		return c, err
	}
	w.note(e, c)
	w.log = append(w.log, appended{e, sp.Payload})
	return c, nil
}

func (w *world) note(e *span.Entry, c standing.Change) {
	h := &e.Span
	w.refs[h.ID] = standing.Ref{ID: h.ID, Seq: e.Seq, Author: h.Author, OnBehalfOf: h.OnBehalfOf, Type: h.Type,
		Visibility: h.Visibility, Status: standing.InitialStatus(e), HeaderHash: h.Hash()}
	for _, s := range c.Statuses {
		r := w.refs[s.SpanID]
		r.Status = s.Status
		w.refs[s.SpanID] = r
	}
}

func (w *world) must(sp *span.Span) standing.Change {
	w.t.Helper()
	c, err := w.add(sp, span.OutcomeAllow)
	require.NoError(w.t, err)
	return c
}

func (w *world) pending(sp *span.Span) {
	w.t.Helper()
	c, err := w.add(sp, span.OutcomePending)
	require.NoError(w.t, err)
	require.Empty(w.t, c)
}

// refused asserts that the rules refuse sp for this reason, before and in
// Apply, and that nothing changed.
func (w *world) refused(sp *span.Span, code string) *fault.Error {
	w.t.Helper()
	before := fmt.Sprint(w.tx.Rows())
	err := w.check(sp)
	require.Error(w.t, err, "expected %s", code)
	require.Equal(w.t, code, fault.CodeOf(err), err)
	at := w.next()
	_, err2 := w.tx.Apply(&span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: sp.Header, Decision: span.Decision{Outcome: "allow"}}, sp.Payload, w.look)
	require.Equal(w.t, code, fault.CodeOf(err2), err2)
	require.Equal(w.t, before, fmt.Sprint(w.tx.Rows()))
	return fault.From(err)
}

func ref(sp *span.Span, more object) object {
	o := object{"span": sp.ID, "header_hash": sp.Hash().String()}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func (w *world) revert(by *id.Keys, target *span.Span) *span.Span {
	return w.span(by, span.TypeRevert, ref(target, object{"reason": "mistake"}))
}

func (w *world) redact(by *id.Keys, targets ...*span.Span) *span.Span {
	var refs []object
	for _, t := range targets {
		refs = append(refs, ref(t, nil))
	}
	return w.span(by, span.TypeRedaction, object{"spans": refs, "reason": "asked"})
}

func (w *world) resolve(target *span.Span, outcome string) *span.Span {
	return w.span(w.node, span.TypeResolution, ref(target, object{"outcome": outcome}))
}
