package standing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

func TestFoundingIsWhatGenesisSays(t *testing.T) {
	t.Parallel()
	w := founded(t)
	assert.Equal(t, w.genesis, *w.tx.Genesis())
	assert.Equal(t, w.tenant, w.tx.Tenant())
	assert.Equal(t, w.node.ID(), w.tx.Node())
	assert.Equal(t, w.owner.ID(), w.tx.Owner())
	assert.Equal(t, w.logKey, w.tx.LogKey())
	n, first := w.tx.Epoch()
	assert.Zero(t, n)
	assert.Zero(t, first)
	assert.Equal(t, []standing.Member{{Identity: w.owner.ID(), Roles: []string{"owner"}}}, w.tx.Members())
}

func TestFoundingRefusals(t *testing.T) {
	t.Parallel()
	other := func(w *world) *id.Keys { return w.keys(id.SubjectNode) }
	genesis := func(w *world) *span.Span { return w.span(w.node, span.TypeGenesis, w.genesis, public) }
	begun := func(w *world, n int) {
		w.must(genesis(w))
		for _, raw := range w.node.Events()[:n-1] {
			w.must(w.event(raw))
		}
	}
	for _, c := range []struct {
		why, code string
		make      func(w *world) *span.Span
	}{
		{"not genesis first", "genesis_missing", func(w *world) *span.Span { return w.span(w.node, "a.b", object{}) }},
		{"identity first", "genesis_missing", func(w *world) *span.Span { return w.event(w.node.Events()[0]) }},
		{"genesis by another", "reserved_author", func(w *world) *span.Span { return w.span(other(w), span.TypeGenesis, w.genesis, public) }},
		{"genesis not public", "public_required", func(w *world) *span.Span { return w.span(w.node, span.TypeGenesis, w.genesis) }},
		{"genesis for another tenant", "tenant_mismatch", func(w *world) *span.Span {
			return w.span(w.node, span.TypeGenesis, w.genesis, public, func(h *span.Header) { h.Tenant = "ae448ac8-6c4e-88e4-b7b1-915ca5c23bd0" })
		}},
		{"genesis with a tenant of its own", "genesis_tenant_mismatch", func(w *world) *span.Span {
			w.genesis.Slug = "other"
			return w.span(w.node, span.TypeGenesis, w.genesis, public)
		}},
		{"genesis withheld", "payload_missing", func(w *world) *span.Span {
			sp := genesis(w)
			sp.Payload = nil
			return sp
		}},
		{"ordinary entry 1", "founding_incomplete", func(w *world) *span.Span { begun(w, 1); return w.span(w.node, "a.b", object{}) }},
		{"second genesis", "genesis_repeated", func(w *world) *span.Span { begun(w, 1); return genesis(w) }},
		{"entry 1 of another node", "founding_mismatch", func(w *world) *span.Span { begun(w, 1); return w.event(other(w).Events()[0]) }},
		{"entry 1 a delegation", "event_unplaced", func(w *world) *span.Span { begun(w, 1); return w.event(w.node.Events()[1]) }},
		{"entry 1 by another", "reserved_author", func(w *world) *span.Span {
			begun(w, 1)
			sp := w.event(w.node.Events()[0])
			sealed, err := id.SealSpan(w.owner.Signer(), func() span.Header { h := sp.Header; h.Author = w.owner.ID(); return h }(), sp.Payload, make([]byte, 16))
			require.NoError(t, err)
			return sealed
		}},
		{"entry 1 by another key", "key_unknown", func(w *world) *span.Span {
			begun(w, 1)
			sp := w.event(w.node.Events()[0])
			sealed, err := id.SealSpan(w.owner.Signer(), sp.Header, sp.Payload, make([]byte, 16))
			require.NoError(t, err)
			return sealed
		}},
		{"entry 0 by another key", "founding_mismatch", func(w *world) *span.Span {
			w.must(w.spanBy(w.owner.Signer(), w.node.ID(), span.TypeGenesis, w.genesis, public))
			return w.event(w.node.Events()[0])
		}},
		{"a node that is a person", "founding_mismatch", func(w *world) *span.Span {
			w.node = w.owner
			w.genesis.Node = w.owner.ID()
			w.genesis.Tenant = w.genesis.TenantID()
			w.tenant = w.genesis.Tenant
			begun(w, 1)
			return w.event(w.owner.Events()[0])
		}},
		{"entry 1 for another tenant", "tenant_mismatch", func(w *world) *span.Span {
			begun(w, 1)
			w.tenant = "ae448ac8-6c4e-88e4-b7b1-915ca5c23bd0"
			return w.event(w.node.Events()[0])
		}},
		{"entry 2 of the owner", "founding_mismatch", func(w *world) *span.Span { begun(w, 2); return w.event(w.owner.Events()[0]) }},
		{"entry 2 delegates another key", "founding_mismatch", func(w *world) *span.Span {
			begun(w, 2)
			w.delegateLog(w.node)
			return w.event(w.node.Events()[2])
		}},
		{"entry 2 by another key", "key_unknown", func(w *world) *span.Span {
			begun(w, 2)
			sp := w.event(w.node.Events()[1])
			sealed, err := id.SealSpan(w.owner.Signer(), sp.Header, sp.Payload, make([]byte, 16))
			require.NoError(t, err)
			return sealed
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.refused(c.make(w), c.code)
		})
	}
	t.Run("delegation for another purpose", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.node = w.keys(id.SubjectNode)
		_, key, err := w.node.Delegate("log", []string{id.TypeWitness}, "", epochStart, w.rand)
		require.NoError(t, err)
		raw, err := span.ParseB64(key.Public(), 32)
		require.NoError(t, err)
		w.genesis.Node, w.genesis.LogKey = w.node.ID(), span.B64(append([]byte{1}, raw...))
		w.genesis.Tenant = w.genesis.TenantID()
		w.tenant = w.genesis.Tenant
		begun(w, 2)
		w.refused(w.event(w.node.Events()[1]), "founding_mismatch")
	})
}

