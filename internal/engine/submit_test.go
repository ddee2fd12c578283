package engine_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func TestCreateTenantFirstBatch(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		var types []string
		for _, e := range w.entries(w.tenant.ID) {
			types = append(types, e.Span.Type)
		}
		require.Equal(t, []string{
			span.TypeGenesis, span.TypeIdentity, span.TypeIdentity, span.TypeIdentity, span.TypeMember,
		}, types, "genesis, node's inception and log key, owner, grant")
		_, err := w.CreateTenant(context.Background(), "acme", "Other", w.owner.ID(), false)
		require.Equal(t, fault.Conflict, fault.KindOf(err), "%v", err)
	})
}

func TestCreateTenantRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	stranger, err := id.NewKeys(id.SubjectPerson, w.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, err = w.CreateTenant(context.Background(), "other", "Other", stranger.ID(), false)
	requireCode(t, "identity_unknown", err)

	revoked := w.identity()
	event, err := revoked.Revoke("", w.clock.now())
	require.NoError(t, err)
	_, _, err = w.EmbedEvent(context.Background(), revoked.ID(), event.Raw)
	require.NoError(t, err)
	_, err = w.CreateTenant(context.Background(), "other", "Other", revoked.ID(), false)
	requireCode(t, "owner_unfit", err)
	for _, slug := range []string{"", "Not A Slug", "0190b5f4-7b1c-8e3d-9a2b-123456789abc"} {
		_, err = w.CreateTenant(context.Background(), slug, "Other", w.owner.ID(), false)
		require.Equal(t, fault.Invalid, fault.KindOf(err), "slug %q: %v", slug, err)
	}
}

func TestSubmitGivesVerifiableReceipt(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		raw := w.note(w.owner, 1)
		r := w.submit(raw)
		require.NoError(t, r.Err)
		require.Equal(t, engine.Created, r.Outcome)
		require.Equal(t, "allow", r.Decision.Outcome)
		requireReceipt(t, w, r, raw)
	})
}

func TestRepeatAnswersWithFirstReceipt(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		raw := w.note(w.owner, 1)
		first := w.submit(raw)
		require.NoError(t, first.Err)
		require.NoError(t, w.submit(w.note(w.owner, 2)).Err)
		again := w.submit(raw)
		require.NoError(t, again.Err)
		require.Equal(t, engine.Repeat, again.Outcome)
		require.Equal(t, first.Receipt, again.Receipt)
		require.Equal(t, first.Decision, again.Decision)
		require.EqualValues(t, 7, w.size())
	})
}

func TestConflictNamesTheExistingSpanToItsAuthorAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	other := w.member(span.RoleMember)
	raw := w.note(w.owner, 1)
	first := w.submit(raw)
	require.NoError(t, first.Err)
	sameID := func(h *span.Header) { h.ID = spanOf(t, raw).ID }

	r := w.submit(w.seal(w.owner, []byte(`{"n":2}`), sameID))
	requireCode(t, "id_conflict", r.Err)
	require.Equal(t, map[string]any{
		"seq": first.Receipt.Index, "author": w.owner.ID(), "payload_hash": spanOf(t, raw).PayloadHash,
	}, fault.From(r.Err).Meta["existing"])

	r = w.submit(w.seal(other, []byte(`{"n":2}`), sameID))
	requireCode(t, "id_conflict", r.Err)
	require.NotContains(t, fault.From(r.Err).Meta, "existing")

	// Somebody who signs the owner's name with another key learns nothing.
	r = w.submit(w.sealBy(other.Signer(), w.owner.ID(), []byte(`{}`), sameID))
	require.NotEqual(t, "id_conflict", fault.CodeOf(r.Err))
	require.Equal(t, fault.Forbidden, fault.KindOf(r.Err), "%v", r.Err)
}

func TestSameSpanTwiceInOneBatch(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		raw := w.note(w.owner, 1)
		other := w.seal(w.owner, []byte(`{"n":2}`), func(h *span.Header) { h.ID = spanOf(t, raw).ID })
		results := w.SubmitMany(context.Background(), "acme", [][]byte{raw, other, raw, w.note(w.owner, 3)})
		require.NoError(t, results[0].Err)
		requireCode(t, "id_conflict", results[1].Err)
		require.Contains(t, fault.From(results[1].Err).Meta, "existing")
		require.NoError(t, results[2].Err)
		require.NoError(t, results[3].Err)
		require.Equal(t, engine.Created, results[0].Outcome)
		require.Equal(t, engine.Repeat, results[2].Outcome)
		require.Equal(t, results[0].Receipt, results[2].Receipt)
		require.EqualValues(t, 7, w.size())
	})
}

func TestExpectedSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	expect := func(n uint64) engine.Options { return engine.Options{ExpectedSize: &n} }
	raw := w.note(w.owner, 1)
	r := w.Submit(context.Background(), "acme", raw, expect(4))
	requireCode(t, "expected_seq", r.Err)
	require.EqualValues(t, 5, fault.From(r.Err).Meta["size"])
	require.NoError(t, w.Submit(context.Background(), "acme", raw, expect(5)).Err)
	r = w.Submit(context.Background(), "acme", raw, expect(5))
	require.NoError(t, r.Err, "a repeat is answered whatever it expects")
	require.Equal(t, engine.Repeat, r.Outcome)
}

func TestTimeWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	for _, c := range []struct {
		offset time.Duration
		ok     bool
	}{
		{-7 * 24 * time.Hour, true}, {-7*24*time.Hour - time.Millisecond, false},
		{5 * time.Minute, true}, {5*time.Minute + time.Millisecond, false},
	} {
		r := w.submit(w.seal(w.owner, []byte(`{}`), func(h *span.Header) {
			h.Time = span.FormatTime(w.clock.now().Add(c.offset))
		}))
		if c.ok {
			require.NoError(t, r.Err, c.offset)
		} else {
			requireCode(t, "span_time_window", r.Err)
		}
	}
}

func TestRecordedAtNeverDecreases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.clock.advance(-time.Minute)
	require.NoError(t, w.submit(w.note(w.owner, 1)).Err)
	entries := w.entries(w.tenant.ID)
	require.Equal(t, entries[4].RecordedAt, entries[5].RecordedAt)
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	stranger := w.identity()
	auditor := w.member(span.RoleAuditor)
	size := w.size()
	altered := spanOf(t, w.note(w.owner, 1))
	altered.Title = "another title"
	elsewhere := w.sealIn("0190b5f4-7b1c-8e3d-9a2b-123456789abc", w.owner.Signer(), w.owner.ID(), []byte(`{}`))
	typed := func(typ string) func(*span.Header) {
		return func(h *span.Header) { h.Type = typ; h.Visibility = span.VisibilityPublic }
	}
	contract, err := span.Canonical(span.Contract{
		Name: "a.b", Version: "1.0.0", Source: "x", Hash: span.Sum([]byte("x")).String(), Action: span.ActionActivate,
	})
	require.NoError(t, err)
	identity, err := span.Canonical(map[string]any{})
	require.NoError(t, err)
	for _, c := range []struct {
		name, code string
		kind       fault.Kind
		raw        []byte
	}{
		{"not JSON", "", fault.Invalid, []byte("{")},
		{"altered", "signature_invalid", fault.Invalid, altered.Canonical()},
		{"other tenant", "tenant_mismatch", fault.Invalid, elsewhere},
		{"no member", "", fault.Forbidden, w.note(stranger, 1)},
		{"auditor", "", fault.Forbidden, w.note(auditor, 1)},
		{"key of another", "", fault.Forbidden, w.sealBy(stranger.Signer(), w.owner.ID(), []byte(`{}`))},
		{"contract", "contract_invalid", fault.Invalid, w.seal(w.owner, contract, typed(span.TypeContract))},
		{"node-only type", "", fault.Forbidden, w.seal(w.owner, identity, typed("logline.task.started"))},
		{"unknown reserved type", "", fault.Invalid, w.seal(w.owner, identity, typed("logline.whatever"))},
		{"member grants", "", fault.Forbidden, w.member_(auditor, stranger.ID(), span.ActionGrant, span.RoleMember)},
		{"stranger grants", "", fault.Forbidden, w.member_(stranger, stranger.ID(), span.ActionGrant, span.RoleMember)},
	} {
		r := w.submit(c.raw)
		require.Error(t, r.Err, c.name)
		require.Equal(t, c.kind, fault.KindOf(r.Err), "%s: %v", c.name, r.Err)
		if c.code != "" {
			requireCode(t, c.code, r.Err)
		}
		require.Nil(t, r.Receipt)
		require.Empty(t, r.Outcome)
		require.Equal(t, size, w.size(), c.name)
	}
	r := w.Submit(context.Background(), "nowhere", w.note(w.owner, 1), engine.Options{})
	requireCode(t, "tenant_unknown", r.Err)
	requireCode(t, "tenant_unknown", w.SubmitMany(context.Background(), "nowhere", [][]byte{nil})[0].Err)
}

func TestSimulatedLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	stranger := w.identity()
	simulated := func(h *span.Header) { h.Status = span.StatusSimulated }
	r := w.submit(w.seal(w.owner, []byte(`{}`), simulated))
	require.NoError(t, r.Err)
	require.Equal(t, engine.Simulated, r.Outcome)
	require.Nil(t, r.Receipt)
	require.Equal(t, "allow", r.Decision.Outcome)

	// A simulated grant shows that it would work, and embeds nobody.
	payload, err := span.Canonical(span.Member{Identity: stranger.ID(), Roles: []string{span.RoleMember}, Action: span.ActionGrant})
	require.NoError(t, err)
	grant := w.seal(w.owner, payload, simulated, func(h *span.Header) { h.Type = span.TypeMember })
	results := w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{w.note(w.owner, 1), grant, w.note(w.owner, 2), grant})
	for i, want := range []string{engine.Created, engine.Simulated, engine.Created, engine.Simulated} {
		require.NoError(t, results[i].Err)
		require.Equal(t, want, results[i].Outcome)
	}
	require.EqualValues(t, 7, w.size())
	require.Error(t, w.submit(w.seal(stranger, []byte(`{}`), simulated)).Err, "a stranger may not even simulate")
}

func TestGuestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{cfg: engine.Config{GuestQuota: 3}})
	guest, both := w.member(span.RoleGuest), w.member(span.RoleGuest, span.RoleMember)
	var lines [][]byte
	for n := range 4 {
		lines = append(lines, w.note(guest, n))
	}
	results := w.SubmitMany(context.Background(), w.tenant.ID, lines)
	for _, r := range results[:3] {
		require.NoError(t, r.Err)
	}
	requireCode(t, "guest_quota", results[3].Err)
	require.Equal(t, fault.Limited, fault.KindOf(results[3].Err))
	require.Positive(t, fault.From(results[3].Err).RetryAfter)
	require.NoError(t, w.submit(lines[0]).Err, "a repeat costs nothing")
	w.clock.advance(fault.From(results[3].Err).RetryAfter)
	require.NoError(t, w.submit(lines[3]).Err)
	for n := range 5 {
		require.NoError(t, w.submit(w.note(both, n)).Err)
	}
}

func TestOneBadSpanDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		s.decider = func(_ context.Context, _ *rules.World, sp *span.Span, _ standing.Position) (*rules.Outcome, error) {
			switch sp.Type {
			case "test.panics":
				panic("a rule's defect")
			case "test.refused":
				return nil, fault.New(fault.Invalid, "refused", "no")
			case "test.long":
				return &rules.Outcome{Decision: span.Decision{Outcome: "allow", Tags: []string{string(make([]byte, 70_000))}}}, nil
			case "test.plain":
				return nil, errors.New("not classified")
			}
			return &rules.Outcome{Decision: span.Decision{Outcome: "allow"}}, nil
		}
		w := newWorld(t, s)
		typed := func(typ string) []byte {
			return w.seal(w.owner, []byte(`{}`), func(h *span.Header) { h.Type = typ })
		}
		lines := [][]byte{
			w.note(w.owner, 0), typed("test.panics"), w.note(w.owner, 1), []byte("nonsense"), typed("test.refused"),
			typed("test.long"), typed("test.panics"), w.note(w.owner, 2), typed("test.plain"),
		}
		results := w.SubmitMany(context.Background(), w.tenant.ID, lines)
		for _, i := range []int{0, 2, 7} {
			require.NoError(t, results[i].Err)
			requireReceipt(t, w, results[i], lines[i])
		}
		for _, i := range []int{1, 3, 4, 5, 6, 8} {
			require.Error(t, results[i].Err, i)
		}
		require.EqualValues(t, 8, w.size())
	})
}

func TestRevertOfASpanInTheSameBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	raw := w.note(w.owner, 1)
	target := spanOf(t, raw)
	payload, err := span.Canonical(span.Revert{Span: target.ID, HeaderHash: target.Hash().String(), Reason: "test"})
	require.NoError(t, err)
	revert := w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeRevert })
	for i, r := range w.SubmitMany(context.Background(), w.tenant.ID, [][]byte{raw, revert}) {
		require.NoError(t, r.Err, i)
	}
	rec, err := w.log.Get(context.Background(), w.tenant.ID, target.ID)
	require.NoError(t, err)
	require.Equal(t, timeline.StatusReverted, rec.Status)
}

// requireReceipt checks a receipt with nothing but the note's key.
func requireReceipt(t testing.TB, w *world, r engine.Result, raw []byte) {
	t.Helper()
	rc := r.Receipt
	require.NotNil(t, rc)
	e, err := span.ParseLine(rc.Line)
	require.NoError(t, err)
	require.Equal(t, rc.Index, e.Seq)
	require.Equal(t, spanOf(t, raw).Hash(), e.Span.Hash())
	require.Equal(t, span.LeafHash(rc.Line), rc.Leaf)
	cp, err := tree.OpenNote(rc.Checkpoint, w.tenant.LogKey)
	require.NoError(t, err)
	require.Equal(t, rc.Size, cp.Size)
	require.NoError(t, tree.VerifyInclusion(rc.Leaf, rc.Index, rc.Size, rc.Proof, cp.Root))
}
