package tasks

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// SweeperConfig of a Sweeper. Zero values mean the defaults named beside them.
type SweeperConfig struct {
	Keep  time.Duration    // how long tasks that ended well are remembered: 30 days
	Every time.Duration    // between looks: 1 hour
	Now   func() time.Time // time.Now
	Log   *slog.Logger     // slog.Default()
}

// Sweeper forgets tasks that were completed or cancelled long ago: the timeline
// goes on telling of them. Failed ones stay until somebody has looked at them.
type Sweeper struct {
	log   Timelines
	store Journal
	cfg   SweeperConfig
}

// NewSweeper makes a sweeper. It starts nothing.
func NewSweeper(log Timelines, store Journal, cfg SweeperConfig) *Sweeper {
	cfg.Keep, cfg.Every = cmp.Or(cfg.Keep, 30*24*time.Hour), cmp.Or(cfg.Every, time.Hour)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sweeper{log: log, store: store, cfg: cfg}
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.Every)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "ended tasks not forgotten; the next look tries again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweptAtOnce bounds what one transaction forgets.
const sweptAtOnce = 500

func (s *Sweeper) sweep(ctx context.Context) error {
	before := s.cfg.Now().Add(-s.cfg.Keep)
	for after := ""; ; {
		page, err := s.log.Tenants(ctx, after, tenantsAtOnce)
		if err != nil {
			return err
		}
		for i := range page {
			for n := sweptAtOnce; n == sweptAtOnce; {
				if n, err = s.store.Forget(ctx, page[i].ID, before, sweptAtOnce); err != nil {
					return err
				}
			}
		}
		if len(page) < tenantsAtOnce {
			return nil
		}
		after = page[len(page)-1].ID
	}
}
