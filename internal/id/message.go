package id

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const messageDomain = "logline.message.v1\n"

// MaxMessageBytes bounds a message whose signature is checked.
const MaxMessageBytes = 64 << 10

// maxCandidates bounds the keys that one check tries.
const maxCandidates = 32

// Message is what a signature over message is made over:
// "logline.message.v1\n" || message (PROTOCOL §7).
func Message(message []byte) []byte { return append([]byte(messageDomain), message...) }

// Reasons of a verdict.
const (
	ReasonCurrent         = "current"          // by a key that is the identity's now
	ReasonUnbound         = "unbound"          // by the key given; whose it is was not asked
	ReasonFormer          = "former"           // by a key that a rotation replaced
	ReasonRevoked         = "revoked"          // by a key whose delegation was withdrawn, or of an identity that ended
	ReasonExpired         = "expired"          // by a key whose time is over
	ReasonUnknownKey      = "unknown_key"      // by the key given, which is none of the identity's
	ReasonUnknownIdentity = "unknown_identity" // this node knows no such identity
	ReasonMismatch        = "mismatch"         // by none of the keys in question
)

// SignatureCheck asks about one signature over a message: by a key, by any key
// of an identity, or by that key of that identity. Key and Signature are b64u.
type SignatureCheck struct {
	Identity, Key string
	Message       []byte
	Signature     string
}

// Verdict answers it. Valid is for ReasonCurrent and ReasonUnbound alone. Key and
// what it may do are set where a key signed the message.
type Verdict struct {
	Valid  bool
	Reason string
	Key    string
	Grant  Grant // of a current key
}

// CheckSignature answers a check as of now. chain answers with an identity's
// chain. Errors are of kind Invalid, with places in the check (check_empty,
// identity_malformed, signature_malformed, message_too_large, those of
// CheckPublicKey), and those of chain but NotFound.
func CheckSignature(ctx context.Context, v Verifier, check SignatureCheck, now time.Time, chain func(ctx context.Context, id string) (*Chain, error)) (Verdict, error) {
	sig, err := check.judge()
	if err != nil {
		return Verdict{}, err
	}
	message := Message(check.Message)
	signed := func(key string) bool {
		raw, err := span.ParseB64(key, ed25519.PublicKeySize)
		return err == nil && v.Verify(raw, message, sig)
	}
	if check.Key != "" && !signed(check.Key) {
		return Verdict{Reason: ReasonMismatch}, nil
	}
	if check.Identity == "" {
		return Verdict{Valid: true, Reason: ReasonUnbound, Key: check.Key}, nil
	}
	c, err := chain(ctx, check.Identity)
	if fault.KindOf(err) == fault.NotFound {
		return Verdict{Reason: ReasonUnknownIdentity, Key: check.Key}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	if check.Key != "" {
		return c.verdict(check.Key, now), nil
	}
	for _, key := range c.candidates() {
		if signed(key) {
			return c.verdict(key, now), nil
		}
	}
	return Verdict{Reason: ReasonMismatch}, nil
}

// judge is the raw signature of a check whose form is good.
func (s SignatureCheck) judge() (sig []byte, err error) {
	if s.Identity == "" && s.Key == "" {
		return nil, fault.New(fault.Invalid, "check_empty", "name an identity, a key, or both: a signature is somebody's").At("/identity", "is missing")
	}
	if s.Identity != "" && !span.IsIdentity(s.Identity) {
		return nil, fault.New(fault.Invalid, "identity_malformed", "identity is a LogLine ID").At("/identity", "is no LogLine ID")
	}
	if len(s.Message) > MaxMessageBytes {
		return nil, fault.Newf(fault.Invalid, "message_too_large", "a message has at most %d bytes; sign its hash instead", MaxMessageBytes)
	}
	if sig, err = span.ParseB64(s.Signature, ed25519.SignatureSize); err != nil {
		return nil, fault.New(fault.Invalid, "signature_malformed", "a signature is the 64 bytes of Ed25519 in base64url").At("/signature", "is no signature")
	}
	if s.Key == "" {
		return sig, nil
	}
	raw, err := span.ParseB64(s.Key, ed25519.PublicKeySize)
	if err == nil {
		err = CheckPublicKey(raw)
	}
	if err != nil {
		f := fault.From(err)
		return nil, fault.New(fault.Invalid, f.Code, f.Detail).At("/key", "is no public key")
	}
	return sig, nil
}

// candidates are the keys that may have signed something: the primary and those
// delegated under it, then former ones, the latest first.
func (c *Chain) candidates() []string {
	keys := []string{c.s.Primary}
	for _, d := range c.s.Delegated {
		keys = append(keys, d.Key)
	}
	for i := len(c.s.Former) - 1; i >= 0; i-- {
		keys = append(keys, c.s.Former[i])
	}
	return keys[:min(len(keys), maxCandidates)]
}

// verdict is about a message that key signed.
func (c *Chain) verdict(key string, now time.Time) Verdict {
	g, err := c.current(key, span.FormatTime(now))
	reasons := map[string]string{"key_expired": ReasonExpired, "key_rotated": ReasonFormer, "key_revoked": ReasonRevoked}
	reason := ReasonUnknownKey
	if err == nil {
		reason = ReasonCurrent
	} else if known, ok := reasons[fault.CodeOf(err)]; ok {
		reason = known
	}
	return Verdict{Valid: err == nil, Reason: reason, Key: key, Grant: g}
}
