package id

import (
	"crypto/ed25519"
	"sync"

	"filippo.io/edwards25519"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/danvoulez/logline/internal/fault"
)

// Verifier checks Ed25519 signatures (RFC 8032): cofactorless, S < L.
// It answers false, and never panics, for keys and signatures of a wrong
// length. It does not refuse small-order or non-canonical keys; CheckPublicKey
// does, at enrolment. Implementations are safe for concurrent use and agree
// with crypto/ed25519 on every input.
type Verifier interface {
	Verify(pub, message, sig []byte) bool
}

// DefaultVerifier is the implementation that the program uses: the faster
// library, which the differential tests hold equal to the standard one. Make
// it once and share it: each has a key cache of its own.
func DefaultVerifier() Verifier { return FastVerifier() }

// StdVerifier checks with crypto/ed25519.
func StdVerifier() Verifier { return stdVerifier{} }

type stdVerifier struct{}

func (stdVerifier) Verify(pub, message, sig []byte) bool {
	return len(pub) == ed25519.PublicKeySize && len(sig) == ed25519.SignatureSize &&
		ed25519.Verify(pub, message, sig)
}

// expandedKeys bounds the cache of FastVerifier. An expanded key takes about
// 1.5 KB, so a full cache takes about 6 MB.
const expandedKeys = 4096

// FastVerifier checks with curve25519-voi under the options that make it agree
// with crypto/ed25519, and keeps the tables of up to 4,096 public keys that it
// has met more than once.
func FastVerifier() Verifier {
	return &fastVerifier{keys: make(map[[32]byte]*voi.ExpandedPublicKey)}
}

type fastVerifier struct {
	mu sync.RWMutex // guards keys
	// keys maps a public key to its table, or to nil when it was met only
	// once: a flood of keys that never come back costs no tables.
	keys map[[32]byte]*voi.ExpandedPublicKey
}

func (f *fastVerifier) Verify(pub, message, sig []byte) bool {
	if len(pub) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize {
		return false
	}
	opts := voi.Options{Verify: voi.VerifyOptionsStdLib}
	if table := f.table([32]byte(pub)); table != nil {
		return voi.VerifyExpandedWithOptions(table, message, sig, &opts)
	}
	return voi.VerifyWithOptions(pub, message, sig, &opts)
}

// table is the key's table, nil when it has none (yet).
func (f *fastVerifier) table(pub [32]byte) *voi.ExpandedPublicKey {
	f.mu.RLock()
	table, met := f.keys[pub]
	f.mu.RUnlock()
	if table != nil {
		return table
	}
	if met {
		var err error
		if table, err = voi.NewExpandedPublicKey(pub[:]); err != nil {
			return nil // not a point: the plain check says no
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.keys[pub]; !known && len(f.keys) >= expandedKeys {
		for victim := range f.keys { // some key: iteration order is random enough
			delete(f.keys, victim)
			break
		}
	}
	f.keys[pub] = table
	return table
}

// CheckPublicKey says whether raw may be enrolled as an Ed25519 public key:
// 32 bytes that are the canonical encoding of a point that is not of small
// order (PROTOCOL §1). Codes: key_malformed, key_not_canonical,
// key_small_order.
func CheckPublicKey(raw []byte) error {
	if len(raw) != ed25519.PublicKeySize {
		return fault.Newf(fault.Invalid, "key_malformed", "a public key has 32 bytes, this one has %d", len(raw))
	}
	p, err := new(edwards25519.Point).SetBytes(raw)
	if err != nil {
		return fault.New(fault.Invalid, "key_malformed", "the public key is not a point of the curve; send the 32 bytes of an Ed25519 public key")
	}
	if [32]byte(p.Bytes()) != [32]byte(raw) {
		return fault.New(fault.Invalid, "key_not_canonical", "the public key is not in canonical encoding")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return fault.New(fault.Invalid, "key_small_order", "the public key is of small order: anybody could sign for it")
	}
	return nil
}
