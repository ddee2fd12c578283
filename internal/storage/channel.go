package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/danvoulez/logline/internal/fault"
)

// Channel passes short texts between the processes that are connected to one
// PostgreSQL database (LISTEN and NOTIFY), on two connections of its own: none
// of the pool's, and in no transaction of anybody. Send and Receive may run at
// once, each once at a time; after an error it is of no use any more.
type Channel struct {
	name         string
	idle         time.Duration // of silence, before the server is asked whether it is still there
	listen, send *pgx.Conn

	once sync.Once
	err  error
}

const (
	channelIdle   = 10 * time.Second
	channelAnswer = 5 * time.Second // that the server may take
)

// Channel connects and listens: what is sent by anybody from now on arrives.
// Only PostgreSQL has channels (channel_unsupported).
func (d *DB) Channel(ctx context.Context, name string) (*Channel, error) {
	if d.pg == nil {
		return nil, fault.New(fault.Unavailable, "channel_unsupported", "only PostgreSQL passes messages between processes")
	}
	c := &Channel{name: name, idle: channelIdle}
	for _, conn := range []**pgx.Conn{&c.listen, &c.send} {
		var err error
		if *conn, err = pgx.ConnectConfig(ctx, d.pg.admin.Copy()); err != nil {
			return nil, errors.Join(channelLost("connect", err), c.Close())
		}
	}
	if _, err := c.listen.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, errors.Join(channelLost("listen", err), c.Close())
	}
	return c, nil
}

// Send hands text, less than 8000 bytes, to all who listen, this process too.
func (c *Channel) Send(ctx context.Context, text string) error {
	if _, err := c.send.Exec(ctx, "SELECT pg_notify($1, $2)", c.name, text); err != nil {
		return channelLost("notify", err)
	}
	return nil
}

// Receive waits for the next text. It notices a server that is gone without a
// word, and an end of ctx, which is an end of the channel.
func (c *Channel) Receive(ctx context.Context) (string, error) {
	for {
		n, err := c.next(ctx)
		if n != nil {
			return n.Payload, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return "", channelLost("receive", err)
		}
		if err := c.alive(ctx); err != nil {
			return "", channelLost("ask the server", err)
		}
	}
}

func (c *Channel) next(ctx context.Context) (*pgconn.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, c.idle)
	defer cancel()
	return c.listen.WaitForNotification(ctx)
}

func (c *Channel) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, channelAnswer)
	defer cancel()
	return c.listen.Ping(ctx)
}

// Close ends both connections; closing twice is harmless. Receive must have
// returned.
func (c *Channel) Close() error {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), channelAnswer)
		defer cancel()
		for _, conn := range []*pgx.Conn{c.listen, c.send} {
			if conn != nil {
				c.err = errors.Join(c.err, conn.Close(ctx))
			}
		}
	})
	return c.err
}

func channelLost(operation string, err error) error {
	return Classify(fmt.Errorf("channel: %s: %w", operation, err))
}
