package account

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// How a person signed in.
const (
	ByPassword = "password"
	ByKey      = "key"           // a token signed by the identity's own key
	ByPasskey  = "passkey"       // WebAuthn with user verification
	ByPresence = "passkey_touch" // WebAuthn without: whoever has the passkey, and no more
	ByOIDC     = "oidc"          // another provider's word
)

// NeedsTOTP is what a session needs that is not signed in yet.
const NeedsTOTP = "totp"

// oneFactor are the ways of signing in after which a second factor is asked for,
// where the account has one. A key and a passkey are two by themselves: something
// that the person has, opened by something that they know or are.
var oneFactor = map[string]bool{ByPassword: true, ByOIDC: true, ByPresence: true}

// IsToken says by its form whether a text is meant to be a session's token.
func IsToken(text string) bool { return strings.HasPrefix(text, tokenPrefix) }

const (
	freshFor    = 10 * time.Minute // that a session may change what outlives it
	overlap     = 2 * time.Minute  // that a token holds beside the one that took its place
	halfFor     = 10 * time.Minute // that a session may wait for its second factor
	seenGrain   = time.Minute      // how exactly the last use is noted
	mostOpen    = 100              // sessions of one account; the one not used for longest makes room
	mostAgent   = 256              // bytes of what a browser calls itself
	tokenPrefix = "lls_"           // for secret scanners
	tokenDomain = "logline.session.v1\n"
)

// Where a person signs in.
type Where struct {
	Address netip.Addr
	Agent   string // User-Agent
}

// Session is where a person is signed in, without what is secret in it.
type Session struct {
	ID        string // no secret
	Identity  string // LogLine ID
	How       string // ByPassword …
	Needs     string // NeedsTOTP before it is signed in; ""
	CreatedAt string
	ProvedAt  string // when the person last proved who they are
	SeenAt    string // last use, to the minute
	ExpiresAt string // first instant at which it no longer holds, used or not
	Address   string // from which they signed in, "" where it is not known
	Agent     string // what the browser called itself

	signer string // key by which they signed in
}

// Begin signs a person in who has proved to be the identity, and gives the
// session's token, which is nowhere else. Where the way is one factor and the
// account has a second, the session needs it first (Session.Needs; Complete). An
// identity without an account gets one without a password. Codes:
// account_deactivated, identity_unknown, identity_not_active.
func (s *Service) Begin(ctx context.Context, identity, how string, where Where) (Session, string, error) {
	return s.begin(ctx, Session{Identity: identity, How: how}, where)
}

// BeginByKey is Begin for whoever comes with a token signed by a key of the
// identity: the session ends when that key does.
func (s *Service) BeginByKey(ctx context.Context, who id.Credential, where Where) (Session, string, error) {
	return s.begin(ctx, Session{Identity: who.Identity, How: ByKey, signer: who.Key.Key}, where)
}

func (s *Service) begin(ctx context.Context, n Session, where Where) (Session, string, error) {
	text, err := id.NewOpaque(tokenPrefix, s.cfg.Rand)
	if err != nil {
		return Session{}, "", err
	}
	n.ID, _ = id.ParseOpaque(tokenPrefix, text)
	now := s.cfg.Now()
	n.CreatedAt, n.ProvedAt, n.SeenAt = span.FormatTime(now), span.FormatTime(now), span.FormatTime(now.Truncate(seenGrain))
	n.Agent = clip(where.Agent)
	if where.Address.IsValid() {
		n.Address = where.Address.String()
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.admit(ctx, tx, &n); err != nil {
			return err
		}
		n.ExpiresAt = span.FormatTime(now.Add(s.cfg.Life))
		if n.Needs != "" {
			n.ExpiresAt = span.FormatTime(now.Add(halfFor))
		}
		if err := s.makeRoom(ctx, tx, n.Identity, now); err != nil {
			return err
		}
		hash := tokenHash(text)
		_, err := tx.ExecContext(ctx, `
			INSERT INTO account_sessions (id, identity, hash, made_at, how, signer, needs, created_at, proved_at, seen_at, expires_at, address, agent)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			n.ID, n.Identity, hash[:], n.CreatedAt, n.How, storage.Optional(n.signer), storage.Optional(n.Needs), n.CreatedAt, n.ProvedAt, n.SeenAt, n.ExpiresAt, n.Address, n.Agent)
		if err != nil {
			return storage.Failed("insert session", err)
		}
		return nil
	})
	if err != nil {
		return Session{}, "", err
	}
	s.tell(ctx, "signed in", &n)
	return n, text, nil
}

// admit says whether an account may be signed in to, and what it takes.
func (s *Service) admit(ctx context.Context, tx *sql.Tx, n *Session) error {
	var status string
	err := tx.QueryRowContext(ctx, `SELECT status FROM identities WHERE id = $1`, n.Identity).Scan(&status)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.NotFound, "identity_unknown", "no such identity is registered at this node")
	case err != nil:
		return storage.Failed("read identity", err)
	case status != id.StatusActive:
		return fault.Newf(fault.Conflict, "identity_not_active", "the identity is %s; nobody signs in as it any more", status)
	}
	if _, err := s.insert(ctx, tx, newRow{identity: n.Identity}); err != nil {
		return err
	}
	var second, ended sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT totp_at, deactivated_at FROM accounts WHERE identity = $1`, n.Identity).Scan(&second, &ended); err != nil {
		return storage.Failed("read account", err)
	}
	if ended.Valid {
		return errDeactivated
	}
	if second.Valid && oneFactor[n.How] {
		n.Needs = NeedsTOTP
	}
	return nil
}

var errDeactivated = fault.New(fault.Forbidden, "account_deactivated", "this account was deactivated; whoever runs the node can activate it again")

// makeRoom removes what has ended and, where an account has as many sessions as it
// may, the one that was not used for longest.
func (s *Service) makeRoom(ctx context.Context, tx *sql.Tx, identity string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM account_sessions WHERE expires_at <= $1 OR identity = $2 AND seen_at <= $3`,
		span.FormatTime(now), identity, span.FormatTime(now.Add(-s.cfg.Idle))); err != nil {
		return storage.Failed("remove ended sessions", err)
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM account_sessions WHERE id IN (
			SELECT id FROM account_sessions WHERE identity = $1 ORDER BY seen_at DESC, created_at DESC, id LIMIT 1000 OFFSET $2)`, identity, mostOpen-1)
	if err != nil {
		return storage.Failed("make room for a session", err)
	}
	return nil
}

