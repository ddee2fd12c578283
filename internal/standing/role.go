package standing

import (
	"slices"

	"github.com/danvoulez/logline/internal/span"
)

// Right is something a role allows, a row of the table in PROTOCOL §7.
type Right string

// The rights.
const (
	RightAppend           Right = "append"
	RightReadOrganization Right = "read_organization"
	RightReadPrivate      Right = "read_private" // others' private spans, and entry tiles
	RightAdminister       Right = "administer"   // members, contracts, redaction
	RightRevertOwn        Right = "revert_own"
	RightRevertOthers     Right = "revert_others"
	RightOwn              Right = "own" // close the tenant, grant and withdraw owner
)

// rights in the order of the table, for the sets below.
func rights() [7]Right {
	return [7]Right{RightAppend, RightReadOrganization, RightReadPrivate, RightAdminister, RightRevertOwn, RightRevertOthers, RightOwn}
}

// roleSet are the rights of a role as a bit set in the order of rights.
func roleSet(role string) uint8 {
	const (
		add, organization, private, administer, own, others, tenant = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6
	)
	switch role {
	case span.RoleOwner:
		return add | organization | administer | own | others | tenant
	case span.RoleAdmin:
		return add | organization | administer | own | others
	case span.RoleMember:
		return add | organization | own
	case span.RoleAgent:
		return add | organization
	case span.RoleAuditor:
		return organization | private
	case span.RoleGuest:
		return add
	}
	return 0
}

// RoleRights are the rights of a role, in the order of the table; none for a
// role that is not built in.
func RoleRights(role string) []Right {
	var out []Right
	for i, r := range rights() {
		if roleSet(role)&(1<<i) != 0 {
			out = append(out, r)
		}
	}
	return out
}

func rolesAllow(roles []string, r Right) bool {
	all := rights()
	i := slices.Index(all[:], r)
	if i < 0 {
		return false
	}
	for _, role := range roles {
		if roleSet(role)&(1<<i) != 0 {
			return true
		}
	}
	return false
}

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
