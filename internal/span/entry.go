package span

import "strconv"

// Limits of PROTOCOL §4, in bytes of JCS.
const (
	MaxLine     = 65_535
	MaxDecision = 32 << 10
)

// Values of Decision.Outcome.
const (
	OutcomeAllow   = "allow"
	OutcomePending = "pending"
)

// Transition is one step of a workflow instance, named by an opaque key.
type Transition struct {
	Workflow string `json:"workflow"`
	Key      string `json:"key"`
	From     string `json:"from"`
	To       string `json:"to"`
}

// Decision says why an entry was let through (PROTOCOL §4). Empty fields are
// absent members; Effects and Values are JCS objects or nil.
type Decision struct {
	Outcome     string       `json:"outcome"`
	Evaluator   string       `json:"evaluator,omitempty"`
	Contracts   []string     `json:"contracts,omitempty"` // name@version#hash
	Rules       []string     `json:"rules,omitempty"`     // name/rule
	Tags        []string     `json:"tags,omitempty"`
	Transitions []Transition `json:"transitions,omitempty"`
	Effects     []byte       `json:"-"`
	Values      []byte       `json:"-"`
	DetailHash  string       `json:"detail_hash,omitempty"`
}

// Entry is one position of a timeline: a header, its decision, and when its
// batch was decided.
type Entry struct {
	Seq        uint64
	RecordedAt string
	Span       Header
	Decision   Decision
}

// AppendLine appends the entry's line, JCS, to dst. The caller holds it
// against MaxLine.
func (e *Entry) AppendLine(dst []byte) []byte {
	o := Opened{Entry: *e}
	return o.AppendLine(dst)
}

// Opened is an entry as a reader or a bundle sees it: payload, salt and detail
// put back, or the reason why they are gone in their place (PROTOCOL §6).
// Payload and Detail are JCS bytes.
type Opened struct {
	Entry
	Payload        []byte
	Salt           string
	Detail         []byte
	Withheld       string // of payload and salt: "", "redacted" or "private"
	DetailWithheld string // of the detail
}

// Values of Opened.Withheld and Opened.DetailWithheld.
const (
	WithheldRedacted = "redacted"
	WithheldPrivate  = "private"
)

// AppendLine appends JCS of the opened entry to dst. With nothing put back it
// is the entry's line.
func (o *Opened) AppendLine(dst []byte) []byte {
	dst = append(dst, `{"decision":`...)
	dst = o.Decision.appendMembers(dst, o.Detail, o.DetailWithheld)
	dst = appendMember(dst, `,"recorded_at":`, o.RecordedAt)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, o.Seq, 10)
	dst = append(dst, `,"span":`...)
	dst = o.Span.appendMembers(dst, true, o.Payload, o.Salt, o.Withheld)
	return append(dst, `,"v":1}`...)
}

// AppendCanonical appends JCS of the decision to dst.
func (d *Decision) AppendCanonical(dst []byte) []byte { return d.appendMembers(dst, nil, "") }

func (d *Decision) appendMembers(dst, detail []byte, withheld string) []byte {
	at := len(dst)
	dst = appendList(dst, `,"contracts":`, d.Contracts)
	if detail != nil {
		dst = append(dst, `,"detail":`...)
		dst = append(dst, detail...)
	}
	dst = appendOptional(dst, `,"detail_hash":`, d.DetailHash)
	if d.Effects != nil {
		dst = append(dst, `,"effects":`...)
		dst = append(dst, d.Effects...)
	}
	dst = appendOptional(dst, `,"evaluator":`, d.Evaluator)
	dst = appendMember(dst, `,"outcome":`, d.Outcome)
	dst = appendList(dst, `,"rules":`, d.Rules)
	dst = appendList(dst, `,"tags":`, d.Tags)
	if len(d.Transitions) > 0 {
		dst = append(dst, `,"transitions":`...)
		sep := byte('[')
		for i := range d.Transitions {
			t := &d.Transitions[i]
			dst = append(dst, sep)
			dst = appendMember(dst, `{"from":`, t.From)
			dst = appendMember(dst, `,"key":`, t.Key)
			dst = appendMember(dst, `,"to":`, t.To)
			dst = appendMember(dst, `,"workflow":`, t.Workflow)
			dst = append(dst, '}')
			sep = ','
		}
		dst = append(dst, ']')
	}
	if d.Values != nil {
		dst = append(dst, `,"values":`...)
		dst = append(dst, d.Values...)
	}
	dst = appendOptional(dst, `,"withheld":`, withheld)
	dst[at] = '{' // outcome is always there, so the first member's comma is too
	return append(dst, '}')
}
