package id

import (
	"crypto/ed25519"
	"encoding/base32"
	"strconv"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Kinds of key events (PROTOCOL §2).
const (
	KindInception  = "inception"
	KindRotation   = "rotation"
	KindRevocation = "revocation"
	KindClaim      = "claim"
	KindDelegate   = "delegate"
	KindUndelegate = "undelegate"
)

// Subjects: what kind of actor an identity stands for.
const (
	SubjectPerson       = "person"
	SubjectOrganization = "organization"
	SubjectService      = "service"
	SubjectAgent        = "agent"
	SubjectNode         = "node"
	SubjectGhost        = "ghost"
)

// Types that a delegation names although no span has them (PROTOCOL §2).
const (
	TypeAPI     = "logline.api"     // the key may sign bearer tokens
	TypeLog     = "logline.log"     // the key may sign checkpoints
	TypeWitness = "logline.witness" // the key may cosign checkpoints
)

const (
	keyDomain = "logline.key.v1\n"
	idDomain  = "logline.id.v1\n"

	// MaxEventBytes bounds a sealed key event, in bytes as received.
	MaxEventBytes = 16 << 10
	// MaxTextBytes bounds labels and reasons, in bytes.
	MaxTextBytes = 64
)

// Event is a sealed key event, version 1. Which members are set depends on
// Kind; the others are zero. It is immutable once parsed or sealed.
type Event struct {
	Kind      string
	Seq       uint64 // inception, rotation, revocation, claim
	Prev      string // rotation, revocation, claim: b64u hash
	Under     string // delegate, undelegate: b64u hash
	Subject   string
	Key       string // b64u public key
	Next      string // b64u hash; "" stands for a ghost's null
	By        string // claim: the claiming identity
	Label     string
	Types     []string
	Expires   string
	Custody   string
	Reason    string
	Time      string
	Signature span.Signature
	Counter   span.Signature // claim only

	Raw []byte // JCS of the sealed event, as received
}

// appendBody appends the JCS of the event, in member order; with its
// signatures when sealed.
func (e *Event) appendBody(dst []byte, sealed bool) []byte {
	dst = append(dst, '{')
	text := func(name, value string) {
		if value == "" {
			return
		}
		dst = append(appendName(dst, name), ':')
		dst = span.AppendString(dst, value)
	}
	pair := func(name string, s span.Signature) {
		dst = append(appendName(dst, name), `:{"key":`...)
		dst = span.AppendString(dst, s.Key)
		dst = append(dst, `,"value":`...)
		dst = append(span.AppendString(dst, s.Value), '}')
	}
	text("by", e.By)
	if sealed && e.Kind == KindClaim {
		pair("counter", e.Counter)
	}
	text("custody", e.Custody)
	text("expires", e.Expires)
	text("key", e.Key)
	text("kind", e.Kind)
	if e.Kind == KindDelegate { // required, and free to be empty
		dst = append(appendName(dst, "label"), ':')
		dst = span.AppendString(dst, e.Label)
	}
	if e.Kind == KindInception && e.Next == "" {
		dst = append(appendName(dst, "next"), ":null"...)
	}
	text("next", e.Next)
	text("prev", e.Prev)
	text("reason", e.Reason)
	if e.numbered() {
		dst = append(appendName(dst, "seq"), ':')
		dst = strconv.AppendUint(dst, e.Seq, 10)
	}
	if sealed {
		pair("signature", e.Signature)
	}
	text("subject", e.Subject)
	text("time", e.Time)
	if len(e.Types) > 0 {
		dst = append(appendName(dst, "types"), ":["...)
		for i, t := range e.Types {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = span.AppendString(dst, t)
		}
		dst = append(dst, ']')
	}
	text("under", e.Under)
	return append(appendName(dst, "v"), ":1}"...)
}

func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(append(append(dst, '"'), name...), '"')
}

// numbered says whether the event is one of those that seq and prev count.
func (e *Event) numbered() bool { return e.Kind != KindDelegate && e.Kind != KindUndelegate }

// Message is what the event's signatures are over:
// "logline.key.v1\n" || JCS(event without signature and counter).
func (e *Event) Message() []byte { return e.appendBody([]byte(keyDomain), false) }

// SealedHash is H(JCS(sealed event)), which prev and under name.
func (e *Event) SealedHash() span.Hash { return span.Sum(e.Raw) }

// IdentityID is the LogLine ID that an inception founds; "" for other kinds.
func (e *Event) IdentityID() string {
	if e.Kind != KindInception {
		return ""
	}
	h := span.Sum(e.appendBody([]byte(idDomain), false))
	return span.IdentityScheme + idEncoding.EncodeToString(h[:])
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// seal signs the event (and counter-signs a claim) and fixes its bytes.
func (e *Event) seal(by Signer, counter Signer) {
	m := e.Message()
	e.Signature = span.Signature{Key: by.Public(), Value: span.B64(by.Sign(m))}
	if counter != nil {
		e.Counter = span.Signature{Key: counter.Public(), Value: span.B64(counter.Sign(m))}
	}
	e.Raw = e.appendBody(nil, true)
}

// verifySignature checks one signature over the event's message.
func verifySignature(v Verifier, message []byte, s span.Signature, member string) error {
	pub, err := span.ParseB64(s.Key, ed25519.PublicKeySize)
	if err == nil {
		var sig []byte
		if sig, err = span.ParseB64(s.Value, ed25519.SignatureSize); err == nil && v.Verify(pub, message, sig) {
			return nil
		}
	}
	return fault.New(fault.Invalid, "signature_invalid", "the signature does not fit the event and the key; sign \"logline.key.v1\\n\" and the JCS of the event without its signatures").
		At("/"+member+"/value", "does not verify")
}
