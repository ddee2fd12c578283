package tasks

import (
	"sync"
	"sync/atomic"
	"time"
)

// News passes on, within this process and as it happens, how tasks stand that
// were changed here. It is a faster way beside the timeline, and no other: what
// another process changed is not in it, and a listener that does not keep up
// misses some and is told so. A nil *News passes on nothing. It is safe for
// concurrent use.
type News struct {
	count atomic.Int64 // listeners, so that where there is none it costs nothing

	mu        sync.Mutex // guards listeners
	listeners map[string]map[*Listener]struct{}
}

// NewNews makes one.
func NewNews() *News { return &News{listeners: map[string]map[*Listener]struct{}{}} }

// heldNews is how many changes a listener may be behind.
const heldNews = 1024

// Listener hears of one tenant's tasks.
type Listener struct {
	C <-chan Task

	news   *News
	tenant string
	c      chan Task
	missed atomic.Bool
}

// Listen begins to hear of a tenant's tasks, by its id. The caller closes it.
func (n *News) Listen(tenant string) *Listener {
	l := &Listener{news: n, tenant: tenant}
	if n == nil {
		return l // a channel on which nothing comes
	}
	l.c = make(chan Task, heldNews)
	l.C = l.c
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[tenant] == nil {
		n.listeners[tenant] = map[*Listener]struct{}{}
	}
	n.listeners[tenant][l] = struct{}{}
	n.count.Add(1)
	return l
}

// Missed says whether changes were left out since it was last asked.
func (l *Listener) Missed() bool { return l.missed.Swap(false) }

// Close ends it; closing twice is harmless.
func (l *Listener) Close() {
	n := l.news
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, there := n.listeners[l.tenant][l]; !there {
		return
	}
	delete(n.listeners[l.tenant], l)
	if len(n.listeners[l.tenant]) == 0 {
		delete(n.listeners, l.tenant)
	}
	n.count.Add(-1)
}

// Silent says that nobody listens.
func (n *News) Silent() bool { return n == nil || n.count.Load() == 0 }

// Tell passes on how tasks stand. It never waits.
func (n *News) Tell(list ...Task) {
	if n.Silent() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range list {
		for l := range n.listeners[list[i].Tenant] {
			select {
			case l.c <- list[i]:
			default:
				l.missed.Store(true)
			}
		}
	}
}

// settled is how a task stands once a run of it was settled.
func settled(t Task, s *Settlement, now time.Time) Task {
	t.State, t.Step, t.Cancelling, t.Code, t.Error, t.LeaseUntil = s.State, t.Step+1, false, s.Code, s.Error, time.Time{}
	t.ChangedAt = now
	if s.State == Queued {
		t.RunAt = s.RunAt
	}
	if s.Free {
		t.Attempts++
	}
	if s.Output != nil {
		t.Output = s.Output
	}
	return t
}
