package timeline

import (
	"context"
	"errors"
	"strings"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// maxWhyLinks bounds each list of a Why; Trace has the rest.
const maxWhyLinks = 1000

// Why explains one entry: who signed it, with which key and right, what was
// decided, what led to it, what it led to and what became of it. What the
// reader may not see is left out as if it were not there.
type Why struct {
	Record     Record
	Signer     Signer
	OnBehalfOf string // LogLine ID, "" for the author's own
	Causes     []Node
	Effects    []Node
	Unresolved []string // causes that are no entry the reader may see
	Acts       []Act    // what was done to it, in order
	Receipt    Receipt
}

// Signer is the author as of the entry's position.
type Signer struct {
	Identity string
	Subject  string   // person, organization, service, agent, node, ghost
	Key      string   // b64u public key that signed
	Primary  bool     // it was the identity's primary key
	Label    string   // of a delegated key
	Types    []string // patterns a delegated key may sign; nil for any but logline.*
	Roles    []string // held at the position
}

// Act is an entry that acted on the span: a logline.revert,
// logline.redaction, logline.approval or logline.resolution.
type Act struct {
	Node
	RecordedAt string
	Reason     string // of a revert, redaction or vote; of a resolution the reasons, while they are not erased
	Outcome    string // vote of an approval, outcome of a resolution
}

// Why explains a span; one the reader may not see is ErrSpanUnknown. Of a span
// that was refused it explains the entry that keeps the attempt.
func (l *Log) Why(ctx context.Context, tenant, spanID string, r standing.Reader) (Why, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Why{}, err
	}
	rec, err := l.visible(ctx, id, spanID, r)
	if errors.Is(err, ErrSpanUnknown) {
		rec, err = l.refusalOf(ctx, id, spanID, r)
	}
	if err != nil {
		return Why{}, err
	}
	spanID = rec.Entry.Span.ID
	w := Why{Record: rec, OnBehalfOf: rec.Entry.Span.OnBehalfOf}
	if w.Signer, err = l.signedBy(ctx, id, &rec); err != nil {
		return Why{}, err
	}
	if err := l.near(ctx, id, &w, r); err != nil {
		return Why{}, err
	}
	if w.Acts, err = l.acts(ctx, id, spanID, r); err != nil {
		return Why{}, err
	}
	w.Receipt, err = l.Receipt(ctx, id, rec.Seq)
	return w, err
}

// refusalOf is the entry that keeps a refused attempt to append a span.
func (l *Log) refusalOf(ctx context.Context, id, spanID string, r standing.Reader) (Record, error) {
	found, err := l.find(ctx, id, []string{spanID}, true)
	if err != nil {
		return Record{}, err
	}
	f, ok := found[spanID]
	if !ok || f.SpentBy != SpentByDecision || !f.Record.VisibleTo(r) {
		return Record{}, ErrSpanUnknown
	}
	return f.Record, nil
}

// signedBy finds the author's key and roles at a record's position.
func (l *Log) signedBy(ctx context.Context, tenant string, rec *Record) (Signer, error) {
	h := &rec.Entry.Span
	s := Signer{Identity: h.Author, Key: h.Signature.Key}
	v, err := l.StandingAt(ctx, tenant, max(rec.Seq, 2)) // entries 0 to 2 are judged by entry 1
	if err != nil {
		return s, err
	}
	s.Roles = v.Roles(h.Author)
	if chain, ok := v.Identity(h.Author); ok {
		s.Subject = chain.Subject()
		if g, ok := chain.Key(h.Signature.Key); ok {
			s.Primary, s.Label, s.Types = g.Primary, g.Label, g.Types
		}
	}
	return s, nil
}

// near fills the direct causes and effects.
func (l *Log) near(ctx context.Context, tenant string, w *Why, r standing.Reader) error {
	spanID := w.Record.Entry.Span.ID
	for _, dir := range []Direction{Causes, Effects} {
		g, err := l.Trace(ctx, tenant, spanID, dir, 1, r)
		if err != nil {
			return err
		}
		nodes := g.Nodes[1:min(len(g.Nodes), 1+maxWhyLinks)]
		if dir == Causes {
			w.Causes, w.Unresolved = nodes, g.Unresolved
		} else {
			w.Effects = nodes
		}
	}
	return nil
}

