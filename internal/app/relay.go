package app

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/relay"
	"github.com/danvoulez/logline/internal/storage"
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

// carrier is how wake-ups travel to other processes: by Redis where it is
// configured, else by the database where it can; nil for not at all.
func (a *App) carrier() relay.Carrier {
	const channel = "logline.appended"
	switch {
	case a.cfg.Relay == Off:
		return nil
	case a.cfg.RedisURL != "":
		// One channel a node: several may share a Redis.
		c, err := relay.NewRedis(a.cfg.RedisURL, channel+"."+a.node.ID())
		if err != nil {
			return nil // unreachable: the configuration was checked
		}
		return c
	case a.db.Dialect == storage.Postgres:
		return notify{db: a.db, channel: channel}
	}
	return nil
}

// notify carries messages by LISTEN and NOTIFY.
type notify struct {
	db      *storage.DB
	channel string
}

func (notify) Name() string { return "postgresql" }

func (n notify) Connect(ctx context.Context) (relay.Link, error) {
	c, err := n.db.Channel(ctx, n.channel)
	if err != nil {
		return nil, err
	}
	return c, nil
}
