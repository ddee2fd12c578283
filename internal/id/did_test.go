package id

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// An Ed25519 key in both forms, from the did:key specification's examples.
func TestMultikey(t *testing.T) {
	t.Parallel()
	raw, err := span.ParseB64("O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik", 32)
	require.NoError(t, err)
	require.Equal(t, "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", Multikey(raw))
}

func TestDID(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	did := WebDID("Example.com:8080", k.ID())
	require.Equal(t, "did:web:example.com%3A8080:v1:identities:"+k.ID()[len(span.IdentityScheme):], did)
	require.Equal(t, "did:web:%5B%3A%3A1%5D%3A80:v1:identities:x", WebDID("[::1]:80", "x"))

	delegate := func(types []string, expires string) string {
		t.Helper()
		_, key, err := k.Delegate("x", types, expires, testTime, source(byte(10+len(k.events))))
		require.NoError(t, err)
		raw, err := span.ParseB64(key.Public(), 32)
		require.NoError(t, err)
		return did + "#" + Multikey(raw)
	}
	spans := delegate([]string{"a.*"}, "2027-01-01T00:00:00.000Z")
	api := delegate([]string{TypeAPI}, "")
	delegate(nil, testStamp) // expired by now
	raw, err := span.ParseB64(k.Signer().Public(), 32)
	require.NoError(t, err)
	primary := did + "#" + Multikey(raw)

	doc := k.Chain().DID(did, testTime)
	require.Len(t, doc.VerificationMethod, 3)
	require.Equal(t, VerificationMethod{ID: spans, Type: "Multikey", Controller: did, PublicKeyMultibase: spans[len(did)+1:], Expires: "2027-01-01T00:00:00.000Z"}, doc.VerificationMethod[1])
	require.Equal(t, []string{primary, api}, doc.Authentication)
	require.Equal(t, []string{primary, spans}, doc.AssertionMethod)
	require.Equal(t, []string{primary}, doc.CapabilityInvocation)
	require.Equal(t, []string{primary}, doc.CapabilityDelegation)
	require.Equal(t, []string{k.ID()}, doc.AlsoKnownAs)

	_, err = k.Revoke("", testTime)
	require.NoError(t, err)
	ended, err := json.Marshal(k.Chain().DID(did, testTime))
	require.NoError(t, err)
	require.JSONEq(t, `{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"id":"`+did+`","alsoKnownAs":["`+k.ID()+`"],
		"verificationMethod":[],"authentication":[],"assertionMethod":[],"capabilityInvocation":[],"capabilityDelegation":[],"deactivated":true}`, string(ended))

	ghost, claimer := newGhost(t, "ana"), newKeys(t, SubjectPerson, 2)
	_, err = ghost.ClaimBy(claimer, testTime)
	require.NoError(t, err)
	require.Equal(t, []string{ghost.ID(), claimer.ID()}, ghost.Chain().DID(did, testTime).AlsoKnownAs)
}
