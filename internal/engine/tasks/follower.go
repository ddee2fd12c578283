package tasks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Timelines is what the follower reads. *timeline.Log implements it.
type Timelines interface {
	Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error)
	Tenant(ctx context.Context, idOrSlug string) (timeline.Tenant, error)
	Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) ([]timeline.Record, uint64, error)
	Tail(tenant string) *timeline.Tail
	Committed(tenant string) *timeline.Committed
}

// FollowerConfig of a Follower. Zero values mean the defaults named beside them.
type FollowerConfig struct {
	Poll  time.Duration    // between looks that no wake-up asked for: 5 s
	Now   func() time.Time // time.Now
	Log   *slog.Logger     // slog.Default()
	Made  func()           // called after tasks were made, by whatever process; may be nil
	Watch *followers.Watch // of followers.Tasks; may be nil
	News  *News            // told of tasks that were made; may be nil
}

// Follower reads every timeline that this node writes, in order and by cursor,
// and makes a task of each action that a decision names. Any number of processes
// may follow: the cursor moves once. Make one with NewFollower.
type Follower struct {
	log   Timelines
	store Inbox
	kinds Kinds
	bus   *bus.Bus
	cfg   FollowerConfig

	places map[string]*place // by tenant; of Run's goroutine
	late   []string          // tenants that are far behind, each once; likewise
	behind atomic.Int64
}

// place is where the follower is in one timeline.
type place struct {
	stored uint64 // the cursor
	next   uint64 // the first entry that was not read here
	size   uint64 // as far as is known
	narrow uint64 // entries before this one are taken one by one: at one of them it fails
	ours   bool   // this node writes it
	tail   *timeline.Tail
}

// unstored is how many entries that ask for nothing are read before the cursor
// is moved for them alone: reading them again costs less than a commit for each.
const unstored = 4096

// NewFollower follows log and fills store with tasks of the kinds there are.
func NewFollower(log Timelines, store Inbox, kinds Kinds, wakes *bus.Bus, cfg FollowerConfig) *Follower {
	cfg.Poll = cmp.Or(cfg.Poll, 5*time.Second)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Made == nil {
		cfg.Made = func() {}
	}
	return &Follower{log: log, store: store, kinds: kinds, bus: wakes, cfg: cfg, places: map[string]*place{}}
}

// Lag is how many entries are known that were not read yet.
func (f *Follower) Lag() int64 { return f.behind.Load() }

// Run follows until ctx ends. What goes wrong with one timeline is logged, tried
// again, and keeps no other waiting.
func (f *Follower) Run(ctx context.Context) {
	wakes := f.bus.Subscribe()
	defer wakes.Close()
	defer func() {
		for _, p := range f.places {
			p.tail.Close()
		}
	}()
	poll := time.NewTimer(0) // at once
	defer poll.Stop()
	next := time.NewTimer(0) // what is far behind goes on, by turns and with rests
	defer next.Stop()
	for armed, rest := true, time.Duration(0); ; {
		if len(f.late) > 0 && !armed {
			next.Reset(rest)
			armed = true
		}
		select {
		case <-ctx.Done():
			return
		case <-wakes.C:
			for _, w := range wakes.Take() {
				f.look(ctx, w.Tenant, w.Size)
			}
		case <-poll.C:
			f.lookAtAll(ctx)
			poll.Reset(f.cfg.Poll)
		case <-next.C:
			armed = false
			if len(f.late) > 0 {
				tenant, began := f.late[0], time.Now()
				f.late = f.late[1:]
				f.look(ctx, tenant, 0)
				rest = time.Since(began)
			}
		}
	}
}

const tenantsAtOnce = 256

func (f *Follower) lookAtAll(ctx context.Context) {
	for after := ""; ctx.Err() == nil; {
		page, err := f.log.Tenants(ctx, after, tenantsAtOnce)
		if err != nil {
			f.cfg.Log.WarnContext(ctx, "timelines not listed to follow them; the next look tries again", slog.Any("error", err))
			return
		}
		for i := range page {
			if p := f.places[page[i].ID]; p != nil {
				p.ours = !page[i].ReadOnly // it may have been handed over
			}
			f.look(ctx, page[i].ID, page[i].Size)
		}
		if len(page) < tenantsAtOnce {
			return
		}
		after = page[len(page)-1].ID
	}
}

