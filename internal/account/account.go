package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/mail"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Account is what a node keeps of a login, without what is secret in it.
type Account struct {
	Identity      string // LogLine ID
	Email         string // "" for none
	EmailProven   string // when its owner proved to read it, "" for not
	PasswordAt    string // when the password was set, "" for none
	PasswordMin   int    // characters that a new one has at least
	SecondAt      string // when the second factor was confirmed, "" for none
	CodesLeft     int    // recovery codes that were not used
	CreatedAt     string
	DeactivatedAt string // "" while it is active
}

// Config says how accounts are kept. Zero means default.
type Config struct {
	Idle        time.Duration    // a session ends that was not used for so long; default 7 days
	Life        time.Duration    // the longest that a session lasts; default 30 days
	Rotate      time.Duration    // how old the token of a browser's session gets; default 1 h
	MinPassword int              // characters of a password; default 15
	Hash        argon2id.Params  // how passwords are hashed; default 46 MiB, 2 passes, 1 lane
	Breached    Breached         // passwords that are known to thieves; nil: none are
	Issuer      string           // what apps for second factors call this node; default LogLine
	Rates       ratelimit.Store  // where tries are counted; nil: in this process alone
	Now         func() time.Time // nil: time.Now
	Rand        io.Reader        // of tokens, codes and secrets; nil: crypto/rand
	Logger      *slog.Logger     // nil: silent
}

// Service is the accounts of one node. It is safe for concurrent use, also by
// several processes: whatever one of them ends has ended in all of them.
type Service struct {
	db      *storage.DB
	dir     *id.Directory
	custody *id.Custody
	secrets *id.Secrets
	cfg     Config
	hasher  *hasher
	find    func(ctx context.Context, name string) (login, error) // of tests, which count its calls
}

// New works on a migrated database; it starts nothing.
func New(db *storage.DB, dir *id.Directory, custody *id.Custody, secrets *id.Secrets, cfg Config) *Service {
	cfg = cfg.withDefaults()
	s := &Service{db: db, dir: dir, custody: custody, secrets: secrets, cfg: cfg, hasher: newHasher(cfg.Hash)}
	s.find = s.findLogin
	return s
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		to  *time.Duration
		def time.Duration
	}{{&c.Idle, 7 * 24 * time.Hour}, {&c.Life, 30 * 24 * time.Hour}, {&c.Rotate, time.Hour}} {
		if *d.to <= 0 {
			*d.to = d.def
		}
	}
	if c.MinPassword <= 0 {
		c.MinPassword = DefaultMinPassword
	}
	if c.Hash.Memory == 0 {
		c.Hash = DefaultHash
	}
	if c.Issuer == "" {
		c.Issuer = "LogLine"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rates == nil {
		c.Rates = ratelimit.NewMemory(c.Now, ratelimit.DefaultBuckets)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

var (
	errUnknown = fault.New(fault.NotFound, "account_unknown", "this identity has no account at this node; make one with POST /v1/accounts")
	errExists  = fault.New(fault.Conflict, "account_exists", "this identity has an account here already; sign in, or change that one")
)

// NewAccount is what a person opens an account with. Each may be "" but the password of
// an identity in custody without another way in.
type NewAccount struct {
	Handle, Name string // of an identity that is made
	Email        string
	Password     string
	// Admit says, by its LogLine ID, whether an identity that is made may come in; nil:
	// it may.
	Admit func(ctx context.Context, identity string) error
	// With makes another way in, in the transaction that makes the identity: then there
	// may be no password.
	With func(ctx context.Context, tx *sql.Tx, identity string) error
}

// CreateHeld makes a person's identity in this node's custody and its account,
// together or not at all. Codes: those of Custody.Create, password_…,
// email_malformed, accounts_limited.
func (s *Service) CreateHeld(ctx context.Context, n NewAccount, where Where) (id.Info, error) {
	if n.Password == "" && n.With == nil {
		return id.Info{}, errPasswordMissing
	}
	if err := s.mayOpen(ctx, where); err != nil {
		return id.Info{}, err
	}
	row, err := s.newRow(ctx, n)
	if err != nil {
		return id.Info{}, err
	}
	may := func(identity string) error {
		if n.Admit == nil {
			return nil
		}
		return n.Admit(ctx, identity)
	}
	return s.custody.CreateWith(ctx, id.SubjectPerson, n.Handle, n.Name, "", may, func(tx *sql.Tx, info id.Info) error {
		row.identity = info.ID
		if _, err := s.insert(ctx, tx, row); err != nil || n.With == nil {
			return err
		}
		return n.With(ctx, tx, info.ID)
	})
}

// Create makes an account for an identity that there is, whose own key asks for
// it. Codes: account_exists, identity_unknown, password_…, email_malformed.
func (s *Service) Create(ctx context.Context, identity string, n NewAccount) error {
	info, err := s.dir.Get(ctx, identity)
	if err != nil {
		return err
	}
	n.Handle, n.Name = info.Handle, info.Name
	row, err := s.newRow(ctx, n)
	if err != nil {
		return err
	}
	row.identity = identity
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		made, err := s.insert(ctx, tx, row)
		if err == nil && !made {
			err = errExists
		}
		return err
	})
}

