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

// RoleRights are the rights of a role; none for a role that is not built in.
func RoleRights(role string) []Right {
	switch role {
	case span.RoleOwner:
		return []Right{RightAppend, RightReadOrganization, RightAdminister, RightRevertOwn, RightRevertOthers, RightOwn}
	case span.RoleAdmin:
		return []Right{RightAppend, RightReadOrganization, RightAdminister, RightRevertOwn, RightRevertOthers}
	case span.RoleMember:
		return []Right{RightAppend, RightReadOrganization, RightRevertOwn}
	case span.RoleAgent:
		return []Right{RightAppend, RightReadOrganization}
	case span.RoleAuditor:
		return []Right{RightReadOrganization, RightReadPrivate}
	case span.RoleGuest:
		return []Right{RightAppend}
	}
	return nil
}

func rolesAllow(roles []string, r Right) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(RoleRights(role), r) })
}

// Reader is what a caller may see of one tenant.
type Reader struct {
	Identity     string // LogLine ID, "" for nobody in particular
	Organization bool
	Private      bool // others' private spans
	Public       bool
}

// ReaderFor is what identity may see at v; "" is the anonymous reader, for
// whom publicReading decides. Whether the tenant itself is visible is the
// caller's question.
func ReaderFor(v View, identity string, publicReading bool) Reader {
	r := Reader{Identity: identity, Public: publicReading}
	if identity != "" {
		r.Organization = v.Can(identity, RightReadOrganization)
		r.Private = v.Can(identity, RightReadPrivate)
		r.Public = r.Public || r.Organization
	}
	return r
}

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
