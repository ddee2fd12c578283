package storetest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Story is a node and a timeline that it keeps in a store: signed, decided,
// with something of everything that a timeline can hold. The same slug makes
// the same story.
type Story struct {
	Log    *timeline.Log
	Node   *id.Node
	Owner  *id.Keys
	Tenant string
	// Spans of the story: each is an id.
	Erased, Reverted, Executed, Rejected, Waiting, Refused, Private string

	t      testing.TB
	folder timeline.Folder
	now    time.Time
	random io.Reader
}

// NewStory writes the story of a tenant into a store. notes is the directory
// of checkpoints given out, "" for none.
func NewStory(t testing.TB, store timeline.Store, slug, notes string) *Story {
	t.Helper()
	s := NewBeginning(t, store, slug, notes)
	s.tell()
	return s
}

// NewFoldedStory is NewStory with the rows that Folder makes.
func NewFoldedStory(t testing.TB, store timeline.Store, slug, notes string) *Story {
	t.Helper()
	s := newBeginning(t, store, slug, notes, Folder{})
	s.tell()
	return s
}

// NewBeginning writes no more than a story's first batch.
func NewBeginning(t testing.TB, store timeline.Store, slug, notes string) *Story {
	t.Helper()
	return newBeginning(t, store, slug, notes, nil)
}

func newBeginning(t testing.TB, store timeline.Store, slug, notes string, folder timeline.Folder) *Story {
	t.Helper()
	seed := span.Sum([]byte(slug))
	s := &Story{t: t, folder: folder, now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC), random: rand.NewChaCha8(seed)}
	var err error
	s.Node, _, err = id.OpenNode(t.TempDir(), s.now, rand.NewChaCha8([32]byte{1}))
	require.NoError(t, err)
	s.Owner, err = id.NewKeys(id.SubjectPerson, s.now, s.random)
	require.NoError(t, err)
	s.Reopen(store, notes)
	s.found(slug)
	return s
}

// Reopen goes on with what a store holds, as a new process would.
func (s *Story) Reopen(store timeline.Store, notes string) {
	s.Log = timeline.NewLog(store, s.Node, id.StdVerifier(), timeline.Config{Now: func() time.Time { return s.now }, NotesDir: notes, Folder: s.folder})
}

func (s *Story) found(slug string) {
	g := &span.Genesis{
		Slug: slug, Name: "The " + slug, Node: s.Node.ID(), LogKey: tree.EncodeLogKey(s.Node.LogKey()), Owner: s.Owner.ID(), Nonce: span.B64(s.bytes(16)),
	}
	g.Tenant = g.TenantID()
	s.Tenant = g.Tenant
	drafts := []timeline.Draft{s.own(span.TypeGenesis, g.Canonical())}
	for _, events := range [][][]byte{s.Node.Events(), s.Owner.Events()} {
		for _, e := range events {
			drafts = append(drafts, s.own(span.TypeIdentity, []byte(`{"event":`+string(e)+`}`)))
		}
	}
	drafts = append(drafts, s.own(span.TypeMember, s.canonical(span.Member{Identity: s.Owner.ID(), Roles: []string{span.RoleOwner}, Action: span.ActionGrant})))
	_, err := s.Log.Create(s.t.Context(), timeline.Tenant{PublicReading: true}, drafts)
	require.NoError(s.t, err)
}

// tell appends one of everything, and enough for subtrees.
func (s *Story) tell() {
	guest, err := id.NewKeys(id.SubjectPerson, s.now, s.random)
	require.NoError(s.t, err)
	s.Append(s.own(span.TypeIdentity, []byte(`{"event":`+string(guest.Events()[0])+`}`)),
		s.by(span.TypeMember, s.canonical(span.Member{Identity: guest.ID(), Roles: []string{span.RoleMember, span.RoleAuditor}, Action: span.ActionGrant}), nil))

	erased := s.detailed(s.by("note.taken", []byte(`{"secret":"pumpernickel"}`), nil), "heard of pumpernickel")
	reverted := s.By("order.placed", `{"n":1}`)
	s.Append(erased, reverted)
	private := s.by("diary.kept", []byte(`{"dear":"diary"}`), func(h *span.Header) {
		h.Visibility, h.Subject, h.OnBehalfOf = span.VisibilityPrivate, "diary 1", guest.ID()
		h.Tags, h.Causes = []string{"red", "blue"}, []string{erased.Span.ID, reverted.Span.ID}
	})
	s.Append(s.detailed(private, "kept aside"))
	s.Erased, s.Reverted, s.Private = erased.Span.ID, reverted.Span.ID, private.Span.ID

	pending := make([]timeline.Draft, 3)
	for i := range pending {
		pending[i] = s.by(span.TypeMember, s.canonical(span.Member{Identity: guest.ID(), Roles: []string{fmt.Sprint("r", i)}, Action: span.ActionGrant}), nil)
		pending[i].Decision.Outcome = span.OutcomePending
	}
	s.Append(pending...)
	s.Executed, s.Rejected, s.Waiting = pending[0].Span.ID, pending[1].Span.ID, pending[2].Span.ID
	s.Append(s.by(span.TypeApproval, s.canonical(span.Approval{Span: s.Executed, HeaderHash: hash(pending[0]), Vote: span.VoteApprove}), nil))
	s.Append(
		s.own(span.TypeResolution, s.canonical(span.Resolution{Span: s.Executed, HeaderHash: hash(pending[0]), Outcome: span.ResolutionExecuted})),
		s.own(span.TypeResolution, s.canonical(span.Resolution{Span: s.Rejected, HeaderHash: hash(pending[1]), Outcome: span.ResolutionRejected})),
		s.by(span.TypeRevert, s.canonical(span.Revert{Span: s.Reverted, HeaderHash: hash(reverted), Reason: "a mistake"}), nil))
	refused := s.By("order.refused", `{}`)
	s.Refused = refused.Span.ID
	s.Append(s.own(span.TypeDecision, s.canonical(span.Refusal{
		Span: s.Refused, HeaderHash: hash(refused), Type: "order.refused", Author: s.Owner.ID(), Contract: "c@1.0.0", Rule: "c/never",
	})))
	s.Append(s.by(span.TypeRedaction, s.canonical(span.Redaction{Spans: []span.SpanRef{{Span: s.Erased, HeaderHash: hash(erased)}}, Reason: "asked for"}), nil))
	s.Append(s.Plain(300)...)
	s.NewEpoch()
	s.Append(s.Plain(3)...)
}

