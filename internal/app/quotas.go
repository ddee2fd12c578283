package app

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Quota is what each tenant may use that has no quotas of its own, as settings
// write it.
type Quota struct {
	Spans   string `mapstructure:"spans"`
	Storage string `mapstructure:"storage"`
	Feeds   string `mapstructure:"feeds"`
	Tasks   string `mapstructure:"tasks"`
	Members string `mapstructure:"members"`
}

// quota is the value of a quota for every tenant.
func (c Config) quota(name string) (int64, error) {
	text := map[string]string{
		quota.Spans: c.Quota.Spans, quota.Storage: c.Quota.Storage, quota.Feeds: c.Quota.Feeds, quota.Tasks: c.Quota.Tasks, quota.Members: c.Quota.Members,
	}[name]
	return quota.ParseValue(name, text)
}

func (c Config) quotas() (quota.Values, error) {
	values := make(quota.Values)
	for _, name := range quota.Names {
		n, err := c.quota(name)
		if err != nil {
			return nil, err
		}
		if n != quota.None {
			values[name] = n
		}
	}
	return values, nil
}

// counts counts what tenants have.
type counts struct {
	log   *timeline.Log
	tasks tasks.Store
}

func (c counts) Members(ctx context.Context, tenant string) (int64, error) {
	view, err := c.log.Standing(ctx, tenant)
	if err != nil {
		return 0, err
	}
	return int64(len(view.Members())), nil
}

func (c counts) Size(ctx context.Context, tenant string) (uint64, error) {
	t, err := c.log.Tenant(ctx, tenant)
	return t.Size, err
}

func (c counts) Tasks(ctx context.Context, tenant string) (n int64, err error) {
	queues, err := c.tasks.Counts(ctx, tenant)
	for i := range queues {
		n += int64(queues[i].Queued)
	}
	return n, err
}

// newQuotas is what bounds tenants.
func (a *App) newQuotas(log *timeline.Log, store timeline.Store, work tasks.Store, rates ratelimit.Store) (*quota.Tenants, error) {
	defaults, err := a.cfg.quotas()
	if err != nil {
		return nil, err
	}
	book := quota.NewBook(a.db, defaults, a.opt.Now)
	return quota.NewTenants(a.db, book, quota.NewMeter(a.db, store, a.log, a.opt.Now), rates, counts{log, work}, a.log), nil
}

// beside runs something beside a module until that stops, and for as long as its
// requests are drained: ctx itself has ended by then.
func beside(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	return func() { cancel(); running.Wait() }
}

// pruneEvery is how long what has expired stays where nothing else removes it.
const pruneEvery = time.Minute

// pruning has prune remove what has expired, at once and then every pruneEvery. What
// fails is tried again.
func (a *App) pruning(prune func(context.Context) error) func(context.Context) {
	return func(ctx context.Context) {
		tick := time.NewTicker(pruneEvery)
		defer tick.Stop()
		for {
			if err := prune(ctx); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "what has expired could not be removed", slog.Any("error", err))
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// TenantQuotas are the quotas of a tenant.
type TenantQuotas struct {
	Tenant string       `json:"tenant"` // id
	Slug   string       `json:"slug"`
	Own    quota.Values `json:"own"`  // the tenant's own; -1 bounds nothing
	Node   quota.Values `json:"node"` // the node's for every tenant, as this command is configured
}

// SetQuotas changes quotas of a tenant (id or slug), records that for the node's
// admin timeline, and says what they are then; without a change it only says. It
// works beside servers, which go by it within two seconds.
func SetQuotas(ctx context.Context, cfg Config, opt Options, tenant string, change quota.Change, act admin.Act) (out TenantQuotas, err error) {
	a, err := openData(ctx, cfg, opt, false)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	store, ok := a.store.(timeline.Store)
	if !ok {
		return out, fault.New(fault.Internal, "internal", "the timelines are not open")
	}
	find := store.TenantBySlug
	if span.IsUUID(tenant) {
		find = store.TenantByID
	}
	found, err := find(ctx, tenant)
	if err != nil {
		return out, err
	}
	out = TenantQuotas{Tenant: found.ID, Slug: found.Slug}
	if out.Node, err = cfg.quotas(); err != nil {
		return out, err
	}
	book := quota.NewBook(a.db, out.Node, a.opt.Now)
	if len(change) > 0 {
		act.Type, act.Subject, act.Facts = admin.QuotaChanged, found.ID, make(map[string]any)
		for name, value := range change {
			if act.Facts[name] = "default"; value != nil {
				act.Facts[name] = quota.Format(name, *value)
			}
		}
		err = a.db.InTx(ctx, func(tx *sql.Tx) error {
			return errors.Join(book.Set(ctx, tx, found.ID, change, act.By), admin.NewBook(a.db, time.Now).AddIn(ctx, tx, act))
		})
		if err != nil {
			return out, err
		}
	}
	out.Own, err = book.Own(ctx, found.ID)
	return out, err
}
