package oidc

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
)

// Accounts are the accounts that are signed in to. *account.Service implements it.
type Accounts interface {
	Get(ctx context.Context, identity string) (account.Account, error)
	Begin(ctx context.Context, identity, how string, where account.Where) (account.Session, string, error)
	CreateHeld(ctx context.Context, n account.NewAccount, where account.Where) (id.Info, error)
	Again(ctx context.Context, session string) (id.Credential, error)
}

var _ Accounts = (*account.Service)(nil)

// Config says whose word is taken. Zero means default.
type Config struct {
	Providers []Provider
	PublicURL string                   // where people reach the node; required with providers
	Opens     func(domain string) bool // whether a proven address of a domain opens an account; nil: none does
	Transport http.RoundTripper        // to providers; nil: one that asks no proxy
	Now       func() time.Time         // nil: time.Now
	Rand      io.Reader                // nil: crypto/rand
	Logger    *slog.Logger             // nil: silent
}

// Service is signing in by others' word at one node. It is safe for concurrent use,
// also by several processes.
type Service struct {
	db       *storage.DB
	accounts Accounts
	cfg      Config
	parties  map[string]*party
}

// New works on a migrated database; it starts nothing, and calls nobody.
func New(db *storage.DB, accounts Accounts, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Opens == nil {
		cfg.Opens = func(string) bool { return false }
	}
	s := &Service{db: db, accounts: accounts, cfg: cfg, parties: map[string]*party{}}
	for _, p := range cfg.Providers {
		known, err := newParty(p, cfg.Transport, cfg.Now, cfg.Logger)
		if err != nil {
			return nil, err
		}
		s.parties[p.Name] = known
	}
	return s, nil
}

// Providers are those whose word is taken, as the operator ordered them.
func (s *Service) Providers() []Provider { return s.cfg.Providers }

var errProvider = fault.New(fault.NotFound, "oidc_unknown", "nobody signs in here by the word of such a provider; GET /v1/sessions/oidc lists those that there are")

func (s *Service) party(name string) (*party, error) {
	p, ok := s.parties[name]
	if !ok {
		return nil, errProvider
	}
	return p, nil
}

// redirect is where the provider leads browsers back to: always this one address.
func (s *Service) redirect(p *party) string {
	return s.cfg.PublicURL + "/v1/sessions/oidc/" + p.Name + "/callback"
}

// Link is who an account's person is at a provider.
type Link struct {
	ID        string // no secret
	Identity  string // LogLine ID
	Provider  string // its name here; "" where its word is not taken any more
	Issuer    string
	Subject   string // what the provider calls the person
	Email     string // as the provider said when it was linked; "" for none
	CreatedAt string
	UsedAt    string // "" before it was
}

// List is an account's links, the oldest first.
func (s *Service) List(ctx context.Context, identity string) ([]Link, error) {
	return s.links(ctx, `identity = $1`, identity)
}

func (s *Service) links(ctx context.Context, where string, args ...any) ([]Link, error) {
	rows, err := s.db.Read.QueryContext(ctx, `
		SELECT id, identity, issuer, subject, coalesce(email, ''), created_at, coalesce(used_at, '') FROM account_oidc_links
		WHERE `+where+` ORDER BY created_at, id`, args...)
	if err != nil {
		return nil, storage.Failed("read links", err)
	}
	defer rows.Close()
	all := []Link{}
	for rows.Next() {
		var l Link
		if err := rows.Scan(&l.ID, &l.Identity, &l.Issuer, &l.Subject, &l.Email, &l.CreatedAt, &l.UsedAt); err != nil {
			return nil, storage.Failed("read links", err)
		}
		for _, p := range s.cfg.Providers {
			if p.Issuer == l.Issuer && l.Provider == "" {
				l.Provider = p.Name
			}
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, storage.Failed("read links", err)
	}
	return all, nil
}

var (
	errLink = fault.New(fault.NotFound, "oidc_link_unknown", "you have no such link to a provider")
	errLast = fault.New(fault.Conflict, "oidc_last",
		"without this link nobody could sign in to your account, whose identity this node holds the keys of: set a password or register a passkey first. To be locked out nevertheless, ask with last=true")
)

// Remove ends a link. The last way in to an account whose identity's keys the node
// holds goes only where evenLast says so. Codes: oidc_link_unknown, oidc_last.
func (s *Service) Remove(ctx context.Context, identity, link string, evenLast bool) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		n, err := storage.Changed(ctx, tx, "change links", `DELETE FROM account_oidc_links WHERE id = $1 AND identity = $2`, link, identity)
		switch {
		case err != nil:
			return err
		case n == 0:
			return errLink
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

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (s *Service) random(n int) ([]byte, error) {
	raw := make([]byte, n)
	if _, err := io.ReadFull(s.cfg.Rand, raw); err != nil {
		return nil, fault.New(fault.Unavailable, "randomness_unavailable", "there are no random bytes to sign in by").Because(err)
	}
	return raw, nil
}
