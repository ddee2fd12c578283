package account

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Takes says by its form whether a credential is a session's token.
func (s *Service) Takes(credential string) bool { return IsToken(credential) }

// Authenticate says whose session a token is of, and notes the use. Every failure
// but the database's is of kind Unauthenticated: session_malformed (found without
// looking it up), session_unknown, session_replaced, session_expired,
// second_factor_required, account_deactivated, identity_not_active, and what is
// wrong with the key that it began with.
func (s *Service) Authenticate(ctx context.Context, token string) (id.Credential, error) {
	row, err := s.open(ctx, token)
	if err != nil {
		return id.Credential{}, err
	}
	return s.credential(ctx, row)
}

// Again is Authenticate for a session whose token was judged before, by its id:
// for what goes on longer than a token lasts.
func (s *Service) Again(ctx context.Context, session string) (id.Credential, error) {
	row, err := s.row(ctx, session)
	if err != nil {
		return id.Credential{}, err
	}
	return s.credential(ctx, row)
}

// sessionRow is a session with what decides whether it holds.
type sessionRow struct {
	Session
	hash, next, last      []byte
	madeAt, nextAt, until string
	status, deactivated   string
	held                  bool
}

// row is a session by its id; session_unknown.
func (s *Service) row(ctx context.Context, session string) (r sessionRow, err error) {
	var signer, needs, nextAt, until, ended sql.NullString
	var held int
	err = s.db.Read.QueryRowContext(ctx, `
		SELECT s.id, s.identity, s.hash, s.made_at, s.next, s.next_at, s.last, s.last_until, s.how, s.signer, s.needs,
			s.created_at, s.proved_at, s.seen_at, s.expires_at, s.address, s.agent, a.deactivated_at, i.status,
			CASE WHEN EXISTS (SELECT 1 FROM sealed_keys k WHERE k.identity = s.identity) THEN 1 ELSE 0 END
		FROM account_sessions s JOIN accounts a ON a.identity = s.identity JOIN identities i ON i.id = s.identity
		WHERE s.id = $1`, session).Scan(
		&r.ID, &r.Identity, &r.hash, &r.madeAt, &r.next, &nextAt, &r.last, &until, &r.How, &signer, &needs,
		&r.CreatedAt, &r.ProvedAt, &r.SeenAt, &r.ExpiresAt, &r.Address, &r.Agent, &ended, &r.status, &held)
	if errors.Is(err, sql.ErrNoRows) {
		return r, errNoSession
	}
	if err != nil {
		return r, storage.Failed("read session", err)
	}
	r.signer, r.Needs, r.nextAt, r.until, r.deactivated, r.held = signer.String, needs.String, nextAt.String, until.String, ended.String, held == 1
	return r, nil
}

var (
	errMalformed = fault.New(fault.Unauthenticated, "session_malformed", "the session's token is mistyped or cut short: its checksum does not fit")
	errNoSession = fault.New(fault.Unauthenticated, "session_unknown", "there is no such session at this node, or none any more")
	errExpired   = fault.New(fault.Unauthenticated, "session_expired", "the session has expired, or was not used for too long; sign in again")
	errReplaced  = fault.New(fault.Unauthenticated, "session_replaced", "this token was replaced, and its successor used: somebody else may have it. The session has ended; sign in again")
	errSecond    = fault.New(fault.Unauthenticated, "second_factor_required", "this session waits for the second factor: send its code to /v1/sessions/second-factor")
)

// open is the session of a token, if the token is one of its own.
func (s *Service) open(ctx context.Context, token string) (sessionRow, error) {
	name, ok := id.ParseOpaque(tokenPrefix, token)
	if !ok {
		return sessionRow{}, errMalformed
	}
	row, err := s.row(ctx, name)
	if err != nil {
		return row, err
	}
	given := tokenHash(token)
	is := func(hash []byte) bool { return subtle.ConstantTimeCompare(hash, given[:]) == 1 }
	switch {
	case is(row.hash):
		return row, nil
	case is(row.next):
		return row, s.promote(ctx, &row)
	case is(row.last) && span.FormatTime(s.cfg.Now()) < row.until:
		row.nextAt = row.until // it is replaced already
		return row, nil
	case is(row.last):
		// Whoever signed in has used the new token. Which of the two this is, nobody
		// can tell, so that neither goes on.
		s.tell(ctx, "a replaced token came back: the session ended", &row.Session)
		if err := s.drop(ctx, row.Session); err != nil {
			return row, err
		}
		return row, errReplaced
	}
	return row, errNoSession
}

