package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/danvoulez/logline/internal/fault"
)

var _ Carrier = (*Redis)(nil)

// Redis carries messages by publish and subscribe on one channel.
type Redis struct {
	options *redis.Options
	channel string
	// idle is how long a connection may be silent before the server is asked
	// whether it is still there, and then again until it is given up.
	idle time.Duration
}

// NewRedis reads a URL (redis://, rediss:// with TLS, unix://; user, password
// and database in it) and names the channel; it connects to nothing. The error
// (redis_url_invalid) never repeats the URL, which may hold a password.
func NewRedis(url, channel string) (*Redis, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, fault.New(fault.Invalid, "redis_url_invalid",
			"must be redis://user:password@host:port/database, rediss://… for TLS, or unix://…")
	}
	// The relay tries again by itself and says so once; the library's own
	// retries and its log would say it many times more.
	logging.Disable()
	opt.MaxRetries, opt.DialerRetries = -1, 1
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = 5*time.Second, 5*time.Second, 5*time.Second
	opt.ContextTimeoutEnabled = true
	opt.PoolSize, opt.MinIdleConns = 1, 0
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Redis{options: opt, channel: channel, idle: 10 * time.Second}, nil
}

// Name implements Carrier.
func (*Redis) Name() string { return "redis" }

// Connect implements Carrier.
func (c *Redis) Connect(ctx context.Context) (Link, error) {
	opt := *c.options
	client := redis.NewClient(&opt)
	link := &redisLink{client: client, sub: client.Subscribe(ctx, c.channel), channel: c.channel, idle: c.idle}
	// The subscription's own connection is up and confirmed before the link counts.
	if _, err := link.sub.ReceiveTimeout(ctx, opt.ReadTimeout); err != nil {
		_ = link.Close()
		return nil, lost("redis", err)
	}
	return link, nil
}

type redisLink struct {
	client  *redis.Client
	sub     *redis.PubSub
	channel string
	idle    time.Duration
	once    sync.Once
	err     error
}

func (l *redisLink) Send(ctx context.Context, message string) error {
	if err := l.client.Publish(ctx, l.channel, message).Err(); err != nil {
		return lost("redis", err)
	}
	return nil
}

func (l *redisLink) Receive(ctx context.Context) (string, error) {
	// A read that waits for the next message sees no end of ctx, only that of
	// its connection.
	defer context.AfterFunc(ctx, func() { _ = l.sub.Close() })()
	for asked := false; ctx.Err() == nil; {
		got, err := l.sub.ReceiveTimeout(ctx, l.idle)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			if m, ok := got.(*redis.Message); ok {
				return m.Payload, nil
			}
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := l.sub.Ping(ctx); err != nil {
				return "", lost("redis", err)
			}
		default:
			return "", lost("redis", err)
		}
	}
	return "", ctx.Err()
}

func (l *redisLink) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.sub.Close(), l.client.Close()) })
	return l.err
}
