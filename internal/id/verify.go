package id

import (
	"crypto/ed25519"
	"math/rand/v2"
	"sync"
	"sync/atomic"

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

// Bounds of FastVerifier's cache.
const (
	expandedKeys = 4096 // keys remembered; an expanded one takes about 1.5 KB
	oftenKeys    = 256  // of these, with the large table of about 40 KB
	oftenAfter   = 16   // meetings until then: it costs what it saves in seven
)

// FastVerifier checks with curve25519-voi in ways that agree with
// crypto/ed25519, and keeps tables of public keys: small ones of up to 4,096
// that it has met more than once, large ones of up to 256 that it meets often.
// They take at most 16 MB.
func FastVerifier() Verifier {
	return &fastVerifier{keys: make(map[[32]byte]*metKey)}
}

type fastVerifier struct {
	mu   sync.RWMutex // guards the rest
	keys map[[32]byte]*metKey
	// often are the keys with a large table, in no order.
	often [][32]byte
}

// metKey is what is known of a public key. A key met once has no table: a
// flood of keys that never come back costs none.
type metKey struct {
	met   atomic.Int32                          // about how often; up to oftenAfter
	small atomic.Pointer[voi.ExpandedPublicKey] // nil: none yet, or not a point
	large atomic.Pointer[oftenKey]              // nil: none
}

func (f *fastVerifier) Verify(pub, message, sig []byte) bool {
	if len(pub) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize {
		return false
	}
	opts := voi.Options{Verify: voi.VerifyOptionsStdLib}
	k := f.meet([32]byte(pub))
	if large := k.large.Load(); large != nil {
		return large.verify(message, sig)
	}
	if small := k.small.Load(); small != nil {
		return voi.VerifyExpandedWithOptions(small, message, sig, &opts)
	}
	return voi.VerifyWithOptions(pub, message, sig, &opts)
}

// meet is what is known of a key, one meeting more.
func (f *fastVerifier) meet(pub [32]byte) *metKey {
	f.mu.RLock()
	k := f.keys[pub]
	f.mu.RUnlock()
	switch {
	case k == nil:
		k = f.remember(pub)
	case k.large.Load() != nil:
		return k
	}
	switch k.met.Add(1) {
	case 2:
		if small, err := voi.NewExpandedPublicKey(pub[:]); err == nil {
			k.small.Store(small) // else not a point: the plain check says no
		}
	case oftenAfter:
		f.promote(pub, k)
	}
	return k
}

// remember takes a new key in, for another where there is no room.
func (f *fastVerifier) remember(pub [32]byte) *metKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.keys[pub]; k != nil { // somebody else just did
		return k
	}
	if len(f.keys) >= expandedKeys {
		for victim, k := range f.keys { // some key: iteration order is random enough
			if k.large.Load() == nil { // these came back
				delete(f.keys, victim)
				break
			}
		}
	}
	k := &metKey{}
	f.keys[pub] = k
	return k
}

// promote gives a key the large table, and takes it from another where there
// are enough: that one must be met as often again.
func (f *fastVerifier) promote(pub [32]byte, k *metKey) {
	large := newOftenKey(pub)
	if large == nil { // the plain check says no
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[pub] != k { // forgotten meanwhile
		return
	}
	k.large.Store(large)
	if len(f.often) < oftenKeys {
		f.often = append(f.often, pub)
		return
	}
	at := rand.IntN(oftenKeys)
	victim := f.keys[f.often[at]]
	victim.met.Store(2)
	victim.large.Store(nil)
	f.often[at] = pub
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
