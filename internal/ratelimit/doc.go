// Package ratelimit counts what callers do against limits by the second: token
// buckets, kept as the one number that the generic cell rate algorithm (GCRA)
// needs, in this process's memory or in Redis. Both answer alike. It counts too what
// is held at once, by leases.
//
// It does not know what is counted, who counts, or what a refusal looks like.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limit is a bucket of Burst tokens to which Rate are added each second, evenly.
// The zero Limit limits nothing.
type Limit struct {
	Rate  int // a second, 1 to 1,000,000
	Burst int // at least 1
}

// MaxRate bounds Limit.Rate: time is counted in microseconds.
const MaxRate = 1_000_000

const maxBurst = 1_000_000_000

// On says whether there is a limit at all.
func (l Limit) On() bool { return l.Rate > 0 }

// interval is the microseconds between two tokens.
func (l Limit) interval() int64 { return max(1, 1_000_000/int64(l.Rate)) }

// Window is the time in which an empty bucket fills.
func (l Limit) Window() time.Duration {
	return time.Duration(l.interval()*int64(l.Burst)) * time.Microsecond
}

// String is what Parse reads.
func (l Limit) String() string {
	if !l.On() {
		return "off"
	}
	return fmt.Sprintf("%d/s:%d", l.Rate, l.Burst)
}

// Parse reads off, or a rate as 200/s, or rate and burst as 200/s:1000; without a
// burst it is ten seconds' worth.
func Parse(text string) (Limit, error) {
	if text == "off" {
		return Limit{}, nil
	}
	rate, burst, given := strings.Cut(text, ":")
	number, perSecond := strings.CutSuffix(rate, "/s")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || !perSecond || n == 0 || n > MaxRate {
		return Limit{}, fmt.Errorf("%q is no limit: write off, 200/s, or 200/s:1000 for rate and burst; the rate is 1 to %d", text, MaxRate)
	}
	l := Limit{Rate: int(n), Burst: 10 * int(n)}
	if given {
		b, err := strconv.ParseUint(burst, 10, 32)
		if err != nil || b == 0 || b > maxBurst {
			return Limit{}, fmt.Errorf("%q is no limit: the burst is 1 to %d", text, maxBurst)
		}
		l.Burst = int(b)
	}
	return l, nil
}

// Ask is what shall be taken from one bucket.
type Ask struct {
	Key   string // of the bucket, across all processes that share the store
	Limit Limit  // On
	Cost  int    // tokens; 0 only looks
	Owe   bool   // take them whatever there is, since it is done already
}

// Answer is how a bucket stands after an Ask was granted, or was not.
type Answer struct {
	Remaining int           // tokens left
	Full      time.Duration // until it is full again
	Retry     time.Duration // until what was refused would be granted; 0: it was not refused
}

// Store keeps buckets. It is safe for concurrent use.
type Store interface {
	// Take takes what is asked for from all the buckets, or from none: refused is
	// the index of the first that has too little, -1 for none, and answers[refused]
	// says how long to wait. Whoever asks for more than a bucket holds gets it from
	// a full one, which then owes the rest: nothing is refused for ever. answers is
	// as long as asks and is filled up to the refused one.
	Take(ctx context.Context, asks []Ask, answers []Answer) (refused int)
}

// cell is the arithmetic that the script in Redis does too: tat is the time in
// microseconds at which the bucket will be full. It returns the time after the
// ask and, where it is refused, by how much it comes too early.
func cell(tat, now int64, a *Ask) (after, early int64) {
	tat = max(tat, now)
	step, window := a.Limit.interval(), a.Limit.interval()*int64(a.Limit.Burst)
	if early = tat + step*int64(min(a.Cost, a.Limit.Burst)) - window - now; early > 0 && !a.Owe {
		return tat, early
	}
	return tat + step*int64(a.Cost), 0 // what is owed is never early
}

// answer is how a bucket stands whose time is tat.
func answer(tat, now, early int64, l Limit) Answer {
	step := l.interval()
	filled := max(0, tat-now)
	return Answer{
		Remaining: int(max(0, (step*int64(l.Burst)-filled)/step)),
		Full:      time.Duration(filled) * time.Microsecond,
		Retry:     time.Duration(early) * time.Microsecond,
	}
}

// Seconds is a wait in whole seconds, rounded up, as HTTP says it.
func Seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
