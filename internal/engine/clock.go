package engine

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	// maxFired bounds the timers that one batch answers.
	maxFired = 100
	// goesOn is what an answer weighs, of those, after which a schedule goes on: it
	// may have asked about very many identities.
	goesOn = 10
	// clockLag is how long timers that could not be answered wait.
	clockLag = 5 * time.Second
	// clockAge is how late after its time a timer may fire whose process has
	// ended: all tenants are asked for theirs that often.
	clockAge = time.Minute
)

// clock knows when the next timer of each tenant is due: the end of the time for
// votes, of a workflow's state, of a payload's retention, a task, a schedule.
type clock struct {
	mu   sync.Mutex // guards next and failed
	next map[string]time.Time
	wake chan struct{}
	read time.Time // when all tenants were asked last; of keepTime's goroutine

	failed map[string]map[string]rest // timers that could not be answered, by tenant and key
}

// rest is for how long a timer that could not be answered is left alone.
type rest struct {
	until time.Time
	wait  time.Duration // it was then
}

const (
	// longestRest is how long such a timer waits at most: the wait doubles.
	longestRest = time.Hour
	// mostFailed bounds how many such timers of a tenant are remembered. Where there
	// are more all are tried again.
	mostFailed = 10_000
)

func newClock() *clock {
	return &clock{next: make(map[string]time.Time), wake: make(chan struct{}, 1), failed: make(map[string]map[string]rest)}
}

// fails says that a timer could not be answered.
func (c *clock) fails(tenant, key string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.failed[tenant]
	if of == nil || len(of) >= mostFailed {
		of = make(map[string]rest)
		c.failed[tenant] = of
	}
	wait := min(max(2*of[key].wait, clockLag), longestRest)
	of[key] = rest{now.Add(wait), wait}
}

// resting are a tenant's timers that are left alone for now. What was not tried for
// long is forgotten: it has been answered, or has gone.
func (c *clock) resting(tenant string, now time.Time) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]bool)
	for key, r := range c.failed[tenant] {
		switch over := now.Sub(r.until); {
		case over.Abs() > 2*longestRest: // or the clock was put back
			delete(c.failed[tenant], key)
		case over < 0:
			out[key] = true
		}
	}
	if len(c.failed[tenant]) == 0 {
		delete(c.failed, tenant)
	}
	return out
}

