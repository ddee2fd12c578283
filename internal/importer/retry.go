package importer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// First and longest pause between two tries; a longer Retry-After wins.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
)

// retry calls f until it succeeds, fails in a way that trying again cannot
// change, or Config.Patience has passed.
func retry(ctx context.Context, cfg Config, f func() error) error {
	deadline := cfg.Now().Add(cfg.Patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if !temporary(err) || ctx.Err() != nil {
			return err
		}
		wait := pause/2 + rand.N(pause) // not data: spreads callers only
		if after := fault.From(err).RetryAfter; after > wait {
			wait = after
		}
		if cfg.Now().Add(wait).After(deadline) {
			return err
		}
		cfg.Waiting(err, wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func temporary(err error) bool {
	switch fault.KindOf(err) {
	case fault.Limited, fault.Unavailable:
		return true
	default:
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// append submits the lines and repeats those that were put off, so that every
// result is final unless there is an error, which then stands in the results
// that are not. The order among lines stays; sending one again is safe because
// its id is spent only once.
func (r *run) append(ctx context.Context, lines [][]byte) ([]Result, error) {
	final := make([]Result, len(lines))
	open := make([]int, len(lines)) // indexes of lines without a final result
	for i := range open {
		open[i] = i
	}
	err := retry(ctx, r.cfg, func() error {
		batch := make([][]byte, len(open))
		for k, i := range open {
			batch[k] = lines[i]
		}
		results, err := r.to.Append(ctx, batch)
		if err != nil {
			return err
		}
		if len(results) != len(batch) {
			return fault.Newf(fault.Unavailable, "import_answer_short",
				"the node answered %d of %d lines", len(results), len(batch))
		}
		var putOff []int
		var first error
		for k, i := range open {
			final[i] = results[k]
			if temporary(results[k].Err) {
				putOff = append(putOff, i)
				if first == nil {
					first = results[k].Err
				}
			}
		}
		open = putOff
		return first
	})
	if err != nil {
		for _, i := range open {
			final[i] = Result{Err: err}
		}
	}
	return final, err
}
