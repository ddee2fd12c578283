// Package webhook makes and checks the signatures of webhooks by the Standard
// Webhooks specification (https://www.standardwebhooks.com), symmetric scheme
// v1: HMAC-SHA256. Receivers of a LogLine node's webhooks call [Verify]. It
// sends nothing, and remembers no ids: that is the receiver's to do.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook.
const (
	HeaderID        = "Webhook-Id"        // the same for every attempt: the idempotency key
	HeaderTimestamp = "Webhook-Timestamp" // of the attempt, Unix seconds
	HeaderSignature = "Webhook-Signature" // one or several, separated by spaces
)

const (
	secretPrefix   = "whsec_"
	scheme         = "v1"
	minSecretBytes = 24 // both bounds are the specification's
	maxSecretBytes = 64
	newSecretBytes = 32

	// DefaultTolerance is how far a timestamp may be from the receiver's clock,
	// before or after.
	DefaultTolerance = 5 * time.Minute
	// MaxSignatures is how many signatures of one header are looked at.
	MaxSignatures = 16
	// MaxIDBytes bounds an id.
	MaxIDBytes = 256
)

// What may be wrong; errors of this package wrap one of these and never repeat
// a secret or a signature.
var (
	ErrSecret    = errors.New("the webhook's secret is not of the form whsec_<base64 of 24 to 64 bytes>")
	ErrHeader    = errors.New("no webhook by the Standard Webhooks specification")
	ErrTimestamp = errors.New("the webhook's timestamp is too far from this clock")
	ErrSignature = errors.New("the webhook is not signed with this secret, or was changed on its way")
)

// Secret is what sender and receiver of a webhook share. It is safe for
// concurrent use, and prints as whsec_… only.
type Secret struct{ key []byte }

// ParseSecret reads a secret, with or without its prefix.
func ParseSecret(text string) (Secret, error) {
	key, ok := decode(strings.TrimPrefix(text, secretPrefix))
	if !ok || len(key) < minSecretBytes || len(key) > maxSecretBytes {
		return Secret{}, ErrSecret
	}
	return Secret{key}, nil
}

// NewSecret makes a secret of 32 random bytes.
func NewSecret(rand io.Reader) (Secret, error) {
	key := make([]byte, newSecretBytes)
	if _, err := io.ReadFull(rand, key); err != nil {
		return Secret{}, fmt.Errorf("make a webhook's secret: %w", err)
	}
	return Secret{key}, nil
}

// Reveal is the secret's text, whsec_ and base64.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.key) }

// String and GoString keep the secret out of logs.
func (s Secret) String() string { return secretPrefix + "…" }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter: no verb shows the secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// Sign is the signature of a message, as the header has it. id has no full
// stop, see [CheckID]; at counts in whole seconds.
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	return scheme + "," + base64.StdEncoding.EncodeToString(s.mac(id, strconv.FormatInt(at.Unix(), 10), body))
}

func (s Secret) mac(id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	io.WriteString(h, id+"."+timestamp+".") // a hash takes everything
	h.Write(body)
	return h.Sum(nil)
}

// CheckID says whether an id may be a webhook's: 1 to 256 visible ASCII
// characters and no full stop, which separates what is signed.
func CheckID(id string) error {
	if id == "" || len(id) > MaxIDBytes || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' }) {
		return fmt.Errorf("%w: its id must be 1 to %d visible ASCII characters without a full stop", ErrHeader, MaxIDBytes)
	}
	return nil
}

// Verify checks a webhook that came in now: header has the three headers, body
// is the body's bytes as received, secret the endpoint's. It gives the id, which
// is the same whenever the same webhook is sent again: remember the ids of what
// you have done, and do nothing for one you know.
func Verify(secret string, header http.Header, body []byte) (id string, err error) {
	return Receiver{Secrets: []string{secret}}.Verify(header, body)
}

// Receiver verifies webhooks where [Verify] does not fit.
type Receiver struct {
	Secrets   []string         // any of them will do, as while secrets are exchanged
	Tolerance time.Duration    // DefaultTolerance where it is zero
	Now       func() time.Time // time.Now where it is nil
}

// Verify is the function Verify on the receiver's terms. How long it takes does
// not depend on how nearly a signature was right.
func (r Receiver) Verify(header http.Header, body []byte) (id string, err error) {
	if len(r.Secrets) == 0 {
		return "", ErrSecret
	}
	id, err = one(header, HeaderID)
	if err != nil {
		return "", err
	}
	if err := CheckID(id); err != nil {
		return "", err
	}
	timestamp, err := one(header, HeaderTimestamp)
	if err != nil {
		return "", err
	}
	if err := r.timely(timestamp); err != nil {
		return "", err
	}
	list, err := one(header, HeaderSignature)
	if err != nil {
		return "", err
	}
	signatures, err := parseSignatures(list)
	if err != nil {
		return "", err
	}
	signed := false
	for _, text := range r.Secrets {
		s, err := ParseSecret(text)
		if err != nil {
			return "", err
		}
		want := s.mac(id, timestamp, body)
		for _, got := range signatures {
			signed = hmac.Equal(want, got) || signed
		}
	}
	if !signed {
		return "", ErrSignature
	}
	return id, nil
}

// timely checks a timestamp against the clock.
func (r Receiver) timely(timestamp string) error {
	sec, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || sec < 0 || sec > 1<<40 || strconv.FormatInt(sec, 10) != timestamp {
		return fmt.Errorf("%w: its timestamp is not a whole number of Unix seconds", ErrHeader)
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	tolerance := r.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	switch off := now().Sub(time.Unix(sec, 0)); {
	case off > tolerance:
		return fmt.Errorf("%w: it is older than %v; either somebody sends an old one again, or the clock is fast", ErrTimestamp, tolerance)
	case off < -tolerance:
		return fmt.Errorf("%w: it is more than %v ahead; check the clock", ErrTimestamp, tolerance)
	}
	return nil
}

// one is a header that must be there once.
func one(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", fmt.Errorf("%w: it must have the header %s once", ErrHeader, strings.ToLower(name))
	}
	return values[0], nil
}

// parseSignatures are the signatures of scheme v1 in a list; those of other
// schemes are passed over.
func parseSignatures(list string) ([][]byte, error) {
	var out [][]byte
	n := 0
	for text := range strings.SplitSeq(list, " ") {
		if n++; n > MaxSignatures {
			return nil, fmt.Errorf("%w: it has more than %d signatures", ErrHeader, MaxSignatures)
		}
		name, value, _ := strings.Cut(text, ",")
		if name != scheme {
			continue
		}
		if raw, ok := decode(value); ok && len(raw) == sha256.Size {
			out = append(out, raw)
		}
	}
	if out == nil {
		return nil, fmt.Errorf("%w: it has no signature of scheme %s", ErrHeader, scheme)
	}
	return out, nil
}

// decode reads base64 in the one way in which it is written; the decoder alone
// would pass over line breaks.
func decode(text string) ([]byte, bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return raw, err == nil && base64.StdEncoding.EncodedLen(len(raw)) == len(text)
}
