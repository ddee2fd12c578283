package span

import (
	"bytes"
	"unicode/utf8"
)

const (
	maxTitle   = 256 // code points
	maxSubject = 256 // bytes, of the subject and of each tag
	maxTags    = 32
	maxCauses  = 64

	saltSize = 16
)

// The default limits of PROTOCOL §3, in bytes.
const (
	defaultHeader  = 16 << 10
	defaultPayload = 1 << 20
)

// Limits are the largest sizes accepted, in bytes of JCS. Zero means the
// default: 16 KiB and 1 MiB.
type Limits struct{ Header, Payload int }

func (l Limits) orDefault() Limits {
	if l.Header <= 0 {
		l.Header = defaultHeader
	}
	if l.Payload <= 0 {
		l.Payload = defaultPayload
	}
	return l
}

// sourceSlack is how many times longer than its canonical form a source may
// be: white space, escapes. Longer ones are refused unread.
const sourceSlack = 4

const (
	inAuthor = iota
	inCauses
	inID
	inOccurredAt
	inOnBehalfOf
	inPayload
	inPayloadHash
	inSalt
	inSignature
	inStatus
	inSubject
	inTags
	inTenant
	inTime
	inTitle
	inType
	inV
	inVisibility
	inWithheld
)

const (
	optionalInSpan = 1<<inCauses | 1<<inOccurredAt | 1<<inOnBehalfOf | 1<<inSubject | 1<<inTags | 1<<inTitle
	payloadAndSalt = 1<<inPayload | 1<<inSalt
	anyInHeader    = 1<<inWithheld - 1 - payloadAndSalt
)

var spanShape = shape{
	kind: "span",
	names: []string{"author", "causes", "id", "occurred_at", "on_behalf_of", "payload", "payload_hash", "salt", "signature",
		"status", "subject", "tags", "tenant", "time", "title", "type", "v", "visibility", "withheld"},
	required: anyInHeader &^ optionalInSpan,
}

var signatureShape = shape{kind: "signature", names: []string{"key", "value"}, required: 3}

// Parse reads a sealed span with its payload and salt: form, limits and
// payload hash, in one pass over src. It does not check the signature, nor
// anything that depends on a position (internal/standing). A refusal points
// at the member. Nothing of src is kept.
func Parse(src []byte, lim Limits) (*Span, error) {
	lim = lim.orDefault()
	if len(src) > sourceSlack*(lim.Header+lim.Payload) {
		return nil, refusef("span_too_large", "the span has %d bytes; a header may have %d and a payload %d", len(src), lim.Header, lim.Payload)
	}
	s := newScanner(src)
	defer s.free()
	r := spanReader{s: s}
	seen, err := s.top(&spanShape, anyInHeader|payloadAndSalt, r.read)
	if err != nil {
		return nil, err
	}
	if missing := payloadAndSalt &^ seen; missing&(1<<inPayload) != 0 {
		return nil, errMissing("payload")
	} else if missing != 0 {
		return nil, errMissing("salt")
	}
	sp := &r.span
	// The header's canonical form is never longer than its source.
	if len(src)-r.payloadLen > lim.Header && len(sp.Header.AppendCanonical(nil)) > lim.Header {
		return nil, errHeaderSize(lim)
	}
	if len(sp.Payload) > lim.Payload {
		return nil, within(refusef("payload_too_large", "the payload has more than %d bytes", lim.Payload), "payload")
	}
	if err := sp.checkPayload(); err != nil {
		return nil, err
	}
	return sp, nil
}

// ParseHeader reads a sealed header, the form a span has in an entry.
func ParseHeader(src []byte, lim Limits) (*Header, error) {
	lim = lim.orDefault()
	if len(src) > sourceSlack*lim.Header {
		return nil, errHeaderSize(lim)
	}
	s := scanner{src: src}
	r := spanReader{s: &s}
	if _, err := s.top(&spanShape, anyInHeader, r.read); err != nil {
		return nil, err
	}
	h := &r.span.Header
	if len(src) > lim.Header && len(h.AppendCanonical(nil)) > lim.Header {
		return nil, errHeaderSize(lim)
	}
	return h, nil
}

func errHeaderSize(lim Limits) error {
	return refusef("header_too_large", "the header has more than %d bytes; put data into the payload", lim.Header)
}

