package span

import "bytes"

const (
	inDecision = iota
	inRecordedAt
	inSeq
	inSpan
	inEntryV
)

var entryShape = shape{kind: "entry", names: []string{"decision", "recorded_at", "seq", "span", "v"}, required: 1<<5 - 1}

const (
	inContracts = iota
	inDetail
	inDetailHash
	inEffects
	inEvaluator
	inOutcome
	inRules
	inDecisionTags
	inTransitions
	inValues
	inDetailWithheld
)

const anyInDecision = (1<<inDetailWithheld - 1) &^ (1 << inDetail)

var decisionShape = shape{
	kind: "decision",
	names: []string{"contracts", "detail", "detail_hash", "effects", "evaluator", "outcome", "rules", "tags",
		"transitions", "values", "withheld"},
	required: 1 << inOutcome,
}

var transitionShape = shape{kind: "transition", names: []string{"from", "key", "to", "workflow"}, required: 1<<4 - 1}

// ParseLine reads one line of a timeline. The line must be canonical: reading
// and writing it again gives the same bytes, at most 65,535. A simulated span
// has no entry.
func ParseLine(line []byte) (*Entry, error) {
	if len(line) > MaxLine {
		return nil, refusef("line_too_large", "the line has %d bytes; at most %d are allowed", len(line), MaxLine)
	}
	o, err := parseEntry(line, false)
	if err != nil {
		return nil, err
	}
	var buf [2048]byte
	if !bytes.Equal(o.AppendLine(buf[:0]), line) {
		return nil, refuse("line_not_canonical", "the line is not in canonical form (RFC 8785)")
	}
	return &o.Entry, nil
}

// ParseOpened reads an entry as a bundle or a reader's answer holds it:
// payload, salt and detail put back or withheld (PROTOCOL §6). It checks form
// and limits; hashes are checked by CheckHashes. The source need not be
// canonical.
func ParseOpened(src []byte, lim Limits) (*Opened, error) {
	lim = lim.orDefault()
	if len(src) > sourceSlack*(MaxLine+lim.Payload+maxDetail) {
		return nil, refusef("line_too_large", "the line has %d bytes, more than any entry with its payload", len(src))
	}
	o, err := parseEntry(src, true)
	if err != nil {
		return nil, err
	}
	if len(o.Payload) > lim.Payload {
		return nil, within(within(refusef("payload_too_large", "the payload has more than %d bytes", lim.Payload), "payload"), "span")
	}
	return o, nil
}

// CheckHashes holds the payload and the detail that were put back against the
// hashes in the line. What is withheld is not checked.
func (o *Opened) CheckHashes() error {
	if o.Payload != nil {
		sp := Span{Header: o.Span, Payload: o.Payload, Salt: o.Salt}
		if err := sp.checkPayload(); err != nil {
			return within(err, "span")
		}
	}
	if o.Detail == nil {
		return nil
	}
	d, _, err := ParseDetail(o.Detail)
	if err != nil {
		return within(within(err, "detail"), "decision")
	}
	if d.Hash().String() != o.Decision.DetailHash {
		return within(within(refuse("detail_hash_mismatch", "the hash is not that of the detail; one of the two was altered"), "detail_hash"), "decision")
	}
	return nil
}

