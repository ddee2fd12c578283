package app

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/httpapi"
)

var (
	_ followers.Author  = (*tasks.Scribe)(nil)
	_ httpapi.Followers = (*followers.Board)(nil)
)

// newBoard is where all followers are seen and held.
func (a *App) newBoard(wakes *bus.Bus, author followers.Author, alert followers.Alert) *followers.Board {
	return followers.New(a.db, followers.Config{
		Now: a.opt.Now, Log: a.log, Author: author, Alert: alert,
		Wake: func(tenant string) { wakes.Publish(bus.Appended{Tenant: tenant}) },
	})
}

// startBoard learns what is held, before any follower begins, and looks after
// them until stop.
func startBoard(ctx context.Context, b *followers.Board) (stop func(), err error) {
	if err := b.Begin(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	return func() { cancel(); running.Wait() }, nil
}
