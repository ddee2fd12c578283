package ratelimit

import (
	"context"
	"testing"
	"time"
)

func BenchmarkMemory(b *testing.B) {
	benchmarkStore(b, NewMemory(time.Now, DefaultBuckets))
}

func BenchmarkRedis(b *testing.B) {
	r := redisOn(b, nil)
	benchmarkStore(b, strict{b, r})
}

// benchmarkStore asks as a request with a credential does.
func benchmarkStore(b *testing.B, s Store) {
	asks := []Ask{{Key: "identity:logline-id://abc", Limit: Limit{MaxRate, maxBurst}, Cost: 1}, {Key: "key:abcdef", Limit: Limit{MaxRate, maxBurst}, Cost: 1}}
	var answers [2]Answer
	b.ReportAllocs()
	for b.Loop() {
		s.Take(context.Background(), asks, answers[:])
	}
}
