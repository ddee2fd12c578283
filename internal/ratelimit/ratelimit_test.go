package ratelimit

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// redisOn is a store of its own in the tests' Redis.
func redisOn(t testing.TB, c *clock) *Redis {
	t.Helper()
	url := os.Getenv("LOGLINE_TEST_REDIS")
	if url == "" {
		t.Skip("LOGLINE_TEST_REDIS is not set; `make test` sets it")
	}
	r, err := NewRedis(url, "logline-test-rate:"+rand.Text()+":")
	require.NoError(t, err)
	if c != nil {
		r.now = c.now
	}
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// strict is a Redis whose failures fail the test.
type strict struct {
	t     testing.TB
	redis *Redis
}

func (s strict) Take(ctx context.Context, asks []Ask, answers []Answer) int {
	refused, err := s.redis.Take(ctx, asks, answers)
	require.NoError(s.t, err)
	return refused
}

// eachStore runs a test on every store.
func eachStore(t *testing.T, test func(t *testing.T, s Store, c *clock)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		test(t, NewMemory(c.now, DefaultBuckets), c)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		test(t, strict{t, redisOn(t, c)}, c)
	})
}

func one(t testing.TB, s Store, key string, l Limit, cost int) Answer {
	t.Helper()
	var answers [1]Answer
	refused := s.Take(context.Background(), []Ask{{Key: key, Limit: l, Cost: cost}}, answers[:])
	require.Equal(t, refused == 0, answers[0].Retry > 0)
	return answers[0]
}

func TestABucket(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s Store, c *clock) {
		l := Limit{Rate: 10, Burst: 3}
		require.Equal(t, 300*time.Millisecond, l.Window())
		for left := 2; left >= 0; left-- {
			require.Equal(t, Answer{Remaining: left, Full: time.Duration(3-left) * 100 * time.Millisecond}, one(t, s, "a", l, 1))
		}
		require.Equal(t, Answer{Full: 300 * time.Millisecond, Retry: 100 * time.Millisecond}, one(t, s, "a", l, 1))
		require.Equal(t, Answer{Remaining: 2, Full: 100 * time.Millisecond}, one(t, s, "b", l, 1), "another bucket")
		c.advance(99 * time.Millisecond)
		require.Equal(t, time.Millisecond, one(t, s, "a", l, 1).Retry)
		c.advance(time.Millisecond)
		require.Zero(t, one(t, s, "a", l, 1).Retry)
		require.Equal(t, 200*time.Millisecond, one(t, s, "a", l, 2).Retry)
		c.advance(time.Hour)
		require.Equal(t, 3, one(t, s, "a", l, 0).Remaining, "it holds no more than its burst")
	})
}

// TestMoreThanABucketHolds: such an ask takes a full bucket, which owes the rest.
func TestMoreThanABucketHolds(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s Store, c *clock) {
		l := Limit{Rate: 10, Burst: 3}
		require.Zero(t, one(t, s, "a", l, 1).Retry)
		require.Equal(t, 100*time.Millisecond, one(t, s, "a", l, 50).Retry, "not from one that lacks a token")
		c.advance(100 * time.Millisecond)
		require.Equal(t, Answer{Full: 5 * time.Second}, one(t, s, "a", l, 50))
		require.Equal(t, 4800*time.Millisecond, one(t, s, "a", l, 1).Retry)
		require.Equal(t, 4700*time.Millisecond, one(t, s, "a", l, 0).Retry, "it owes, and says so to whoever only looks")
		c.advance(4800 * time.Millisecond)
		require.Zero(t, one(t, s, "a", l, 1).Retry)
	})
}

// TestWhatIsDoneIsOwed: what is counted afterwards is counted whatever there is.
func TestWhatIsDoneIsOwed(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s Store, _ *clock) {
		l := Limit{Rate: 10, Burst: 3}
		var answers [1]Answer
		for range 3 {
			require.Equal(t, -1, s.Take(context.Background(), []Ask{{Key: "a", Limit: l, Cost: 2, Owe: true}}, answers[:]))
		}
		require.Equal(t, Answer{Full: 600 * time.Millisecond}, answers[0])
		require.Equal(t, 400*time.Millisecond, one(t, s, "a", l, 1).Retry)
	})
}

