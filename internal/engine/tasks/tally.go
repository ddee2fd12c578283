package tasks

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// tallies counts what this process's runs came to and was not stored yet.
type tallies struct {
	mu  sync.Mutex // guards the rest
	sum map[tallied]*Tally
}

type tallied struct {
	tenant, queue string
	minute        int64
}

// count adds the ends that were settled. A run that was given back, or
// cancelled, is no outcome.
func (t *tallies) count(now time.Time, ends []Settlement, done []Key) {
	settled := make(map[Key]bool, len(done))
	for _, k := range done {
		settled[k] = true
	}
	minute := now.UTC().Truncate(time.Minute)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range ends {
		e := &ends[i]
		if !settled[e.Key] || e.Free || e.State == Cancelled {
			continue
		}
		of := tallied{e.Tenant, e.Queue, minute.Unix()}
		sum := t.sum[of]
		if sum == nil {
			if t.sum == nil {
				t.sum = map[tallied]*Tally{}
			}
			sum = &Tally{Tenant: e.Tenant, Queue: e.Queue, Minute: minute}
			t.sum[of] = sum
		}
		switch e.State {
		case Completed:
			sum.Completed++
		case Failed:
			sum.Failed++
		default:
			sum.Retried++
		}
	}
}

// take gives what there is, in order, and forgets it.
func (t *tallies) take() (out []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sum := range t.sum {
		out = append(out, *sum)
	}
	clear(t.sum)
	slices.SortFunc(out, func(a, b Tally) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), a.Minute.Compare(b.Minute), strings.Compare(a.Queue, b.Queue))
	})
	return out
}

// tallyKept is how long minutes are remembered.
const tallyKept = time.Hour

// tally stores what was counted. What cannot be stored is lost: it is for
// statistics.
func (w *Worker) tally(ctx context.Context) {
	list := w.tallies.take()
	if len(list) == 0 {
		return
	}
	if err := w.store.Tally(ctx, list, w.clock.Now().Add(-tallyKept)); err != nil && ctx.Err() == nil {
		w.cfg.Log.WarnContext(ctx, "what runs came to was not counted", slog.Any("error", err))
	}
}
