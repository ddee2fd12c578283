package app

import (
	"context"
	"log/slog"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// halts keeps the tasks of tenants that are suspended or closed at rest. What holds
// is what their timelines say; rows in the database follow it, so that workers need
// not ask for each task, and each run asks once more.
type halts struct {
	store tasks.Store
	log   *timeline.Log
	slog  *slog.Logger
	now   *tasks.Worker
}

// heard follows what a timeline says now.
func (h *halts) heard(ctx context.Context, tenant, halted string) {
	err := h.store.Rest(ctx, tenant, halted != "")
	if err == nil && halted == standing.Closed {
		err = h.end(ctx, tenant)
	}
	if err != nil {
		h.slog.WarnContext(ctx, "the tasks of a tenant were not brought to rest, or back to work; each asks before it runs", slog.String("tenant", tenant), slog.Any("error", err))
	}
	if halted == "" {
		h.now.Wake()
	}
}

// end cancels what a closed tenant still has to do, and forgets what it would hear
// of that.
func (h *halts) end(ctx context.Context, tenant string) error {
	for _, state := range []tasks.State{tasks.Queued, tasks.Running} {
		for before := (*tasks.Key)(nil); ; {
			page, err := h.store.List(ctx, tasks.List{Tenant: tenant, State: &state, Before: before, Limit: 100})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				if _, err := h.store.Cancel(ctx, h.now.Now(), page[i].Key); err != nil {
					return err
				}
			}
			before = &page[len(page)-1].Key
		}
	}
	return h.store.Hush(ctx, tenant)
}

// walled is a kind of task that asks, before each run, whether its tenant takes
// anything: nothing goes out of a suspended one, whatever the rows say.
func (h *halts) walled(k tasks.Kind) tasks.Kind {
	run := k.Run
	k.Run = func(ctx context.Context, t *tasks.Task) ([]byte, error) {
		view, err := h.log.Standing(ctx, t.Tenant)
		if err != nil {
			return nil, err
		}
		if halted := view.Halted(); halted != "" {
			h.heard(ctx, t.Tenant, halted)
			if halted == standing.Closed {
				return nil, tasks.Final(standing.ErrClosed)
			}
			return nil, tasks.ErrResting
		}
		return run(ctx, t)
	}
	return k
}