// TestAllOrNone: what one bucket refuses is taken from none.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s Store, _ *clock) {
		few, many := Limit{Rate: 1, Burst: 1}, Limit{Rate: 1, Burst: 10}
		asks := []Ask{{Key: "identity", Limit: many, Cost: 1}, {Key: "key", Limit: few, Cost: 1}, {Key: "tenant", Limit: many, Cost: 1}}
		var answers [3]Answer
		require.Equal(t, -1, s.Take(context.Background(), asks, answers[:]))
		require.Equal(t, []int{9, 0, 9}, []int{answers[0].Remaining, answers[1].Remaining, answers[2].Remaining})
		for range 5 {
			require.Equal(t, 1, s.Take(context.Background(), asks, answers[:]))
			require.Equal(t, time.Second, answers[1].Retry)
		}
		require.Equal(t, 9, one(t, s, "identity", many, 0).Remaining)
		require.Equal(t, 9, one(t, s, "tenant", many, 0).Remaining)
	})
}

// TestBothStoresAnswerAlike: whatever is asked, whenever.
func TestBothStoresAnswerAlike(t *testing.T) {
	t.Parallel()
	c := newClock()
	memory, inRedis := NewMemory(c.now, DefaultBuckets), strict{t, redisOn(t, c)}
	seed := mrand.Uint64()
	r := mrand.New(mrand.NewPCG(seed, 1))
	refusals := 0
	for step := range 2000 {
		asks := make([]Ask, 1+r.IntN(4))
		for i := range asks {
			n := r.IntN(6)
			asks[i] = Ask{fmt.Sprint(n), Limit{Rate: []int{1, 3, 7, 1000, 999_999, MaxRate}[n], Burst: []int{1, 5, 3, 100, 7, 50}[n]}, r.IntN(9), r.IntN(10) == 0}
		}
		want, got := make([]Answer, len(asks)), make([]Answer, len(asks))
		refused := memory.Take(context.Background(), asks, want)
		require.Equal(t, refused, inRedis.Take(context.Background(), asks, got), "seed %d, step %d", seed, step)
		upTo := len(asks)
		if refused >= 0 {
			refusals++
			upTo = refused + 1
		}
		require.Equal(t, want[:upTo], got[:upTo], "seed %d, step %d", seed, step)
		c.advance(time.Duration(r.ExpFloat64()*float64(100*time.Millisecond)) / 1000 * 1000)
	}
	require.Greater(t, refusals, 100)
}

// TestNeverMoreThanPromised holds a bucket against its promise: in any stretch of
// time no more than the burst and what the rate adds, one token of an ask that
// came at the end excepted.
func TestNeverMoreThanPromised(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := NewMemory(c.now, DefaultBuckets)
	l := Limit{Rate: 50, Burst: 20}
	r := mrand.New(mrand.NewPCG(1, 2))
	type taken struct {
		at time.Time
		n  int
	}
	var all []taken
	for range 3000 {
		n := 1 + r.IntN(5)
		if one(t, s, "a", l, n).Retry == 0 {
			all = append(all, taken{c.now(), n})
		}
		c.advance(time.Duration(r.IntN(60)) * time.Millisecond)
	}
	for i := range all {
		sum := 0
		for j := i; j < min(len(all), i+200); j++ {
			sum += all[j].n
			most := float64(l.Burst) + all[j].at.Sub(all[i].at).Seconds()*float64(l.Rate) + 0.001
			require.LessOrEqual(t, float64(sum), most)
		}
	}
}

// TestMemoryIsBounded: however many come, and those that owe most are remembered.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := NewMemory(c.now, 64*shards)
	held := func() (n int) {
		for i := range s.shard {
			n += len(s.shard[i].tat)
		}
		return n
	}
	l := Limit{Rate: 1, Burst: 100}
	require.Zero(t, one(t, s, "greedy", l, 100).Retry)
	for i := range 100_000 {
		require.Zero(t, one(t, s, fmt.Sprint("2001:db8::", i), l, 1).Retry)
	}
	require.LessOrEqual(t, held(), 64*shards)
	require.Positive(t, one(t, s, "greedy", l, 1).Retry, "whoever owes most is not forgotten for others")

	// What is full again is forgotten as others come.
	c.advance(time.Hour)
	for i := range 64 * shards {
		one(t, s, fmt.Sprint("2001:db8:1::", i), Limit{Rate: MaxRate, Burst: 1}, 1)
		c.advance(time.Millisecond)
	}
	require.Less(t, held(), 64*shards/4)
}