func TestKeysByPosition(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana := w.member("member", "admin")
	_, phone, err := ana.Delegate("phone", []string{"invoice.*"}, span.FormatTime(epochStart.Add(15*time.Second)), epochStart, w.rand)
	require.NoError(t, err)
	by := func(s id.Signer, typ string) *span.Span { return w.spanBy(s, ana.ID(), typ, object{}) }

	w.refused(by(phone, "invoice.sent"), "key_unknown") // not embedded yet
	w.must(w.event(ana.Events()[1]))
	w.must(w.event(ana.Events()[1])) // an identical repeat changes nothing
	w.must(by(phone, "invoice.sent"))
	w.refused(by(phone, "payment.sent"), "key_type_not_delegated")
	w.refused(by(phone, span.TypeRevert), "key_type_not_delegated")
	w.refused(by(w.owner.Signer(), "a.b"), "key_unknown")

	for w.next().RecordedAt < span.FormatTime(epochStart.Add(15*time.Second)) {
		w.must(w.span(ana, "a.b", object{}))
	}
	w.refused(by(phone, "invoice.sent"), "key_expired")

	old := ana.Signer()
	rotation, err := ana.Rotate(epochStart, w.rand)
	require.NoError(t, err)
	w.refused(w.span(ana, "a.b", object{}), "key_unknown")
	w.must(by(old, "a.b"))
	w.must(w.event(rotation.Raw))
	w.refused(by(old, "a.b"), "key_rotated")
	w.refused(by(phone, "invoice.sent"), "key_rotated")
	w.must(w.span(ana, "a.b", object{}))
	w.refused(w.event(rotation.Raw), "event_unplaced")
	w.refused(w.event(ana.Events()[0]), "identity_embedded")
	w.refused(w.event(ana.Events()[1]), "event_unplaced") // delegated under the old inception

	revocation, err := ana.Revoke("lost", epochStart)
	require.NoError(t, err)
	w.must(w.event(revocation.Raw))
	w.refused(w.span(ana, "a.b", object{}), "key_revoked")
	w.refused(w.grant(w.owner, ana, "auditor"), "member_not_active")
	w.must(w.withdraw(w.owner, ana, "member", "admin"))
	assert.Nil(t, w.tx.Roles(ana.ID()))
}

