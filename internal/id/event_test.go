package id

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// sample is one well-formed event of each kind, with the key that signs it.
func sample(t testing.TB) map[string]func() (object, *SecretKey) {
	t.Helper()
	key, next, other := newKey(1), newKey(2), newKey(3)
	hash := span.Sum([]byte("x")).String()
	node := newKeys(t, SubjectNode, 9).ID()
	made := func(kind string, by *SecretKey, more object) func() (object, *SecretKey) {
		return func() (object, *SecretKey) {
			o := object{"v": 1, "kind": kind, "time": testStamp}
			maps.Copy(o, more)
			return o, by
		}
	}
	return map[string]func() (object, *SecretKey){
		"inception":  made(KindInception, key, object{"seq": 0, "subject": "person", "key": key.Public(), "next": commitment(next.Public()), "custody": node}),
		"ghost":      made(KindInception, key, object{"seq": 0, "subject": "ghost", "key": key.Public(), "next": nil, "expires": ghostExpires}),
		"rotation":   made(KindRotation, next, object{"seq": 1, "prev": hash, "key": next.Public(), "next": hash}),
		"revocation": made(KindRevocation, next, object{"seq": 1, "prev": hash, "reason": "lost"}),
		"delegate":   made(KindDelegate, key, object{"under": hash, "key": other.Public(), "label": "phone", "types": []any{"invoice.*", "logline.api"}, "expires": testStamp, "custody": node}),
		"undelegate": made(KindUndelegate, key, object{"under": hash, "key": other.Public()}),
		"claim":      made(KindClaim, key, object{"seq": 1, "prev": hash, "by": node}),
	}
}

