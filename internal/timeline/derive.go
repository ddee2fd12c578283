package timeline

import (
	"slices"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// RowOf is an entry with the fields that a store filters by. All of them follow
// from the line and, for targets, from payloads that are never redacted. r.Entry
// must be set; Status is that of a new entry.
func RowOf(r *Record) Row {
	e := r.Entry
	h := &e.Span
	status := standing.InitialStatus(e)
	row := Row{
		Seq: e.Seq, Line: r.Line, Leaf: r.Leaf, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail,
		ID: h.ID, RecordedAt: e.RecordedAt, Type: h.Type, Author: h.Author, OnBehalfOf: h.OnBehalfOf, Subject: h.Subject,
		Visibility: h.Visibility, Status: status, Initial: status,
	}
	for _, tag := range h.Tags {
		if !slices.Contains(row.Tags, tag) {
			row.Tags = append(row.Tags, tag)
		}
	}
	link := func(kind LinkKind, id string) {
		if l := (RowLink{Kind: kind, ID: id}); !slices.Contains(row.Links, l) {
			row.Links = append(row.Links, l)
		}
	}
	for _, id := range h.Causes {
		link(LinkCause, id)
	}
	for _, id := range targets(h.Type, r.Payload) {
		link(LinkTarget, id)
	}
	return row
}

// Spends are the span ids that a record's entry spends; r.Entry must be set.
func Spends(r *Record) ([]SpentID, error) { return spends(r.Entry, r.Payload) }

// spends are the span ids that an entry spends: its own, and for a
// logline.decision that of the attempt it refuses.
func spends(e *span.Entry, payload []byte) ([]SpentID, error) {
	spent := []SpentID{{ID: e.Span.ID, Spent: Spent{Seq: e.Seq, By: SpentByEntry}}}
	if e.Span.Type == span.TypeDecision {
		refused, err := span.ParseRefusal(payload)
		if err != nil {
			return nil, err
		}
		spent = append(spent, SpentID{ID: refused.Span, Spent: Spent{Seq: e.Seq, By: SpentByDecision}})
	}
	return spent, nil
}

// targets are the spans that a reserved span acts on. The payload has been
// checked; one that does not parse acts on nothing.
func targets(typ string, payload []byte) []string {
	switch typ {
	case span.TypeRevert:
		if p, err := span.ParseRevert(payload); err == nil {
			return []string{p.Span}
		}
	case span.TypeApproval:
		if p, err := span.ParseApproval(payload); err == nil {
			return []string{p.Span}
		}
	case span.TypeResolution:
		if p, err := span.ParseResolution(payload); err == nil {
			return []string{p.Span}
		}
	case span.TypeRedaction:
		if p, err := span.ParseRedaction(payload); err == nil {
			ids := make([]string, len(p.Spans))
			for i, r := range p.Spans {
				ids[i] = r.Span
			}
			return ids
		}
	}
	return nil
}

// embeds is the identity whose inception an entry embeds, "" for none.
func embeds(typ string, payload []byte) string {
	if typ != span.TypeIdentity {
		return ""
	}
	p, err := span.ParseIdentity(payload)
	if err != nil {
		return ""
	}
	e, err := id.ParseEvent(p.Event)
	if err != nil || e.Kind != id.KindInception {
		return ""
	}
	return e.IdentityID()
}
