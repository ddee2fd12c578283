package tasks

import (
	"context"
	"sync"
	"time"
)

// Clock is the time that leases and waits go by. Where processes share a database
// server it is the server's, carried on by what has passed here since it was
// asked; so a process whose own clock is wrong, or jumps, takes no other's tasks
// for abandoned, and leaves none behind for hours. It is safe for concurrent use.
type Clock struct {
	store Timekeeper
	own   func() time.Time

	mu    sync.Mutex // guards the rest
	said  time.Time  // by the store; zero where its time is this process's
	asked time.Time  // when, by the monotonic clock
	known time.Time  // when it was asked last and answered, be it that it has none
}

// fresh is for how long what the store said is carried on without asking again.
const fresh = 10 * time.Second

// Timekeeper is what a Clock asks. Every Store is one.
type Timekeeper interface {
	// Time is the database server's; ok is false where the database is this
	// machine's, and its time with it.
	Time(ctx context.Context) (t time.Time, ok bool, err error)
}

// NewClock is this process's own clock until Sync.
func NewClock(store Timekeeper, own func() time.Time) *Clock { return &Clock{store: store, own: own} }

// Sync asks the store. After an error the clock goes on as before.
func (c *Clock) Sync(ctx context.Context) error {
	asked := time.Now()
	said, ok, err := c.store.Time(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known = asked; ok {
		c.said, c.asked = said, asked
	}
	return nil
}

// At is Now, by a store that was asked lately: in a process that runs no tasks no
// heartbeat does.
func (c *Clock) At(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	stale := c.known.IsZero() || time.Since(c.known) > fresh
	c.mu.Unlock()
	if stale {
		if err := c.Sync(ctx); err != nil {
			return time.Time{}, err
		}
	}
	return c.Now(), nil
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said.IsZero() {
		return c.own()
	}
	return c.said.Add(time.Since(c.asked))
}