// NewEpoch goes on under a new origin.
func (s *Story) NewEpoch() {
	s.t.Helper()
	_, err := s.Log.NewEpoch(s.t.Context(), s.Tenant, func(payload []byte) (*span.Span, error) {
		return s.own(span.TypeEpoch, payload).Span, nil
	})
	require.NoError(s.t, err)
}

// Append commits drafts in one batch.
func (s *Story) Append(drafts ...timeline.Draft) []timeline.Receipt {
	s.t.Helper()
	session, err := s.Log.Begin(s.t.Context(), s.Tenant)
	require.NoError(s.t, err)
	defer session.Close()
	s.now = s.now.Add(time.Second)
	for i := range drafts {
		_, err := session.Admit(&drafts[i], s.Time())
		require.NoError(s.t, err)
	}
	receipts, err := session.Commit(s.t.Context())
	require.NoError(s.t, err)
	return receipts
}

// Time is when everything in the story happens.
func (s *Story) Time() string { return span.FormatTime(s.now) }

// Plain are n notes of the owner.
func (s *Story) Plain(n int) []timeline.Draft {
	out := make([]timeline.Draft, n)
	for i := range out {
		out[i] = s.By("note.taken", fmt.Sprintf(`{"n":%d}`, i))
	}
	return out
}

// By is a public span of the owner.
func (s *Story) By(typ, payload string) timeline.Draft { return s.by(typ, []byte(payload), nil) }

// With is By, with a header that change makes different.
func (s *Story) With(typ, payload string, change func(*span.Header)) timeline.Draft {
	return s.by(typ, []byte(payload), change)
}

func (s *Story) by(typ string, payload []byte, change func(*span.Header)) timeline.Draft {
	return s.seal(s.Owner.Signer(), s.Owner.ID(), typ, payload, change)
}

func (s *Story) own(typ string, payload []byte) timeline.Draft {
	return s.seal(s.Node.Signer(), s.Node.ID(), typ, payload, nil)
}

func (s *Story) seal(signer id.Signer, author, typ string, payload []byte, change func(*span.Header)) timeline.Draft {
	s.t.Helper()
	spanID, err := span.RandomID(s.now, s.random)
	require.NoError(s.t, err)
	h := span.Header{
		ID: spanID, Tenant: s.Tenant, Author: author, Type: typ, Time: span.FormatTime(s.now),
		Status: span.StatusExecuted, Visibility: span.VisibilityPublic,
	}
	if change != nil {
		change(&h)
	}
	sp, err := id.SealSpan(signer, h, payload, s.bytes(16))
	require.NoError(s.t, err)
	return timeline.Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}}
}

// detailed gives the decision a detail.
func (s *Story) detailed(d timeline.Draft, note string) timeline.Draft {
	detail := &span.Detail{Salt: span.B64(s.bytes(16)), Notes: []string{note}}
	d.Detail, d.Decision.DetailHash = detail.Canonical(), detail.Hash().String()
	return d
}

func (s *Story) bytes(n int) []byte {
	b := make([]byte, n)
	_, err := io.ReadFull(s.random, b)
	require.NoError(s.t, err)
	return b
}

func (s *Story) canonical(v any) []byte {
	s.t.Helper()
	b, err := span.Canonical(v)
	require.NoError(s.t, err)
	return b
}

func hash(d timeline.Draft) string { return d.Span.Header.Hash().String() }
