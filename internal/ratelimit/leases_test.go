package ratelimit

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sharing is how a process counts on a Redis that others count on too.
func sharing(r *Redis) *Leases {
	return NewLeases(NewFallback(r, NewMemory(time.Now, 10), slog.New(slog.DiscardHandler)))
}

func (l *Leases) open(t testing.TB, name string, most int64) (release func()) {
	t.Helper()
	release, _, ok := l.Hold(t.Context(), name, most)
	require.True(t, ok)
	return release
}

func (l *Leases) refuses(t testing.TB, name string, most, held int64) {
	t.Helper()
	_, n, ok := l.Hold(t.Context(), name, most)
	require.False(t, ok)
	require.Equal(t, held, n)
}

func TestLeases(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T) *Leases{
		"memory": func(*testing.T) *Leases { return NewLeases(NewMemory(time.Now, 10)) },
		"redis":  func(t *testing.T) *Leases { return sharing(redisOn(t, newClock())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := make(t)
			l.refuses(t, "a", 0, 0)
			first := l.open(t, "a", 2)
			second := l.open(t, "a", -1)
			l.refuses(t, "a", 2, 2)
			l.open(t, "b", 1)
			require.EqualValues(t, 2, l.Held(t.Context(), "a"))
			first()
			first() // once
			require.EqualValues(t, 1, l.Held(t.Context(), "a"))
			third, held, ok := l.Hold(t.Context(), "a", 2)
			require.True(t, ok)
			require.EqualValues(t, 2, held)
			second()
			third()
			require.Zero(t, l.Held(t.Context(), "a"))
			require.EqualValues(t, 1, l.Held(t.Context(), "b"))
		})
	}
}

// TestLeasesOfTwoProcesses: what they hold counts together, whoever asks.
func TestLeasesOfTwoProcesses(t *testing.T) {
	t.Parallel()
	r := redisOn(t, newClock())
	one, two := sharing(r), sharing(r)
	release := one.open(t, "a", 3)
	two.open(t, "a", 3)
	two.open(t, "a", 3)
	one.refuses(t, "a", 3, 3)
	two.refuses(t, "a", 3, 3)
	release()
	two.open(t, "a", 3)
	one.refuses(t, "a", 3, 3)

	// Of many at once, at both, as many as may.
	var all sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for n := range 40 {
		at := one
		if n%2 == 1 {
			at = two
		}
		all.Go(func() {
			if _, _, ok := at.Hold(t.Context(), "b", 7); ok {
				mu.Lock()
				defer mu.Unlock()
				granted++
			}
		})
	}
	all.Wait()
	require.Equal(t, 7, granted)
	require.EqualValues(t, 7, one.Held(t.Context(), "b"))
}

// TestLeasesOfAKilledProcess are free after the time that is promised, and those of a
// process that goes on are not.
func TestLeasesOfAKilledProcess(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := redisOn(t, c)
	killed, lives := sharing(r), sharing(r)
	killed.open(t, "a", 3)
	killed.open(t, "a", 3) // and it says nothing any more
	lives.open(t, "a", 3)
	for range 3 {
		lives.refuses(t, "a", 3, 3)
		c.advance(LeaseTime/3 - time.Millisecond)
		for name, leases := range lives.all() {
			require.True(t, lives.renew(t.Context(), name, leases))
		}
	}
	lives.refuses(t, "a", 3, 3)
	c.advance(3 * time.Millisecond)
	lives.open(t, "a", 3)
	lives.open(t, "a", 3)
	lives.refuses(t, "a", 3, 3)
	require.Equal(t, 30*time.Second, LeaseTime, "docs/limits.md says so")
}

// TestLeasesAreRenewed by Run, again and again.
func TestLeasesAreRenewed(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := redisOn(t, c)
	l := sharing(r)
	l.every = time.Millisecond
	l.open(t, "a", 1)
	c.advance(LeaseTime - time.Millisecond)
	renewals := make(chan struct{})
	ctx, end := context.WithCancel(t.Context())
	r.now = func() time.Time {
		select {
		case renewals <- struct{}{}: // one begins
		case <-ctx.Done():
		}
		return c.now()
	}
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	<-renewals
	<-renewals // so that the one before has ended
	end()
	running.Wait()
	c.advance(time.Millisecond)
	sharing(r).refuses(t, "a", 1, 1)
}

// TestLeasesComeBack: what a Redis has forgotten that was emptied, or did not hear of
// while it was away, counts again with the next renewal.
func TestLeasesComeBack(t *testing.T) {
	t.Parallel()
	r := redisOn(t, newClock())
	one, two := sharing(r), sharing(r)
	one.open(t, "a", 2)
	require.NoError(t, r.client.Del(t.Context(), r.prefix+"a").Err())
	one.shared.until.Store(time.Now().Add(time.Hour).UnixNano()) // it does not answer
	one.open(t, "a", 2)
	require.Zero(t, two.Held(t.Context(), "a"))
	one.refuses(t, "a", 2, 2)
	one.shared.until.Store(1) // and now it does
	for name, leases := range one.all() {
		require.True(t, one.renew(t.Context(), name, leases))
	}
	two.refuses(t, "a", 2, 2)
}

// TestLeaseIsGivenBackAsItIsRenewed: that renews nothing.
func TestLeaseIsGivenBackAsItIsRenewed(t *testing.T) {
	t.Parallel()
	l := sharing(redisOn(t, newClock()))
	release := l.open(t, "a", 1)
	leases := l.all()["a"]
	release()
	require.True(t, l.renew(t.Context(), "a", leases))
	require.Zero(t, l.Held(t.Context(), "a"))
}

func TestLeasesEndInRedis(t *testing.T) {
	t.Parallel()
	r := redisOn(t, newClock())
	r.now = nil
	l := sharing(r)
	l.open(t, "a", 1)
	l.refuses(t, "a", 1, 1)
	for _, renew := range []bool{false, true} {
		if renew {
			require.True(t, l.renew(t.Context(), "a", l.all()["a"]))
		}
		ttl, err := r.client.PTTL(t.Context(), r.prefix+"a").Result()
		require.NoError(t, err)
		require.Greater(t, ttl, time.Duration(0))
		require.LessOrEqual(t, ttl, LeaseTime)
	}
}

// TestLeasesWithoutRedis: while it does not answer, each process counts its own, which
// is said once.
func TestLeasesWithoutRedis(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close()) // nobody listens there
	r, err := NewRedis("redis://"+address, "x:")
	require.NoError(t, err)
	var log bytes.Buffer
	f := NewFallback(r, NewMemory(time.Now, 10), slog.New(slog.NewTextHandler(&log, nil)))
	one, two := NewLeases(f), NewLeases(f)
	release := one.open(t, "a", 1)
	one.refuses(t, "a", 1, 1)
	two.open(t, "a", 1)
	require.EqualValues(t, 1, one.Held(t.Context(), "a"))
	release()
	one.open(t, "a", 1)
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("Redis does not answer")))
	require.NoError(t, f.Close())
}
