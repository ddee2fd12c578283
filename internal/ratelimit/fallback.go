package ratelimit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// downtime is how long Redis is left alone after it did not answer.
const downtime = time.Second

// Fallback asks Redis, and its own memory while Redis does not answer: limits
// then hold in each process by itself, and nobody is refused or let through
// because of an outage. It says so once when it begins and once when it ends.
type Fallback struct {
	redis  *Redis
	memory *Memory
	log    *slog.Logger

	until atomic.Int64 // nanoseconds since 1970 until which Redis is left alone; 0: it answers
	lost  atomic.Int64 // asks that memory answered
}

var _ Store = (*Fallback)(nil)

// NewFallback owns redis, which Close closes; it starts nothing.
func NewFallback(redis *Redis, memory *Memory, log *slog.Logger) *Fallback {
	return &Fallback{redis: redis, memory: memory, log: log}
}

// Take implements Store.
func (f *Fallback) Take(ctx context.Context, asks []Ask, answers []Answer) int {
	if until, up := f.up(); up {
		refused, err := f.redis.Take(ctx, asks, answers)
		if f.heard(ctx, until, err) {
			return refused
		}
	}
	f.lost.Add(1)
	return f.memory.Take(ctx, asks, answers)
}

// up says whether Redis is to be asked now; what comes of that is for heard, with
// until.
func (f *Fallback) up() (until int64, yes bool) {
	until, now := f.until.Load(), time.Now().UnixNano()
	// Of all that come when the time is over, one finds out for the others.
	return until, until <= now && (until == 0 || f.until.CompareAndSwap(until, now+int64(downtime)))
}

// heard takes what came of asking Redis, and says whether it has answered.
func (f *Fallback) heard(ctx context.Context, until int64, err error) bool {
	switch {
	case err == nil && until != 0:
		if f.until.Swap(0) != 0 {
			f.log.InfoContext(ctx, "rate limits are shared between processes again: Redis answers")
		}
	case err != nil && ctx.Err() == nil && f.until.Swap(time.Now().UnixNano()+int64(downtime)) == 0:
		f.log.WarnContext(ctx, "Redis does not answer: rate limits hold in each process by itself until it does", slog.Any("error", err))
	}
	return err == nil
}

// Alone says whether limits hold in this process alone now, and how many asks
// memory has answered in Redis's place so far.
func (f *Fallback) Alone() (now bool, asks int64) { return f.until.Load() != 0, f.lost.Load() }

// Close ends the connections to Redis.
func (f *Fallback) Close() error { return f.redis.Close() }