func sealSample(t testing.TB, name string, change func(object)) []byte {
	t.Helper()
	event, by := sample(t)[name]()
	if change != nil {
		change(event)
	}
	if event["kind"] == KindClaim {
		return forge(t, event, by, newKey(4))
	}
	return forge(t, event, by)
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	for name, make := range sample(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := sealSample(t, name, nil)
			e, err := ParseEvent(raw)
			require.NoError(t, err)
			want, err := span.Canonicalize(raw)
			require.NoError(t, err)
			require.Equal(t, string(want), string(e.Raw))
			require.Equal(t, span.Sum(want), e.SealedHash())

			// The message by another way: drop the signatures from the object.
			event, _ := make()
			body, err := json.Marshal(event)
			require.NoError(t, err)
			body, err = span.Canonicalize(body)
			require.NoError(t, err)
			require.Equal(t, "logline.key.v1\n"+string(body), string(e.Message()))
			require.NoError(t, verifySignature(StdVerifier(), e.Message(), e.Signature, "signature"))
			if e.Kind == KindInception {
				h := span.Sum([]byte("logline.id.v1\n"), body)
				require.Equal(t, span.IdentityScheme+idEncoding.EncodeToString(h[:]), e.IdentityID())
				require.True(t, span.IsIdentity(e.IdentityID()))
			} else {
				require.Empty(t, e.IdentityID())
			}
		})
	}
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(object) { return func(o object) { o[name] = value } }
	drop := func(name string) func(object) { return func(o object) { delete(o, name) } }
	long := strings.Repeat("x", 65)
	euro := strings.Repeat("€", 22) // 66 bytes, 22 code points
	nonCanonicalHash := span.Sum([]byte("x")).String()[:42] + "B"
	for _, c := range []struct {
		event, code, pointer string
		change               func(object)
	}{
		{"inception", "member_missing", "/kind", drop("kind")},
		{"inception", "member_malformed", "/kind", set("kind", 7)},
		{"inception", "event_kind", "/kind", set("kind", "Inception")},
		{"inception", "event_kind", "/kind", set("kind", "")},
		{"inception", "member_missing", "/v", drop("v")},
		{"inception", "event_version", "/v", set("v", 2)},
		{"inception", "event_version", "/v", set("v", "1")},
		{"inception", "member_null", "/v", set("v", nil)},
		{"inception", "member_missing", "/seq", drop("seq")},
		{"inception", "member_malformed", "/seq", set("seq", 1)},
		{"inception", "member_malformed", "/seq", set("seq", -1)},
		{"inception", "member_malformed", "/seq", set("seq", 0.5)},
		{"inception", "member_malformed", "/seq", set("seq", "0")},
		{"inception", "member_missing", "/subject", drop("subject")},
		{"inception", "member_malformed", "/subject", set("subject", "robot")},
		{"inception", "member_malformed", "/subject", set("subject", "")},
		{"inception", "member_missing", "/next", drop("next")},
		{"inception", "next_missing", "/next", set("next", nil)},
		{"inception", "member_malformed", "/next", set("next", "")},
		{"inception", "member_malformed", "/next", set("next", nonCanonicalHash)},
		{"inception", "member_malformed", "/next", set("next", span.Sum().String()+"=")},
		{"inception", "expires_not_ghost", "/expires", set("expires", testStamp)},
		{"inception", "member_null", "/custody", set("custody", nil)},
		{"inception", "member_empty", "/custody", set("custody", "")},
		{"inception", "member_malformed", "/custody", set("custody", "logline-id://x")},
		{"inception", "member_missing", "/time", drop("time")},
		{"inception", "member_null", "/time", set("time", nil)},
		{"inception", "member_malformed", "/time", set("time", "")},
		{"inception", "member_malformed", "/time", set("time", "2026-01-02T03:04:05Z")},
		{"inception", "member_malformed", "/time", set("time", "2026-01-02T03:04:05.678+00:00")},
		{"inception", "member_malformed", "/time", set("time", "2026-02-30T03:04:05.678Z")},
		{"inception", "member_unknown", "/name", set("name", "Ana")},
		{"inception", "member_unknown", "/name", set("name", nil)},
		{"inception", "member_unknown", "/prev", set("prev", span.Sum().String())},
		{"inception", "member_unknown", "/counter", set("counter", object{})},
		{"inception", "member_missing", "/key", drop("key")},
		{"inception", "key_malformed", "/key", set("key", "")},
		{"inception", "key_malformed", "/key", set("key", newKey(1).Public()+"=")},
		{"inception", "key_malformed", "/key", set("key", span.B64(make([]byte, 31)))},
		{"inception", "key_malformed", "/key", set("key", span.B64(append([]byte{2}, make([]byte, 31)...)))},
		{"inception", "key_small_order", "/key", set("key", span.B64(torsion(t)[4]))},
		{"inception", "key_not_canonical", "/key", set("key", span.B64(nonCanonical(t)[0]))},
		{"ghost", "ghost_next", "/next", set("next", span.Sum().String())},
		{"ghost", "ghost_expires", "/expires", drop("expires")},
		{"ghost", "member_null", "/expires", set("expires", nil)},
		{"ghost", "member_malformed", "/expires", set("expires", "9999-12-31")},
		{"rotation", "member_null", "/next", set("next", nil)},
		{"rotation", "member_missing", "/prev", drop("prev")},
		{"rotation", "member_malformed", "/prev", set("prev", "abc")},
		{"rotation", "key_small_order", "/key", set("key", span.B64(torsion(t)[0]))},
		{"rotation", "key_not_canonical", "/key", set("key", span.B64(nonCanonical(t)[3]))},
		{"rotation", "member_unknown", "/custody", set("custody", newKeys(t, SubjectNode, 9).ID())},
		{"revocation", "member_empty", "/reason", set("reason", "")},
		{"revocation", "member_null", "/reason", set("reason", nil)},
		{"revocation", "text_too_long", "/reason", set("reason", long)},
		{"revocation", "text_too_long", "/reason", set("reason", euro)},
		{"revocation", "member_unknown", "/key", set("key", newKey(1).Public())},
		{"delegate", "member_missing", "/label", drop("label")},
		{"delegate", "member_null", "/label", set("label", nil)},
		{"delegate", "text_too_long", "/label", set("label", long)},
		{"delegate", "member_malformed", "/label", set("label", 5)},
		{"delegate", "member_null", "/types", set("types", nil)},
		{"delegate", "member_empty", "/types", set("types", []any{})},
		{"delegate", "member_malformed", "/types", set("types", "invoice.*")},
		{"delegate", "member_malformed", "/types/0", set("types", []any{5})},
		{"delegate", "member_malformed", "/types/1", set("types", []any{"a", nil})},
		{"delegate", "member_malformed", "/types/0", set("types", []any{""})},
		{"delegate", "member_malformed", "/types/0", set("types", []any{"Invoice"})},
		{"delegate", "member_malformed", "/types/0", set("types", []any{"a.**.b"})},
		{"delegate", "types_reserved_pattern", "/types/0", set("types", []any{"logline.*"})},
		{"delegate", "types_reserved_pattern", "/types/1", set("types", []any{"a", "logline.task.**"})},
		{"delegate", "member_empty", "/expires", set("expires", "")},
		{"delegate", "member_malformed", "/under", set("under", "")},
		{"delegate", "member_unknown", "/seq", set("seq", 1)},
		{"delegate", "key_small_order", "/key", set("key", span.B64(torsion(t)[1]))},
		{"undelegate", "member_missing", "/under", drop("under")},
		{"undelegate", "member_unknown", "/label", set("label", "phone")},
		{"claim", "member_missing", "/by", drop("by")},
		{"claim", "member_malformed", "/by", set("by", strings.Repeat("a", 52))},
	} {
		t.Run(c.event+" "+c.code+" "+c.pointer, func(t *testing.T) {
			t.Parallel()
			_, err := ParseEvent(sealSample(t, c.event, c.change))
			requireCode(t, c.code, err)
			require.Equal(t, c.pointer, fault.From(err).Fields[0].Pointer)
			require.Equal(t, fault.Invalid, fault.KindOf(err))
		})
	}
}

