package timeline

import (
	"sync"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// sharedView lets many read a state that a commit may change between two
// calls. What it returns is never changed in place.
type sharedView struct {
	mu   *sync.RWMutex // guards view's content
	view standing.View
}

var _ standing.View = (*sharedView)(nil)

// Genesis implements standing.View.
func (s *sharedView) Genesis() *span.Genesis {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Genesis()
}

// Tenant implements standing.View.
func (s *sharedView) Tenant() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Tenant()
}

// Node implements standing.View.
func (s *sharedView) Node() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Node()
}

// Owner implements standing.View.
func (s *sharedView) Owner() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Owner()
}

// LogKey implements standing.View.
func (s *sharedView) LogKey() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.LogKey()
}

// Halted implements standing.View.
func (s *sharedView) Halted() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Halted()
}

// Epoch implements standing.View.
func (s *sharedView) Epoch() (n, first uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Epoch()
}

// Identity implements standing.View.
func (s *sharedView) Identity(identity string) (*id.Chain, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Identity(identity)
}

// Roles implements standing.View.
func (s *sharedView) Roles(identity string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Roles(identity)
}

// Can implements standing.View.
func (s *sharedView) Can(identity string, r standing.Right) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Can(identity, r)
}

// Members implements standing.View.
func (s *sharedView) Members() []standing.Member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.Members()
}
