package engine

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
)

// sweepAt is how many callers are remembered before those with an untouched
// quota are forgotten.
const sweepAt = 4096

// quotas limits what identities do, each by itself, in this process's memory.
type quotas struct {
	perMinute int

	mu       sync.Mutex // guards limiters and sweep
	limiters map[limited]*rate.Limiter
	sweep    int
}

// limited is an identity, in one tenant or ("") at this node.
type limited struct{ tenant, identity string }

func newQuotas(perMinute int) *quotas {
	return &quotas{perMinute: perMinute, limiters: make(map[limited]*rate.Limiter), sweep: sweepAt}
}

// wait is how long until the identity has one turn left, 0 for now. It spends
// nothing.
func (q *quotas) wait(tenant, identity string, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.limiters[limited{tenant, identity}]
	if l == nil {
		return 0
	}
	have := l.TokensAt(now)
	if have >= 1 {
		return 0
	}
	wait := time.Duration((1 - have) / float64(l.Limit()) * float64(time.Second))
	return max(wait.Round(time.Second), time.Second)
}

// spend takes one turn from the quota.
func (q *quotas) spend(tenant, identity string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := limited{tenant, identity}
	l := q.limiters[g]
	if l == nil {
		q.forget(now)
		l = rate.NewLimiter(rate.Limit(float64(q.perMinute)/60), q.perMinute)
		q.limiters[g] = l
	}
	l.AllowN(now, 1)
}

// forget drops callers whose quota is full again; they lose nothing by it.
func (q *quotas) forget(now time.Time) {
	if len(q.limiters) < q.sweep {
		return
	}
	for g, l := range q.limiters {
		if l.TokensAt(now) >= float64(q.perMinute) {
			delete(q.limiters, g)
		}
	}
	q.sweep = max(sweepAt, 2*len(q.limiters))
}

// guestQuota tells whether the span's author is only a guest, and refuses it
// when the quota is spent.
func (r *round) guestQuota(it *item) (guest bool, err error) {
	standings := r.session.Tx()
	if !standings.Can(it.span.Author, standing.RightAppend) || standings.Can(it.span.Author, standing.RightAppendFreely) {
		return false, nil
	}
	if it.charged {
		return true, nil
	}
	q := r.engine.guests
	if wait := q.wait(r.tenant, it.span.Author, r.now); wait > 0 {
		return true, fault.Newf(fault.Limited, "guest_quota",
			"a guest may append %d spans a minute; wait, or ask an owner or admin for the role member", q.perMinute).After(wait)
	}
	return true, nil
}