func TestUndelegationAndSignaturesOfEvents(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana := w.member("member")
	delegation, phone, err := ana.Delegate("phone", nil, "", epochStart, w.rand)
	require.NoError(t, err)
	forged := []byte(strings.Replace(string(delegation.Raw), `"label":"phone"`, `"label":"pad"`, 1))
	f := w.refused(w.event(forged), "signature_invalid")
	assert.True(t, strings.HasPrefix(f.Fields[0].Pointer, "/payload/event/"), f.Fields)
	w.must(w.event(delegation.Raw))
	undelegation, err := ana.Undelegate(phone.Public(), epochStart)
	require.NoError(t, err)
	w.must(w.event(undelegation.Raw))
	w.refused(w.spanBy(phone, ana.ID(), "a.b", object{}), "key_revoked")
	w.refused(w.event(delegation.Raw), "delegation_ended")
	w.refused(w.event(undelegation.Raw), "delegation_unknown")
}

func TestClaim(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ghost, err := id.GhostKeys(make([]byte, 32), w.tenant, "git", "ana@example.org")
	require.NoError(t, err)
	w.embed(ghost)
	w.must(w.grant(w.owner, ghost, "member"))
	ana := w.keys(id.SubjectPerson)
	claim, err := ghost.ClaimBy(ana, epochStart)
	require.NoError(t, err)
	w.refused(w.event(claim.Raw), "claimer_unknown") // by's events come before
	w.embed(ana)
	w.must(w.event(claim.Raw))
	c, ok := w.tx.Identity(ghost.ID())
	require.True(t, ok)
	assert.Equal(t, ana.ID(), c.ClaimedBy())
	w.refused(w.span(ghost, "a.b", object{}), "key_revoked")
	w.refused(w.span(ana, "a.b", object{}), "not_a_member") // roles do not transfer
}

func TestWhoMayAppend(t *testing.T) {
	t.Parallel()
	w := founded(t)
	stranger := w.keys(id.SubjectPerson)
	w.refused(w.span(stranger, "a.b", object{}), "author_unknown")
	w.embed(stranger)
	w.refused(w.span(stranger, "a.b", object{}), "not_a_member")
	w.refused(w.grant(w.owner, w.keys(id.SubjectPerson), "member"), "member_not_embedded")
	w.refused(w.span(w.owner, "a.b", object{}, func(h *span.Header) { h.Tenant = "ae448ac8-6c4e-88e4-b7b1-915ca5c23bd0" }), "tenant_mismatch")

	for role, may := range map[string]bool{"owner": true, "admin": true, "member": true, "agent": true, "guest": true, "auditor": false, "finance": false} {
		k := w.member(role)
		if may {
			w.must(w.span(k, "a.b", object{}))
			w.must(w.span(k, "a.b", object{}, private))
		} else {
			w.refused(w.span(k, "a.b", object{}), "append_forbidden")
		}
	}
	guest := w.member("guest")
	behalf := func(of *id.Keys) func(*span.Header) { return func(h *span.Header) { h.OnBehalfOf = of.ID() } }
	w.refused(w.span(guest, "a.b", object{}, behalf(w.owner)), "guest_on_behalf")
	w.must(w.span(guest, "a.b", object{}, behalf(guest)))
	w.must(w.span(w.member("agent"), "a.b", object{}, behalf(w.keys(id.SubjectPerson))))
	w.must(w.span(w.node, "conflict.detected", object{})) // emitted spans

	// The payload of an ordinary span plays no part, so it may be gone.
	sp := w.span(guest, "a.b", object{"n": 1})
	sp.Payload = nil
	require.NoError(t, w.check(sp))
}

