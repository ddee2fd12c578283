package admin

import (
	"context"

	"github.com/danvoulez/logline/internal/span"
)

// haltActs are the types of acts by what was done to a tenant.
var haltActs = map[string]string{span.ActionSuspend: TenantSuspended, span.ActionResume: TenantResumed, span.ActionClose: TenantClosed}

// HaltTenant suspends a tenant, named by id, resumes it or closes it for an operator,
// tells of it, and says which entry of the tenant's timeline says so. The reason
// stands in both timelines, so that the tenant's owner knows it too.
func (t *Timeline) HaltTenant(ctx context.Context, tenant, action, reason, by string) (entry uint64, err error) {
	receipt, err := t.author.Halt(ctx, tenant, action, reason)
	if err != nil {
		return 0, err
	}
	// It is done, whether or not the caller still waits.
	return receipt.Index, t.Record(context.WithoutCancel(ctx), Act{
		Type: haltActs[action], Subject: tenant, By: by, Reason: reason, Facts: map[string]any{"entry": receipt.Index},
	})
}
