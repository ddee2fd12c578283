package recovery

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/span"
)

const (
	shareDomain = "logline.share.v1\n"

	// MaxShares bounds how many people a key is shared among.
	MaxShares = 64
	// MaxShareBytes bounds what is read as a share, encrypted or not.
	MaxShareBytes = 64 << 10
)

// curve is the group whose scalars are shared; in it circl works in constant time.
var curve = group.Ristretto255

// Signer signs with the identity's primary key.
type Signer interface {
	Public() string
	Sign(message []byte) []byte
}

// Ceremony is what all shares of one key have in common. It is no secret: the seed is
// sealed (AES-256-GCM) under a key that follows from a random scalar, and that scalar is
// shared (Shamir) with commitments (Feldman), so that each share can be checked alone.
// The identity's primary signed it, so that nobody else can pass one off as its own.
type Ceremony struct {
	Identity    string   `json:"identity"`
	Made        string   `json:"made"`
	Of          int      `json:"of"`
	Needs       int      `json:"needs"`
	Commitments []string `json:"commitments"` // b64u, one for each coefficient
	Sealed      string   `json:"sealed"`      // b64u
	By          string   `json:"by"`          // b64u public key
	Signature   string   `json:"signature,omitempty"`
}

// Share is what one person keeps. It prints without its value.
type Share struct {
	Ceremony
	Number int // from 1

	value string // b64u scalar
}

// shareFile is a share as JSON.
type shareFile struct {
	Logline string `json:"logline"` // always "share"
	Version int    `json:"v"`       // always 1
	Ceremony
	Number int    `json:"share"`
	Value  string `json:"value"`
}

// Format implements fmt.Formatter, without the value.
func (s *Share) Format(f fmt.State, _ rune) {
	if s == nil {
		secret.Print(f, "<nil>")
		return
	}
	secret.Print(f, fmt.Sprintf("%s: share %d of %s", secret.Mask, s.Number, s.Identity))
}

// Split shares the seed of an identity's next key among `of` people, any `needs` of
// whom have it together, while fewer know nothing of it. Randomness is the system's.
// Codes: ceremony_numbers, recovery_identity.
func Split(identity string, seed [32]byte, of, needs int, by Signer, now time.Time, rand io.Reader) ([]*Share, error) {
	if needs < 2 || of < needs || of > MaxShares {
		return nil, fault.Newf(fault.Invalid, "ceremony_numbers", "a key is shared among 2 to %d people, of whom at least 2 and at most all are needed; not %d of %d", MaxShares, needs, of)
	}
	if !span.IsIdentity(identity) {
		return nil, fault.New(fault.Invalid, "recovery_identity", "a ceremony is for an identity, by its LogLine ID")
	}
	scalar := curve.RandomNonZeroScalar(rand)
	sharing := secretsharing.New(rand, uint(needs-1), scalar) // Feldman's t is how many know nothing
	c := Ceremony{Identity: identity, Made: span.FormatTime(now), Of: of, Needs: needs, By: by.Public()}
	for _, commitment := range sharing.CommitSecret() {
		raw, err := commitment.MarshalBinaryCompress()
		if err != nil {
			return nil, broken(err)
		}
		c.Commitments = append(c.Commitments, span.B64(raw))
	}
	seal, err := c.cipher(scalar)
	if err != nil {
		return nil, err
	}
	c.Sealed = span.B64(seal.Seal(nil, make([]byte, seal.NonceSize()), seed[:], nil)) // the key is of this message alone
	message, err := c.message()
	if err != nil {
		return nil, err
	}
	c.Signature = span.B64(by.Sign(message))
	shares := make([]*Share, 0, of)
	for i, s := range sharing.Share(uint(of)) {
		raw, err := s.Value.MarshalBinary()
		if err != nil {
			return nil, broken(err)
		}
		shares = append(shares, &Share{Ceremony: c, Number: i + 1, value: span.B64(raw)})
	}
	return shares, nil
}

func broken(err error) error {
	return fault.New(fault.Internal, "ceremony_failed", "the key could not be shared").Because(err)
}