func TestManyAtOnceGetNoMore(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s Store, _ *clock) {
		l := Limit{Rate: 1, Burst: 40}
		var granted [8]int
		var all sync.WaitGroup
		for g := range granted {
			all.Go(func() {
				for range 20 {
					var answers [2]Answer
					if s.Take(context.Background(), []Ask{{Key: "a", Limit: l, Cost: 1}, {Key: fmt.Sprint(g), Limit: l, Cost: 1}}, answers[:]) < 0 {
						granted[g]++
					}
				}
			})
		}
		all.Wait()
		sum := 0
		for _, n := range granted {
			sum += n
		}
		require.LessOrEqual(t, sum, 40)
		require.Positive(t, sum)
	})
}

// TestRedisIsGone: limits go on holding in memory, which is said once.
func TestRedisIsGone(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close()) // nobody listens there
	r, err := NewRedis("redis://"+address, "x:")
	require.NoError(t, err)
	var log bytes.Buffer
	c := newClock()
	f := NewFallback(r, NewMemory(c.now, 1000), slog.New(slog.NewTextHandler(&log, nil)))
	l := Limit{Rate: 1, Burst: 3}
	for range 3 {
		require.Zero(t, one(t, f, "a", l, 1).Retry)
	}
	for range 100 {
		require.Equal(t, time.Second, one(t, f, "a", l, 1).Retry)
	}
	alone, asks := f.Alone()
	require.True(t, alone)
	require.EqualValues(t, 103, asks)
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("Redis does not answer")))
	require.NoError(t, f.Close())
}

// TestRedisComesBack: what processes count is theirs together again.
func TestRedisComesBack(t *testing.T) {
	t.Parallel()
	c := newClock()
	good := redisOn(t, c)
	var log bytes.Buffer
	f := NewFallback(good, NewMemory(c.now, 1000), slog.New(slog.NewTextHandler(&log, nil)))
	l := Limit{Rate: 1, Burst: 3}
	f.until.Store(1) // it was gone, and the time for which it is left alone is over
	require.Zero(t, one(t, f, "a", l, 2).Retry)
	alone, _ := f.Alone()
	require.False(t, alone)
	require.Contains(t, log.String(), "Redis answers")
	require.Equal(t, 1, one(t, strict{t, good}, "a", l, 0).Remaining, "it was counted there")
}

func TestRedisKeysEnd(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := redisOn(t, c)
	r.now = nil
	one(t, strict{t, r}, "a", Limit{Rate: 10, Burst: 100}, 20)
	ttl, err := r.client.PTTL(context.Background(), r.prefix+"a").Result()
	require.NoError(t, err)
	require.Greater(t, ttl, time.Duration(0))
	require.LessOrEqual(t, ttl, 2*time.Second)
}

func TestRedisByItsOwnClock(t *testing.T) {
	t.Parallel()
	r := redisOn(t, newClock())
	r.now = nil
	l := Limit{Rate: 1, Burst: 2}
	require.Equal(t, 1, one(t, strict{t, r}, "a", l, 1).Remaining)
	require.Zero(t, one(t, strict{t, r}, "a", l, 1).Retry)
	require.Positive(t, one(t, strict{t, r}, "a", l, 2).Retry)
}

func TestRedisURL(t *testing.T) {
	t.Parallel()
	_, err := NewRedis("http://user:secret@host", "")
	require.ErrorContains(t, err, "redis_url_invalid")
	require.NotContains(t, err.Error(), "secret")
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Limit{
		"off": {}, "1/s": {1, 10}, "200/s": {200, 2000}, "200/s:1": {200, 1}, "1000000/s:1000000000": {MaxRate, maxBurst},
	} {
		l, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, l, text)
		again, err := Parse(l.String())
		require.NoError(t, err)
		require.Equal(t, l, again)
	}
	for _, text := range []string{"", "0/s", "-1/s", "1", "1/m", "1000001/s", "1/s:", "1/s:0", "1/s:1000000001", "1.5/s", " 1/s", "OFF", "1/s:1:1", "+1/s"} {
		_, err := Parse(text)
		require.Error(t, err, text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("200/s:1000")
	f.Add("off")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil || !l.On() {
			return
		}
		require.True(t, l.Rate <= MaxRate && l.Burst >= 1 && l.Burst <= maxBurst)
		require.Positive(t, l.Window())
		again, err := Parse(l.String())
		require.NoError(t, err)
		require.Equal(t, l, again)
	})
}
