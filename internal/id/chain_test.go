package id

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

func applyRaw(t testing.TB, c *Chain, raw []byte, claimer *Chain) (bool, error) {
	t.Helper()
	e, err := ParseEvent(raw)
	require.NoError(t, err)
	return c.Apply(e, StdVerifier(), claimer)
}

// refuses says that the chain refuses an event for one reason and stays as it was.
func refuses(t testing.TB, code string, c *Chain, raw []byte, claimer *Chain) {
	t.Helper()
	before, err := json.Marshal(c)
	require.NoError(t, err)
	changed, err := applyRaw(t, c, raw, claimer)
	requireCode(t, code, err)
	require.False(t, changed)
	after, err := json.Marshal(c)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func (k *Keys) object(kind string) object {
	o := object{"v": 1, "kind": kind, "time": testStamp}
	switch kind {
	case KindDelegate, KindUndelegate:
		o["under"] = k.chain.s.Under.String()
	default:
		o["seq"], o["prev"] = k.chain.s.Seq+1, k.chain.Head().String()
	}
	return o
}

func with(o object, pairs ...any) object {
	for i := 0; i < len(pairs); i += 2 {
		o[pairs[i].(string)] = pairs[i+1]
	}
	return o
}

func TestChainLife(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	first := k.Signer().Public()
	phone, phoneKey, err := k.Delegate("phone", []string{"invoice.*", "logline.approval"}, "", testTime, source(2))
	require.NoError(t, err)
	c := k.Chain()
	require.Equal(t, 2, c.Len())
	require.Equal(t, StatusActive, c.Status())
	require.Equal(t, k.events[0].SealedHash(), c.Head(), "a delegation is not a head")
	require.Equal(t, phone.Under, c.Head().String())
	require.Len(t, c.Keys(), 2)
	g, ok := c.Key(phoneKey.Public())
	require.True(t, ok)
	require.Equal(t, Grant{Key: phoneKey.Public(), Label: "phone", Types: []string{"invoice.*", "logline.approval"}}, g)

	_, err = k.Rotate(testTime, source(3))
	require.NoError(t, err)
	c = k.Chain()
	require.NotEqual(t, first, c.Primary())
	requireCode(t, "key_rotated", c.MaySign(first, "a", testStamp))
	requireCode(t, "key_rotated", c.MaySign(phoneKey.Public(), "invoice.paid", testStamp))
	_, ok = c.Key(first)
	require.False(t, ok)
	require.NoError(t, c.MaySign(c.Primary(), "logline.contract", testStamp))

	// Under the rotation the same key may be delegated again.
	_, err = k.DelegateKey(phoneKey.Public(), "phone", nil, "2026-02-01T00:00:00.000Z", "", testTime)
	require.NoError(t, err)
	require.NoError(t, k.chain.MaySign(phoneKey.Public(), "anything.at.all", "2026-01-31T23:59:59.999Z"))
	requireCode(t, "key_expired", k.chain.MaySign(phoneKey.Public(), "anything", "2026-02-01T00:00:00.000Z"))
	requireCode(t, "key_type_not_delegated", k.chain.MaySign(phoneKey.Public(), "logline.approval", testStamp))
	_, err = k.Undelegate(phoneKey.Public(), testTime)
	require.NoError(t, err)
	requireCode(t, "key_revoked", k.chain.MaySign(phoneKey.Public(), "anything", testStamp))
	requireCode(t, "key_unknown", k.chain.MaySign(newKey(77).Public(), "anything", testStamp))

	_, err = k.Revoke("lost", testTime)
	require.NoError(t, err)
	require.Equal(t, StatusRevoked, k.chain.Status())
	require.Equal(t, 6, k.chain.Len())
	require.Empty(t, k.chain.Keys())
	requireCode(t, "key_revoked", k.chain.MaySign(k.chain.Primary(), "a", testStamp))
	requireCode(t, "key_rotated", k.chain.MaySign(first, "a", testStamp))
	requireCode(t, "key_unknown", k.chain.MaySign(newKey(77).Public(), "a", testStamp))

	again, err := fold(FastVerifier(), k.Events())
	require.NoError(t, err)
	require.Equal(t, k.chain, again)
}

func TestChainRefuses(t *testing.T) {
	t.Parallel()
	thief := newKey(66)
	t.Run("inception", func(t *testing.T) {
		t.Parallel()
		k := newKeys(t, SubjectPerson, 1)
		e, err := ParseEvent(forge(t, object{"v": 1, "kind": KindInception, "seq": 0, "subject": "person",
			"key": thief.Public(), "next": commitment(thief.Public()), "time": testStamp}, k.primary))
		require.NoError(t, err)
		_, err = Begin(e, StdVerifier())
		requireCode(t, "signer_wrong", err)
		e, err = ParseEvent(edit(t, k.Events()[0], func(o object) { o["time"] = ghostTime }))
		require.NoError(t, err)
		_, err = Begin(e, StdVerifier())
		requireCode(t, "signature_invalid", err)
		e, err = ParseEvent(forge(t, with(k.object(KindRevocation)), k.next))
		require.NoError(t, err)
		_, err = Begin(e, StdVerifier())
		requireCode(t, "inception_expected", err)
		refuses(t, "inception_repeated", k.chain, k.Events()[0], nil)
	})
	t.Run("rotation", func(t *testing.T) {
		t.Parallel()
		k := newKeys(t, SubjectPerson, 1)
		next := commitment(newKey(5).Public())
		rotation := func() object { return with(k.object(KindRotation), "key", k.next.Public(), "next", next) }
		refuses(t, "event_seq", k.chain, forge(t, with(rotation(), "seq", 2), k.next), nil)
		refuses(t, "event_seq", k.chain, forge(t, with(rotation(), "seq", 0), k.next), nil)
		refuses(t, "event_prev", k.chain, forge(t, with(rotation(), "prev", span.Sum().String()), k.next), nil)
		refuses(t, "rotation_not_committed", k.chain, forge(t, with(rotation(), "key", thief.Public()), thief), nil)
		refuses(t, "signer_wrong", k.chain, forge(t, rotation(), k.primary), nil)
		refuses(t, "signer_wrong", k.chain, forge(t, rotation(), thief), nil)
		refuses(t, "signature_invalid", k.chain, edit(t, forge(t, rotation(), k.next), func(o object) { o["time"] = ghostTime }), nil)
		changed, err := applyRaw(t, k.chain, forge(t, rotation(), k.next), nil)
		require.NoError(t, err)
		require.True(t, changed)
		g := newGhost(t, "a")
		refuses(t, "rotation_of_ghost", g.chain, forge(t, with(g.object(KindRotation), "key", thief.Public(), "next", next), thief), nil)
	})
	t.Run("revocation", func(t *testing.T) {
		t.Parallel()
		k := newKeys(t, SubjectPerson, 1)
		refuses(t, "signer_wrong", k.chain, forge(t, k.object(KindRevocation), k.primary), nil)
		refuses(t, "signer_wrong", k.chain, forge(t, k.object(KindRevocation), thief), nil)
		bad := edit(t, forge(t, with(k.object(KindRevocation), "reason", "a"), k.next), func(o object) { o["reason"] = "b" })
		refuses(t, "signature_invalid", k.chain, bad, nil)
		g := newGhost(t, "a")
		refuses(t, "signer_wrong", g.chain, forge(t, g.object(KindRevocation), thief), nil)
		_, err := applyRaw(t, g.chain, forge(t, g.object(KindRevocation), g.primary), nil)
		require.NoError(t, err)
		require.Equal(t, StatusRevoked, g.chain.Status())
	})
	t.Run("delegations", func(t *testing.T) {
		t.Parallel()
		k := newKeys(t, SubjectPerson, 1)
		device := newKey(7)
		delegate := func(pairs ...any) object {
			return with(with(k.object(KindDelegate), "key", device.Public(), "label", "phone"), pairs...)
		}
		undelegate := func(key string) object { return with(k.object(KindUndelegate), "key", key) }
		refuses(t, "signer_wrong", k.chain, forge(t, delegate(), device), nil)
		refuses(t, "signer_wrong", k.chain, forge(t, delegate(), k.next), nil)
		refuses(t, "signature_invalid", k.chain, edit(t, forge(t, delegate(), k.primary), func(o object) { o["label"] = "tablet" }), nil)
		refuses(t, "event_under", k.chain, forge(t, delegate("under", span.Sum().String()), k.primary), nil)
		refuses(t, "delegation_unknown", k.chain, forge(t, undelegate(device.Public()), k.primary), nil)
		refuses(t, "delegation_unknown", k.chain, forge(t, undelegate(k.primary.Public()), k.primary), nil)

		raw := forge(t, delegate(), k.primary)
		changed, err := applyRaw(t, k.chain, raw, nil)
		require.NoError(t, err)
		require.True(t, changed)
		before := k.chain.Clone()
		changed, err = applyRaw(t, k.chain, raw, nil)
		require.NoError(t, err, "an identical repeat of a standing delegation")
		require.False(t, changed)
		require.Equal(t, before, k.chain)
		refuses(t, "signer_wrong", k.chain, forge(t, undelegate(device.Public()), device), nil)
		refuses(t, "delegation_exists", k.chain, forge(t, delegate("label", "other"), k.primary), nil)
		refuses(t, "delegation_exists", k.chain, forge(t, delegate("types", []any{"a"}), k.primary), nil)
		refuses(t, "signer_wrong", k.chain, forge(t, with(k.object(KindDelegate), "key", thief.Public(), "label", "x"), device), nil)

		_, err = applyRaw(t, k.chain, forge(t, undelegate(device.Public()), k.primary), nil)
		require.NoError(t, err)
		require.Equal(t, 3, k.chain.Len())
		refuses(t, "delegation_ended", k.chain, raw, nil)
		refuses(t, "delegation_ended", k.chain, forge(t, delegate("label", "other"), k.primary), nil)
		refuses(t, "delegation_unknown", k.chain, forge(t, undelegate(device.Public()), k.primary), nil)

		_, err = k.Rotate(testTime, source(8))
		require.NoError(t, err)
		refuses(t, "event_under", k.chain, raw, nil) // a replay of the old delegation
		_, err = applyRaw(t, k.chain, forge(t, delegate(), k.primary), nil)
		require.NoError(t, err, "after a rotation it may be delegated again")
	})
	t.Run("claim", func(t *testing.T) {
		t.Parallel()
		g, k := newGhost(t, "a"), newKeys(t, SubjectPerson, 1)
		claim := func(pairs ...any) object { return with(with(g.object(KindClaim), "by", k.ID()), pairs...) }
		good := forge(t, claim(), g.primary, k.primary)
		refuses(t, "claimer_unknown", g.chain, good, nil)
		refuses(t, "claimer_unknown", g.chain, good, newKeys(t, SubjectPerson, 2).chain)
		refuses(t, "claim_of_itself", g.chain, forge(t, claim("by", g.ID()), g.primary, g.primary), g.chain)
		refuses(t, "event_seq", g.chain, forge(t, claim("seq", 3), g.primary, k.primary), k.chain)
		refuses(t, "event_prev", g.chain, forge(t, claim("prev", span.Sum().String()), g.primary, k.primary), k.chain)
		refuses(t, "signer_wrong", g.chain, forge(t, claim(), thief, k.primary), k.chain)
		refuses(t, "counter_signer_wrong", g.chain, forge(t, claim(), g.primary, thief), k.chain)
		refuses(t, "counter_signer_wrong", g.chain, forge(t, claim(), g.primary, k.next), k.chain)
		other := forge(t, claim("time", ghostTime), g.primary, k.primary)
		refuses(t, "signature_invalid", g.chain, edit(t, good, func(o object) {
			var from object
			require.NoError(t, json.Unmarshal(other, &from))
			o["counter"] = from["counter"]
		}), k.chain)
		refuses(t, "signature_invalid", g.chain, edit(t, good, func(o object) {
			var from object
			require.NoError(t, json.Unmarshal(other, &from))
			o["signature"] = from["signature"]
		}), k.chain)
		person := newKeys(t, SubjectPerson, 3)
		refuses(t, "claim_not_ghost", person.chain,
			forge(t, with(person.object(KindClaim), "by", k.ID()), person.primary, k.primary), k.chain)

		old := k.primary
		_, err := k.Rotate(testTime, source(4))
		require.NoError(t, err)
		refuses(t, "counter_signer_wrong", g.chain, forge(t, claim(), g.primary, old), k.chain) // the claimer's current primary signs
		revoked := newKeys(t, SubjectPerson, 5)
		_, err = revoked.Revoke("", testTime)
		require.NoError(t, err)
		refuses(t, "claimer_not_active", g.chain, forge(t, claim("by", revoked.ID()), g.primary, revoked.primary), revoked.chain)

		changed, err := applyRaw(t, g.chain, forge(t, claim(), g.primary, k.primary), k.chain)
		require.NoError(t, err)
		require.True(t, changed)
		require.Equal(t, StatusClaimed, g.chain.Status())
		require.Equal(t, k.ID(), g.chain.ClaimedBy())
		requireCode(t, "key_revoked", g.chain.MaySign(g.primary.Public(), "a", testStamp))
	})
	t.Run("nothing follows", func(t *testing.T) {
		t.Parallel()
		k := newKeys(t, SubjectPerson, 1)
		_, device, err := k.Delegate("phone", nil, "", testTime, source(2))
		require.NoError(t, err)
		_, err = k.Revoke("", testTime)
		require.NoError(t, err)
		g, by := newGhost(t, "a"), newKeys(t, SubjectPerson, 2)
		_, err = g.ClaimBy(by, testTime)
		require.NoError(t, err)
		for code, k := range map[string]*Keys{"identity_revoked": k, "identity_claimed": g} {
			signer := k.primary
			if k.next != nil {
				signer = k.next
			}
			for _, o := range []object{
				with(k.object(KindRotation), "key", signer.Public(), "next", commitment(thief.Public())),
				k.object(KindRevocation),
				with(k.object(KindDelegate), "key", thief.Public(), "label", "x"),
				with(k.object(KindUndelegate), "key", device.Public()),
			} {
				refuses(t, code, k.chain, forge(t, o, signer), nil)
			}
			refuses(t, code, k.chain, forge(t, with(k.object(KindClaim), "by", by.ID()), signer, by.primary), by.chain)
			for _, raw := range k.Events() { // not even repeats
				refuses(t, code, k.chain, raw, by.chain)
			}
		}
	})
}

func TestGrantCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		types []string
		typ   string
		want  bool
	}{
		{nil, "payment.requested", true},
		{nil, "logline.approval", false},
		{nil, "logline.api", false},
		{[]string{"**"}, "payment.requested", true},
		{[]string{"**"}, "logline.approval", false},
		{[]string{"*.*"}, "logline.approval", false},
		{[]string{"*"}, "payment.requested", false},
		{[]string{"payment.*"}, "payment.requested", true},
		{[]string{"payment.*"}, "payment.requested.twice", false},
		{[]string{"payment.**"}, "payment.requested.twice", true},
		{[]string{"payment.requested"}, "payment.requested", true},
		{[]string{"payment.requested"}, "payment", false},
		{[]string{"logline.approval"}, "logline.approval", true},
		{[]string{"logline.approval"}, "logline.contract", false},
		{[]string{"logline.approval"}, "payment.requested", false},
	} {
		require.Equal(t, c.want, Grant{Types: c.types}.Covers(c.typ), "%v %s", c.types, c.typ)
	}
	require.True(t, Grant{Primary: true}.Covers("logline.genesis"))
}

