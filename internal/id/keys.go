package id

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Signer signs with one key. Sign is deterministic (RFC 8032) and safe for
// concurrent use.
type Signer interface {
	Public() string // b64u
	Sign(message []byte) []byte
}

// SecretKey is an Ed25519 key in memory.
type SecretKey struct {
	private *ed25519.PrivateKey // by its address, which is what fmt finds where it may call no method
	public  string
}

var _ Signer = (*SecretKey)(nil)

// NewSecretKey is the key of a 32-byte seed (RFC 8032).
func NewSecretKey(seed [32]byte) *SecretKey {
	private := ed25519.NewKeyFromSeed(seed[:])
	return &SecretKey{private: &private, public: span.B64(private.Public().(ed25519.PublicKey))}
}

// Public is the b64u public key.
func (k *SecretKey) Public() string { return k.public }

// Sign signs message as it is; the caller prefixes the domain line.
func (k *SecretKey) Sign(message []byte) []byte { return ed25519.Sign(*k.private, message) }

func (k *SecretKey) seed() []byte { return k.private.Seed() }

// Times of a ghost's inception, fixed so that one actor is always one ghost.
const (
	ghostTime    = "1970-01-01T00:00:00.000Z"
	ghostExpires = "9999-12-31T23:59:59.999Z"
	ghostDomain  = "logline.ghost.v1\n"
)

// Keys are the secret half of an identity with its events so far. Not safe for
// concurrent changes. Each method that makes an event also takes it here; save
// the keys before sending it, so that no answered event's keys are ever lost.
type Keys struct {
	primary   *SecretKey // nil on a device; see device.go
	device    *SecretKey // a key that is delegated, or asks to be; nil where the primary is
	next      *SecretKey // nil for ghosts, and where it is kept elsewhere (ForgetNext)
	delegated []*SecretKey
	former    []*SecretKey // a node's earlier primaries, in order; see Node.Rotate
	secret    *[32]byte    // importer's; nil for ghosts. By its address, as a private key
	events    []*Event
	chain     *Chain
}

// NewKeys makes an identity: two keys, the importer's secret and the inception,
// with 96 bytes of rand. subject is any but ghost.
func NewKeys(subject string, now time.Time, rand io.Reader) (*Keys, error) {
	return newKeysIn(subject, "", now, rand)
}

// newKeysIn is NewKeys in the custody of a node, "" for none.
func newKeysIn(subject, custody string, now time.Time, rand io.Reader) (*Keys, error) {
	if subject == SubjectGhost || !slices.Contains(subjects, subject) {
		return nil, fault.Newf(fault.Invalid, "subject_unknown", "cannot make an identity of subject %q; use person, organization, service, agent or node", subject)
	}
	primary, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	next, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	secret, err := randomSeed(rand)
	if err != nil {
		return nil, err
	}
	k := &Keys{primary: primary, next: next, secret: &secret}
	return k, k.begin(&Event{Kind: KindInception, Subject: subject, Key: primary.Public(),
		Next: commitment(next.Public()), Custody: custody, Time: span.FormatTime(now)})
}

// GhostKeys derives the ghost that stands for an actor of a source in a
// tenant: seed = HMAC-SHA256(secret, "logline.ghost.v1\n" || JCS([tenant,
// source, actor])), inception at the start of 1970, expiry at the end of 9999.
// The same arguments always give the same ghost.
func GhostKeys(secret []byte, tenant, source, actor string) (*Keys, error) {
	if len(secret) != sha256.Size {
		return nil, fault.Newf(fault.Invalid, "ghost_secret", "the importer's secret has 32 bytes, this one has %d", len(secret))
	}
	m := append([]byte(ghostDomain), '[')
	m = append(span.AppendString(m, tenant), ',')
	m = append(span.AppendString(m, source), ',')
	m = append(span.AppendString(m, actor), ']')
	mac := hmac.New(sha256.New, secret)
	mac.Write(m)
	k := &Keys{primary: NewSecretKey([32]byte(mac.Sum(nil)))}
	return k, k.begin(&Event{Kind: KindInception, Subject: SubjectGhost, Key: k.primary.Public(),
		Time: ghostTime, Expires: ghostExpires})
}

// ID is the LogLine ID.
func (k *Keys) ID() string { return k.chain.ID() }

// Subject is what kind of actor it is.
func (k *Keys) Subject() string { return k.chain.Subject() }

// Chain is a copy of the identity as its events so far make it.
func (k *Keys) Chain() *Chain { return k.chain.Clone() }

// Events are the sealed events so far, as JCS, in order.
func (k *Keys) Events() [][]byte {
	all := make([][]byte, len(k.events))
	for i, e := range k.events {
		all[i] = e.Raw
	}
	return all
}

// Signer signs with the primary key, on a device with its own.
func (k *Keys) Signer() Signer {
	if k.primary == nil {
		return k.device
	}
	return k.primary
}

// Delegated signs with an own delegated key, nil if the secret half of the
// standing delegation is not here.
func (k *Keys) Delegated(key string) Signer {
	for _, d := range k.delegated {
		if d.Public() == key {
			return d
		}
	}
	if k.device != nil && k.device.Public() == key && k.Approved() {
		return k.device
	}
	return nil
}

// Secret is the importer's secret: 32 random bytes kept in the key file, from
// which ghosts and salts are derived. nil for ghosts.
func (k *Keys) Secret() []byte {
	if k.secret == nil {
		return nil
	}
	return slices.Clone(k.secret[:])
}

