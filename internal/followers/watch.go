package followers

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Watch is one follower of this process, in all timelines. A nil *Watch lets
// everything pass and notes nothing. It is safe for concurrent use.
type Watch struct {
	name  string
	board *Board

	mu     sync.Mutex // guards what follows
	places map[string]*place
}

// place is the follower in one timeline.
type place struct {
	Status
	head  uint64    // as far as is known
	since time.Time // when it was last known to have read all there is, while it has not; zero: it has
	again time.Time // it waits until then
	waits int       // failures since it last went on
	skip  uint64    // an entry to pass over, or Nowhere
	dirty bool      // not reported yet
	in    int       // the last report that it was in
}

// at gives the place in a timeline. The caller holds mu.
func (w *Watch) at(tenant string) *place {
	p := w.places[tenant]
	if p == nil {
		p = &place{Status: Status{Tenant: tenant, Name: w.name, Entry: Nowhere}, skip: Nowhere}
		w.places[tenant] = p
	}
	return p
}

// noted takes account of where it is and of how long the timeline is. The caller
// holds the watch's mu.
func (p *place) noted(cursor, head uint64, now time.Time) {
	p.dirty = p.dirty || cursor > p.Cursor
	p.Cursor, p.head = max(p.Cursor, cursor), max(p.head, head)
	if p.Cursor >= p.head {
		p.since = time.Time{}
	} else if p.since.IsZero() {
		p.since = now
	}
}

// May says whether the follower may read on in a timeline that is known to have
// head entries: not while it is paused or parked there, and not for a while after
// a failure.
func (w *Watch) May(tenant string, head uint64) bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[tenant]
	if p == nil {
		return true
	}
	now := w.board.cfg.Now()
	p.noted(0, head, now)
	wait := p.again.Sub(now)
	waits := wait > 0 && wait <= w.board.cfg.Longest // else the clock was put back
	return p.State != Paused && p.State != Parked && !waits
}

// Skips says that somebody decided to pass over this entry. A follower that does
// so moves its cursor beyond it, durably, before it says that it is there.
func (w *Watch) Skips(tenant string, entry uint64) bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[tenant]
	return p != nil && p.skip == entry
}

// At says that the follower has read all entries before cursor, of head that are
// known, and goes on.
func (w *Watch) At(tenant string, cursor, head uint64) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.at(tenant)
	p.noted(cursor, head, w.board.cfg.Now())
	p.waits, p.again = 0, time.Time{}
	if p.State != Failing {
		p.dirty = p.dirty || p.SeenAt.IsZero()
		return
	}
	p.State, p.Entry, p.Tries, p.Code, p.Error, p.FailingSince, p.dirty = Running, Nowhere, 0, "", "", time.Time{}, true
}

// Failed says that the follower could not go on in a timeline, at an entry or at
// Nowhere in particular. It waits before the next try, longer each time. What does
// not pass by itself and fails as often as it may at the same place is parked.
func (w *Watch) Failed(ctx context.Context, tenant string, entry uint64, err error) {
	if w == nil || ctx.Err() != nil {
		return
	}
	if s, over := w.failed(tenant, entry, err); over {
		w.board.park(ctx, w, s, err)
	}
}

// Park says that the follower cannot go on in a timeline whatever it tries.
func (w *Watch) Park(ctx context.Context, tenant string, entry uint64, err error) {
	if w == nil || ctx.Err() != nil {
		return
	}
	s, _ := w.failed(tenant, entry, err)
	w.board.park(ctx, w, s, err)
}

// failed notes a failure, and says whether that were enough of them.
func (w *Watch) failed(tenant string, entry uint64, err error) (Status, bool) {
	cfg := &w.board.cfg
	now := cfg.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.at(tenant)
	passing := passes(err)
	if entry != Nowhere {
		p.noted(entry, 0, now)
	}
	if entry != p.Entry {
		p.Tries = 0
	}
	if p.FailingSince.IsZero() {
		p.FailingSince = now.UTC().Truncate(time.Millisecond)
	}
	p.Entry, p.dirty = entry, true
	p.Code, p.Error = reason(err)
	if p.State == Running {
		p.State = Failing
	}
	wait := cfg.First
	for range min(p.waits, 16) {
		wait = min(2*wait, cfg.Longest)
	}
	p.waits++
	p.again = now.Add(wait)
	if passing {
		return p.Status, false
	}
	p.Tries++
	return p.Status, p.State == Failing && p.Tries >= cfg.Tries
}

// hold takes over what the database says of a place that is held, or lets it go;
// it says whether it was held before and is not now.
func (w *Watch) hold(tenant string, r *row) (released bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[tenant]
	if r == nil {
		if p == nil || p.State != Paused && p.State != Parked && p.skip == Nowhere {
			return false
		}
		released = p.State == Paused || p.State == Parked
		p.skip = Nowhere
	} else {
		p = w.at(tenant)
		held := p.State == Paused || p.State == Parked
		p.skip = r.skip
		p.noted(r.Cursor, 0, w.board.cfg.Now())
		if r.State == Paused || r.State == Parked {
			cursor, seen := p.Cursor, p.SeenAt
			p.Status = r.Status
			p.Cursor, p.SeenAt = max(cursor, r.Cursor), seen
			return false
		}
		released = held
	}
	if released {
		p.State, p.Entry, p.Tries, p.Code, p.Error, p.FailingSince = Running, Nowhere, 0, "", "", time.Time{}
		p.waits, p.again = 0, time.Time{}
	}
	return released
}

// status is what this process knows of a place.
func (w *Watch) status(tenant string) (Status, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[tenant]
	if p == nil {
		return Status{}, false
	}
	return p.Status, true
}

// unreported takes up to limit places of which there is news and which are not in a
// report yet.
func (w *Watch) unreported(report, limit int, now time.Time) (out []Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.places {
		if len(out) == limit {
			break
		}
		if p.dirty && p.in != report {
			p.dirty, p.in, p.SeenAt = false, report, now
			out = append(out, p.Status)
		}
	}
	return out
}

// unsaid takes back that places were reported.
func (w *Watch) unsaid(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at(tenant).dirty = true
}

// Measure is one follower in all timelines, as far as this process knows.
type Measure struct {
	Name    string
	Entries uint64        // known that it has not read
	Oldest  time.Duration // for which it has not read all there is somewhere
	Parked  int           // timelines
	Paused  int
	Failing int
}

func (w *Watch) measure(now time.Time) Measure {
	m := Measure{Name: w.name}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.places {
		if p.head > p.Cursor {
			m.Entries += p.head - p.Cursor
			m.Oldest = max(m.Oldest, now.Sub(p.since))
		}
		switch p.State {
		case Parked:
			m.Parked++
		case Paused:
			m.Paused++
		case Failing:
			m.Failing++
		}
	}
	return m
}

// logParked is the alarm.
func (w *Watch) logParked(ctx context.Context, s *Status, err error) {
	attrs := []any{slog.String("follower", s.Name), slog.String("tenant", s.Tenant), slog.Int("tries", s.Tries), slog.Any("error", err)}
	if s.Entry != Nowhere {
		attrs = append(attrs, slog.Uint64("entry", s.Entry))
	}
	w.board.cfg.Log.ErrorContext(ctx, "a follower is parked: it goes on when somebody lets it (logline followers)", attrs...)
}
