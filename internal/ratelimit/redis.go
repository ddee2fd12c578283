package ratelimit

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/danvoulez/logline/internal/fault"
)

// redisWait bounds what a request loses by a Redis that does not answer.
const redisWait = 250 * time.Millisecond

// Redis keeps buckets in Redis, by the clock of Redis, in one round trip.
type Redis struct {
	client *redis.Client
	prefix string
	now    func() time.Time // nil: the server's clock; tests bring their own
}

// NewRedis reads a URL as the relay does and connects when it is first asked.
// prefix stands before every key. redis_url_invalid never repeats the URL.
func NewRedis(url, prefix string) (*Redis, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, fault.New(fault.Invalid, "redis_url_invalid",
			"must be redis://user:password@host:port/database, rediss://… for TLS, or unix://…")
	}
	logging.Disable() // an outage is told once, by whoever falls back
	opt.MaxRetries, opt.DialerRetries = -1, 1
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = redisWait, redisWait, redisWait, redisWait
	opt.ContextTimeoutEnabled, opt.DisableIdentity = true, true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Redis{client: redis.NewClient(opt), prefix: prefix}, nil
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

// script does for all buckets what cell does for one. ARGV: the time in
// microseconds or 0 for the server's, then interval, burst and cost of each key, and
// whether it may owe (1 or 0).
// It answers with the refused index (counted from 1, 0 for none) and for each key
// up to it the time at which it is full and by how much the ask comes too early,
// counted from now: numbers that Lua holds exactly.
var script = redis.NewScript(`
local now, spare = tonumber(ARGV[1]), 600000 -- keys end by the server's clock, whatever clock is given
if now == 0 then
  spare = 0
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local out, after, refused = {0}, {}, 0
for i = 1, #KEYS do
  local step, burst, cost = tonumber(ARGV[4*i-2]), tonumber(ARGV[4*i-1]), tonumber(ARGV[4*i])
  local tat = math.max(after[KEYS[i]] or tonumber(redis.call('GET', KEYS[i]) or 0), now)
  local early = tat + step * math.min(cost, burst) - step * burst - now
  if early > 0 and ARGV[4*i+1] == '0' then
    refused = i
    out[#out+1] = tat - now
    out[#out+1] = early
    break
  end
  after[KEYS[i]] = tat + step * cost
  out[#out+1] = after[KEYS[i]] - now
  out[#out+1] = 0
end
out[1] = refused
if refused == 0 then
  for key, full in pairs(after) do
    if full > now then
      redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + spare)
    end
  end
end
return out
`)

// Take is Store.Take for whoever handles errors: of the connection, or of ctx.
func (r *Redis) Take(ctx context.Context, asks []Ask, answers []Answer) (refused int, err error) {
	if len(asks) == 0 {
		return -1, nil
	}
	keys, args := make([]string, len(asks)), make([]any, 1, 1+4*len(asks))
	args[0] = "0"
	if r.now != nil {
		args[0] = strconv.FormatInt(r.now().UnixMicro(), 10)
	}
	for i := range asks {
		a := &asks[i]
		keys[i] = r.prefix + a.Key
		owe := 0
		if a.Owe {
			owe = 1
		}
		args = append(args, a.Limit.interval(), a.Limit.Burst, a.Cost, owe)
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	out, err := script.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return 0, err
	}
	if len(out) < 1 || out[0] < 0 || out[0] > int64(len(asks)) || len(out) < 1+2*told(int(out[0]), len(asks)) {
		return 0, fault.New(fault.Unavailable, "redis_answer", "Redis answered with something else than was asked for")
	}
	for i := range told(int(out[0]), len(asks)) {
		answers[i] = answer(out[1+2*i], 0, out[2+2*i], asks[i].Limit)
	}
	return int(out[0]) - 1, nil
}

// told is how many buckets an answer tells of.
func told(refused, asked int) int {
	if refused > 0 {
		return refused
	}
	return asked
}
