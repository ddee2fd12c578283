package quota

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Counts counts what a tenant has of what the quotas bound.
type Counts interface {
	// Members is how many identities hold a role.
	Members(ctx context.Context, tenant string) (int64, error)
	// Tasks is how many wait to be run.
	Tasks(ctx context.Context, tenant string) (int64, error)
	// Size is how many entries the timeline has.
	Size(ctx context.Context, tenant string) (uint64, error)
}

// average is the seconds over which spans are counted.
const average = 10

// Tenants bounds what tenants use. It is safe for concurrent use; a nil Tenants
// bounds nothing.
type Tenants struct {
	book   *Book
	meter  *Meter
	rates  ratelimit.Store
	counts Counts
	marks  *marks
	log    *slog.Logger

	feeds *ratelimit.Leases

	mu    sync.Mutex // guards tasks
	tasks map[string]tally
}

// tally is a number as of a time.
type tally struct {
	n  int64
	at time.Time
}

// NewTenants starts nothing.
func NewTenants(db *storage.DB, book *Book, meter *Meter, rates ratelimit.Store, counts Counts, log *slog.Logger) *Tenants {
	return &Tenants{
		book: book, meter: meter, rates: rates, counts: counts, log: log, marks: newMarks(db, log),
		feeds: ratelimit.NewLeases(rates), tasks: make(map[string]tally),
	}
}

// limitOf is the bucket of a quota of spans.
func limitOf(spans int64) ratelimit.Limit {
	return ratelimit.Limit{Rate: int(spans), Burst: int(spans) * average}
}

func spansAsk(tenant string, spans int64, cost int) []ratelimit.Ask {
	return []ratelimit.Ask{{Key: "quota:" + tenant, Limit: limitOf(spans), Cost: cost, Owe: true}}
}

// Room is what a tenant may still record in one commit, as of its beginning. A nil
// Room is without bounds. It is used by one goroutine.
type Room struct {
	tenant string
	values Values

	spans  int64 // left
	retry  time.Duration
	bytes  int64 // left; only where storage is bounded
	stored int64
	tasks  int64 // that wait
}

// Room says how much a tenant may still record whose timeline has size entries.
// What cannot be found out bounds nothing and is logged: a quota keeps order and
// is no wall that must stand when the database does not.
func (t *Tenants) Room(ctx context.Context, tenant string, size uint64) *Room {
	if t == nil {
		return nil
	}
	values, err := t.book.Of(ctx, tenant)
	if err != nil {
		t.log.WarnContext(ctx, "a tenant's quotas cannot be read", slog.String("tenant", tenant), slog.Any("error", err))
		return nil
	}
	r := &Room{tenant: tenant, values: values}
	bounded := false
	if spans := values.of(Spans); spans > 0 {
		var a [1]ratelimit.Answer
		t.rates.Take(ctx, spansAsk(tenant, spans, 0), a[:])
		r.spans, r.retry, bounded = int64(a[0].Remaining), time.Second/time.Duration(spans), true
		t.mark(ctx, tenant, Spans, spans*average-r.spans, spans*average)
	} else if spans == 0 {
		r.retry, bounded = time.Minute, true
	}
	if most := values.of(Storage); most >= 0 {
		stored, known, err := t.meter.Bytes(ctx, tenant, size, aside)
		switch {
		case err != nil:
			t.log.WarnContext(ctx, "how much a tenant stores cannot be counted", slog.String("tenant", tenant), slog.Any("error", err))
		case known:
			r.stored, r.bytes, bounded = stored, most-stored, true
			t.mark(ctx, tenant, Storage, stored, most)
		}
		if !known {
			r.values = without(values, Storage)
		}
	}
	if most := r.values.of(Tasks); most >= 0 {
		r.tasks, bounded = t.waiting(ctx, tenant), true
		t.mark(ctx, tenant, Tasks, r.tasks, most)
	}
	if !bounded && r.values.of(Members) < 0 {
		return nil
	}
	return r
}

func without(v Values, name string) Values {
	out := make(Values, len(v))
	for k, n := range v {
		if k != name {
			out[k] = n
		}
	}
	return out
}

// exempt are the types that are recorded although there is no room to store
// them: by them room is made, and those who may are kept.
func exempt(typ string) bool { return typ == span.TypeRedaction || typ == span.TypeMember }

// MayRecord says whether a span of a type and of so many bytes as sent may be
// recorded too: limited quota_spans, forbidden quota_storage.
func (r *Room) MayRecord(typ string, bytes int) error {
	if r == nil {
		return nil
	}
	if most := r.values.of(Spans); most >= 0 && r.spans <= 0 {
		return fault.Newf(fault.Limited, "quota_spans",
			"the tenant's quota is %d spans a second, and more have come for a while; go on more slowly, or ask whoever runs the node for more", most).
			With("quota", Spans).With("limit", most).After(r.retry)
	}
	if most := r.values.of(Storage); most >= 0 && r.bytes < int64(bytes) && !exempt(typ) {
		return refused(fault.Forbidden, Storage, most, r.stored, "the tenant stores %[2]d of the %[1]d bytes of its quota, and this span is more than the rest")
	}
	return nil
}

