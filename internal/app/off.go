package app

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
)

// offOnboarding stands where the onboarding module is off: its route answers
// as if it were not there.
type offOnboarding struct{}

func (offOnboarding) CreateTenant(context.Context, string, string, string, string, bool) (timeline.Tenant, error) {
	return timeline.Tenant{}, fault.New(fault.NotFound, "module_off", "this process does not make tenants: the module onboarding is off")
}
