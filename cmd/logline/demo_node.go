package main

import (
	"context"
	"errors"

	"github.com/danvoulez/logline/internal/app"
)

// demoNode is a server running inside this process.
type demoNode struct {
	*app.App
	done chan struct{} // closed when the server has ended
	err  error         // why it ended; valid once done is closed
}

// startNode starts a server and waits until it serves. It runs until ctx ends.
func startNode(ctx context.Context, env *environment, cfg app.Config) (*demoNode, error) {
	log := newLogger(env.Stderr, "text", cfg.LogLevel, env.ErrIsTerm, env.Getenv("NO_COLOR") == "")
	a, err := app.New(ctx, cfg, app.Options{Log: log, Now: env.Now, Version: buildVersion()})
	if err != nil {
		return nil, err
	}
	n := &demoNode{App: a, done: make(chan struct{})}
	go func() {
		defer close(n.done)
		n.err = a.Run(ctx)
	}()
	select {
	case <-a.Ready():
		return n, nil
	case <-n.done:
		return nil, errors.Join(n.err, ctx.Err())
	}
}

// wait waits until the server has drained and closed, after its context ended.
func (n *demoNode) wait() error {
	<-n.done
	return n.err
}

// waitForEnd waits until somebody stops the demo, or the server fails.
func (n *demoNode) waitForEnd(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-n.done:
	}
}

// reason is err, or what ended the server if that is why err came about.
func (n *demoNode) reason(err error) error {
	select {
	case <-n.done:
		if n.err != nil {
			return n.err
		}
	default:
	}
	return err
}
