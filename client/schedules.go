package client

import (
	"context"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of what contracts do by the clock.
type (
	Schedule    = openapi.Schedule
	ScheduleRun = openapi.ScheduleRun
)

// Schedules are those of the contracts in force.
func (c *Client) Schedules(ctx context.Context, tenant string) ([]Schedule, error) {
	page, err := value[openapi.SchedulePage](c.api.ListSchedules(ctx, tenant, c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Schedule is one of them.
func (c *Client) Schedule(ctx context.Context, tenant, contract, schedule string) (*Schedule, error) {
	return value[Schedule](c.api.GetSchedule(ctx, tenant, contract, schedule, c.edit))
}

// PauseSchedule lets a schedule rest: what comes due meanwhile does not run.
func (c *Client) PauseSchedule(ctx context.Context, tenant, contract, schedule string) (*Schedule, error) {
	return value[Schedule](c.api.PauseSchedule(ctx, tenant, contract, schedule, c.edit))
}

// ResumeSchedule lets a schedule go on with its next due time.
func (c *Client) ResumeSchedule(ctx context.Context, tenant, contract, schedule string) (*Schedule, error) {
	return value[Schedule](c.api.ResumeSchedule(ctx, tenant, contract, schedule, c.edit))
}

// RunSchedule lets a schedule run now, once.
func (c *Client) RunSchedule(ctx context.Context, tenant, contract, schedule string) (*Schedule, error) {
	return value[Schedule](c.api.RunSchedule(ctx, tenant, contract, schedule, c.edit))
}
