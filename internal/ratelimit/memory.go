package ratelimit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	shards = 64
	// DefaultBuckets is how many buckets a Memory holds where nobody says
	// otherwise; one takes about 100 bytes and the key.
	DefaultBuckets = 1 << 17
	looked         = 4 // buckets that are looked at for each new one, to forget those that are full
	weighed        = 8 // among which the fullest gives way where there is no room
)

// Memory keeps buckets in this process. A bucket that is full is the same as one
// that is not there, and is forgotten; where there is no room for all that are
// not, a fuller one gives way, so that memory is bounded whoever comes.
type Memory struct {
	now   func() time.Time
	most  int // in one shard
	seed  maphash.Seed
	shard [shards]shard
}

type shard struct {
	mu  sync.Mutex       // guards tat
	tat map[string]int64 // microseconds at which each is full
}

var _ Store = (*Memory)(nil)

// NewMemory makes a store of at most buckets; it starts nothing.
func NewMemory(now func() time.Time, buckets int) *Memory {
	m := &Memory{now: now, most: max(1, buckets/shards), seed: maphash.MakeSeed()}
	for i := range m.shard {
		m.shard[i].tat = make(map[string]int64)
	}
	return m
}

// Take implements Store.
func (m *Memory) Take(_ context.Context, asks []Ask, answers []Answer) int {
	now := m.now().UnixMicro()
	for i := range asks {
		if answers[i] = m.take(&asks[i], now); answers[i].Retry > 0 {
			for j := range i {
				m.giveBack(&asks[j])
			}
			return i
		}
	}
	return -1
}

func (m *Memory) of(key string) *shard { return &m.shard[maphash.String(m.seed, key)%shards] }

func (m *Memory) take(a *Ask, now int64) Answer {
	s := m.of(a.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	tat, known := s.tat[a.Key]
	after, early := cell(tat, now, a)
	if early == 0 && after > now {
		if !known {
			s.makeRoom(now, m.most)
		}
		s.tat[a.Key] = after
	}
	return answer(after, now, early, a.Limit)
}

// giveBack undoes take.
func (m *Memory) giveBack(a *Ask) {
	s := m.of(a.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if tat, known := s.tat[a.Key]; known {
		s.tat[a.Key] = tat - a.Limit.interval()*int64(a.Cost)
	}
}

// makeRoom forgets a few that are full, and where the shard has no room all the
// same, the fullest of some.
func (s *shard) makeRoom(now int64, most int) {
	seen, fullest, least := 0, "", int64(0)
	for key, tat := range s.tat {
		if seen++; tat <= now {
			delete(s.tat, key)
		} else if fullest == "" || tat < least {
			fullest, least = key, tat
		}
		if seen >= looked && (len(s.tat) < most || seen >= weighed) {
			break
		}
	}
	if len(s.tat) >= most {
		delete(s.tat, fullest)
	}
}
