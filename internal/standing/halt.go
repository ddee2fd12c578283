package standing

import (
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// How a tenant stands that takes no more spans (PROTOCOL §4, logline.tenant).
const (
	Suspended = "suspended" // until the node resumes it
	Closed    = "closed"    // for good
)

// Codes of the refusal to append to such a tenant.
const (
	CodeSuspended = "tenant_suspended"
	CodeClosed    = "tenant_closed"
)

// ErrSuspended and ErrClosed say why nothing is appended.
var (
	ErrSuspended = fault.New(fault.Forbidden, CodeSuspended,
		"this tenant is suspended by the operator of its node: nothing is appended until it is resumed, and its owners, admins and auditors alone read it; ask the operator")
	ErrClosed = fault.New(fault.Conflict, CodeClosed,
		"this tenant is closed: what it holds stays and can be read, and nothing is appended any more")
)

// HaltOf is why nothing is appended at v, nil where spans are taken.
func HaltOf(v View) error {
	switch v.Halted() {
	case Suspended:
		return ErrSuspended
	case Closed:
		return ErrClosed
	}
	return nil
}

// mayPass says whether a span is taken all the same. What keeps the log provable and
// lets what must be erased be erased always is; who may read a closed tenant still
// changes.
func (t *Tx) mayPass(h *span.Header) error {
	switch h.Type {
	case span.TypeIdentity, span.TypeHandover, span.TypeRedaction, span.TypeTenant:
		return nil
	case span.TypeMember:
		if t.halted == Closed {
			return nil
		}
	}
	return HaltOf(t)
}

// tenant suspends, resumes or closes: the node does each of them, an owner closes.
func (t *Tx) tenant(author string, payload []byte) (*effect, error) {
	p, err := span.ParseTenant(payload)
	if err != nil {
		return nil, err
	}
	if author != t.node && (p.Action != span.ActionClose || !t.Can(author, RightOwn)) {
		return nil, fault.New(fault.Forbidden, "role_forbidden", "an owner closes a tenant; its node suspends it, resumes it or closes it").At("/action", "is not the author's to say")
	}
	f := t.founding
	switch {
	case t.halted == Closed:
		return nil, ErrClosed
	case p.Action == span.ActionSuspend && t.halted == Suspended:
		return nil, fault.New(fault.Conflict, "tenant_suspended_already", "this tenant is suspended already").At("/action", "changes nothing")
	case p.Action == span.ActionResume && t.halted == "":
		return nil, fault.New(fault.Conflict, "tenant_not_suspended", "this tenant is not suspended").At("/action", "changes nothing")
	case author != t.node && t.halted == Suspended:
		return nil, ErrSuspended
	case p.Action == span.ActionSuspend:
		f.halted = Suspended
	case p.Action == span.ActionResume:
		f.halted = ""
	default:
		f.halted = Closed
	}
	return &effect{founding: &f}, nil
}

// ReadsSuspended says whether an identity reads a tenant while it is suspended: those
// who own it or answer for it, so that they can see why and take out what is theirs.
func ReadsSuspended(v View, identity string) bool {
	return identity != "" && (v.Can(identity, RightAdminister) || v.Can(identity, RightReadPrivate))
}
