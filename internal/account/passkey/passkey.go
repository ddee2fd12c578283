package passkey

import (
	"context"
	"crypto/rand"
	"database/sql"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
)

// Passkey is one of an account's passkeys, as its person may see it.
type Passkey struct {
	ID        string // no secret
	Identity  string // LogLine ID
	Party     string // name of the host that it works for
	Name      string
	Verified  bool // its authenticator verified the person when it was made
	Synced    bool // it is kept elsewhere too, by whom its person keeps passkeys with
	CreatedAt string
	UsedAt    string // "" before it was
	ClonedAt  string // when it counted backwards; it signs nobody in any more. "" for never
}

// Accounts are the accounts that passkeys sign in to. *account.Service implements it.
type Accounts interface {
	Get(ctx context.Context, identity string) (account.Account, error)
	Begin(ctx context.Context, identity, how string, where account.Where) (account.Session, string, error)
}

var _ Accounts = (*account.Service)(nil)

// Config says where passkeys work. Zero means default.
type Config struct {
	Pages  Pages
	Name   string           // what a browser's window calls this node; default LogLine
	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // of challenges; nil: crypto/rand
	Logger *slog.Logger     // nil: silent
}

// Service is the passkeys of one node. It is safe for concurrent use, also by
// several processes.
type Service struct {
	db       *storage.DB
	dir      *id.Directory
	accounts Accounts
	cfg      Config
}

// New works on a migrated database; it starts nothing.
func New(db *storage.DB, dir *id.Directory, accounts Accounts, cfg Config) *Service {
	if cfg.Name == "" {
		cfg.Name = "LogLine"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{db: db, dir: dir, accounts: accounts, cfg: cfg}
}

// row is a passkey with what judges its answers.
type row struct {
	Passkey
	id, key    []byte
	count      int64
	flags      int64
	transports string
}

func (r row) credential() webauthn.Credential {
	c := webauthn.Credential{ID: r.id, PublicKey: r.key, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(r.flags))}
	c.Authenticator.SignCount = uint32(r.count)
	for t := range strings.SplitSeq(r.transports, ",") {
		if t != "" {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
	}
	return c
}

// rows are the passkeys of a condition, the oldest first.
func (s *Service) rows(ctx context.Context, where string, args ...any) ([]row, error) {
	found, err := s.db.Read.QueryContext(ctx, `
		SELECT id, identity, party, name, created_at, coalesce(used_at, ''), coalesce(cloned_at, ''), credential, public_key, sign_count, flags, transports
		FROM account_passkeys WHERE `+where+` ORDER BY created_at, id`, args...)
	if err != nil {
		return nil, storage.Failed("read passkeys", err)
	}
	defer found.Close()
	var all []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.ID, &r.Identity, &r.Party, &r.Name, &r.CreatedAt, &r.UsedAt, &r.ClonedAt, &r.id, &r.key, &r.count, &r.flags, &r.transports); err != nil {
			return nil, storage.Failed("read passkeys", err)
		}
		flags := protocol.AuthenticatorFlags(r.flags)
		r.Verified, r.Synced = flags.HasUserVerified(), flags.HasBackupState()
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		return nil, storage.Failed("read passkeys", err)
	}
	return all, nil
}

// List is an account's passkeys, the oldest first.
func (s *Service) List(ctx context.Context, identity string) ([]Passkey, error) {
	rows, err := s.rows(ctx, `identity = $1`, identity)
	out := make([]Passkey, len(rows))
	for i, r := range rows {
		out[i] = r.Passkey
	}
	return out, err
}

var (
	errUnknown = fault.New(fault.NotFound, "passkey_unknown", "you have no such passkey")
	errLast    = fault.New(fault.Conflict, "passkey_last",
		"without this passkey nobody could sign in to your account, whose identity this node holds the keys of: set a password or register another first. To be locked out nevertheless, ask with last=true")
)

// Rename calls a passkey otherwise; not_found passkey_unknown, passkey_name.
func (s *Service) Rename(ctx context.Context, identity, passkey, name string) (Passkey, error) {
	if name == "" {
		return Passkey{}, fault.New(fault.Invalid, "passkey_name", "name is what you call the passkey").At("/name", "is empty")
	}
	if err := checkName(name); err != nil {
		return Passkey{}, err
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		n, err := storage.Changed(ctx, tx, "change passkeys", `UPDATE account_passkeys SET name = $1 WHERE id = $2 AND identity = $3`, name, passkey, identity)
		if err == nil && n == 0 {
			err = errUnknown
		}
		return err
	})
	if err != nil {
		return Passkey{}, err
	}
	rows, err := s.rows(ctx, `id = $1 AND identity = $2`, passkey, identity)
	if err == nil && len(rows) == 0 {
		err = errUnknown
	}
	if err != nil {
		return Passkey{}, err
	}
	return rows[0].Passkey, nil
}

// Remove forgets a passkey. The last way in to an account whose identity's keys the
// node holds goes only where evenLast says so. Codes: passkey_unknown, passkey_last.
func (s *Service) Remove(ctx context.Context, identity, passkey string, evenLast bool) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		n, err := storage.Changed(ctx, tx, "change passkeys", `DELETE FROM account_passkeys WHERE id = $1 AND identity = $2`, passkey, identity)
		switch {
		case err != nil:
			return err
		case n == 0:
			return errUnknown
		case evenLast:
			return nil
		}
		in, err := account.HasWayIn(ctx, tx, identity)
		if err == nil && !in {
			err = errLast
		}
		return err
	})
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