func TestGhostExpires(t *testing.T) {
	t.Parallel()
	key, device := newKey(1), newKey(2)
	inception := forge(t, object{"v": 1, "kind": KindInception, "seq": 0, "subject": "ghost", "key": key.Public(),
		"next": nil, "expires": "2026-01-03T00:00:00.000Z", "time": testStamp}, key)
	c, err := fold(StdVerifier(), [][]byte{inception})
	require.NoError(t, err)
	_, err = applyRaw(t, c, forge(t, object{"v": 1, "kind": KindDelegate, "under": c.Head().String(), "key": device.Public(),
		"label": "", "types": []any{"logline.api", "a"}, "expires": "2026-06-01T00:00:00.000Z", "time": testStamp}, key), nil)
	require.NoError(t, err)
	require.Equal(t, "2026-01-03T00:00:00.000Z", c.Expires())
	before, at := "2026-01-02T23:59:59.999Z", "2026-01-03T00:00:00.000Z"
	for _, k := range []*SecretKey{key, device} { // no delegation outlives the ghost
		require.NoError(t, c.MaySign(k.Public(), "a", before))
		requireCode(t, "key_expired", c.MaySign(k.Public(), "a", at))
		require.NoError(t, c.MayAuthenticate(k.Public(), time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC)))
		err := c.MayAuthenticate(k.Public(), time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC))
		requireCode(t, "key_expired", err)
		require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
	}
}

