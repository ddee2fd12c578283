package admin

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// IsOperator says whether an identity is an operator of this node: an owner or an
// admin of its admin timeline now.
func (t *Timeline) IsOperator(ctx context.Context, identity string) (bool, error) {
	if identity == "" {
		return false, nil
	}
	own, err := t.Find(ctx)
	if fault.CodeOf(err) == "admin_timeline_missing" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	view, err := t.log.Standing(ctx, own.ID)
	return err == nil && view.Can(identity, standing.RightAdminister), err
}

// Operators are who holds a role in the admin timeline, beside the node itself.
func (t *Timeline) Operators(ctx context.Context) ([]standing.Member, error) {
	own, err := t.Find(ctx)
	if err != nil {
		return nil, err
	}
	view, err := t.log.Standing(ctx, own.ID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(view.Members()), func(m standing.Member) bool { return m.Identity == t.cfg.Node }), nil
}

// AddOperator gives an identity a role in the admin timeline, by the node's own
// signature: what a command on the node's data does. It says whether anything
// changed.
func (t *Timeline) AddOperator(ctx context.Context, identity, role string, by Act) (changed bool, err error) {
	if !slices.Contains([]string{span.RoleOwner, span.RoleAdmin, span.RoleAuditor}, role) {
		return false, fault.Newf(fault.Invalid, "operator_role", "an operator is an owner, an admin or an auditor of the admin timeline, not %.40q", role)
	}
	return t.change(ctx, identity, role, span.ActionGrant, OperatorAdded, by)
}

// RemoveOperator takes all roles in the admin timeline from an identity.
func (t *Timeline) RemoveOperator(ctx context.Context, identity string, by Act) (changed bool, err error) {
	return t.change(ctx, identity, "", span.ActionWithdraw, OperatorRemoved, by)
}

func (t *Timeline) change(ctx context.Context, identity, role, action, typ string, by Act) (changed bool, err error) {
	t.telling.Lock()
	defer t.telling.Unlock()
	own, err := t.ensure(ctx)
	if err != nil {
		return false, err
	}
	view, err := t.log.Standing(ctx, own)
	if err != nil {
		return false, err
	}
	roles := view.Roles(identity)
	switch {
	case identity == t.cfg.Node:
		return false, fault.New(fault.Invalid, "operator_is_node", "the node owns its admin timeline, and stays its owner")
	case action == span.ActionGrant && slices.Contains(roles, role), action == span.ActionWithdraw && len(roles) == 0:
		return false, nil
	case action == span.ActionGrant:
		roles = []string{role}
	}
	for _, r := range roles {
		if err := t.grant(ctx, identity, r, action); err != nil {
			return false, err
		}
	}
	by.Type, by.Subject, by.Facts = typ, identity, map[string]any{"roles": roles}
	return true, t.book.Add(ctx, by)
}
