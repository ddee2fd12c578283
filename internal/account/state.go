package account

import (
	"context"
	"database/sql"
	"errors"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// ChangePassword sets an account's password, ends all its sessions but one and
// gives that one a new token, "" where session is "". With unproven the current
// password is asked for, where there is one. Codes: account_unknown, password_…,
// password_wrong, sign_in_limited.
func (s *Service) ChangePassword(ctx context.Context, identity, session, current, fresh string, unproven bool) (token string, err error) {
	info, err := s.dir.Get(ctx, identity)
	if err != nil {
		return "", err
	}
	a, err := s.Get(ctx, identity)
	if err != nil {
		return "", err
	}
	if unproven {
		if err := s.checkCurrent(ctx, identity, current); err != nil {
			return "", err
		}
	}
	if err := s.judgePassword("/password", fresh, info.Handle, info.Name, a.Email); err != nil {
		return "", err
	}
	hash, err := s.hasher.hash(ctx, fresh)
	if err != nil {
		return "", err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.change(ctx, tx, `UPDATE accounts SET password = $1, password_at = $2 WHERE identity = $3`, hash, span.FormatTime(s.cfg.Now()), identity); err != nil {
			return err
		}
		token, err = s.alone(ctx, tx, identity, session)
		return err
	})
	if err != nil {
		return "", err
	}
	_ = s.db.TruncateWAL(ctx) // the old hash; what is owed is done after the next commit
	return token, nil
}

var errWrong = fault.New(fault.Forbidden, "password_wrong", "the current password is another").At("/current", "is not the current password")

// checkCurrent holds a person who is signed in to the password that there is.
func (s *Service) checkCurrent(ctx context.Context, identity, current string) error {
	var hash sql.NullString
	err := s.db.Read.QueryRowContext(ctx, `SELECT password FROM accounts WHERE identity = $1`, identity).Scan(&hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errUnknown
	case err != nil:
		return storage.Failed("read account", err)
	case !hash.Valid:
		return nil
	case len(current) > maxPasswordBytes:
		return errWrong
	}
	done, err := s.hasher.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	t := tries{{"sign:p:" + identity, ofSecond}}
	if err := s.mayTry(ctx, t); err != nil {
		return err
	}
	match, err := s.hasher.match(current, hash.String)
	if err == nil && !match {
		s.failedTry(ctx, t)
		err = errWrong
	}
	return err
}

// Deactivate keeps an account's person out until Activate: its sessions end, none
// begins, and no API key of the identity is taken. by is who asked. Doing it again
// changes nothing; not_found account_unknown.
func (s *Service) Deactivate(ctx context.Context, identity, by string) error {
	return s.SetActive(ctx, identity, by, false, nil)
}

// Activate undoes Deactivate; the sessions stay ended.
func (s *Service) Activate(ctx context.Context, identity string) error {
	return s.SetActive(ctx, identity, "", true, nil)
}

// SetActive is Activate or Deactivate. note, where there is one, is called in the
// transaction that changes something, and in no other.
func (s *Service) SetActive(ctx context.Context, identity, by string, active bool, note func(*sql.Tx) error) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		var since sql.NullString
		err := tx.QueryRowContext(ctx, `SELECT deactivated_at FROM accounts WHERE identity = $1`, identity).Scan(&since)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return errUnknown
		case err != nil:
			return storage.Failed("read account", err)
		case since.Valid != active:
			return nil
		}
		if active {
			err = s.change(ctx, tx, `UPDATE accounts SET deactivated_at = NULL, deactivated_by = NULL WHERE identity = $1`, identity)
		} else if err = s.change(ctx, tx, `UPDATE accounts SET deactivated_at = $1, deactivated_by = $2 WHERE identity = $3`, span.FormatTime(s.cfg.Now()), by, identity); err == nil {
			_, err = s.alone(ctx, tx, identity, "")
		}
		if err == nil && note != nil {
			err = note(tx)
		}
		return err
	})
}

// Erase removes an account and all that belongs to it, for good, and says whether
// there was one. What is removed is gone from the database's file too, the copies
// in SQLite's log included, or as soon as the last read that began before it ends.
func (s *Service) Erase(ctx context.Context, identity string) (bool, error) {
	found := false
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		err := s.forgetSecond(ctx, tx, identity)
		if fault.CodeOf(err) == errUnknown.Code {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := s.alone(ctx, tx, identity, ""); err != nil {
			return err
		}
		found = true
		return s.change(ctx, tx, `DELETE FROM accounts WHERE identity = $1`, identity)
	})
	if err == nil && found {
		_ = s.db.TruncateWAL(ctx) // it is gone either way, and what is owed is done after the next commit
	}
	return found, err
}

// Listed is an account in a list of all.
type Listed struct {
	Account
	Handle   string
	Sessions int    // that are open
	SeenAt   string // last use of one of them, "" for none
}

// List is at most limit accounts after the one of an identity, by identity.
func (s *Service) List(ctx context.Context, after string, limit int) ([]Listed, error) {
	now := s.cfg.Now()
	rows, err := s.db.Read.QueryContext(ctx, `
		SELECT a.identity, coalesce(i.handle, ''), a.created_at, coalesce(a.totp_at, ''), coalesce(a.deactivated_at, ''), count(s.id), coalesce(max(s.seen_at), '')
		FROM accounts a JOIN identities i ON i.id = a.identity
		LEFT JOIN account_sessions s ON s.identity = a.identity AND s.expires_at > $1 AND s.seen_at > $2
		WHERE a.identity > $3 GROUP BY a.identity, i.handle, a.created_at, a.totp_at, a.deactivated_at ORDER BY a.identity LIMIT $4`,
		span.FormatTime(now), span.FormatTime(now.Add(-s.cfg.Idle)), after, limit)
	if err != nil {
		return nil, storage.Failed("list accounts", err)
	}
	defer rows.Close()
	var all []Listed
	for rows.Next() {
		var l Listed
		if err := rows.Scan(&l.Identity, &l.Handle, &l.CreatedAt, &l.SecondAt, &l.DeactivatedAt, &l.Sessions, &l.SeenAt); err != nil {
			return nil, storage.Failed("list accounts", err)
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, storage.Failed("list accounts", err)
	}
	return all, nil
}

// HasWayIn says whether somebody could still sign in to an account as a transaction
// leaves it: by a password, a passkey that was not copied, another provider, or the
// identity's own key, where this node does not hold it.
func HasWayIn(ctx context.Context, tx *sql.Tx, identity string) (in bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT
		EXISTS (SELECT 1 FROM accounts WHERE identity = $1 AND password IS NOT NULL)
		OR EXISTS (SELECT 1 FROM account_passkeys WHERE identity = $1 AND cloned_at IS NULL)
		OR EXISTS (SELECT 1 FROM account_oidc_links WHERE identity = $1)
		OR NOT EXISTS (SELECT 1 FROM sealed_keys WHERE identity = $1)`, identity).Scan(&in)
	if err != nil {
		return false, storage.Failed("look for other ways in", err)
	}
	return in, nil
}
