package standing

import "github.com/danvoulez/logline/internal/span"

// Reader is what a caller may see of one tenant.
type Reader struct {
	Identity     string // LogLine ID, "" for nobody in particular
	Organization bool
	Private      bool // others' private spans
	Public       bool
}

// Everything is a reader from whom nothing is kept.
func Everything() Reader { return Reader{Organization: true, Private: true, Public: true} }

// ReaderFor is what identity may see at v; "" is the anonymous reader, for
// whom publicReading decides. While the tenant is suspended most see nothing
// (ReadsSuspended). Whether the tenant itself is visible is the
// caller's question.
func ReaderFor(v View, identity string, publicReading bool) Reader {
	if v.Halted() == Suspended && !ReadsSuspended(v, identity) {
		return Reader{}
	}
	r := Reader{Identity: identity, Public: publicReading}
	if identity != "" {
		r.Organization = v.Can(identity, RightReadOrganization)
		r.Private = v.Can(identity, RightReadPrivate)
		r.Public = r.Public || r.Organization
	}
	return r
}

// ReadsAll reports whether r may see every span.
func (r Reader) ReadsAll() bool { return r.Organization && r.Private }

// MayRead reports whether r may see a span: its author and whom it is for
// always, private ones auditors too, organization-visible ones members, public
// ones whoever may read public (PROTOCOL §7).
func MayRead(r Reader, visibility, author, onBehalfOf string) bool {
	if r.Identity != "" && (r.Identity == author || r.Identity == onBehalfOf) {
		return true
	}
	switch visibility {
	case span.VisibilityPublic:
		return r.Public || r.Organization
	case span.VisibilityOrganization:
		return r.Organization
	case span.VisibilityPrivate:
		return r.Private
	}
	return false
}