// set says when a tenant's next timer is due; the zero time: there is none.
func (c *clock) set(tenant string, at time.Time) {
	c.mu.Lock()
	was, known := c.next[tenant]
	if at.IsZero() {
		delete(c.next, tenant)
	} else {
		c.next[tenant] = at
	}
	c.mu.Unlock()
	if !at.IsZero() && (!known || at.Before(was)) {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// due are the tenants with timers that are due, and how long until the next one
// after those, at most clockLag.
func (c *clock) due(now time.Time) (tenants []string, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = clockLag
	for tenant, at := range c.next {
		if until := at.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		tenants = append(tenants, tenant)
		c.next[tenant] = now.Add(clockLag) // until the batch says better
	}
	return tenants, wait
}

// old says that all tenants should be asked again: it is long ago, or the clock was
// put back.
func (c *clock) old(now time.Time) bool { return c.read.IsZero() || now.Sub(c.read).Abs() > clockAge }

// keepTime answers timers as they become due, until ctx ends.
func (e *Engine) keepTime(ctx context.Context) {
	for {
		if now := e.cfg.Now(); e.clock.old(now) {
			e.readTimers(ctx)
			e.clock.read = now
		}
		tenants, wait := e.clock.due(e.cfg.Now())
		for some := range slices.Chunk(tenants, firedAtOnce) {
			e.fireIn(ctx, some)
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.clock.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// firedAtOnce is how many timelines answer their timers at the same time: at three
// in the morning all do.
const firedAtOnce = 16

// fireIn has timelines answer their timers.
func (e *Engine) fireIn(ctx context.Context, tenants []string) {
	for i, err := range e.inEach(ctx, tenants, func() *item { return &item{fire: true} }) {
		tenant := tenants[i]
		switch {
		case err == nil:
			e.carryOn(ctx, tenant, []*item{{fire: true}})
		case closed(err):
			e.clock.set(tenant, time.Time{})
		case fault.CodeOf(err) == codeQueueFull, ctx.Err() != nil: // which has other turns
		default:
			e.cfg.Logger.WarnContext(ctx, "timers not answered yet", slog.String("tenant", tenant), slog.Any("error", err))
		}
	}
}

// closed says of an error that nothing is decided in its timeline any more, or for
// now: a tenant that is resumed is asked for its timers again.
func closed(err error) bool {
	switch fault.CodeOf(err) {
	case timeline.CodeReadOnly, "timeline_handed_over", standing.CodeSuspended, standing.CodeClosed:
		return true
	}
	return false
}

// readTimers asks the store for each tenant's next timer: those that other
// processes made, and at start all.
func (e *Engine) readTimers(ctx context.Context) {
	after := ""
	for ctx.Err() == nil {
		tenants, err := e.log.Tenants(ctx, after, tenantsAtOnce)
		if err != nil || len(tenants) == 0 {
			return
		}
		for _, t := range tenants {
			if t.ReadOnly {
				continue
			}
			at, ok, err := rules.NextDue(ctx, e.log.Committed(t.ID))
			if err == nil && ok {
				e.clock.set(t.ID, at)
			}
		}
		after = tenants[len(tenants)-1].ID
	}
}

const tenantsAtOnce = 256

// noteTimers remembers when the next timer is due after this round's entries.
func (r *round) noteTimers(ctx context.Context) error {
	if !r.timed && !r.changed && (r.asked == nil || len(r.asked.Contracts.Contracts()) == 0) {
		return nil // no contract has been asked
	}
	at, _, err := rules.NextDue(ctx, r.session.Decisions())
	if later := r.now.Add(clockLag); r.stuck && at.Before(later) {
		at = later
	}
	r.nextDue, r.timed = at, true
	return err
}

// fire answers the timers that are due, those too that answers bring: a schedule
// makes up for what was missed, or goes on with whom there was no room for.
func (r *round) fire(ctx context.Context) error {
	r.timed = true
	rests := r.engine.clock.resting(r.tenant, r.now)
	for n := 0; n < maxFired; {
		w, err := r.world(ctx)
		if err != nil {
			return err
		}
		due, err := rules.Due(ctx, w.State, r.now, maxFired+len(rests))
		if err != nil {
			return err
		}
		before := n
		for _, t := range due {
			if r.stuck = r.stuck || rests[t.Key]; rests[t.Key] || n >= maxFired {
				continue
			}
			n++
			more, err := r.answer(ctx, t)
			if err != nil {
				if r.session.Err() != nil || fault.KindOf(err) == fault.Unavailable || closed(err) {
					return err
				}
				rests[t.Key], r.stuck = true, true // it holds up no other
				r.engine.clock.fails(r.tenant, t.Key, r.now)
				r.engine.cfg.Logger.ErrorContext(ctx, "timer not answered", slog.String("tenant", r.tenant), slog.String("timer", t.Key), slog.Any("error", err))
			}
			if more {
				n += goesOn - 1
			}
			if more || r.asked == nil {
				break // what is due may be another now: so may be the contracts
			}
		}
		if n == before {
			return nil
		}
	}
	r.stuck = false // there may be others behind those
	return nil
}

// answer answers one timer. more says that another one came of it that is due.
func (r *round) answer(ctx context.Context, t rules.Timer) (more bool, err error) {
	switch t.Kind {
	case rules.TimerApproval:
		return false, r.settle(ctx, []rules.Settlement{{Span: t.Span}})
	case rules.TimerSchedule:
		next, err := r.runSchedule(ctx, t)
		return !next.IsZero() && !next.After(r.now), err
	}
	return false, r.fireOne(ctx, t)
}

// firedPayload is what the node's entry says of a timer.
type firedPayload struct {
	Kind     string `json:"kind"`
	Due      string `json:"due"`
	Workflow string `json:"workflow,omitempty"`
	Instance string `json:"instance,omitempty"`
	To       string `json:"to,omitempty"`
	Contract string `json:"contract,omitempty"`
	Task     string `json:"task,omitempty"`
}

// typeFired is the type of the node's entry that answers a timer; the end of a
// retention is a redaction.
const typeFired = "logline.task.fired"

func (r *round) fireOne(ctx context.Context, t rules.Timer) error {
	w, err := r.world(ctx)
	if err != nil {
		return err
	}
	var causing *span.Span
	if t.Span != "" {
		if causing, err = r.spanOf(ctx, t.Span); err != nil {
			return err
		}
	}
	o, err := r.fireSafely(ctx, w, t, causing)
	if err != nil {
		return err
	}
	typ, causes := typeFired, []string(nil)
	payload, err := span.Canonical(firedPayload{t.Kind, span.FormatTime(t.Due), t.Workflow, t.Instance, t.To, t.Contract, t.Task})
	if causing != nil {
		causes = []string{causing.ID}
		if t.Kind == rules.TimerRetain {
			typ = span.TypeRedaction
			payload, err = span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: causing.ID, HeaderHash: causing.Hash().String()}}, Reason: "retention ended"})
		}
	}
	if err != nil {
		return err
	}
	_, err = r.writeOwn(ctx, typ, payload, o, causes...)
	return err
}
