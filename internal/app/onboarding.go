package app

import (
	"context"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/timeline"
)

// newFlow is what keeps onboarding sessions. secret is the node's own.
func (a *App) newFlow(directory *id.Directory, custody *id.Custody, tenants *onboarding.Service, log *timeline.Log, eng *engine.Engine, own *admin.Timeline, secret []byte) *flow.Sessions {
	return flow.New(flow.Deps{
		DB: a.db, Directory: directory, Custody: custody, Founder: tenants, Log: log,
		Acts: admin.NewBook(a.db, a.opt.Now), Tell: own.Tell,
		Append: func(ctx context.Context, tenant string, raw []byte) error {
			return eng.Submit(ctx, tenant, raw, engine.Options{}).Err
		},
	}, flow.Config{Secret: secret, Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log})
}
