package id

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxProven is how many tokens whose signatures held are remembered; twice as
// many at most. One takes about 400 bytes.
const maxProven = 4096

// Tokens checks bearer tokens. Clients send one and the same with each request
// for minutes, so it remembers what a token says once its signature has held, for
// that never changes. All that does change is asked each time: the clock, and
// whether the key may sign for the identity now. It is safe for concurrent use.
type Tokens struct {
	v Verifier

	mu         sync.Mutex // guards the rest
	young, old map[[sha256.Size]byte]said
}

// NewTokens makes a checker that remembers nothing yet.
func NewTokens(v Verifier) *Tokens {
	return &Tokens{v: v, young: make(map[[sha256.Size]byte]said)}
}

// said is what a token says that is good for an audience; times in seconds.
type said struct {
	Bearer
	audience string
	iat, exp float64
}

// Bearer is who signed a token, with which of their keys, and the origin
// (scheme://host[:port]) that it was made for, as it stands there; "" in a token that
// names none. Whoever takes the token judges the origin: Verify does not know by what
// names the node is called.
type Bearer struct{ Identity, Key, Origin string }

// Verify says who signed a bearer token meant for audience. chain answers with the identity's chain as it is now, so that a key
// that was rotated or revoked since does not count; it is asked for every token.
// Every failure is of kind Unauthenticated, save what chain returns other than
// NotFound. Codes: token_too_large, token_malformed, token_algorithm, token_type,
// token_audience, token_lifetime, token_expired, token_not_yet_valid,
// token_identity_unknown, token_signature and those of MayAuthenticate.
func (t *Tokens) Verify(tok, audience string, now time.Time, chain func(id string) (*Chain, error)) (Bearer, error) {
	if len(tok) > MaxTokenBytes {
		return Bearer{}, refuse("token_too_large", "a bearer token has at most 4096 bytes")
	}
	digest := sha256.Sum256([]byte(tok))
	s, proven := t.recall(digest)
	var signed, sig []byte
	var err error
	if proven = proven && s.audience == audience; !proven {
		if s, signed, sig, err = readToken(tok, audience); err != nil {
			return Bearer{}, err
		}
	}
	if err := s.holds(now); err != nil {
		return Bearer{}, err
	}
	raw, err := tokenKey(s.Identity, s.Key, now, chain)
	if err != nil {
		return Bearer{}, err
	}
	if !proven {
		if !t.v.Verify(raw, signed, sig) {
			return Bearer{}, refuse("token_signature", "the token's signature does not verify")
		}
		t.remember(digest, s)
	}
	return s.Bearer, nil
}

func (t *Tokens) recall(digest [sha256.Size]byte) (said, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.young[digest]; ok {
		return s, true
	}
	s, ok := t.old[digest]
	if ok {
		t.put(digest, s) // what is in use stays
	}
	return s, ok
}

func (t *Tokens) remember(digest [sha256.Size]byte, s said) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(digest, s)
}

// put needs mu. What is full grows old, and what was old is forgotten.
func (t *Tokens) put(digest [sha256.Size]byte, s said) {
	if len(t.young) >= maxProven {
		t.old, t.young = t.young, make(map[[sha256.Size]byte]said)
	}
	t.young[digest] = s
}
