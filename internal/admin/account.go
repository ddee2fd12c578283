package admin

import (
	"context"
	"database/sql"
)

// Accounts are people's logins. *account.Service implements it.
type Accounts interface {
	// SetActive lets an account's person in, or keeps them out; note is called in the
	// transaction that changes something. not_found account_unknown.
	SetActive(ctx context.Context, identity, by string, active bool, note func(*sql.Tx) error) error
}

// Office is what operators do by the admin timeline and beside it.
type Office struct {
	*Timeline
	Accounts Accounts
}

// SetAccount lets an account's person in again, or keeps them out, and tells of it
// once: who did it is an operator, or whoever works on the node's machine. Doing it
// again changes nothing and tells of nothing. Codes: reason_invalid, account_unknown.
func (o Office) SetAccount(ctx context.Context, identity, operator, osUser, reason string, active bool) error {
	act := Act{Type: AccountDeactivated, Subject: identity, By: operator, OSUser: osUser, Reason: reason}
	if active {
		act.Type = AccountActivated
	}
	if err := CheckReason(reason); err != nil {
		return err
	}
	by := operator
	if by == "" {
		by = osUser
	}
	err := o.Accounts.SetActive(ctx, identity, by, active, func(tx *sql.Tx) error { return o.book.AddIn(ctx, tx, act) })
	if err != nil {
		return err
	}
	// It is done and noted, whether or not the caller still waits.
	return o.Tell(context.WithoutCancel(ctx))
}
