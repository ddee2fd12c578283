package invite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const columns = `id, tenant, hash, role, inviter, signer, sealed, created_at, expires_at, admitted, accepted_by, accepted_at, grant_span, grant_id,
	revoked_by, revoked_at, mailed_at, mail_problem, uses, used`

func (s *Service) scan(scan func(dest ...any) error) (i Invitation, err error) {
	var signer, admitted, acceptedBy, acceptedAt, grantID, revokedBy, revokedAt, mailedAt, mailProblem sql.NullString
	err = scan(&i.ID, &i.Tenant, &i.hash, &i.Role, &i.Inviter, &signer, &i.sealed, &i.CreatedAt, &i.ExpiresAt, &admitted, &acceptedBy, &acceptedAt,
		&i.grantSpan, &grantID, &revokedBy, &revokedAt, &mailedAt, &mailProblem, &i.Uses, &i.Used)
	if errors.Is(err, sql.ErrNoRows) {
		return i, ErrUnknown
	}
	if err != nil {
		return i, fmt.Errorf("read an invitation: %w", err)
	}
	i.Signer, i.admitted, i.AcceptedBy, i.AcceptedAt, i.GrantID = signer.String, admitted.String, acceptedBy.String, acceptedAt.String, grantID.String
	i.RevokedBy, i.RevokedAt, i.MailedAt, i.MailProblem = revokedBy.String, revokedAt.String, mailedAt.String, mailProblem.String
	switch now := span.FormatTime(s.cfg.Now()); {
	case i.AcceptedBy != "" || i.door() && i.Used >= i.Uses:
		i.State = Accepted
	case i.RevokedBy != "":
		i.State = Revoked
	case i.ExpiresAt <= now:
		i.State = Expired
	default:
		i.State = Open
	}
	return i, nil
}

// everybody opens the invitations of all tenants to a transaction: a token says not
// which tenant it is for.
const everybody = "*"

// in runs a write transaction on a tenant's invitations.
func (s *Service) in(ctx context.Context, tenant string, do func(*sql.Tx) error) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.open(ctx, tx, tenant); err != nil {
			return err
		}
		return do(tx)
	})
}

// view runs a transaction that reads them.
func (s *Service) view(ctx context.Context, tenant string, do func(*sql.Tx) error) error {
	tx, err := s.db.Read.BeginTx(ctx, nil)
	if err != nil {
		return storage.Classify(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback()
	if err := s.open(ctx, tx, tenant); err != nil {
		return storage.Classify(err)
	}
	return storage.Classify(do(tx))
}

func (s *Service) open(ctx context.Context, tx *sql.Tx, tenant string) error {
	if s.db.Dialect != storage.Postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, storage.SetTasks, tenant); err != nil {
		return fmt.Errorf("open a tenant's invitations: %w", err)
	}
	return nil
}

func (s *Service) get(ctx context.Context, tenant, invitation string) (i Invitation, err error) {
	err = s.view(ctx, tenant, func(tx *sql.Tx) error {
		i, err = s.getIn(ctx, tx, tenant, invitation)
		return err
	})
	return i, err
}

func (s *Service) getIn(ctx context.Context, tx *sql.Tx, tenant, invitation string) (Invitation, error) {
	return s.scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM invitations WHERE tenant = $1 AND id = $2`, tenant, invitation).Scan)
}

// find is the invitation of a token; ErrInvalid where there is none.
func (s *Service) find(ctx context.Context, hash span.Hash) (i Invitation, err error) {
	err = s.view(ctx, everybody, func(tx *sql.Tx) error {
		i, err = s.scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM invitations WHERE hash = $1`, hash[:]).Scan)
		return err
	})
	if fault.CodeOf(err) == ErrUnknown.Code {
		err = ErrInvalid
	}
	return i, err
}