// checkPayload holds payload and salt against payload_hash.
func (s *Span) checkPayload() error {
	var salt [saltSize + 2]byte // Decode writes whole groups of three
	if n, err := b64u.Decode(salt[:], []byte(s.Salt)); err != nil || n != saltSize {
		return within(spanShape.wrong(inSalt, "b64u of exactly 16 bytes"), "salt")
	}
	var hash [43]byte
	sum := PayloadHash(salt[:saltSize], s.Payload)
	b64u.Encode(hash[:], sum[:])
	if string(hash[:]) != s.PayloadHash {
		return within(refuse("payload_hash_mismatch", "the hash is not that of salt and payload; one of the three was altered"), "payload_hash")
	}
	return nil
}

// spanReader reads the members of a span as the scanner meets them.
type spanReader struct {
	s          *scanner
	span       Span
	withheld   string
	payloadLen int // bytes of the payload in the source
}

func (r *spanReader) read(i int) (err error) {
	s, h := r.s, &r.span.Header
	switch i {
	case inPayload:
		return r.payload()
	case inV:
		return s.version(&spanShape, i)
	case inCauses:
		h.Causes, err = s.texts(maxCauses, IsUUIDv7, &spanShape, i, "a list of span ids (lower-case UUIDv7)")
		return err
	case inTags:
		h.Tags, err = s.texts(maxTags, shortText, &spanShape, i, "a list of tags of at most 256 bytes")
		return err
	case inSignature:
		return r.signature()
	}
	t, err := s.text()
	if err != nil {
		return err
	}
	var ok bool
	var want string
	switch i {
	case inAuthor:
		h.Author, ok, want = t, IsIdentity(t), "a LogLine ID (logline-id:// and 52 base32 characters)"
	case inID:
		h.ID, ok, want = t, IsUUIDv7(t), "a UUIDv7 in lower case"
	case inOccurredAt:
		h.OccurredAt, ok, want = t, isTime(t), wantTime
	case inOnBehalfOf:
		h.OnBehalfOf, ok, want = t, IsIdentity(t), "a LogLine ID (logline-id:// and 52 base32 characters)"
	case inPayloadHash:
		h.PayloadHash, ok, want = t, isB64Of(t, 32), "b64u of a SHA-256 digest"
	case inSalt:
		r.span.Salt, ok, want = t, isB64Of(t, saltSize), "b64u of exactly 16 bytes"
	case inStatus:
		h.Status, ok, want = t, t == StatusExecuted || t == StatusSimulated, "executed or simulated"
	case inSubject:
		h.Subject, ok, want = t, shortText(t), "at most 256 bytes"
	case inTenant:
		h.Tenant, ok, want = t, IsUUID(t), "a UUID in lower case"
	case inTime:
		h.Time, ok, want = t, isTime(t), wantTime
	case inTitle:
		h.Title, ok, want = t, len(t) <= maxTitle || utf8.RuneCountInString(t) <= maxTitle, "at most 256 code points"
	case inType:
		h.Type, ok, want = t, ValidType(t), "dot-separated lower-case segments, at most 128 bytes"
	case inVisibility:
		h.Visibility, ok, want = t, t == VisibilityPrivate || t == VisibilityOrganization || t == VisibilityPublic, "private, organization or public"
	case inWithheld:
		r.withheld, ok, want = t, t == WithheldRedacted || t == WithheldPrivate, "redacted or private"
	}
	if !ok {
		return spanShape.wrong(i, want)
	}
	return nil
}

func (r *spanReader) payload() (err error) {
	s := r.s
	if s.peek() != '{' {
		return s.mistyped("an object")
	}
	from := s.pos
	if size := len(s.src) - from; size < sharedText { // the header is the larger part of small spans
		if s.room, err = s.object(s.room[:0]); err == nil {
			r.span.Payload = bytes.Clone(s.room)
		}
	} else {
		r.span.Payload, err = s.object(make([]byte, 0, size))
	}
	r.payloadLen = s.pos - from
	return err
}

const wantTime = "a time of the form YYYY-MM-DDTHH:MM:SS.mmmZ"

func (r *spanReader) signature() error {
	_, err := r.s.shaped(&signatureShape, 3, func(i int) error {
		t, err := r.s.text()
		if err != nil {
			return err
		}
		if i == 0 {
			if r.span.Signature.Key = t; !isB64Of(t, 32) {
				return signatureShape.wrong(i, "b64u of a 32-byte public key")
			}
		} else if r.span.Signature.Value = t; !isB64Of(t, 64) {
			return signatureShape.wrong(i, "b64u of a 64-byte signature")
		}
		return nil
	})
	return err
}

func shortText(s string) bool { return len(s) <= maxSubject }