// Rotate makes the next key the primary and commits to a new one, with 32
// bytes of rand. All delegations end. Without the next key: next_key_absent.
func (k *Keys) Rotate(now time.Time, rand io.Reader) (*Event, error) {
	if k.chain.s.Next == "" {
		return nil, fault.New(fault.Invalid, "rotation_of_ghost", "a ghost's key never rotates; claim it or revoke it")
	}
	if k.next == nil {
		return nil, k.mayRotate()
	}
	after, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	e := k.numbered(KindRotation, now)
	e.Key, e.Next = k.next.Public(), commitment(after.Public())
	if err := k.take(e, k.next, nil, nil); err != nil {
		return nil, err
	}
	k.primary, k.next, k.delegated = k.next, after, nil
	return e, nil
}

// Revoke ends the identity. reason may be empty, has at most 64 bytes and
// holds no personal data. Without the next key: next_key_absent.
func (k *Keys) Revoke(reason string, now time.Time) (*Event, error) {
	e := k.numbered(KindRevocation, now)
	e.Reason = reason
	by := k.primary
	if k.chain.s.Next != "" {
		if by = k.next; by == nil {
			return nil, k.mayRotate()
		}
	}
	return e, k.take(e, by, nil, nil)
}

// Delegate makes a key of 32 bytes of rand and delegates it; Keys keeps its
// secret half too. See DelegateKey for the terms.
func (k *Keys) Delegate(label string, types []string, expires string, now time.Time, rand io.Reader) (*Event, *SecretKey, error) {
	key, err := randomKey(rand)
	if err != nil {
		return nil, nil, err
	}
	e, err := k.DelegateKey(key.Public(), label, types, expires, "", now)
	if err != nil {
		return nil, nil, err
	}
	k.delegated = append(k.delegated, key)
	return e, key, nil
}

// DelegateKey delegates somebody's public key (b64u). label names the device
// or service in at most 64 bytes without personal data; types are patterns,
// none for any but logline.*, reserved types named exactly; expires and
// custody may be empty.
func (k *Keys) DelegateKey(key, label string, types []string, expires, custody string, now time.Time) (*Event, error) {
	e := &Event{Kind: KindDelegate, Under: k.chain.s.Under.String(), Key: key, Label: label,
		Types: slices.Clone(types), Expires: expires, Custody: custody, Time: span.FormatTime(now)}
	return e, k.take(e, k.primary, nil, nil)
}

// Undelegate withdraws a standing delegation.
func (k *Keys) Undelegate(key string, now time.Time) (*Event, error) {
	e := &Event{Kind: KindUndelegate, Under: k.chain.s.Under.String(), Key: key, Time: span.FormatTime(now)}
	if err := k.take(e, k.primary, nil, nil); err != nil {
		return nil, err
	}
	k.delegated = slices.DeleteFunc(k.delegated, func(d *SecretKey) bool { return d.Public() == key })
	return e, nil
}

// ClaimBy makes this ghost part of the claimer, who counter-signs.
func (k *Keys) ClaimBy(claimer *Keys, now time.Time) (*Event, error) {
	if claimer.primary == nil {
		return nil, errDevice
	}
	e := k.numbered(KindClaim, now)
	e.By = claimer.ID()
	return e, k.take(e, k.primary, claimer.primary, claimer.chain)
}

func (k *Keys) numbered(kind string, now time.Time) *Event {
	return &Event{Kind: kind, Seq: k.chain.s.Seq + 1, Prev: k.chain.Head().String(), Time: span.FormatTime(now)}
}

func (k *Keys) begin(e *Event) error {
	e.seal(k.primary, nil)
	parsed, err := ParseEvent(e.Raw)
	if err != nil {
		return err
	}
	if k.chain, err = Begin(parsed, StdVerifier()); err != nil {
		return err
	}
	k.events = []*Event{parsed}
	return nil
}

// take seals e and applies it as anybody else would: what is refused elsewhere
// is refused here, before it leaves.
func (k *Keys) take(e *Event, by, counter *SecretKey, claimer *Chain) error {
	if k.primary == nil || by == nil {
		return errDevice
	}
	if counter != nil {
		e.seal(by, counter)
	} else {
		e.seal(by, nil)
	}
	parsed, err := ParseEvent(e.Raw)
	if err != nil {
		return err
	}
	if _, err := k.chain.Apply(parsed, StdVerifier(), claimer); err != nil {
		return err
	}
	k.events = append(k.events, parsed)
	return nil
}

// SealSpan completes a header for its payload (JCS) and salt (16 random
// bytes), and signs it: fills PayloadHash and Signature.
func SealSpan(s Signer, h span.Header, payload, salt []byte) (*span.Span, error) {
	if len(salt) != 16 {
		return nil, fault.Newf(fault.Invalid, "salt_malformed", "a salt has 16 bytes, this one has %d", len(salt))
	}
	h.PayloadHash = span.PayloadHash(salt, payload).String()
	h.Signature = span.Signature{}
	h.Signature = span.Signature{Key: s.Public(), Value: span.B64(s.Sign(h.Message()))}
	return &span.Span{Header: h, Payload: payload, Salt: span.B64(salt)}, nil
}

func randomSeed(rand io.Reader) (seed [32]byte, err error) {
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return seed, fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a key").Because(fmt.Errorf("read seed: %w", err))
	}
	return seed, nil
}

func randomKey(rand io.Reader) (*SecretKey, error) {
	seed, err := randomSeed(rand)
	if err != nil {
		return nil, err
	}
	return NewSecretKey(seed), nil
}
