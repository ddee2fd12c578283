package standing

import (
	"strconv"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// target finds the entry that a payload names by id and header hash. Whoever
// may not read the entry learns nothing from a wrong hash: it is answered like
// an id that does not exist.
func (t *Tx) target(author, spanID, headerHash string, look Lookup) (Ref, error) {
	unknown := fault.New(fault.Conflict, "target_unknown", "no entry of this timeline has this span id").At("/span", "is unknown")
	r, ok := look(spanID)
	if !ok {
		return Ref{}, unknown
	}
	if r.HeaderHash.String() != headerHash {
		if author != t.node && !MayRead(ReaderFor(t, author, false), r.Visibility, r.Author, r.OnBehalfOf) {
			return Ref{}, unknown
		}
		return Ref{}, fault.New(fault.Conflict, "target_mismatch", "the header hash is not that of the entry with this span id").At("/header_hash", "must be "+r.HeaderHash.String())
	}
	return r, nil
}

func (t *Tx) pendingTarget(author, spanID, headerHash string, look Lookup) (Ref, error) {
	r, err := t.target(author, spanID, headerHash, look)
	if err == nil && r.Status != StatusPending {
		return r, fault.Newf(fault.Conflict, "target_not_pending", "the span does not wait for votes; its status is %s", r.Status).At("/span", "is "+r.Status)
	}
	return r, err
}

// approval changes nothing here: what a vote is worth is the contract's.
func (t *Tx) approval(author string, payload []byte, look Lookup) error {
	p, err := span.ParseApproval(payload)
	if err != nil {
		return err
	}
	_, err = t.pendingTarget(author, p.Span, p.HeaderHash, look)
	return err
}

// resolution settles a pending span, whose effect happens now or never.
func (t *Tx) resolution(payload []byte, at Position, look Lookup) (*effect, error) {
	p, err := span.ParseResolution(payload)
	if err != nil {
		return nil, err
	}
	r, err := t.pendingTarget(t.node, p.Span, p.HeaderHash, look)
	if err != nil {
		return nil, err
	}
	e := &effect{}
	status := StatusRejected
	if p.Outcome == span.ResolutionExecuted {
		status = StatusExecuted
		if h, ok := t.held(p.Span); ok {
			if e, err = t.late(h, at, look); err != nil {
				return nil, err
			}
		}
	}
	e.settles = p.Span
	e.change.Statuses = append([]StatusChange{{p.Span, r.Seq, status}}, e.change.Statuses...)
	return e, nil
}

// late judges again, at the resolution, what a pending span asked for.
func (t *Tx) late(h held, at Position, look Lookup) (*effect, error) {
	err := t.checkAuthor(&span.Header{Type: h.Type, Author: h.Author})
	var e *effect
	if err == nil {
		e, err = t.effectOf(h.Type, h.Author, h.Payload, at, look)
	}
	if err != nil {
		return nil, fault.New(fault.Conflict, "resolution_impossible", "what the pending span asked for cannot be done any more; resolve it as rejected").
			With("because", fault.CodeOf(err)).Because(err)
	}
	return e, nil
}

// refusal is evidence of an attempt by somebody enrolled; it names a span that
// is no entry.
func (t *Tx) refusal(payload []byte, look Lookup) error {
	p, err := span.ParseRefusal(payload)
	if err != nil {
		return err
	}
	if _, ok := t.Identity(p.Author); !ok || len(t.Roles(p.Author)) == 0 {
		return fault.New(fault.Conflict, "refusal_author", "a refusal is kept only for an author that is enrolled and holds a role").At("/author", "holds no role")
	}
	if _, ok := look(p.Span); ok {
		return fault.New(fault.Conflict, "refusal_of_entry", "the refused span is an entry of this timeline").At("/span", "is an entry")
	}
	return nil
}

// revert undoes an executed span: one's own, or another's with the right.
func (t *Tx) revert(author string, payload []byte, look Lookup) (*effect, error) {
	p, err := span.ParseRevert(payload)
	if err != nil {
		return nil, err
	}
	r, err := t.target(author, p.Span, p.HeaderHash, look)
	if err != nil {
		return nil, err
	}
	if r.Author != author && !t.Can(author, RightRevertOthers) {
		return nil, fault.New(fault.Forbidden, "role_forbidden", "a member reverts its own spans; another's takes an owner or an admin").At("/span", "is another's")
	}
	if !span.Redactable(r.Type) {
		return nil, fault.Newf(fault.Invalid, "target_not_revertible", "a %s span cannot be reverted: what follows depends on it. Withdraw the role or retire the contract instead", r.Type).At("/span", "is a "+r.Type)
	}
	if r.Status != StatusExecuted {
		return nil, fault.Newf(fault.Conflict, "target_not_executed", "only an executed span can be reverted; this one is %s", r.Status).At("/span", "is "+r.Status)
	}
	return &effect{change: Change{Statuses: []StatusChange{{p.Span, r.Seq, StatusReverted}}}}, nil
}

// redaction erases; naming what is erased already is no error.
func (t *Tx) redaction(author string, payload []byte, look Lookup) (*effect, error) {
	p, err := span.ParseRedaction(payload)
	if err != nil {
		return nil, err
	}
	e := &effect{}
	for i, s := range p.Spans {
		r, err := t.target(author, s.Span, s.HeaderHash, look)
		if err == nil && !span.Redactable(r.Type) {
			err = fault.Newf(fault.Invalid, "target_not_redactable", "the payload of a %s span stays: what follows depends on it", r.Type).At("/span", "is a "+r.Type)
		}
		if err != nil {
			return nil, beneath("/spans/"+strconv.Itoa(i), err)
		}
		e.change.Redacted = append(e.change.Redacted, r)
	}
	return e, nil
}