// parseEntry reads an entry; open says whether what the line only hashes may
// stand in it.
func parseEntry(src []byte, open bool) (*Opened, error) {
	s := newScanner(src)
	defer s.free()
	if open {
		s.depth = -2 // a payload stands one level deeper than in its span, a detail two
	}
	o := &Opened{}
	_, err := s.top(&entryShape, 1<<5-1, func(i int) (err error) {
		switch i {
		case inDecision:
			return s.decision(o, open)
		case inRecordedAt:
			if o.RecordedAt, err = s.text(); err == nil && !isTime(o.RecordedAt) {
				return entryShape.wrong(i, wantTime)
			}
			return err
		case inSeq:
			o.Seq, err = s.count(&entryShape, i)
			return err
		case inSpan:
			return s.sealed(o, open)
		default:
			return s.version(&entryShape, i)
		}
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (s *scanner) sealed(o *Opened, open bool) error {
	r := spanReader{s: s}
	allowed := uint32(anyInHeader)
	if open {
		allowed |= payloadAndSalt | 1<<inWithheld
	}
	seen, err := s.shaped(&spanShape, allowed, r.read)
	if err != nil {
		return err
	}
	if r.span.Status != StatusExecuted {
		return within(refuse("entry_simulated", "a simulated span is never an entry"), "status")
	}
	o.Span, o.Payload, o.Salt, o.Withheld = r.span.Header, r.span.Payload, r.span.Salt, r.withheld
	if !open {
		return nil
	}
	switch seen & (payloadAndSalt | 1<<inWithheld) {
	case payloadAndSalt, 1 << inWithheld, 0:
		return nil
	}
	return refuse("span_withheld_invalid", "payload and salt stand together, or withheld says why they are gone")
}

func (s *scanner) decision(o *Opened, open bool) error {
	d := &o.Decision
	s.peek()
	from := s.pos
	allowed := uint32(anyInDecision)
	if open {
		allowed |= 1<<inDetail | 1<<inDetailWithheld
	}
	seen, err := s.shaped(&decisionShape, allowed, func(i int) (err error) {
		switch i {
		case inContracts:
			d.Contracts, err = s.texts(maxListed, anyText, &decisionShape, i, "")
		case inDetail:
			o.Detail, err = s.embedded(false)
		case inDetailHash:
			if d.DetailHash, err = s.text(); err == nil && !isB64Of(d.DetailHash, 32) {
				return decisionShape.wrong(i, "b64u of a SHA-256 digest")
			}
		case inEffects:
			d.Effects, err = s.embedded(true)
		case inEvaluator:
			d.Evaluator, err = s.text()
		case inOutcome:
			if d.Outcome, err = s.text(); err == nil && d.Outcome != OutcomeAllow && d.Outcome != OutcomePending {
				return decisionShape.wrong(i, "allow or pending")
			}
		case inRules:
			d.Rules, err = s.texts(maxListed, anyText, &decisionShape, i, "")
		case inDecisionTags:
			d.Tags, err = s.texts(maxListed, anyText, &decisionShape, i, "")
		case inTransitions:
			err = s.list(maxListed, func(int) error { return s.transition(d) })
		case inValues:
			d.Values, err = s.embedded(true)
		default:
			o.DetailWithheld, err = s.text()
			if err == nil && o.DetailWithheld != WithheldRedacted && o.DetailWithheld != WithheldPrivate {
				return decisionShape.wrong(i, "redacted or private")
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	const both = 1<<inDetail | 1<<inDetailWithheld
	if seen&both == both || seen&both != 0 && seen&(1<<inDetailHash) == 0 {
		return refuse("decision_detail_invalid", "a detail stands beside its detail_hash, or withheld says why it is gone")
	}
	if s.pos-from < MaxDecision/8 { // canonical numbers are at most 5 times longer
		return nil
	}
	return d.CheckSize()
}

// maxListed bounds the lists of a decision, whose real limit is its size.
const maxListed = MaxDecision

// CheckSize refuses a decision of more than MaxDecision bytes of JCS, without
// its detail. Fails with decision_too_large.
func (d *Decision) CheckSize() error {
	var buf [2048]byte
	if len(d.AppendCanonical(buf[:0])) > MaxDecision {
		return refusef("decision_too_large", "the decision has more than %d bytes", MaxDecision)
	}
	return nil
}

func (s *scanner) transition(d *Decision) error {
	var t Transition
	into := [...]*string{&t.From, &t.Key, &t.To, &t.Workflow}
	_, err := s.shaped(&transitionShape, 1<<4-1, func(i int) (err error) {
		*into[i], err = s.text()
		return err
	})
	d.Transitions = append(d.Transitions, t)
	return err
}

func anyText(string) bool { return true }

// digestChars is how many characters b64u of a digest has.
const digestChars = 43

var payloadHashMember = []byte(`,"payload_hash":"`)

// AppendWithPayload appends to dst what Opened.AppendLine gives for the entry of
// a line, which must be canonical, with its payload and salt put back. It does
// not parse: a quote within a text is escaped, so that the last such member is
// the span's. ok is false for what it cannot do: entries whose decision has a
// detail, and lines that are none; nothing is appended then.
func AppendWithPayload(dst, line, payload []byte, salt string) (out []byte, ok bool) {
	at := lastIndex(line, payloadHashMember)
	end := at + len(payloadHashMember) + digestChars + 1
	if at < 0 || end > len(line) || line[end-1] != '"' || hasDetail(line) {
		return dst, false
	}
	dst = append(dst, line[:at]...)
	dst = append(dst, `,"payload":`...)
	dst = append(dst, payload...)
	dst = append(dst, line[at:end]...)
	dst = appendMember(dst, `,"salt":`, salt)
	return append(dst, line[end:]...), true
}

// lastIndex is bytes.LastIndex, which goes byte by byte, for what stands in a
// line once, save where somebody plays tricks.
func lastIndex(line, member []byte) int {
	last := -1
	for from := 0; ; {
		at := bytes.Index(line[from:], member)
		if at < 0 {
			return last
		}
		last = from + at
		from = last + 1
	}
}

// hasDetail says whether the decision of a canonical line may have a detail_hash:
// nothing but a list of texts comes before that, and outcome, which every decision
// has, after it.
func hasDetail(line []byte) bool {
	head, _, _ := bytes.Cut(line, []byte(`"outcome":`))
	return bytes.Contains(head, []byte(`"detail_hash":`))
}

// LineVisibility is the visibility of the span in an entry's line, which must be
// canonical, where that is organization or public; "" for anything else. It does
// not parse: visibility is the last member of a header, the header the last but
// one of an entry, and a quote within a text is escaped.
func LineVisibility(line []byte) string {
	rest, ok := bytes.CutSuffix(line, []byte(`"},"v":1}`))
	if !ok {
		return ""
	}
	for _, visibility := range []string{VisibilityOrganization, VisibilityPublic} {
		if before, ok := bytes.CutSuffix(rest, []byte(visibility)); ok && bytes.HasSuffix(before, []byte(`,"v":1,"visibility":"`)) {
			return visibility
		}
	}
	return ""
}
