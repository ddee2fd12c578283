package app

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/relay"
)

// startRelay begins to pass wake-ups between the processes of this node, where
// there is a carrier for them, and returns what ends it.
func (a *App) startRelay(ctx context.Context, b *bus.Bus) (stop func()) {
	carrier := a.carrier()
	if carrier == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := relay.New(b, carrier, relay.Config{Logger: a.log})
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// carrier is how wake-ups travel to other processes: Redis where it is
// configured; nil for not at all.
func (a *App) carrier() relay.Carrier {
	if a.cfg.Relay == Off || a.cfg.RedisURL == "" {
		return nil
	}
	// One channel a node: several may share a Redis.
	c, err := relay.NewRedis(a.cfg.RedisURL, "logline.appended."+a.node.ID())
	if err != nil {
		return nil // unreachable: the configuration was checked
	}
	return c
}