// MayAdd says whether one more identity may be given a role where so many hold
// one; forbidden quota_members.
func (r *Room) MayAdd(members int) error {
	if r == nil {
		return nil
	}
	if most := r.values.of(Members); most >= 0 && int64(members) >= most {
		return refused(fault.Forbidden, Members, most, int64(members), "the tenant has %[2]d members, and its quota is %[1]d; take a role from somebody who does not need it")
	}
	return nil
}

// MayAsk says whether a span may make tasks; limited quota_tasks.
func (r *Room) MayAsk() error {
	if r == nil {
		return nil
	}
	if most := r.values.of(Tasks); most >= 0 && r.tasks >= most {
		return tooManyTasks(most, r.tasks)
	}
	return nil
}

// Took notes a span that was recorded in the commit.
func (r *Room) Took(bytes int, tasks int) {
	if r != nil {
		r.spans--
		r.bytes -= int64(bytes)
		r.tasks += int64(tasks)
	}
}

func tooManyTasks(most, waiting int64) error {
	return fault.From(refused(fault.Limited, Tasks, most, waiting, "%[2]d tasks of the tenant wait to be run, and its quota is %[1]d; nothing was recorded, send it again when some are done")).After(5 * time.Second)
}

func refused(kind fault.Kind, name string, most, used int64, format string) error {
	return fault.Newf(kind, "quota_"+name, format+", or ask whoever runs the node for more (logline tenant quota)", most, used).
		With("quota", name).With("limit", most).With("usage", used)
}

// Recorded counts what was committed: entries from from on, up to size, of so many
// bytes and of which spans are the tenant's own; erased says that some erase.
func (t *Tenants) Recorded(ctx context.Context, tenant string, from, size uint64, spans int, bytes int64, erased bool) {
	if t == nil {
		return
	}
	values, err := t.book.Of(ctx, tenant)
	if err != nil {
		return // Room has said so
	}
	if most := values.of(Spans); most > 0 && spans > 0 {
		var a [1]ratelimit.Answer
		t.rates.Take(ctx, spansAsk(tenant, most, spans), a[:])
	}
	if values.of(Storage) >= 0 {
		t.meter.Add(ctx, tenant, from, size, bytes, erased)
	}
}

// waiting is how many tasks wait, as of at most a second ago.
func (t *Tenants) waiting(ctx context.Context, tenant string) int64 {
	t.mu.Lock()
	known, ok := t.tasks[tenant]
	t.mu.Unlock()
	if ok && time.Since(known.at) < time.Second {
		return known.n
	}
	n, err := t.counts.Tasks(ctx, tenant)
	if err != nil {
		t.log.WarnContext(ctx, "a tenant's tasks cannot be counted", slog.String("tenant", tenant), slog.Any("error", err))
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tasks) >= maxRead {
		clear(t.tasks)
	}
	t.tasks[tenant] = tally{n, time.Now()}
	return n
}

// Task says whether somebody may ask for a task; limited quota_tasks.
func (t *Tenants) Task(ctx context.Context, tenant string) error {
	if t == nil {
		return nil
	}
	values, err := t.book.Of(ctx, tenant)
	if err != nil {
		return err
	}
	most := values.of(Tasks)
	if most < 0 {
		return nil
	}
	n, err := t.counts.Tasks(ctx, tenant)
	if err != nil {
		return err
	}
	t.mark(ctx, tenant, Tasks, n, most)
	if n >= most {
		return tooManyTasks(most, n)
	}
	return nil
}

// Feed counts a feed of a tenant that opens, until leave is called; limited
// quota_feeds.
func (t *Tenants) Feed(ctx context.Context, tenant string) (leave func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	values, err := t.book.Of(ctx, tenant)
	if err != nil {
		return nil, err
	}
	most := values.of(Feeds)
	leave, open, ok := t.feeds.Hold(ctx, feedsOf(tenant), most)
	if !ok {
		return nil, fault.From(refused(fault.Limited, Feeds, most, open, "the tenant has %[2]d live feeds open, and its quota is %[1]d; close one")).After(5 * time.Second)
	}
	t.mark(ctx, tenant, Feeds, open, most)
	return leave, nil
}

// feedsOf is what a tenant's open feeds are counted by.
func feedsOf(tenant string) string { return "feeds:" + tenant }

// Run keeps what this process has open counted where processes count together,
// until ctx ends.
func (t *Tenants) Run(ctx context.Context) { t.feeds.Run(ctx) }
