package standing

import (
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// member judges a grant or a withdrawal by an author that may administer, or
// by the node: once, for the owner that genesis names.
func (t *Tx) member(author string, payload []byte) (*effect, error) {
	p, err := span.ParseMember(payload)
	if err != nil {
		return nil, err
	}
	e := &effect{member: p.Identity}
	roles := t.Roles(author)
	if author == t.node && !rolesAllow(roles, RightAdminister) {
		if t.ownerGranted || p.Action != span.ActionGrant || p.Identity != t.genesis.Owner || !slices.Equal(p.Roles, []string{span.RoleOwner}) {
			return nil, fault.New(fault.Forbidden, "reserved_author", "the node grants one thing once: the role owner to the owner that genesis names")
		}
		f := t.founding
		f.ownerGranted = true
		e.founding = &f
	} else if slices.Contains(p.Roles, span.RoleOwner) && !rolesAllow(roles, RightOwn) {
		return nil, fault.New(fault.Forbidden, "role_forbidden", "only an owner grants or withdraws the role owner").At("/roles", "contains owner")
	}
	have := t.Roles(p.Identity)
	if p.Action == span.ActionWithdraw {
		if slices.Contains(p.Roles, span.RoleOwner) && slices.Contains(have, span.RoleOwner) && !t.ownedWithout(p.Identity) {
			return nil, fault.New(fault.Conflict, "last_owner", "a tenant keeps at least one owner; grant the role to somebody else first").At("/roles", "would leave no owner")
		}
		e.roles = dropRoles(have, p.Roles)
		return e, nil
	}
	c, ok := t.Identity(p.Identity)
	if !ok {
		return nil, fault.New(fault.Conflict, "member_not_embedded", "the identity's key events are not in this timeline yet; they come before its first role").At("/identity", "is not embedded")
	}
	if c.Status() != id.StatusActive {
		return nil, fault.Newf(fault.Conflict, "member_not_active", "the identity is %s and can sign nothing", c.Status()).At("/identity", "is not active")
	}
	e.roles = addRoles(have, p.Roles)
	return e, nil
}

// ownedWithout reports whether an owner other than identity can still sign.
func (t *Tx) ownedWithout(identity string) bool {
	return slices.ContainsFunc(t.Members(), func(m Member) bool {
		c, ok := t.Identity(m.Identity)
		return m.Identity != identity && slices.Contains(m.Roles, span.RoleOwner) && ok && c.Status() == id.StatusActive
	})
}
