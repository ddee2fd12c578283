package span

// Values of Header.Status. A simulated span is decided and never recorded.
const (
	StatusExecuted  = "executed"
	StatusSimulated = "simulated"
)

// Values of Header.Visibility.
const (
	VisibilityPrivate      = "private"      // its author, on_behalf_of and auditors
	VisibilityOrganization = "organization" // members
	VisibilityPublic       = "public"       // anyone, where the tenant has public reading on
)

// spanDomain is the domain line of every span signature.
const spanDomain = "logline.span.v1\n"

// Signature is an Ed25519 signature with the public key that made it, both
// b64u (32 and 64 bytes).
type Signature struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Decode gives the bytes of both; false where one is not strict b64u of its size.
func (s *Signature) Decode(key *[32]byte, value *[64]byte) bool {
	return decodeB64(key[:], s.Key) && decodeB64(value[:], s.Value)
}

// Header is the sealed span without payload and salt: what enters the tree
// (PROTOCOL §3). Its `v` is always 1 and has no field. Empty fields are absent
// members.
type Header struct {
	ID          string    `json:"id"`     // UUIDv7
	Tenant      string    `json:"tenant"` // UUID
	Author      string    `json:"author"` // LogLine ID
	Type        string    `json:"type"`
	Title       string    `json:"title,omitempty"`   // ≤ 256 code points
	Subject     string    `json:"subject,omitempty"` // ≤ 256 bytes
	Tags        []string  `json:"tags,omitempty"`    // ≤ 32, each ≤ 256 bytes
	Time        string    `json:"time"`
	OccurredAt  string    `json:"occurred_at,omitempty"`
	OnBehalfOf  string    `json:"on_behalf_of,omitempty"` // LogLine ID
	Status      string    `json:"status"`
	Visibility  string    `json:"visibility"`
	Causes      []string  `json:"causes,omitempty"` // ≤ 64 span ids
	PayloadHash string    `json:"payload_hash"`
	Signature   Signature `json:"signature"`
}

// Span is a header with what it hashes. Payload is JCS bytes and Salt b64u of
// 16 bytes; both are empty when withheld.
type Span struct {
	Header
	Payload []byte
	Salt    string
}

// AppendCanonical appends JCS of the sealed header to dst. The members stand
// in RFC 8785 order by hand: this is the hot path of submit and verify.
func (h *Header) AppendCanonical(dst []byte) []byte {
	return h.appendMembers(dst, true, nil, "", "")
}

// Message is what the span's signature covers: the domain line and JCS of the
// header without its signature.
func (h *Header) Message() []byte { return h.AppendMessage(make([]byte, 0, 1024)) }

// AppendMessage appends Message to dst.
func (h *Header) AppendMessage(dst []byte) []byte {
	return h.appendMembers(append(dst, spanDomain...), false, nil, "", "")
}

// Hash is header_hash, H(JCS(header)).
func (h *Header) Hash() Hash {
	var buf [1536]byte
	return Sum(h.AppendCanonical(buf[:0]))
}

// Canonical is JCS of the whole span; without payload and salt when withheld.
func (s *Span) Canonical() []byte {
	dst := make([]byte, 0, 1024+len(s.Payload))
	return s.appendMembers(dst, true, s.Payload, s.Salt, "")
}

func (h *Header) appendMembers(dst []byte, sealed bool, payload []byte, salt, withheld string) []byte {
	dst = append(dst, `{"author":`...)
	dst = AppendString(dst, h.Author)
	dst = appendList(dst, `,"causes":`, h.Causes)
	dst = appendMember(dst, `,"id":`, h.ID)
	dst = appendOptional(dst, `,"occurred_at":`, h.OccurredAt)
	dst = appendOptional(dst, `,"on_behalf_of":`, h.OnBehalfOf)
	if payload != nil {
		dst = append(dst, `,"payload":`...)
		dst = append(dst, payload...)
	}
	dst = appendMember(dst, `,"payload_hash":`, h.PayloadHash)
	dst = appendOptional(dst, `,"salt":`, salt)
	if sealed {
		dst = appendMember(dst, `,"signature":{"key":`, h.Signature.Key)
		dst = appendMember(dst, `,"value":`, h.Signature.Value)
		dst = append(dst, '}')
	}
	dst = appendMember(dst, `,"status":`, h.Status)
	dst = appendOptional(dst, `,"subject":`, h.Subject)
	dst = appendList(dst, `,"tags":`, h.Tags)
	dst = appendMember(dst, `,"tenant":`, h.Tenant)
	dst = appendMember(dst, `,"time":`, h.Time)
	dst = appendOptional(dst, `,"title":`, h.Title)
	dst = appendMember(dst, `,"type":`, h.Type)
	dst = appendMember(dst, `,"v":1,"visibility":`, h.Visibility)
	dst = appendOptional(dst, `,"withheld":`, withheld)
	return append(dst, '}')
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	return AppendString(dst, value)
}

func appendOptional(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendMember(dst, name, value)
}

func appendList(dst []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(dst, name...)
	sep := byte('[')
	for _, v := range values {
		dst = append(dst, sep)
		dst = AppendString(dst, v)
		sep = ','
	}
	return append(dst, ']')
}
