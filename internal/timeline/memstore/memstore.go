// Package memstore is a timeline store in the memory of one process: for tests,
// demonstrations and short lives. Nothing survives the process.
package memstore

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var (
	_ timeline.Store  = (*Store)(nil)
	_ timeline.Holder = (*Store)(nil)
)

// maxRange is the number of entries one Range returns.
const maxRange = 1000

// Store keeps timelines in memory. Make one with New.
type Store struct {
	mu       sync.RWMutex // guards everything below
	tenants  map[string]*tenant
	slugs    map[string]string              // slug to id
	identity map[string]map[string]struct{} // identity to tenant ids
}

type tenant struct {
	record      timeline.Tenant
	head        timeline.Head
	rows        []timeline.Row
	redacted    map[uint64]bool
	spent       map[string]timeline.Spent
	links       map[timeline.RowLink][]uint64
	hashes      map[int][]span.Hash
	checkpoints []checkpoint // sizes ascending
	state       map[string][]byte
	turn        chan struct{} // holds one token: of whoever may append
}

type checkpoint struct {
	size uint64
	note []byte
}

// New makes an empty store.
func New() *Store {
	return &Store{tenants: map[string]*tenant{}, slugs: map[string]string{}, identity: map[string]map[string]struct{}{}}
}

// Close does nothing.
func (s *Store) Close() error { return nil }

// Append implements timeline.Appender.
func (s *Store) Append(ctx context.Context, b *timeline.Batch) error {
	if err := ctx.Err(); err != nil {
		return interrupted(err)
	}
	if b.Create == nil {
		held, err := s.Hold(ctx, b.Tenant)
		if err != nil {
			return err
		}
		defer held.Close()
	}
	return s.append(b)
}

func interrupted(err error) error {
	return fault.New(fault.Unavailable, "interrupted", "the operation was interrupted before it began; send it again").Because(err)
}

func (s *Store) append(b *timeline.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.expected(b)
	if err != nil {
		return err
	}
	if err := t.check(b); err != nil {
		return err
	}
	// Nothing below fails.
	if b.Create != nil {
		t.turn <- struct{}{}
		t.record = *b.Create
		s.tenants[b.Tenant], s.slugs[t.record.Slug] = t, b.Tenant
	}
	t.apply(b)
	for _, identity := range b.Embedded {
		if s.identity[identity] == nil {
			s.identity[identity] = map[string]struct{}{}
		}
		s.identity[identity][b.Tenant] = struct{}{}
	}
	return nil
}

// expected is the tenant the batch goes to, if it is as the batch expects.
func (s *Store) expected(b *timeline.Batch) (*tenant, error) {
	t := s.tenants[b.Tenant]
	if b.Create != nil {
		if _, taken := s.slugs[b.Create.Slug]; taken || t != nil {
			return nil, timeline.ErrTenantTaken
		}
		t = &tenant{
			head: timeline.Head{Root: tree.EmptyRoot()}, redacted: map[uint64]bool{},
			spent: map[string]timeline.Spent{}, links: map[timeline.RowLink][]uint64{},
			hashes: map[int][]span.Hash{}, state: map[string][]byte{}, turn: make(chan struct{}, 1),
		}
	}
	if t == nil {
		return nil, timeline.ErrTenantUnknown
	}
	if t.head.Size != b.ExpectedSize || t.head.Root != b.ExpectedRoot {
		return nil, timeline.ErrHeadMoved
	}
	return t, nil
}

func (t *tenant) check(b *timeline.Batch) error {
	fresh := make(map[string]bool, len(b.Spent))
	for _, id := range b.Spent {
		if _, spent := t.spent[id.ID]; spent || fresh[id.ID] {
			return timeline.ErrSpent
		}
		fresh[id.ID] = true
	}
	return b.Check()
}

func (t *tenant) apply(b *timeline.Batch) {
	if b.Epoch != nil {
		t.record.Origin, t.record.LogKey = b.Epoch.Origin, b.Epoch.LogKey
	}
	for i := range b.Rows {
		r := b.Rows[i]
		r.Line, r.Payload, r.Detail = bytes.Clone(r.Line), bytes.Clone(r.Payload), bytes.Clone(r.Detail)
		r.Tags, r.Links = slices.Clone(r.Tags), slices.Clone(r.Links)
		for _, l := range r.Links {
			t.links[l] = append(t.links[l], r.Seq)
		}
		t.rows = append(t.rows, r)
	}
	for _, id := range b.Spent {
		t.spent[id.ID] = id.Spent
	}
	for _, h := range b.Subtrees {
		t.hashes[h.Level] = append(t.hashes[h.Level], h.Hash)
	}
	for _, c := range b.Statuses {
		t.rows[c.Seq].Status = c.Status
	}
	for _, seq := range b.Redacted {
		r := &t.rows[seq]
		r.Payload, r.Salt, r.Detail = nil, "", nil
		t.redacted[seq] = true
	}
	for _, row := range b.State {
		if row.Value == nil {
			delete(t.state, row.Key)
		} else {
			t.state[row.Key] = bytes.Clone(row.Value)
		}
	}
	t.head = cloneHead(b.Head)
	for _, n := range b.Earlier {
		t.checkpoints = append(t.checkpoints, checkpoint{n.Size, bytes.Clone(n.Text)})
	}
	t.checkpoints = append(t.checkpoints, checkpoint{b.Head.Size, bytes.Clone(b.Head.Checkpoint)})
}

// TenantByID implements timeline.HeadReader.
func (s *Store) TenantByID(_ context.Context, id string) (timeline.Tenant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return timeline.Tenant{}, err
	}
	return t.sized(), nil
}

// TenantBySlug implements timeline.HeadReader.
func (s *Store) TenantBySlug(_ context.Context, slug string) (timeline.Tenant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(s.slugs[slug])
	if err != nil {
		return timeline.Tenant{}, err
	}
	return t.sized(), nil
}

// Tenants implements timeline.HeadReader.
func (s *Store) Tenants(_ context.Context, after string, limit int) ([]timeline.Tenant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []timeline.Tenant
	for _, id := range slices.Sorted(maps.Keys(s.tenants)) {
		if id > after && len(out) < limit {
			out = append(out, s.tenants[id].sized())
		}
	}
	return out, nil
}

// Head implements timeline.HeadReader.
func (s *Store) Head(_ context.Context, id string) (timeline.Head, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return timeline.Head{}, err
	}
	return cloneHead(t.head), nil
}

// State implements timeline.HeadReader.
func (s *Store) State(_ context.Context, id string) (timeline.Head, []standing.Row, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tenant(id)
	if err != nil {
		return timeline.Head{}, nil, err
	}
	return cloneHead(t.head), t.stateRows(), nil
}

func (s *Store) tenant(id string) (*tenant, error) {
	if t := s.tenants[id]; t != nil {
		return t, nil
	}
	return nil, timeline.ErrTenantUnknown
}

func (t *tenant) sized() timeline.Tenant {
	out := t.record
	out.Size = t.head.Size
	return out
}

func cloneHead(h timeline.Head) timeline.Head {
	h.Checkpoint, h.Edge = bytes.Clone(h.Checkpoint), slices.Clone(h.Edge)
	return h
}
