package id

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

func signMessage(s Signer, message string) string { return span.B64(s.Sign(Message([]byte(message)))) }

func TestCheckSignature(t *testing.T) {
	t.Parallel()
	k, other := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 2)
	first := k.Signer()
	_, phone, err := k.Delegate("phone", []string{"a.*"}, "2027-01-01T00:00:00.000Z", testTime, source(3))
	require.NoError(t, err)
	_, lost, err := k.Delegate("lost", nil, "", testTime, source(4))
	require.NoError(t, err)
	_, err = k.Undelegate(lost.Public(), testTime)
	require.NoError(t, err)
	check := func(c *Chain, identity, key, message, signature string, at time.Time) Verdict {
		t.Helper()
		v, err := CheckSignature(t.Context(), StdVerifier(), SignatureCheck{Identity: identity, Key: key, Message: []byte(message), Signature: signature}, at,
			func(_ context.Context, id string) (*Chain, error) {
				if id != c.ID() {
					return nil, unknown(id)
				}
				return c, nil
			})
		require.NoError(t, err)
		return v
	}
	before := k.Chain()
	for name, c := range map[string]struct {
		identity, key, signature string
		at                       time.Time
		want                     Verdict
	}{
		"primary":         {k.ID(), "", signMessage(first, "m"), testTime, Verdict{Valid: true, Reason: ReasonCurrent, Key: first.Public()}},
		"primary named":   {k.ID(), first.Public(), signMessage(first, "m"), testTime, Verdict{Valid: true, Reason: ReasonCurrent, Key: first.Public()}},
		"delegated":       {k.ID(), "", signMessage(phone, "m"), testTime, Verdict{Valid: true, Reason: ReasonCurrent, Key: phone.Public()}},
		"expired":         {k.ID(), "", signMessage(phone, "m"), testTime.AddDate(1, 0, 0), Verdict{Reason: ReasonExpired, Key: phone.Public()}},
		"withdrawn":       {k.ID(), "", signMessage(lost, "m"), testTime, Verdict{Reason: ReasonRevoked, Key: lost.Public()}},
		"another message": {k.ID(), "", signMessage(first, "n"), testTime, Verdict{Reason: ReasonMismatch}},
		"no domain line":  {k.ID(), "", span.B64(first.Sign([]byte("m"))), testTime, Verdict{Reason: ReasonMismatch}},
		"stranger":        {k.ID(), "", signMessage(other.Signer(), "m"), testTime, Verdict{Reason: ReasonMismatch}},
		"stranger named":  {k.ID(), other.Signer().Public(), signMessage(other.Signer(), "m"), testTime, Verdict{Reason: ReasonUnknownKey, Key: other.Signer().Public()}},
		"key alone":       {"", other.Signer().Public(), signMessage(other.Signer(), "m"), testTime, Verdict{Valid: true, Reason: ReasonUnbound, Key: other.Signer().Public()}},
		"other key alone": {"", first.Public(), signMessage(other.Signer(), "m"), testTime, Verdict{Reason: ReasonMismatch}},
		"unknown":         {other.ID(), "", signMessage(other.Signer(), "m"), testTime, Verdict{Reason: ReasonUnknownIdentity}},
	} {
		v := check(before, c.identity, c.key, "m", c.signature, c.at)
		grant := v.Grant
		v.Grant = Grant{}
		require.Equal(t, c.want, v, name)
		require.Equal(t, c.want.Reason == ReasonCurrent, grant.Key != "", name)
	}
	require.Equal(t, "phone", check(before, k.ID(), "", "m", signMessage(phone, "m"), testTime).Grant.Label)

	_, err = k.Rotate(testTime, source(5))
	require.NoError(t, err)
	rotated := k.Chain()
	require.Equal(t, ReasonFormer, check(rotated, k.ID(), "", "m", signMessage(first, "m"), testTime).Reason)
	require.Equal(t, ReasonFormer, check(rotated, k.ID(), phone.Public(), "m", signMessage(phone, "m"), testTime).Reason)
	require.True(t, check(rotated, k.ID(), "", "m", signMessage(k.Signer(), "m"), testTime).Valid)
	_, err = k.Revoke("", testTime)
	require.NoError(t, err)
	require.Equal(t, Verdict{Reason: ReasonRevoked, Key: k.Signer().Public()}, check(k.Chain(), k.ID(), "", "m", signMessage(k.Signer(), "m"), testTime))
}

func TestCheckSignatureRefusals(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	good := SignatureCheck{Identity: k.ID(), Key: k.Signer().Public(), Message: []byte("m"), Signature: signMessage(k.Signer(), "m")}
	for code, change := range map[string]func(*SignatureCheck){
		"check_empty":         func(c *SignatureCheck) { c.Identity, c.Key = "", "" },
		"identity_malformed":  func(c *SignatureCheck) { c.Identity = "logline-id://x" },
		"signature_malformed": func(c *SignatureCheck) { c.Signature = c.Signature[1:] },
		"message_too_large":   func(c *SignatureCheck) { c.Message = make([]byte, MaxMessageBytes+1) },
		"key_small_order":     func(c *SignatureCheck) { c.Key = span.B64(append([]byte{1}, make([]byte, 31)...)) },
		"base64_invalid":      func(c *SignatureCheck) { c.Key = strings.Repeat("!", 43) },
	} {
		c := good
		change(&c)
		_, err := CheckSignature(t.Context(), StdVerifier(), c, testTime, func(context.Context, string) (*Chain, error) { return k.Chain(), nil })
		requireCode(t, code, err)
		require.Equal(t, fault.Invalid, fault.KindOf(err))
	}
	down := fault.New(fault.Unavailable, "database_busy", "busy")
	_, err := CheckSignature(t.Context(), StdVerifier(), good, testTime, func(context.Context, string) (*Chain, error) { return nil, down })
	requireCode(t, "database_busy", err)
}

// FuzzCheckSignature: of all signatures over all messages, the one that was made
// is valid, and it is valid for its message alone.
func FuzzCheckSignature(f *testing.F) {
	k := newKeys(f, SubjectPerson, 1)
	sig := signMessage(k.Signer(), "m")
	f.Add(k.ID(), "", []byte("m"), sig)
	f.Add("", k.Signer().Public(), []byte("m"), sig)
	f.Add(k.ID(), k.Signer().Public(), []byte("n"), sig)
	f.Add(k.ID(), "x", []byte{}, "")
	f.Fuzz(func(t *testing.T, identity, key string, message []byte, signature string) {
		v, err := CheckSignature(t.Context(), StdVerifier(), SignatureCheck{Identity: identity, Key: key, Message: message, Signature: signature}, testTime,
			func(_ context.Context, id string) (*Chain, error) {
				if id != k.ID() {
					return nil, unknown(id)
				}
				return k.Chain(), nil
			})
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			require.False(t, v.Valid)
			return
		}
		require.Equal(t, v.Reason == ReasonCurrent || v.Reason == ReasonUnbound, v.Valid)
		if v.Reason == ReasonCurrent {
			require.Equal(t, []string{k.ID(), "m", sig}, []string{identity, string(message), signature})
		}
	})
}