// promote makes the token that was given out last the only one: it has arrived.
func (s *Service) promote(ctx context.Context, row *sessionRow) error {
	now := s.cfg.Now()
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE account_sessions SET last = hash, last_until = $1, hash = next, made_at = $2, next = NULL, next_at = NULL WHERE id = $3 AND next = $4`,
			span.FormatTime(now.Add(overlap)), span.FormatTime(now), row.ID, row.next)
		if err != nil {
			return storage.Failed("take a session's new token", err)
		}
		row.madeAt, row.nextAt = span.FormatTime(now), ""
		return nil
	})
}

// credential says what a session may do, now.
func (s *Service) credential(ctx context.Context, r sessionRow) (id.Credential, error) {
	now := s.cfg.Now()
	at := span.FormatTime(now)
	switch {
	case at >= r.ExpiresAt || r.SeenAt <= span.FormatTime(now.Add(-s.cfg.Idle)):
		return id.Credential{}, errExpired
	case r.deactivated != "":
		return id.Credential{}, fault.New(fault.Unauthenticated, errDeactivated.Code, errDeactivated.Detail)
	case r.status != id.StatusActive:
		return id.Credential{}, fault.New(fault.Unauthenticated, "identity_not_active", "the identity of this session is "+r.status)
	case r.Needs != "":
		return id.Credential{}, errSecond
	}
	if r.signer != "" {
		chain, err := s.dir.Chain(ctx, r.Identity)
		if err == nil {
			err = chain.MayAuthenticate(r.signer, now)
		}
		if err != nil {
			return id.Credential{}, err
		}
	}
	s.noteUse(ctx, &r, now)
	return id.Credential{How: id.BySession, Identity: r.Identity, Expires: r.ExpiresAt, Session: &id.Session{
		ID: r.ID, Held: r.held, Fresh: span.FormatTime(now.Add(-freshFor)) < r.ProvedAt,
		Due: r.madeAt <= span.FormatTime(now.Add(-s.cfg.Rotate)) && r.nextAt <= span.FormatTime(now.Add(-overlap/2)),
	}}, nil
}

// noteUse keeps the minute of the last use. That it cannot be written keeps nobody out.
func (s *Service) noteUse(ctx context.Context, r *sessionRow, now time.Time) {
	minute := span.FormatTime(now.Truncate(seenGrain))
	if r.SeenAt >= minute {
		return
	}
	_ = s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE account_sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1`, minute, r.ID)
		return err
	})
}

// Rotate gives out a token to take the place of the one that is given, which
// holds until the new one has been used, and for a short time after. It is "" where
// the token is not the session's newest, or one was given out just now.
func (s *Service) Rotate(ctx context.Context, token string) (string, error) {
	name, ok := id.ParseOpaque(tokenPrefix, token)
	if !ok {
		return "", errMalformed
	}
	fresh, err := s.successor(name)
	if err != nil {
		return "", err
	}
	now := s.cfg.Now()
	old, next := tokenHash(token), tokenHash(fresh)
	given := 0
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		given, err = deleted(ctx, tx, `UPDATE account_sessions SET next = $1, next_at = $2 WHERE id = $3 AND hash = $4 AND (next_at IS NULL OR next_at <= $5)`,
			next[:], span.FormatTime(now), name, old[:], span.FormatTime(now.Add(-overlap/2)))
		return err
	})
	if err != nil || given == 0 {
		return "", err
	}
	return fresh, nil
}

// successor makes a token of the same session.
func (s *Service) successor(session string) (string, error) {
	return id.RenewOpaque(tokenPrefix, session, s.cfg.Rand)
}

// renew gives a session a token in the place of all that it had, and notes that
// its person has proved who they are.
func (s *Service) renew(ctx context.Context, tx *sql.Tx, session string, expires time.Time) (string, error) {
	fresh, err := s.successor(session)
	if err != nil {
		return "", err
	}
	now, hash := span.FormatTime(s.cfg.Now()), tokenHash(fresh)
	_, err = tx.ExecContext(ctx, `
		UPDATE account_sessions SET hash = $1, made_at = $2, next = NULL, next_at = NULL, last = NULL, last_until = NULL, needs = NULL, proved_at = $2, expires_at = $3
		WHERE id = $4`, hash[:], now, span.FormatTime(expires), session)
	if err != nil {
		return "", storage.Failed("renew a session", err)
	}
	return fresh, nil
}
