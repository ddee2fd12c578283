package timeline

import (
	"bytes"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Admit checks a draft at the next position by every rule of standing and
// takes it in. recorded_at is recordedAt, or the last entry's where that is
// later. A refused draft leaves the session as it was; the refusal is
// standing's, or ErrSpent, line_too_large, decision_too_large,
// detail_mismatch. Where the store fails meanwhile, that is the answer to this
// and everything after it. The span's Ed25519 signature and time window are the
// caller's to check. The draft is kept until the session ends.
func (s *Session) Admit(d *Draft, recordedAt string) (seq uint64, err error) {
	if s.err != nil {
		return 0, s.err
	}
	a, err := s.draw(d, recordedAt)
	if err != nil {
		return 0, err
	}
	if err := s.free(a.spent); err != nil {
		return 0, err
	}
	h := &a.entry.Span
	err = s.tx.Check(h, d.Span.Payload, standing.Position{Seq: a.entry.Seq, RecordedAt: a.entry.RecordedAt}, s.look)
	if s.err != nil { // the store failed while the rules asked
		return 0, s.err
	}
	if err != nil {
		return 0, err
	}
	rows, err := s.fold(a)
	if err != nil {
		return 0, err
	}
	entry := a.entry
	if s.rehearsed && h.Status == span.StatusSimulated {
		played := *entry
		played.Span.Status, entry = span.StatusExecuted, &played
	}
	change, err := s.tx.Apply(entry, d.Span.Payload, s.look)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		s.rows.put(rows)
	}
	s.take(a, change)
	return a.entry.Seq, nil
}

// draw makes the entry of a draft at the next position.
func (s *Session) draw(d *Draft, recordedAt string) (*admitted, error) {
	seq := s.head.Size + uint64(len(s.admitted))
	e := &span.Entry{Seq: seq, RecordedAt: max(recordedAt, s.last), Span: d.Span.Header, Decision: d.Decision}
	var room [2048]byte
	if len(d.Decision.AppendCanonical(room[:0])) > maxDecision {
		return nil, fault.Newf(fault.Invalid, "decision_too_large", "the decision about this span has more than %d bytes", maxDecision)
	}
	if err := checkDetail(d); err != nil {
		return nil, err
	}
	a := &admitted{draft: *d, entry: e, line: bytes.Clone(e.AppendLine(room[:0]))}
	if len(a.line) > span.MaxLine {
		return nil, fault.Newf(fault.Invalid, "line_too_large",
			"header and decision make a line of %d bytes, the limit is %d; shorten tags, causes or subject", len(a.line), span.MaxLine)
	}
	a.leaf = span.LeafHash(a.line)
	var err error
	if a.spent, err = spends(e, d.Span.Payload); err != nil {
		return nil, err
	}
	return a, nil
}

func checkDetail(d *Draft) error {
	if d.Detail == nil && d.Decision.DetailHash == "" {
		return nil
	}
	detail, _, err := span.ParseDetail(d.Detail)
	if err != nil {
		return err
	}
	if detail.Hash().String() != d.Decision.DetailHash {
		return fault.New(fault.Internal, "detail_mismatch", "the decision does not hash the detail that came with it")
	}
	return nil
}

// free makes sure that ids are unspent and different. In a guess it knows of the
// session's own ids alone; the store refuses the others.
func (s *Session) free(ids []SpentID) error {
	if len(ids) == 2 && ids[0].ID == ids[1].ID {
		return ErrSpent
	}
	for _, id := range ids {
		if _, known := s.found[id.ID]; s.guess && !known {
			continue
		}
		found, err := s.Find(s.ctx, []string{id.ID})
		if err != nil {
			s.fail(err) // the store's trouble, not the draft's
			return err
		}
		if len(found) > 0 {
			return ErrSpent
		}
	}
	return nil
}

// take records what was admitted and what it changes.
func (s *Session) take(a *admitted, change standing.Change) {
	s.admitted = append(s.admitted, *a)
	s.last = a.entry.RecordedAt
	r := Record{Seq: a.entry.Seq, Line: a.line, Entry: a.entry, Status: standing.InitialStatus(a.entry)}
	for _, id := range a.spent {
		delete(s.unspent, id.ID)
		s.found[id.ID] = Found{Ref: r.ref(), Record: r, SpentBy: id.By, Pending: true}
	}
	for _, c := range change.Statuses {
		s.changes = append(s.changes, c)
		if f, ok := s.found[c.SpanID]; ok {
			f.Ref.Status, f.Record.Status = c.Status, c.Status
			s.found[c.SpanID] = f
		}
	}
	for _, ref := range change.Redacted {
		if !slices.Contains(s.redacted, ref.Seq) {
			s.redacted = append(s.redacted, ref.Seq)
		}
	}
	if identity := embeds(a.entry.Span.Type, a.draft.Span.Payload); identity != "" && !slices.Contains(s.embedded, identity) {
		s.embedded = append(s.embedded, identity)
	}
}
