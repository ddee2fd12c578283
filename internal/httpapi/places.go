package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// places bounds how many requests of a kind that lasts are served at once, and
// how many of them one holder has: at most three quarters of what others leave.
// So whoever takes all that they can, and keeps it by sending or reading slowly,
// leaves something to the next one.
type places struct {
	max int

	mu    sync.Mutex // guards the rest
	held  map[string]int
	taken int
	freed chan struct{} // closed, and made anew, when a place is given back
}

func newPlaces(max int) *places {
	return &places{max: max, held: make(map[string]int), freed: make(chan struct{})}
}

// try takes a place; where there is none, changed is closed once one is free.
func (p *places) try(holder string) (ok bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.held[holder]
	others := p.taken - mine
	if p.taken >= p.max || mine > 0 && 4*mine >= 3*(p.max-others) {
		return false, p.freed
	}
	p.held[holder]++
	p.taken++
	return true, nil
}

func (p *places) give(holder string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.held[holder]--; p.held[holder] == 0 {
		delete(p.held, holder)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// holder is who has a place that takes no credential: an address, and of IPv6 the
// network that one customer has.
func (s *Server) holder(req *http.Request) string {
	at := s.clientAddress(req)
	if of, err := at.Prefix(64); err == nil && at.Is6() {
		return of.String()
	}
	return at.String()
}

// takePlace waits a while for one of the places, and gives back what it took by
// the returned function, nil where there was none: a short request gives its
// place back soon.
func (s *Server) takePlace(ctx context.Context, of *places, holder string) (give func()) {
	timer := time.NewTimer(s.limits.Stall / 6)
	defer timer.Stop()
	for {
		ok, changed := of.try(holder)
		if ok {
			return func() { of.give(holder) }
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		case <-s.stop:
			return nil
		}
	}
}