func TestParseEventRefusesSignatureForms(t *testing.T) {
	t.Parallel()
	pad := func(name, member, suffix string) func(object) {
		return func(o object) { o[name].(object)[member] = o[name].(object)[member].(string) + suffix }
	}
	set := func(name, member string, value any) func(object) {
		return func(o object) { o[name].(object)[member] = value }
	}
	for _, c := range []struct {
		event, code, pointer string
		change               func(object)
	}{
		{"inception", "member_missing", "/signature", func(o object) { delete(o, "signature") }},
		{"inception", "member_null", "/signature", func(o object) { o["signature"] = nil }},
		{"inception", "signature_malformed", "/signature", func(o object) { o["signature"] = "x" }},
		{"inception", "signature_malformed", "/signature", func(o object) { o["signature"] = object{} }},
		{"inception", "signature_malformed", "/signature", set("signature", "alg", "EdDSA")},
		{"inception", "signature_malformed", "/signature", set("signature", "key", nil)},
		{"inception", "signature_malformed", "/signature", set("signature", "value", 7)},
		{"inception", "signature_malformed", "/signature/value", pad("signature", "value", "==")},
		{"inception", "signature_malformed", "/signature/value", set("signature", "value", "")},
		{"inception", "key_malformed", "/signature/key", pad("signature", "key", "=")},
		{"inception", "key_small_order", "/signature/key", set("signature", "key", span.B64(torsion(t)[2]))},
		{"claim", "member_missing", "/counter", func(o object) { delete(o, "counter") }},
		{"claim", "member_null", "/counter", func(o object) { o["counter"] = nil }},
		{"claim", "signature_malformed", "/counter/value", set("counter", "value", "AA")},
		{"claim", "key_not_canonical", "/counter/key", set("counter", "key", span.B64(nonCanonical(t)[1]))},
	} {
		t.Run(c.event+" "+c.code+" "+c.pointer, func(t *testing.T) {
			t.Parallel()
			_, err := ParseEvent(edit(t, sealSample(t, c.event, nil), c.change))
			requireCode(t, c.code, err)
			require.Equal(t, c.pointer, fault.From(err).Fields[0].Pointer)
		})
	}
}

func TestParseEventRefusesBadJSON(t *testing.T) {
	t.Parallel()
	good := string(sealSample(t, "inception", nil))
	for name, src := range map[string]string{
		"empty":       "",
		"array":       "[]",
		"null":        "null",
		"truncated":   good[:len(good)-1],
		"trailing":    good + "{}",
		"duplicate":   `{"v":1,` + good[1:],
		"deep":        `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}",
		"big number":  strings.Replace(good, `"seq":0`, `"seq":9007199254740992`, 1),
		"invalid UTF": strings.Replace(good, "person", "per\xffson", 1),
	} {
		_, err := ParseEvent([]byte(src))
		require.Equal(t, fault.Invalid, fault.KindOf(err), name)
	}
	_, err := ParseEvent(bytes.Repeat([]byte(" "), MaxEventBytes+1))
	requireCode(t, "event_too_large", err)
}

func TestTextsOfExactly64BytesPass(t *testing.T) {
	t.Parallel()
	_, err := ParseEvent(sealSample(t, "revocation", func(o object) { o["reason"] = strings.Repeat("x", 64) }))
	require.NoError(t, err)
	_, err = ParseEvent(sealSample(t, "delegate", func(o object) { o["label"] = strings.Repeat("é", 32) }))
	require.NoError(t, err)
}

func FuzzParseEvent(f *testing.F) {
	for name := range sample(f) {
		f.Add(sealSample(f, name, nil))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		kept := slices.Clone(src)
		e, err := ParseEvent(src)
		require.Equal(t, kept, src)
		if err != nil {
			require.NotEqual(t, fault.Internal, fault.KindOf(err), "%v", err)
			return
		}
		again, err := ParseEvent(e.Raw)
		require.NoError(t, err)
		require.Equal(t, e, again)
		require.Equal(t, string(e.Raw), string(again.Raw))
		_, _ = Begin(e, StdVerifier())
	})
}