// newRow judges what an account is made of, and hashes the password.
type newRow struct{ identity, email, key, hash string }

func (s *Service) newRow(ctx context.Context, n NewAccount) (newRow, error) {
	row := newRow{email: n.Email}
	var err error
	if row.key, err = emailKey(n.Email); err != nil || n.Password == "" {
		return row, err
	}
	if err := s.judgePassword("/password", n.Password, n.Handle, n.Name, n.Email); err != nil {
		return row, err
	}
	row.hash, err = s.hasher.hash(ctx, n.Password)
	return row, err
}

// insert says whether the row was not there before.
func (s *Service) insert(ctx context.Context, tx *sql.Tx, row newRow) (bool, error) {
	now, at := span.FormatTime(s.cfg.Now()), ""
	if row.hash != "" {
		at = now
	}
	res, err := tx.ExecContext(ctx, `
		INSERT INTO accounts (identity, email, email_key, password, password_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (identity) DO NOTHING`,
		row.identity, storage.Optional(row.email), storage.Optional(row.key), storage.Optional(row.hash), storage.Optional(at), now)
	if err != nil {
		return false, storage.Failed("insert account", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Get is an identity's account; not_found account_unknown.
func (s *Service) Get(ctx context.Context, identity string) (Account, error) {
	a := Account{Identity: identity, PasswordMin: s.cfg.MinPassword}
	var email, proven, password, second, ended sql.NullString
	err := s.db.Read.QueryRowContext(ctx, `
		SELECT email, email_proven, password_at, totp_at, created_at, deactivated_at,
			(SELECT count(*) FROM account_codes c WHERE c.identity = accounts.identity)
		FROM accounts WHERE identity = $1`, identity).Scan(&email, &proven, &password, &second, &a.CreatedAt, &ended, &a.CodesLeft)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, errUnknown
	}
	if err != nil {
		return Account{}, storage.Failed("read account", err)
	}
	a.Email, a.EmailProven, a.PasswordAt, a.SecondAt, a.DeactivatedAt = email.String, proven.String, password.String, second.String, ended.String
	return a, nil
}

// SetEmail changes or, with "", erases the address. It is not proven any more.
// Whether somebody else has named it the answer does not tell.
func (s *Service) SetEmail(ctx context.Context, identity, email string) error {
	key, err := emailKey(email)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		return s.change(ctx, tx, `UPDATE accounts SET email = $1, email_key = $2,
			email_proven = CASE WHEN email_key = $2 THEN email_proven ELSE NULL END WHERE identity = $3`, storage.Optional(email), storage.Optional(key), identity)
	})
	if err == nil {
		_ = s.db.TruncateWAL(ctx) // what was replaced is owed otherwise, and done after the next commit
	}
	return err
}

// ProveEmail notes that the owner of an account reads its address, as a code that
// was mailed there shows. conflict email_taken where another account has proven it,
// email_changed where the account has another address by now.
func (s *Service) ProveEmail(ctx context.Context, identity, email string) error {
	key, err := emailKey(email)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		var taken bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM accounts WHERE email_key = $1 AND email_proven IS NOT NULL AND identity <> $2)`, key, identity).Scan(&taken); err != nil {
			return storage.Failed("look for an address", err)
		}
		if taken {
			return fault.New(fault.Conflict, "email_taken", "another account has this address; sign in to that one, or give it another address first")
		}
		var has sql.NullString
		if err := tx.QueryRowContext(ctx, `SELECT email_key FROM accounts WHERE identity = $1`, identity).Scan(&has); err == nil && has.Valid && has.String != key {
			return fault.New(fault.Conflict, "email_changed", "your account has another address by now; prove that one")
		} else if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return storage.Failed("read account", err)
		}
		return s.change(ctx, tx, `UPDATE accounts SET email = $1, email_key = $2, email_proven = $3 WHERE identity = $4`, email, key, span.FormatTime(s.cfg.Now()), identity)
	})
}

// change is a statement that changes one account.
func (s *Service) change(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return storage.Failed("change account", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errUnknown, err)
	}
	return nil
}

// maxEmail is what SMTP carries (RFC 5321 §4.5.3.1.3).
const maxEmail = 254

// emailKey is what an address is found by, "" for none.
func emailKey(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > maxEmail || strings.ContainsAny(address, "\"\x00 ") {
		return "", fault.New(fault.Invalid, "email_malformed", "an address is written as name@example.com, without a name before it").At("/email", "is no address")
	}
	return strings.ToLower(address), nil
}