// Sessions are where an identity is signed in, the last used first.
func (s *Service) Sessions(ctx context.Context, identity string) ([]Session, error) {
	now := s.cfg.Now()
	rows, err := s.db.Read.QueryContext(ctx, `
		SELECT id, how, coalesce(needs, ''), created_at, proved_at, seen_at, expires_at, address, agent FROM account_sessions
		WHERE identity = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY seen_at DESC, created_at DESC, id`,
		identity, span.FormatTime(now), span.FormatTime(now.Add(-s.cfg.Idle)))
	if err != nil {
		return nil, storage.Failed("list sessions", err)
	}
	defer rows.Close()
	var all []Session
	for rows.Next() {
		n := Session{Identity: identity}
		if err := rows.Scan(&n.ID, &n.How, &n.Needs, &n.CreatedAt, &n.ProvedAt, &n.SeenAt, &n.ExpiresAt, &n.Address, &n.Agent); err != nil {
			return nil, storage.Failed("list sessions", err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		return nil, storage.Failed("list sessions", err)
	}
	return all, nil
}

var errSessionUnknown = fault.New(fault.NotFound, "session_unknown", "you are not signed in by such a session")

// End ends one of an identity's sessions; not_found session_unknown.
func (s *Service) End(ctx context.Context, identity, session string) error {
	n, err := s.end(ctx, `DELETE FROM account_sessions WHERE identity = $1 AND id = $2`, identity, session)
	if err == nil && n == 0 {
		err = errSessionUnknown
	}
	if err == nil {
		s.tell(ctx, "signed out", &Session{ID: session, Identity: identity})
	}
	return err
}

// EndOthers ends all of an identity's sessions but one, "" for all, and says how many.
func (s *Service) EndOthers(ctx context.Context, identity, but string) (int, error) {
	return s.end(ctx, `DELETE FROM account_sessions WHERE identity = $1 AND id <> $2`, identity, but)
}

func (s *Service) end(ctx context.Context, query string, args ...any) (n int, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		n, err = deleted(ctx, tx, query, args...)
		return err
	})
	return n, err
}

func deleted(ctx context.Context, tx *sql.Tx, query string, args ...any) (int, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, storage.Failed("end sessions", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// tell writes down what became of a session, by names that are no secret.
func (s *Service) tell(ctx context.Context, what string, n *Session) {
	s.cfg.Logger.InfoContext(ctx, what, slog.String("session", n.ID), slog.String("identity", n.Identity), slog.String("how", n.How), slog.String("needs", n.Needs))
}

// clip is what a browser calls itself, as it may be stored and shown.
func clip(agent string) string {
	agent = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, agent)
	for len(agent) > mostAgent {
		_, n := utf8.DecodeLastRuneInString(agent)
		agent = agent[:len(agent)-n]
	}
	return agent
}

// tokenHash is what is stored of a token. It has 256 random bits, so a plain hash
// is enough: there is nothing to guess.
func tokenHash(text string) span.Hash { return span.Sum([]byte(tokenDomain + text)) }
