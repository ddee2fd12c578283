package app

import (
	"context"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// Accounts is how people sign in.
type Accounts struct {
	Password int    `mapstructure:"password"` // characters that one has at least
	Breached string `mapstructure:"breached"` // file or folder of stolen ones
}

// Sessions is how long people stay signed in.
type Sessions struct {
	Idle   time.Duration `mapstructure:"idle"`
	Life   time.Duration `mapstructure:"life"`
	Rotate time.Duration `mapstructure:"rotate"`
}

// breached is the list of stolen passwords that is set, nil for none.
func (c Config) breached() (account.Breached, error) {
	if c.Accounts.Breached == "" {
		return nil, nil
	}
	return account.OpenBreached(c.Accounts.Breached)
}

// newAccounts are the logins of people; tries to sign in are counted where rates are.
func (a *App) newAccounts(directory *id.Directory, custody *id.Custody, counting ratelimit.Store) (*account.Service, error) {
	breached, err := a.cfg.breached()
	if err != nil {
		return nil, err
	}
	return account.New(a.db, directory, custody, id.NewSecrets(a.db, a.keeping, a.opt.Rand), account.Config{
		Idle: a.cfg.Sessions.Idle, Life: a.cfg.Sessions.Life, Rotate: a.cfg.Sessions.Rotate, MinPassword: a.cfg.Accounts.Password, Breached: breached,
		Rates: counting, Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log,
	}), nil
}

// AccountShown is an account as operators see it.
type AccountShown struct {
	Identity      string `json:"identity"` // LogLine ID
	Handle        string `json:"handle,omitempty"`
	CreatedAt     string `json:"created_at"`
	SeenAt        string `json:"seen_at,omitempty"` // last use of a session that is open
	Sessions      int    `json:"sessions"`          // open ones
	SecondFactor  bool   `json:"second_factor"`
	DeactivatedAt string `json:"deactivated_at,omitempty"`
}

// ListAccounts gives the accounts of a node to each, in order of identity.
func ListAccounts(ctx context.Context, cfg Config, opt Options, each func(AccountShown) error) (err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for after := ""; ; {
		page, err := w.person.Accounts.List(ctx, after, listPage)
		if err != nil {
			return err
		}
		for _, a := range page {
			after = a.Identity
			if err := each(AccountShown{a.Identity, a.Handle, a.CreatedAt, a.SeenAt, a.Sessions, a.SecondAt != "", a.DeactivatedAt}); err != nil {
				return err
			}
		}
		if len(page) < listPage {
			return nil
		}
	}
}

const listPage = 500

// ChangedAccount is what became of an account, and what it leaves open.
type ChangedAccount struct {
	Identity string `json:"identity"`
	Active   bool   `json:"active"`
	APIKeys  int    `json:"api_keys"` // of its identity that are valid
}

// ActivateAccount lets an account's person sign in, or keeps them out from now on in
// every process. who is a LogLine ID or an @handle.
func ActivateAccount(ctx context.Context, cfg Config, opt Options, who, reason string, active bool) (out ChangedAccount, err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if who, err = w.find(ctx, who); err != nil {
		return out, err
	}
	out = ChangedAccount{Identity: who, Active: active}
	if err := (admin.Office{Timeline: w.own, Accounts: w.person.Accounts}).SetAccount(ctx, who, "", osUser(), reason, active); err != nil {
		return out, err
	}
	out.APIKeys, err = w.person.ValidKeys(ctx, who, w.opt.Now())
	return out, err
}

// newPasskeys are the passkeys of people. They work on the pages of the public
// address; without one, on those of the names that the server is known to have.
func (a *App) newPasskeys(directory *id.Directory, accounts *account.Service, names httpapi.Names) *passkey.Service {
	return passkey.New(a.db, directory, accounts, passkey.Config{
		Pages: passkey.Pages{Own: a.cfg.publicURL(), Named: names.Called(), Here: a.cfg.hereAlone()},
		Now:   a.opt.Now, Rand: a.opt.Rand, Logger: a.log,
	})
}
