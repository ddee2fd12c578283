package client

import (
	"context"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of what the engine does by itself.
type (
	Task     = openapi.Task
	TaskPage = openapi.TaskPage
	Queue    = openapi.Queue
	Follower = openapi.Follower
	// QueueRecent is how the runs of a queue ended in the last minutes.
	QueueRecent = openapi.QueueRecent
)

// TaskFilter asks for some of a tenant's tasks.
type TaskFilter struct {
	State  string // queued, running, completed, failed, cancelled; "" for any
	Queue  string // "" for any
	Limit  int    // 0 = 100, at most 1000
	Cursor string // Next of the page before
}

// Tasks gives one page of tasks, those of the newest spans first.
func (c *Client) Tasks(ctx context.Context, tenant string, f TaskFilter) (*TaskPage, error) {
	return value[TaskPage](c.api.ListTasks(ctx, tenant, &openapi.ListTasksParams{
		State: optional(openapi.TaskState(f.State)), Queue: optional(f.Queue), Limit: optional(f.Limit), Cursor: optional(f.Cursor),
	}, c.edit))
}

// Task gives one task by its id, "<span>.<action>".
func (c *Client) Task(ctx context.Context, tenant, task string) (*Task, error) {
	return value[Task](c.api.GetTask(ctx, tenant, task, c.edit))
}

// CancelTask ends a queued task and asks a running one to end.
func (c *Client) CancelTask(ctx context.Context, tenant, task string) (*Task, error) {
	return value[Task](c.api.CancelTask(ctx, tenant, task, c.edit))
}

// RequeueTask lets a failed or cancelled task run again.
func (c *Client) RequeueTask(ctx context.Context, tenant, task string) (*Task, error) {
	return value[Task](c.api.RequeueTask(ctx, tenant, task, c.edit))
}

// Queues counts the tasks of each queue, by state.
func (c *Client) Queues(ctx context.Context, tenant string) ([]Queue, error) {
	page, err := value[openapi.QueuePage](c.api.ListQueues(ctx, tenant, c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Followers are what reads a tenant's timeline by cursor, by name.
func (c *Client) Followers(ctx context.Context, tenant string) ([]Follower, error) {
	page, err := value[openapi.FollowerPage](c.api.ListFollowers(ctx, tenant, c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Follower is one of them.
func (c *Client) Follower(ctx context.Context, tenant, name string) (*Follower, error) {
	return value[Follower](c.api.GetFollower(ctx, tenant, name, c.edit))
}

// PauseFollower holds a follower, in all processes, until it is resumed.
func (c *Client) PauseFollower(ctx context.Context, tenant, name string) (*Follower, error) {
	return value[Follower](c.api.PauseFollower(ctx, tenant, name, c.edit))
}

// ResumeFollower lets a follower go on that is paused or parked.
func (c *Client) ResumeFollower(ctx context.Context, tenant, name string) (*Follower, error) {
	return value[Follower](c.api.ResumeFollower(ctx, tenant, name, c.edit))
}

// RequeueFollower lets a parked follower try again.
func (c *Client) RequeueFollower(ctx context.Context, tenant, name string) (*Follower, error) {
	return value[Follower](c.api.RequeueFollower(ctx, tenant, name, c.edit))
}

// SkipEntry lets a follower that is parked at an entry go on behind it.
func (c *Client) SkipEntry(ctx context.Context, tenant, name string, entry uint64) (*Follower, error) {
	return value[Follower](c.api.SkipEntry(ctx, tenant, name, openapi.SkipRequest{Entry: entry}, c.edit))
}

// BacktestRequest is a contract to try on a whole timeline.
type BacktestRequest = openapi.BacktestRequest

// RequestBacktest lets the node try a contract on a tenant's whole timeline. The
// task's output has the progress, and the report once it is completed.
func (c *Client) RequestBacktest(ctx context.Context, tenant string, r BacktestRequest) (*Task, error) {
	return value[Task](c.api.RequestBacktest(ctx, tenant, r, c.edit))
}

// ReplayRequest is a range to decide again.
type ReplayRequest = openapi.ReplayRequest

// ReplayMode is validate, selective or full.
type ReplayMode = openapi.ReplayRequestMode

// RequestReplay lets the node decide a range of a tenant's timeline again. The
// task's output has the progress, and the report once it is completed.
func (c *Client) RequestReplay(ctx context.Context, tenant string, r ReplayRequest) (*Task, error) {
	return value[Task](c.api.RequestReplay(ctx, tenant, r, c.edit))
}
