package ratelimit

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/danvoulez/logline/internal/fault"
)

// Leases of one name are a sorted set of Redis: when each ends, in milliseconds by
// the clock of Redis. The set ends with the last of them.

// leaseClock begins the scripts. ARGV: the time in milliseconds or 0 for the server's,
// and how long a lease lasts.
const leaseClock = `
local now, lasts, spare = tonumber(ARGV[1]), tonumber(ARGV[2]), 600000 -- keys end by the server's clock, whatever clock is given
if now == 0 then
  spare = 0
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local ends = string.format('%.0f', now + lasts)
`

var (
	// holdScript forgets what has ended and takes one more (ARGV[4]) unless as many
	// are held as may (ARGV[3], below 0 for no bound). It answers with 1 or 0 for
	// whether it did, and how many there are.
	holdScript = redis.NewScript(leaseClock + `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local held, most = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[3])
if most >= 0 and held >= most then return {0, held} end
redis.call('ZADD', KEYS[1], ends, ARGV[4])
redis.call('PEXPIRE', KEYS[1], lasts + spare)
return {1, held + 1}
`)

	// renewScript renews leases (ARGV from 3 on), those that are not there too.
	renewScript = redis.NewScript(leaseClock + `
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
return redis.call('PEXPIRE', KEYS[1], lasts + spare)
`)
)

// renewed bounds what is sent to Redis at once.
const renewed = 1000

func (r *Redis) leaseArgs(more int) []any {
	now := "0"
	if r.now != nil {
		now = strconv.FormatInt(r.now().UnixMilli(), 10)
	}
	return append(make([]any, 0, 2+more), now, LeaseTime.Milliseconds())
}

func (r *Redis) hold(ctx context.Context, name, lease string, most int64) (held int64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	out, err := holdScript.Run(ctx, r.client, []string{r.prefix + name}, append(r.leaseArgs(2), most, lease)...).Int64Slice()
	if err == nil && len(out) != 2 {
		err = fault.New(fault.Unavailable, "redis_answer", "Redis answered with something else than was asked for")
	}
	if err != nil {
		return 0, false, err
	}
	return out[1], out[0] == 1, nil
}

func (r *Redis) renew(ctx context.Context, name string, leases []string) error {
	for len(leases) > 0 {
		some := leases[:min(renewed, len(leases))]
		leases = leases[len(some):]
		args := r.leaseArgs(len(some))
		for _, lease := range some {
			args = append(args, lease)
		}
		if err := r.briefly(ctx, func(ctx context.Context) error {
			return renewScript.Run(ctx, r.client, []string{r.prefix + name}, args...).Err()
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) drop(ctx context.Context, name string, leases []string) error {
	members := make([]any, len(leases))
	for i, lease := range leases {
		members[i] = lease
	}
	return r.briefly(ctx, func(ctx context.Context) error { return r.client.ZRem(ctx, r.prefix+name, members...).Err() })
}

// briefly bounds how long Redis is waited for.
func (r *Redis) briefly(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	return do(ctx)
}