// acts lists what was done to a span.
func (l *Log) acts(ctx context.Context, tenant, spanID string, r standing.Reader) ([]Act, error) {
	links, err := l.store.Linked(ctx, tenant, LinkTarget, []string{spanID}, maxWhyLinks)
	if err != nil {
		return nil, err
	}
	seqs := make([]uint64, len(links))
	for i := range links {
		seqs[i] = links[i].From
	}
	records, err := l.store.At(ctx, tenant, seqs, true)
	if err != nil {
		return nil, err
	}
	var out []Act
	for i := range records {
		rec := &records[i]
		if err := rec.parse(); err != nil {
			return nil, err
		}
		if rec.VisibleTo(r) {
			out = append(out, ActOf(rec))
		}
	}
	return out, nil
}

// ActOf says what an entry does to the span that it names; its Entry is parsed.
func ActOf(rec *Record) Act {
	h := &rec.Entry.Span
	a := Act{Node: Node{ID: h.ID, Seq: rec.Seq, Type: h.Type, Author: h.Author, Depth: 1}, RecordedAt: rec.Entry.RecordedAt}
	switch h.Type {
	case span.TypeRevert:
		if p, err := span.ParseRevert(rec.Payload); err == nil {
			a.Reason = p.Reason
		}
	case span.TypeRedaction:
		if p, err := span.ParseRedaction(rec.Payload); err == nil {
			a.Reason = p.Reason
		}
	case span.TypeApproval:
		if p, err := span.ParseApproval(rec.Payload); err == nil {
			a.Reason, a.Outcome = p.Reason, p.Vote
		}
	case span.TypeResolution:
		if p, err := span.ParseResolution(rec.Payload); err == nil {
			a.Outcome = p.Outcome
		}
		if d, _, err := span.ParseDetail(rec.Detail); err == nil {
			a.Reason = strings.Join(d.Reasons, "; ")
		}
	}
	return a
}

// foldedTypes are the entries that keys, members and roles follow from.
var foldedTypes = []string{
	span.TypeGenesis, span.TypeIdentity, span.TypeMember, span.TypeResolution, span.TypeHandover, span.TypeEpoch, span.TypeTenant,
}

// StandingAt is the standing that judged entry seq: keys, members, roles and
// epoch after the entries before it. Beyond the end it is the head's.
func (l *Log) StandingAt(ctx context.Context, tenant string, seq uint64) (standing.View, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, err
	}
	later, err := l.store.Select(ctx, id, &Filter{Types: foldedTypes, From: seq, To: ^uint64(0), Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(later.Records) == 0 && !later.More { // nothing changed since
		return l.Standing(ctx, id)
	}
	state := standing.New(accepted{})
	tx := state.Begin()
	look := &lookup{log: l, ctx: ctx, tenant: id}
	err = l.each(ctx, id, &Filter{Types: foldedTypes, To: seq, Limit: MaxLimit}, func(rec *Record) error {
		look.status = statusThen(rec.Entry.Span.Type)
		if _, err := tx.Apply(rec.Entry, rec.Payload, look.ref); err != nil {
			return err
		}
		return look.err
	})
	if err != nil {
		return nil, err
	}
	tx.Commit()
	return state, nil
}

// accepted verifies nothing: for key events that were verified when their
// entries were appended. Checking a large timeline's again costs seconds.
type accepted struct{}

// Verify implements id.Verifier.
func (accepted) Verify(_, _, _ []byte) bool { return true }

// each walks every entry that a filter matches, in order.
func (l *Log) each(ctx context.Context, tenant string, f *Filter, visit func(*Record) error) error {
	for {
		sel, err := l.store.Select(ctx, tenant, f)
		if err != nil {
			return err
		}
		for i := range sel.Records {
			if err := sel.Records[i].parse(); err != nil {
				return err
			}
			if err := visit(&sel.Records[i]); err != nil {
				return err
			}
		}
		if !sel.More {
			return nil
		}
		f.resume(sel.Resume)
	}
}

// nodeEvents are the sealed key events of an identity that the first size
// entries of a timeline embed, in order.
func (l *Log) nodeEvents(ctx context.Context, tenant, identity string, size uint64) ([][]byte, error) {
	var events [][]byte
	known := map[string]bool{} // b64u hashes of the identity's events
	err := l.each(ctx, tenant, &Filter{Types: []string{span.TypeIdentity}, To: size, Limit: MaxLimit}, func(rec *Record) error {
		p, err := span.ParseIdentity(rec.Payload)
		if err != nil {
			return err
		}
		e, err := id.ParseEvent(p.Event)
		if err != nil {
			return err
		}
		if e.Kind == id.KindInception && e.IdentityID() == identity || known[e.Prev] || known[e.Under] {
			known[e.SealedHash().String()] = true
			events = append(events, e.Raw)
		}
		return nil
	})
	return events, err
}