func TestReservedTypesAndTheirAuthors(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, member, agent := w.member("admin"), w.member("member"), w.member("agent")
	w.refused(w.span(w.owner, "logline.members", object{}), "reserved_type_unknown")
	w.refused(w.span(w.owner, "logline.log", object{}), "reserved_type_unknown")
	w.refused(w.span(w.node, span.TypeGenesis, w.genesis, public), "genesis_repeated")
	for _, typ := range []string{span.TypeResolution, span.TypeDecision, span.TypeHandover, span.TypeEvidence, "logline.task.offer", "logline.peer.verified"} {
		w.refused(w.span(w.owner, typ, object{}), "reserved_author")
	}
	w.refused(w.span(w.owner, span.TypeIdentity, object{}, public), "reserved_author")
	w.refused(w.span(w.node, span.TypeIdentity, object{}), "public_required")
	for _, typ := range []string{span.TypeMember, span.TypeContract, span.TypeApproval, span.TypeResolution, span.TypeDecision,
		span.TypeRevert, span.TypeRedaction, span.TypeHandover, span.TypeEpoch} {
		w.refused(w.span(w.owner, typ, object{}, private), "private_not_allowed")
		sp := w.span(w.owner, typ, object{})
		sp.Payload = nil
		w.refused(sp, "payload_missing")
	}
	for _, typ := range []string{span.TypeEvidence, "logline.task.offer", "logline.peer.verified"} {
		w.must(w.span(w.node, typ, object{"kind": "x"}, private))
	}
	contract := func(k *id.Keys) *span.Span {
		source := "contract x {}"
		return w.span(k, span.TypeContract, object{"name": "x", "version": "1.0.0", "hash": span.Sum([]byte(source)).String(), "source": source, "action": "activate"})
	}
	w.must(contract(w.owner))
	w.must(contract(admin))
	w.must(contract(w.node)) // a `*` contract
	w.refused(contract(member), "role_forbidden")
	w.refused(contract(agent), "role_forbidden")
	w.refused(w.span(admin, span.TypeContract, object{"name": "x"}), "member_missing")
	f := w.refused(w.span(admin, span.TypeMember, object{"identity": "x", "roles": []string{"member"}, "action": "grant"}), "member_identity_invalid")
	assert.Equal(t, "/payload/identity", f.Fields[0].Pointer)

	ordinary := w.span(member, "a.b", object{})
	w.must(ordinary)
	w.refused(w.revert(agent, ordinary), "role_forbidden")
	w.refused(w.revert(w.node, ordinary), "not_a_member")
	w.refused(w.redact(member, ordinary), "role_forbidden")
	w.refused(w.span(w.node, span.TypeApproval, ref(ordinary, object{"vote": "approve"})), "not_a_member")
}

func TestMembers(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, ana := w.member("admin"), w.member("member")
	w.must(w.grant(admin, ana, "finance", "member", "agent"))
	assert.Equal(t, []string{"agent", "finance", "member"}, w.tx.Roles(ana.ID()))
	w.must(w.withdraw(admin, ana, "agent", "auditor"))
	assert.Equal(t, []string{"finance", "member"}, w.tx.Roles(ana.ID()))
	w.refused(w.grant(ana, ana, "admin"), "role_forbidden")
	w.refused(w.grant(admin, ana, "member", "owner"), "role_forbidden")
	w.refused(w.withdraw(admin, w.owner, "owner"), "role_forbidden")
	w.refused(w.withdraw(w.owner, w.owner, "owner"), "last_owner")
	w.refused(w.grant(w.node, w.owner, "owner"), "reserved_author") // once only
	w.refused(w.grant(w.node, ana, "member"), "reserved_author")
	gone := w.member("owner")
	revocation, err := gone.Revoke("lost", epochStart)
	require.NoError(t, err)
	w.must(w.event(revocation.Raw))
	w.refused(w.withdraw(w.owner, w.owner, "owner"), "last_owner") // the other one can sign nothing
	w.must(w.grant(w.owner, ana, "owner"))
	w.must(w.withdraw(ana, w.owner, "owner"))
	w.must(w.withdraw(ana, gone, "owner"))
	w.refused(w.span(w.owner, "a.b", object{}), "not_a_member")
	w.refused(w.grant(w.node, w.owner, "owner"), "reserved_author")
	w.refused(w.withdraw(ana, ana, "owner"), "last_owner")
	assert.False(t, w.tx.Can(w.owner.ID(), standing.RightAppend))
	assert.True(t, w.tx.Can(ana.ID(), standing.RightOwn))
}

func TestFirstGrantIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.span(w.node, span.TypeGenesis, w.genesis, public))
	w.embed(w.node)
	w.refused(w.grant(w.node, w.owner, "owner"), "member_not_embedded")
	w.embed(w.owner)
	ana := w.keys(id.SubjectPerson)
	w.embed(ana)
	w.refused(w.grant(w.node, ana, "owner"), "reserved_author")
	w.refused(w.grant(w.node, w.owner, "owner", "admin"), "reserved_author")
	w.refused(w.grant(w.node, w.owner, "member"), "reserved_author")
	w.refused(w.withdraw(w.node, w.owner, "owner"), "reserved_author")
	w.refused(w.grant(w.owner, w.owner, "owner"), "not_a_member")
	w.must(w.grant(w.node, w.owner, "owner"))
}

func TestRevert(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, ana, rui := w.member("admin"), w.member("member"), w.member("member")
	own, others, secret := w.span(ana, "a.b", object{}), w.span(rui, "a.b", object{}), w.span(rui, "a.b", object{}, private)
	for _, sp := range []*span.Span{own, others, secret} {
		w.must(sp)
	}
	change := w.must(w.revert(ana, own))
	assert.Equal(t, []standing.StatusChange{{SpanID: own.ID, Seq: w.refs[own.ID].Seq, Status: "reverted"}}, change.Statuses)
	w.refused(w.revert(ana, own), "target_not_executed")
	w.refused(w.revert(ana, others), "role_forbidden")
	never := w.span(ana, "a.b", object{})
	f := w.refused(w.revert(ana, never), "target_unknown")
	assert.Equal(t, "/payload/span", f.Fields[0].Pointer)
	wrong := func(target *span.Span, by *id.Keys) *span.Span {
		return w.span(by, span.TypeRevert, object{"span": target.ID, "header_hash": never.Hash().String(), "reason": "x"})
	}
	w.refused(wrong(others, ana), "target_mismatch")
	w.refused(wrong(secret, ana), "target_unknown") // a private span answers like none
	w.must(w.revert(admin, others))
	w.must(w.revert(w.owner, secret))
	grant := w.grant(w.owner, ana, "agent")
	w.must(grant)
	w.refused(w.revert(w.owner, grant), "target_not_revertible")
	w.refused(w.span(ana, span.TypeRevert, object{"span": own.ID, "header_hash": own.Hash().String(), "reason": strings.Repeat("x", 65)}), "revert_reason_invalid")
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, ana := w.member("admin"), w.member("member")
	a, b := w.span(ana, "a.b", object{}), w.span(ana, "a.c", object{}, private)
	w.must(a)
	w.must(b)
	change := w.must(w.redact(admin, a, b))
	assert.Equal(t, []standing.Ref{w.refs[a.ID], w.refs[b.ID]}, change.Redacted)
	assert.Empty(t, change.Statuses)
	w.must(w.redact(w.node, a)) // retain; naming it again is no error
	grant := w.grant(w.owner, ana, "agent")
	w.must(grant)
	f := w.refused(w.redact(w.owner, a, grant), "target_not_redactable")
	assert.Equal(t, "/payload/spans/1/span", f.Fields[0].Pointer)
	w.refused(w.redact(w.owner, w.span(ana, "a.b", object{})), "target_unknown")
	mismatch := object{"spans": []object{{"span": a.ID, "header_hash": b.Hash().String()}}, "reason": "x"}
	w.refused(w.span(w.owner, span.TypeRedaction, mismatch), "target_mismatch")
	w.refused(w.redact(ana, a), "role_forbidden")
}