// cipher is what the seed is sealed with.
func (c *Ceremony) cipher(scalar group.Scalar) (cipher.AEAD, error) {
	raw, err := scalar.MarshalBinary()
	if err != nil {
		return nil, broken(err)
	}
	key, err := hkdf.Key(sha256.New, raw, nil, shareDomain+c.Identity, 32)
	if err != nil {
		return nil, broken(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, broken(err)
	}
	return cipher.NewGCM(block)
}

// message is what the signature is over: the domain line and the JCS of all but itself.
func (c Ceremony) message() ([]byte, error) {
	c.Signature = ""
	text, err := span.Canonical(c)
	if err != nil {
		return nil, broken(err)
	}
	return append([]byte(shareDomain), text...), nil
}

// Text is the share as JSON. It is secret.
func (s *Share) Text() ([]byte, error) {
	text, err := json.MarshalIndent(shareFile{"share", 1, s.Ceremony, s.Number, s.value}, "", "  ")
	if err != nil {
		return nil, broken(err)
	}
	return append(text, '\n'), nil
}

// ParseShare reads a share and checks all of it that one share tells: that the
// ceremony is signed as it stands there, and that the share is the one that was given
// out. Whose key signed, a chain of key events tells. Every failure is Invalid. Codes:
// share_malformed, share_altered.
func ParseShare(src []byte) (*Share, error) {
	if len(src) > MaxShareBytes {
		return nil, malformed("has more than %d bytes", MaxShareBytes)
	}
	text, err := span.Canonicalize(src) // refuses what JSON leaves open, such as members twice
	if err != nil {
		return nil, malformed("is no JSON object").Because(err)
	}
	var f shareFile
	if err := strict(text, &f); err != nil {
		return nil, malformed("has members that are none of a share's").Because(err)
	}
	if f.Logline != "share" || f.Version != 1 {
		return nil, malformed("is none of version 1")
	}
	if !span.IsIdentity(f.Identity) || f.Needs < 2 || f.Of < f.Needs || f.Of > MaxShares || f.Number < 1 || f.Number > f.Of || len(f.Commitments) != f.Needs {
		return nil, malformed("has numbers that do not fit together")
	}
	s := &Share{f.Ceremony, f.Number, f.Value}
	if err := s.signed(); err != nil {
		return nil, err
	}
	return s, s.given()
}

func malformed(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "share_malformed", "this is not a share: it "+fmt.Sprintf(format, args...))
}

func altered(why string) error {
	return fault.New(fault.Invalid, "share_altered", "this share is not as it was given out: "+why)
}

// signed says whether the ceremony is as its signer made it.
func (s *Share) signed() error {
	key, err := span.ParseB64(s.By, ed25519.PublicKeySize)
	if err != nil {
		return malformed("names no key that signed it").Because(err)
	}
	signature, err := span.ParseB64(s.Signature, ed25519.SignatureSize)
	if err != nil {
		return malformed("has no signature").Because(err)
	}
	message, err := s.message()
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, message, signature) {
		return altered("what all shares have in common does not fit its signature")
	}
	return nil
}

// given says whether the value is the one of its number.
func (s *Share) given() error {
	point, err := s.point()
	if err != nil {
		return err
	}
	commitment := make(secretsharing.SecretCommitment, len(s.Commitments))
	for i, text := range s.Commitments {
		raw, err := span.ParseB64(text, 32)
		if err != nil {
			return malformed("has a commitment that is none").Because(err)
		}
		commitment[i] = curve.NewElement()
		if err := commitment[i].UnmarshalBinary(raw); err != nil {
			return malformed("has a commitment that is none").Because(err)
		}
	}
	if !secretsharing.Verify(uint(s.Needs-1), point, commitment) {
		return altered(fmt.Sprintf("its value is not that of share %d", s.Number))
	}
	return nil
}

// point is the share as a point of the polynomial.
func (s *Share) point() (p secretsharing.Share, err error) {
	raw, err := span.ParseB64(s.value, 32)
	if err != nil {
		return p, malformed("has no value").Because(err)
	}
	p.ID, p.Value = curve.NewScalar().SetUint64(uint64(s.Number)), curve.NewScalar()
	if err := p.Value.UnmarshalBinary(raw); err != nil {
		return p, malformed("has no value").Because(err)
	}
	return p, nil
}