func TestMayAuthenticate(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectAgent, 1)
	_, api, err := k.Delegate("api", []string{TypeAPI}, "", testTime, source(2))
	require.NoError(t, err)
	_, other, err := k.Delegate("other", []string{"**"}, "", testTime, source(3))
	require.NoError(t, err)
	_, free, err := k.Delegate("free", nil, "", testTime, source(4))
	require.NoError(t, err)
	require.NoError(t, k.chain.MayAuthenticate(k.Signer().Public(), testTime))
	require.NoError(t, k.chain.MayAuthenticate(api.Public(), testTime))
	requireCode(t, "key_type_not_delegated", k.chain.MayAuthenticate(other.Public(), testTime))
	requireCode(t, "key_type_not_delegated", k.chain.MayAuthenticate(free.Public(), testTime))
	requireCode(t, "key_unknown", k.chain.MayAuthenticate(newKey(9).Public(), testTime))
}

func TestChainJSON(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	_, d, err := k.Delegate("phone <&>", []string{"a.*"}, "2026-02-01T00:00:00.000Z", testTime, source(2))
	require.NoError(t, err)
	_, err = k.Undelegate(d.Public(), testTime)
	require.NoError(t, err)
	rotated := newKeys(t, SubjectPerson, 2)
	_, _, err = rotated.Delegate("x", nil, "", testTime, source(3))
	require.NoError(t, err)
	_, err = rotated.Rotate(testTime, source(4))
	require.NoError(t, err)
	g := newGhost(t, "a")
	_, err = g.ClaimBy(k, testTime)
	require.NoError(t, err)
	for _, c := range []*Chain{k.chain, rotated.chain, g.chain} {
		out, err := json.Marshal(c)
		require.NoError(t, err)
		back := new(Chain)
		require.NoError(t, json.Unmarshal(out, back))
		require.Equal(t, c, back)
		again, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(out), string(again))
	}
	for _, bad := range []string{`{}`, `[]`, `null`, `{"id":"x","status":"active","primary":"y","head":"z","under":""}`, `{"unknown":1}`} {
		require.Error(t, json.Unmarshal([]byte(bad), new(Chain)), bad)
	}
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	_, d, err := k.Delegate("phone", nil, "", testTime, source(2))
	require.NoError(t, err)
	clone := k.Chain()
	before, err := json.Marshal(clone)
	require.NoError(t, err)
	_, err = k.Undelegate(d.Public(), testTime)
	require.NoError(t, err)
	_, err = k.Rotate(testTime, source(3))
	require.NoError(t, err)
	after, err := json.Marshal(clone)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	require.NoError(t, clone.MaySign(d.Public(), "a", testStamp))
}

func FuzzChainJSON(f *testing.F) {
	k := newKeys(f, SubjectPerson, 1)
	_, _, err := k.Delegate("phone", []string{"a.*"}, "", testTime, source(2))
	require.NoError(f, err)
	out, err := json.Marshal(k.chain)
	require.NoError(f, err)
	f.Add(out)
	f.Fuzz(func(t *testing.T, src []byte) {
		c := new(Chain)
		if json.Unmarshal(src, c) != nil {
			return
		}
		once, err := json.Marshal(c)
		require.NoError(t, err)
		back := new(Chain)
		require.NoError(t, json.Unmarshal(once, back))
		twice, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
		_ = c.Clone().MaySign(c.Primary(), "a", testStamp)
	})
}