func TestPendingSpans(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana, rui := w.member("member"), w.member("member")
	approve := func(by *id.Keys, target *span.Span) *span.Span {
		return w.span(by, span.TypeApproval, ref(target, object{"vote": "approve"}))
	}
	done, asked, late := w.span(ana, "a.b", object{}), w.span(ana, "a.b", object{}), w.span(ana, "a.b", object{})
	w.must(done)
	w.pending(asked)
	w.pending(late)
	assert.Equal(t, standing.StatusPending, w.refs[asked.ID].Status)

	w.must(approve(rui, asked))
	w.refused(approve(rui, done), "target_not_pending")
	w.refused(approve(rui, w.span(ana, "a.b", object{})), "target_unknown")
	w.refused(w.revert(ana, asked), "target_not_executed")
	w.refused(w.resolve(done, "executed"), "target_not_pending")
	w.refused(w.span(ana, span.TypeResolution, ref(asked, object{"outcome": "executed"})), "reserved_author")

	assert.Equal(t, []standing.StatusChange{{SpanID: asked.ID, Seq: w.refs[asked.ID].Seq, Status: "executed"}}, w.must(w.resolve(asked, "executed")).Statuses)
	w.refused(w.resolve(asked, "rejected"), "target_not_pending")
	assert.Equal(t, "rejected", w.must(w.resolve(late, "expired")).Statuses[0].Status)
	w.refused(approve(rui, late), "target_not_pending")

	at := w.next()
	_, err := w.tx.Apply(&span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: w.span(w.node, "a.b", object{}).Header, Decision: span.Decision{Outcome: "pending"}}, nil, w.look)
	require.ErrorContains(t, err, "node_span_pending")
	simulated := w.span(ana, "a.b", object{}, func(h *span.Header) { h.Status = span.StatusSimulated })
	require.NoError(t, w.check(simulated)) // judged, and never an entry
	_, err = w.tx.Apply(&span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: simulated.Header, Decision: span.Decision{Outcome: "allow"}}, nil, w.look)
	require.ErrorContains(t, err, "entry_simulated")
}

func TestEffectOfAPendingSpanWaits(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, ana := w.member("admin"), w.member("member")
	target := w.span(ana, "a.b", object{})
	w.must(target)
	grant, never := w.grant(admin, ana, "agent"), w.grant(admin, ana, "auditor")
	revert, redact := w.revert(admin, target), w.redact(admin, target)
	for _, sp := range []*span.Span{grant, never, revert, redact} {
		w.pending(sp)
	}
	assert.Equal(t, []string{"member"}, w.tx.Roles(ana.ID()))
	assert.Equal(t, "executed", w.refs[target.ID].Status)

	w.must(w.resolve(grant, "executed"))
	assert.Equal(t, []string{"agent", "member"}, w.tx.Roles(ana.ID()))
	w.must(w.resolve(never, "rejected"))
	assert.Equal(t, []string{"agent", "member"}, w.tx.Roles(ana.ID()))
	change := w.must(w.resolve(revert, "executed"))
	assert.Equal(t, []string{revert.ID, target.ID}, []string{change.Statuses[0].SpanID, change.Statuses[1].SpanID})
	assert.Equal(t, "reverted", w.refs[target.ID].Status)
	change = w.must(w.resolve(redact, "executed"))
	require.Len(t, change.Redacted, 1)
	assert.Equal(t, target.ID, change.Redacted[0].ID)

	// What no longer holds can only be rejected.
	another := w.grant(admin, ana, "guest")
	w.pending(another)
	w.must(w.withdraw(w.owner, admin, "admin"))
	w.refused(w.resolve(another, "executed"), "resolution_impossible")
	w.must(w.resolve(another, "rejected"))
}

func TestRefusalIsEvidence(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana, stranger := w.member("member"), w.keys(id.SubjectPerson)
	w.embed(stranger)
	refusal := func(sp *span.Span, author *id.Keys) *span.Span {
		return w.span(w.node, span.TypeDecision, ref(sp, object{"type": sp.Type, "author": author.ID(), "contract": "x@1", "rule": "x/r"}))
	}
	attempt := w.span(ana, "a.b", object{})
	evidence := refusal(attempt, ana)
	w.must(evidence)
	assert.Equal(t, standing.StatusGhost, w.refs[evidence.ID].Status)
	w.refused(refusal(attempt, stranger), "refusal_author")
	w.refused(refusal(attempt, w.keys(id.SubjectPerson)), "refusal_author")
	entry := w.span(ana, "a.b", object{})
	w.must(entry)
	w.refused(refusal(entry, ana), "refusal_of_entry")
}

func (w *world) epoch(by *id.Keys, change func(object)) *span.Span {
	n, _ := w.tx.Epoch()
	p := object{"prev_origin": standing.Origin(w.tenant, w.tx.Node(), n), "prev_size": w.next().Seq,
		"prev_root": span.Sum(nil).String(), "log_key": w.tx.LogKey()}
	if change != nil {
		change(p)
	}
	return w.span(by, span.TypeEpoch, p)
}

