package engine

import (
	"context"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// stages lets one simulation at a time try things on a timeline of this process,
// and the next one only after a rest as long as that took: whoever simulates
// without end leaves at least half of the time to those who append.
type stages struct {
	mu       sync.Mutex // guards byTenant and what is in use
	byTenant map[string]*stage
}

type stage struct {
	turn chan struct{} // holds a token while somebody is on it
	free time.Time     // when its rest ends; whoever has the turn reads and writes it
	uses int           // of those on it and those who wait
}

// patience is how long a simulation waits for others of its timeline.
const patience = 10 * time.Second

func newStages() *stages { return &stages{byTenant: make(map[string]*stage)} }

// enter waits for the stage of a timeline; leave gives it back. Fails with
// simulations_busy, or with what ctx ended with.
func (s *stages) enter(ctx context.Context, tenant string) (leave func(), err error) {
	st := s.join(tenant)
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case st.turn <- struct{}{}:
	case <-patient.C:
		s.part(st)
		return nil, errBusy
	case <-ctx.Done():
		s.part(st)
		return nil, ctx.Err()
	}
	back := func() { <-st.turn; s.part(st) }
	rest := time.NewTimer(time.Until(st.free))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-patient.C:
		back()
		return nil, errBusy
	case <-ctx.Done():
		back()
		return nil, ctx.Err()
	}
	begun := time.Now()
	return func() { st.free = time.Now().Add(time.Since(begun)); back() }, nil
}

var errBusy = fault.New(fault.Limited, "simulations_busy", "others simulate on this timeline; try again in some seconds").After(patience)

func (s *stages) join(tenant string) *stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.byTenant[tenant]
	if st == nil {
		s.sweep()
		st = &stage{turn: make(chan struct{}, 1)}
		s.byTenant[tenant] = st
	}
	st.uses++
	return st
}

func (s *stages) part(st *stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.uses--
}

// sweep forgets the stages that nobody uses and that have had their rest.
func (s *stages) sweep() {
	if len(s.byTenant) < sweepAt {
		return
	}
	now := time.Now()
	for tenant, st := range s.byTenant {
		if st.uses == 0 && now.After(st.free) {
			delete(s.byTenant, tenant)
		}
	}
}
