// Package people follows a recorded timeline entry by entry and knows who holds
// which keys and roles at each position. It trusts the record: ordinary entries
// are not judged again (logline verify does that), and it decides nothing.
package people

import (
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// People is who stands where after the entries taken so far. It is not safe for
// concurrent use; View may be read by many between two calls.
type People struct {
	tx *standing.Tx
	// Pending spans, of which roles may depend.
	pending map[string]standing.Ref
}

// New begins before the first entry.
func New() *People {
	return &People{tx: standing.New(id.DefaultVerifier()).Begin(), pending: map[string]standing.Ref{}}
}

// View answers as of the entries taken so far.
func (p *People) View() *standing.Tx { return p.tx }

// Tenant is the timeline as expressions see it; empty before its first entry.
func (p *People) Tenant() expr.Tenant {
	g := p.tx.Genesis()
	if g == nil {
		return expr.Tenant{}
	}
	return expr.Tenant{ID: g.Tenant, Slug: g.Slug, Name: g.Name}
}

// Moves says of an entry that it may change who holds which keys and roles.
func (p *People) Moves(e *span.Opened) bool {
	switch e.Span.Type {
	case span.TypeRevert, span.TypeRedaction, span.TypeDecision, span.TypeApproval, span.TypeContract, span.TypeEvidence:
		return false
	case span.TypeResolution:
		r, err := span.ParseResolution(e.Payload)
		return err == nil && p.pending[r.Span].ID != "" // else of a span that gives nobody a role
	}
	return strings.HasPrefix(e.Span.Type, "logline.")
}

// Take goes past an entry. It fails where the entry does not follow from those
// before it, and where its payload is withheld from the reader.
func (p *People) Take(e *span.Opened) error {
	if !p.Moves(e) {
		return nil
	}
	if e.Payload == nil {
		return fault.Newf(fault.Forbidden, "entries_withheld", "entry %d (%s) is withheld from its reader; who may read private entries, such as an auditor, can decide this timeline again", e.Seq, e.Span.Type)
	}
	look := func(spanID string) (standing.Ref, bool) { r, ok := p.pending[spanID]; return r, ok }
	change, err := p.tx.Apply(&e.Entry, e.Payload, look)
	if err != nil {
		return fault.Newf(fault.Invalid, "entries_unsound", "entry %d does not follow from those before it; logline verify says what is wrong", e.Seq).Because(err)
	}
	p.tx.Commit()
	for _, s := range change.Statuses {
		delete(p.pending, s.SpanID)
	}
	if standing.InitialStatus(&e.Entry) == standing.StatusPending {
		p.pending[e.Span.ID] = standing.Ref{
			ID: e.Span.ID, Seq: e.Seq, Author: e.Span.Author, OnBehalfOf: e.Span.OnBehalfOf, Type: e.Span.Type,
			Visibility: e.Span.Visibility, Status: standing.StatusPending, HeaderHash: e.Span.Hash(),
		}
	}
	return nil
}

// Objects says whether keys and roles stand against an entry, at its place, with
// another payload.
func (p *People) Objects(e *span.Entry, payload []byte) bool {
	look := func(spanID string) (standing.Ref, bool) { r, ok := p.pending[spanID]; return r, ok }
	return p.tx.Check(&e.Span, payload, standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt}, look) != nil
}