func TestEpochOfTheSameNode(t *testing.T) {
	t.Parallel()
	w := founded(t)
	origin := func(n uint64) func(object) {
		return func(p object) { p["prev_origin"] = standing.Origin(w.tenant, w.node.ID(), n) }
	}
	assert.Equal(t, "logline/v1/"+w.tenant+"/"+strings.TrimPrefix(w.node.ID(), span.IdentityScheme)+"/3", standing.Origin(w.tenant, w.node.ID(), 3))
	other := w.keys(id.SubjectNode)
	w.embed(other)
	w.refused(w.epoch(w.owner, nil), "epoch_not_authorised")
	w.refused(w.epoch(other, nil), "epoch_not_authorised")
	w.refused(w.epoch(w.node, func(p object) { p["prev_size"] = w.next().Seq - 1 }), "epoch_size")
	w.refused(w.epoch(w.node, func(p object) { p["prev_origin"] = "logline/v1/x/y/0" }), "epoch_origin")
	w.refused(w.epoch(w.node, func(p object) { p["prev_origin"] = p["prev_origin"].(string) + "0" }), "epoch_origin") // "00"
	w.refused(w.epoch(w.node, func(p object) { p["prev_origin"] = "x" }), "epoch_origin")
	fresh := w.delegateLog(w.node)
	rekey := func(p object) { p["log_key"] = fresh }
	w.refused(w.epoch(w.node, rekey), "epoch_log_key") // its delegation is not embedded yet
	w.must(w.event(w.node.Events()[2]))
	first := w.next().Seq
	w.must(w.epoch(w.node, rekey))
	n, at := w.tx.Epoch()
	assert.Equal(t, []uint64{1, first}, []uint64{n, at})
	assert.Equal(t, fresh, w.tx.LogKey())
	w.refused(w.epoch(w.node, origin(0)), "epoch_origin") // an older one
	w.must(w.epoch(w.node, origin(4)))                    // a restored backup: the disk knew more
	n, _ = w.tx.Epoch()
	assert.Equal(t, uint64(5), n)
	w.must(w.span(w.owner, "a.b", object{}))
}

func TestHandover(t *testing.T) {
	t.Parallel()
	w := founded(t)
	next := w.keys(id.SubjectNode)
	key := w.delegateLog(next)
	handover := func(to string) *span.Span { return w.span(w.node, span.TypeHandover, object{"to": to}) }
	w.refused(handover(next.ID()), "handover_target") // not embedded
	w.refused(handover(w.node.ID()), "handover_target")
	w.refused(handover(w.owner.ID()), "handover_target")
	w.embed(next)
	w.must(handover(next.ID()))
	w.refused(w.span(w.owner, "a.b", object{}), "timeline_handed_over")
	w.refused(w.event(w.keys(id.SubjectPerson).Events()[0]), "timeline_handed_over")
	w.refused(w.epoch(w.node, nil), "epoch_not_authorised")
	w.refused(w.epoch(next, nil), "epoch_log_key")
	w.must(w.epoch(next, func(p object) { p["log_key"] = key }))
	assert.Equal(t, next.ID(), w.tx.Node())
	old := w.node
	w.node = next
	w.embed(w.keys(id.SubjectPerson))
	w.must(w.span(w.owner, "a.b", object{}))
	w.refused(w.span(old, "a.b", object{}), "not_a_member")
	w.refused(w.span(old, span.TypeEvidence, object{}), "reserved_author")
	w.refused(w.epoch(old, nil), "epoch_not_authorised")
}

func TestNodeRotationKeepsTheLogGoing(t *testing.T) {
	t.Parallel()
	w := founded(t)
	old := w.node.Signer()
	rotation, err := w.node.Rotate(epochStart, w.rand)
	require.NoError(t, err)
	raw, err := span.ParseB64(w.logKey, 33)
	require.NoError(t, err)
	again, err := w.node.DelegateKey(span.B64(raw[1:]), "log", []string{id.TypeLog}, "", "", epochStart)
	require.NoError(t, err)
	sp := w.event(rotation.Raw)
	sealed, err := id.SealSpan(old, sp.Header, sp.Payload, make([]byte, 16))
	require.NoError(t, err)
	w.must(sealed)
	w.must(w.event(again.Raw))
	w.must(w.epoch(w.node, nil))
	assert.Equal(t, w.logKey, w.tx.LogKey())
}