// look follows one timeline to the size that is known, unless it is held there.
func (f *Follower) look(ctx context.Context, tenant string, size uint64) {
	p := f.places[tenant]
	if p != nil {
		before := p.lag()
		p.size = max(p.size, size)
		f.behind.Add(p.lag() - before)
	}
	if !f.cfg.Watch.May(tenant, size) {
		return
	}
	before := int64(0)
	if p != nil {
		before = p.lag()
	}
	p, err := f.placeIn(ctx, tenant)
	if err == nil {
		p.size = max(p.size, size)
		f.behind.Add(p.lag() - before)
		before = p.lag()
		err = f.guarded(ctx, tenant, p)
		f.behind.Add(p.lag() - before)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		f.cfg.Log.WarnContext(ctx, "a timeline is not followed yet; the next look tries again", slog.String("tenant", tenant), slog.Any("error", err))
		entry := followers.Nowhere
		if at := (*stuck)(nil); errors.As(err, &at) {
			entry, err = at.entry, at.err
		}
		f.cfg.Watch.Failed(ctx, tenant, entry, err)
	case err == nil && p.ours:
		f.cfg.Watch.At(tenant, p.next, p.size)
	}
}

// stuck is an error at one entry.
type stuck struct {
	entry uint64
	err   error
}

func (s *stuck) Error() string { return fmt.Sprintf("entry %d: %v", s.entry, s.err) }
func (s *stuck) Unwrap() error { return s.err }

