package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Halt suspends a tenant, resumes it or closes it (span.ActionSuspend, ActionResume,
// ActionClose), by the node's own signature on the tenant's timeline, because an
// operator said so whose right to it was checked. From the commit on every process
// refuses spans there: it is part of what they are judged by.
func (e *Engine) Halt(ctx context.Context, tenant, action, reason string) (*timeline.Receipt, error) {
	t, err := e.log.Tenant(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if t.OfNode() {
		return nil, fault.New(fault.Conflict, "tenant_of_node", "this is the node's own timeline, in which it tells what is done to it: it is neither suspended nor closed")
	}
	payload, err := span.Canonical(span.Tenant{Action: action, Reason: reason})
	if err != nil {
		return nil, err
	}
	if _, err := span.ParseTenant(payload); err != nil {
		return nil, err
	}
	r := e.SubmitOwn(ctx, t.ID, span.TypeTenant, payload, OwnOptions{})
	return r.Receipt, r.Err
}

// haltedTimeout bounds what hears that a tenant is halted.
const haltedTimeout = 10 * time.Second

// tellHalted passes on that a tenant is suspended, resumed or closed. Timers that
// fell due while it was suspended are looked at.
func (e *Engine) tellHalted(tenant, halted string) {
	ctx, cancel := context.WithTimeout(context.Background(), haltedTimeout)
	defer cancel()
	if e.cfg.Halted != nil {
		e.cfg.Halted(ctx, tenant, halted)
	}
	if halted != "" {
		e.clock.set(tenant, time.Time{})
		return
	}
	at, ok, err := rules.NextDue(ctx, e.log.Committed(tenant))
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "the timers of a resumed tenant could not be read yet", slog.String("tenant", tenant), slog.Any("error", err))
	} else if ok {
		e.clock.set(tenant, at)
	}
}
