package id

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/span"
)

// DIDDocument is a DID document (W3C DID Core 1.0) as JSON.
type DIDDocument struct {
	Context              []string             `json:"@context"`
	ID                   string               `json:"id"`
	AlsoKnownAs          []string             `json:"alsoKnownAs"`
	VerificationMethod   []VerificationMethod `json:"verificationMethod"`
	Authentication       []string             `json:"authentication"`
	AssertionMethod      []string             `json:"assertionMethod"`
	CapabilityInvocation []string             `json:"capabilityInvocation"`
	CapabilityDelegation []string             `json:"capabilityDelegation"`
	Deactivated          bool                 `json:"deactivated,omitempty"`
}

// VerificationMethod is a public key as a Multikey.
type VerificationMethod struct {
	ID                 string `json:"id"`
	Type               string `json:"type"`
	Controller         string `json:"controller"`
	PublicKeyMultibase string `json:"publicKeyMultibase"`
	Expires            string `json:"expires,omitempty"`
}

// WebDID is the did:web of an identity at a host ("example.com:8080"): the one
// whose document lies at https://host/v1/identities/<id>/did.json.
func WebDID(host, identity string) string {
	var b strings.Builder
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-':
			b.WriteByte(c)
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return "did:web:" + b.String() + ":v1:identities:" + strings.TrimPrefix(identity, span.IdentityScheme)
}

// DID is the document of the chain under a DID, with the keys that hold at now:
// the primary for everything, a delegated key for assertions where it may sign
// spans, and for authentication where it may sign tokens. An identity that ended
// is deactivated and has no keys.
func (c *Chain) DID(did string, now time.Time) DIDDocument {
	doc := DIDDocument{
		Context: []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"},
		ID:      did, AlsoKnownAs: []string{c.ID()}, VerificationMethod: []VerificationMethod{},
		Authentication: []string{}, AssertionMethod: []string{}, CapabilityInvocation: []string{}, CapabilityDelegation: []string{},
		Deactivated: c.Status() != StatusActive,
	}
	if c.ClaimedBy() != "" {
		doc.AlsoKnownAs = append(doc.AlsoKnownAs, c.ClaimedBy())
	}
	for _, g := range c.Keys() {
		raw, err := span.ParseB64(g.Key, ed25519.PublicKeySize)
		if err != nil || g.Expires != "" && span.FormatTime(now) >= g.Expires {
			continue
		}
		key := Multikey(raw)
		method := did + "#" + key
		doc.VerificationMethod = append(doc.VerificationMethod, VerificationMethod{
			ID: method, Type: "Multikey", Controller: did, PublicKeyMultibase: key, Expires: g.Expires,
		})
		if g.Primary || slices.Contains(g.Types, TypeAPI) {
			doc.Authentication = append(doc.Authentication, method)
		}
		if g.Primary || signsSpans(g.Types) {
			doc.AssertionMethod = append(doc.AssertionMethod, method)
		}
		if g.Primary {
			doc.CapabilityInvocation = append(doc.CapabilityInvocation, method)
			doc.CapabilityDelegation = append(doc.CapabilityDelegation, method)
		}
	}
	return doc
}

// signsSpans says whether a delegation's types are of spans at all.
func signsSpans(types []string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool { return t != TypeAPI && t != TypeLog && t != TypeWitness })
}

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Multikey is an Ed25519 public key as a Multikey's publicKeyMultibase: "z" and
// the base58btc of 0xed 0x01 and the key.
func Multikey(public []byte) string {
	n := new(big.Int).SetBytes(append([]byte{0xed, 0x01}, public...))
	radix, digit := big.NewInt(58), new(big.Int)
	var out []byte
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		out = append(out, base58[digit.Int64()])
	}
	slices.Reverse(out) // the first byte is not zero, so no digit stands for zeros before it
	return "z" + string(out)
}
