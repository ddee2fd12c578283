package app

import (
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// Accounts is how people sign in.
type Accounts struct {
	Password int `mapstructure:"password"` // characters that one has at least
}

// Sessions is how long people stay signed in.
type Sessions struct {
	Idle   time.Duration `mapstructure:"idle"`
	Life   time.Duration `mapstructure:"life"`
	Rotate time.Duration `mapstructure:"rotate"`
}

// newAccounts are the logins of people; tries to sign in are counted where rates are.
func (a *App) newAccounts(directory *id.Directory, custody *id.Custody, counting ratelimit.Store) *account.Service {
	return account.New(a.db, directory, custody, id.NewSecrets(a.db, a.masters, a.opt.Rand), account.Config{
		Idle: a.cfg.Sessions.Idle, Life: a.cfg.Sessions.Life, Rotate: a.cfg.Sessions.Rotate, MinPassword: a.cfg.Accounts.Password,
		Rates: counting, Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log,
	})
}