// guarded is follow; a panic is an error of one timeline, and reading begins at
// the cursor again.
func (f *Follower) guarded(ctx context.Context, tenant string, p *place) (err error) {
	defer func() {
		if v := recover(); v != nil {
			f.cfg.Log.ErrorContext(ctx, "the follower panicked", slog.String("tenant", tenant), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			err = fault.Newf(fault.Internal, "follower_panicked", "following the timeline panicked: %v", v)
			p.next = p.stored
		}
	}()
	return f.follow(ctx, tenant, p)
}

func (p *place) lag() int64 {
	if !p.ours || p.next >= p.size {
		return 0
	}
	return int64(p.size - p.next)
}

// placeIn is the place in a timeline, from the store where it is new.
func (f *Follower) placeIn(ctx context.Context, tenant string) (*place, error) {
	if p := f.places[tenant]; p != nil {
		return p, nil
	}
	t, err := f.log.Tenant(ctx, tenant)
	if err != nil {
		return nil, err
	}
	p := &place{size: t.Size, ours: !t.ReadOnly}
	if p.stored, err = f.store.Cursor(ctx, tenant); err != nil {
		return nil, err
	}
	if p.next, err = f.first(ctx, tenant, p); err != nil {
		return nil, err
	}
	p.tail = f.log.Tail(tenant)
	f.places[tenant] = p
	return p, nil
}

// first is where reading begins: at the cursor. A long past of a timeline that has
// never had a contract is not read, for no decision of it names an action.
func (f *Follower) first(ctx context.Context, tenant string, p *place) (uint64, error) {
	if !p.ours || p.size-min(p.stored, p.size) < unstored {
		return p.stored, nil
	}
	had, err := rules.Versions(ctx, f.log.Committed(tenant)) // of now: what p.size is of came before
	if err != nil || len(had) > 0 {
		return p.stored, err
	}
	if _, err := f.store.Advance(ctx, f.cfg.Now(), tenant, p.stored, p.size, nil); err != nil {
		return p.stored, err
	}
	p.stored = p.size
	return p.stored, nil
}

// atOnce is how many pages of one timeline are read before others have a turn.
const atOnce = 16

// follow reads on and makes tasks, as far as one turn goes.
func (f *Follower) follow(ctx context.Context, tenant string, p *place) error {
	for page := 0; p.ours && p.next < p.size; page++ {
		if page == atOnce {
			if !slices.Contains(f.late, tenant) {
				f.late = append(f.late, tenant)
			}
			return nil
		}
		records, next, err := f.read(ctx, tenant, p)
		if err != nil || next == p.next {
			return err
		}
		drafts, skipped, err := f.drafts(tenant, records)
		if at := (*stuck)(nil); errors.As(err, &at) && at.entry > p.next { // what comes before it is done first
			records, next = records[:at.entry-p.next], at.entry
			drafts, skipped, err = f.drafts(tenant, records)
		}
		if err != nil {
			return err
		}
		p.next = next
		if len(drafts) == 0 && !skipped && p.next-p.stored < unstored {
			continue
		}
		made, err := f.store.Advance(ctx, f.cfg.Now(), tenant, p.stored, p.next, drafts)
		if errors.Is(err, ErrMoved) {
			f.cfg.Made() // by the one who moved it
			p.stored, err = f.store.Cursor(ctx, tenant)
			p.next = p.stored
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			p.next = p.stored // it is not known what was done
			if k := fault.KindOf(err); k == fault.Unavailable || k == fault.Limited || len(records) == 0 {
				return err
			}
			if len(records) == 1 {
				return &stuck{records[0].Seq, err}
			}
			p.narrow = max(p.narrow, next)
			continue
		}
		p.stored = p.next
		if made == len(drafts) { // else some were there, and it is not known how they stand
			f.tell(tenant, drafts)
		}
		if made > 0 {
			f.cfg.Made()
		}
	}
	return nil
}

// tell passes on that tasks were made.
func (f *Follower) tell(tenant string, drafts []Draft) {
	if f.cfg.News.Silent() {
		return
	}
	now := f.cfg.Now()
	for i := range drafts {
		d := &drafts[i]
		f.cfg.News.Tell(Task{
			Key: Key{tenant, d.Origin, d.Action}, Queue: d.Queue, Kind: d.Kind, Name: d.Name, Priority: d.Priority, Attempts: d.Attempts,
			RunAt: d.RunAt, Seq: d.Seq, MadeAt: now, ChangedAt: now,
		})
	}
}

// read gives the next entries: those that this process has just committed, if
// they are the next ones, else the store's.
func (f *Follower) read(ctx context.Context, tenant string, p *place) (records []timeline.Record, next uint64, err error) {
	to := p.size
	if p.next < p.narrow {
		to = p.next + 1
	}
	records, _ = p.tail.Take()
	for len(records) > 0 && records[0].Seq < p.next {
		records = records[1:]
	}
	if len(records) > 0 && records[0].Seq == p.next {
		if p.next < p.narrow {
			records = records[:1]
		}
		return records, p.next + uint64(len(records)), nil
	}
	return f.log.Entries(ctx, tenant, p.next, to, standing.Everything())
}

// named stands in the effects of a decision that names actions, and nowhere else
// in JCS before their list.
var named = []byte(`"actions":[`)

// drafts are the tasks that these entries ask for. Actions that the clock does
// (schedule) are timers, and no tasks. An error is stuck at its entry. skipped
// says that one of them was passed over because somebody decided so.
func (f *Follower) drafts(tenant string, records []timeline.Record) (out []Draft, skipped bool, err error) {
	for i := range records {
		if f.cfg.Watch.Skips(tenant, records[i].Seq) {
			skipped = true
			continue
		}
		if out, err = f.draftsOf(out, records[i].Entry); err != nil {
			return nil, skipped, &stuck{records[i].Seq, err}
		}
	}
	return out, skipped, nil
}

// draftsOf appends the tasks that one entry asks for.
func (f *Follower) draftsOf(out []Draft, e *span.Entry) ([]Draft, error) {
	if !bytes.Contains(e.Decision.Effects, named) {
		return out, nil
	}
	actions, err := rules.Actions(&e.Decision)
	if err != nil {
		return out, err
	}
	due, err := span.ParseTime(e.RecordedAt)
	if err != nil {
		return out, err
	}
	if now := f.cfg.Now(); due.After(now) {
		due = now // whose clock recorded it was ahead
	}
	for _, a := range actions {
		if a.Kind == rules.ActionSchedule {
			continue
		}
		k, known := f.kinds[a.Kind]
		if !known { // it waits for a process that has its handler
			k = NewKinds(Kind{Name: a.Kind})[a.Kind]
		}
		d := k.Draft(cmp.Or(a.Of, e.Span.ID), a.Index, a.Name, due)
		seq := e.Seq
		d.Seq = &seq
		out = append(out, d)
	}
	return out, nil
}