func (s *Service) list(ctx context.Context, tenant, after string, limit int) (all []Invitation, err error) {
	err = s.view(ctx, tenant, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM invitations WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`, tenant, after, limit)
		if err != nil {
			return fmt.Errorf("list invitations: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			i, err := s.scan(rows.Scan)
			if err != nil {
				return err
			}
			all = append(all, i)
		}
		return rows.Err()
	})
	return all, err
}

// insert keeps a new invitation where the tenant has room for it, and forgets what
// is long over. Whoever lost a race against its own repeat gets what that made.
func (s *Service) insert(ctx context.Context, i Invitation, t *Terms) (out Invitation, err error) {
	now := s.cfg.Now()
	err = s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE tenant = $1 AND expires_at < $2`, i.Tenant, span.FormatTime(now.Add(-kept))); err != nil {
			return fmt.Errorf("forget invitations: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE invitations SET sealed = NULL WHERE tenant = $1 AND expires_at <= $2 AND sealed IS NOT NULL`, i.Tenant, i.CreatedAt); err != nil {
			return fmt.Errorf("destroy keys of invitations: %w", err)
		}
		if out, err = s.getIn(ctx, tx, i.Tenant, i.ID); err == nil {
			return out.same(i.Inviter, t)
		} else if fault.CodeOf(err) != ErrUnknown.Code {
			return err
		}
		if err := room(ctx, tx, &i); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO invitations (tenant, id, hash, role, inviter, signer, sealed, created_at, expires_at, uses)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, i.Tenant, i.ID, i.hash, i.Role, i.Inviter, storage.Optional(i.Signer), bytesOf(i.sealed), i.CreatedAt, i.ExpiresAt, i.Uses)
		out = i
		return storage.Classify(err)
	})
	return out, err
}

func room(ctx context.Context, tx *sql.Tx, i *Invitation) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM invitations WHERE tenant = $1 AND expires_at > $2 AND accepted_by IS NULL AND revoked_by IS NULL AND (uses = 0 OR used < uses)`,
		i.Tenant, i.CreatedAt).Scan(&n); err != nil {
		return fmt.Errorf("count invitations: %w", err)
	}
	if n >= MaxOpen {
		return fault.Newf(fault.Conflict, "invitations_too_many", "the tenant has %d invitations that wait; withdraw those that are no longer wanted", n)
	}
	return nil
}

func (s *Service) revoke(ctx context.Context, tenant, invitation, by string) (i Invitation, err error) {
	now := span.FormatTime(s.cfg.Now())
	err = s.in(ctx, tenant, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE invitations SET revoked_by = $3, revoked_at = $4, sealed = NULL
			WHERE tenant = $1 AND id = $2 AND accepted_by IS NULL AND revoked_by IS NULL`, tenant, invitation, by, now); err != nil {
			return fmt.Errorf("withdraw an invitation: %w", err)
		}
		i, err = s.getIn(ctx, tx, tenant, invitation)
		if err == nil && i.State == Accepted {
			return errUsed
		}
		return err
	})
	return i, err
}

// admit lets one identity register; ErrInvalid where another was first.
func (s *Service) admit(ctx context.Context, i *Invitation, identity string) error {
	return s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE invitations SET admitted = $3 WHERE tenant = $1 AND id = $2 AND (admitted IS NULL OR admitted = $4)`, i.Tenant, i.ID, identity, i.admitted); err != nil {
			return fmt.Errorf("admit by an invitation: %w", err)
		}
		now, err := s.getIn(ctx, tx, i.Tenant, i.ID)
		if err == nil && now.admitted != identity {
			err = ErrInvalid
		}
		return err
	})
}

// claim marks an invitation as used by an identity, keeps the grant that it gets,
// and destroys the key, in one transaction; whoever was first stays so.
func (s *Service) claim(ctx context.Context, i *Invitation, identity string, grant *span.Span) (out Invitation, err error) {
	now := span.FormatTime(s.cfg.Now())
	err = s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE invitations SET accepted_by = $3, accepted_at = $4, grant_span = $5, grant_id = $6, sealed = NULL
			WHERE tenant = $1 AND id = $2 AND accepted_by IS NULL AND revoked_by IS NULL AND expires_at > $4`,
			i.Tenant, i.ID, identity, now, grant.Canonical(), grant.ID); err != nil {
			return fmt.Errorf("accept an invitation: %w", err)
		}
		out, err = s.getIn(ctx, tx, i.Tenant, i.ID)
		return err
	})
	return out, err
}

// settle notes that the timeline has the grant.
func (s *Service) settle(ctx context.Context, i *Invitation) error {
	return s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		if i.door() {
			return s.settleVisit(ctx, tx, i)
		}
		_, err := tx.ExecContext(ctx, `UPDATE invitations SET grant_span = NULL WHERE tenant = $1 AND id = $2`, i.Tenant, i.ID)
		return err
	})
}

// bytesOf is NULL for none: an empty blob would be something.
func bytesOf(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
