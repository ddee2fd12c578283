package standing

import "github.com/danvoulez/logline/internal/span"

// Right is something a role allows: a row of the matrix.
type Right string

// The rights. What is no right of any of somebody's roles is denied.
const (
	RightLook             Right = "look"              // know that the tenant is there, read one's own spans
	RightAppend           Right = "append"            // and vote
	RightAppendFreely     Right = "append_freely"     // without the quota of guests
	RightOnBehalf         Right = "on_behalf"         // append for another identity
	RightReadOrganization Right = "read_organization" // what members see: spans of the organization, members, figures, contracts
	RightReadPrivate      Right = "read_private"      // others' private spans, entry tiles, tasks, schedules, followers; backtests
	RightAdminister       Right = "administer"        // members, contracts, redaction; tasks, schedules, followers, webhooks
	RightRevertOwn        Right = "revert_own"
	RightRevertOthers     Right = "revert_others"
	RightOwn              Right = "own" // close the tenant, grant and withdraw owner
)

// Declared stands, in the matrix, for every role that is not built in: those that
// contracts declare, and those that nobody has declared yet.
const Declared = "declared"

// The columns of the matrix, as bits.
const (
	owner uint8 = 1 << iota
	admin
	member
	agent
	auditor
	guest
	declared

	everybody = owner | admin | member | agent | auditor | guest | declared
)

// matrix is who may what, and the one place that says so: submit, every read, the
// feed's gate, tasks, schedules, followers, webhooks, contracts, simulations,
// backtests and the offline verifier ask for a right and never for a role by its
// name. In the order of docs/permissions.md.
func matrix() [10]struct {
	right Right
	roles uint8
} {
	return [...]struct {
		right Right
		roles uint8
	}{
		{RightLook, everybody},
		{RightAppend, owner | admin | member | agent | guest},
		{RightAppendFreely, owner | admin | member | agent},
		{RightOnBehalf, owner | admin | member | agent | auditor}, // an auditor that has another role to append by
		{RightReadOrganization, owner | admin | member | agent | auditor},
		{RightReadPrivate, auditor},
		{RightAdminister, owner | admin},
		{RightRevertOwn, owner | admin | member},
		{RightRevertOthers, owner | admin},
		{RightOwn, owner},
	}
}

// column is the column of a role.
func column(role string) uint8 {
	switch role {
	case span.RoleOwner:
		return owner
	case span.RoleAdmin:
		return admin
	case span.RoleMember:
		return member
	case span.RoleAgent:
		return agent
	case span.RoleAuditor:
		return auditor
	case span.RoleGuest:
		return guest
	case "":
		return 0
	}
	return declared
}

// Rights are all rights, in the order of the matrix.
func Rights() []Right {
	m := matrix()
	out := make([]Right, len(m))
	for i := range m {
		out[i] = m[i].right
	}
	return out
}

// Allows says whether a role has a right; Declared, and every name that is not
// built in, is a role that a contract declares.
func Allows(role string, r Right) bool { return rolesAllow([]string{role}, r) }

func rolesAllow(roles []string, r Right) bool {
	if len(roles) == 0 {
		return false
	}
	for _, row := range matrix() {
		if row.right != r {
			continue
		}
		for _, role := range roles {
			if column(role)&row.roles != 0 {
				return true
			}
		}
	}
	return false
}
