package followers

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Author records the node's entries. *tasks.Scribe implements it.
type Author interface {
	// Tell records an entry once: its id follows from at and of.
	Tell(ctx context.Context, tenant, typ string, payload []byte, at time.Time, of ...string) error
}

// Alert tells a tenant, outside of its timeline, of what waits for somebody there,
// once for the same of and at: typ and payload are those of the entry that says it.
// *tasks.Alerter implements it.
type Alert func(ctx context.Context, tenant, typ string, payload []byte, at time.Time, of ...string) error

// Config of a Board. Zero values mean the defaults named beside them.
type Config struct {
	Look    time.Duration // between looks at what is held, and for changes to tell of: 1 s
	Report  time.Duration // between reports of where followers are: 5 s
	Tries   int           // that may fail at one place: 8
	First   time.Duration // the wait after the first, which doubles: 1 s
	Longest time.Duration // and ends here: 1 min
	Now     func() time.Time
	Log     *slog.Logger
	Author  Author              // nil: nothing is told
	Alert   Alert               // hears of what is parked; may be nil
	Wake    func(tenant string) // called where a follower may go on again; may be nil
}

func (c Config) withDefaults() Config {
	c.Look, c.Report = cmp.Or(c.Look, time.Second), cmp.Or(c.Report, 5*time.Second)
	c.Tries, c.First, c.Longest = cmp.Or(c.Tries, 8), cmp.Or(c.First, time.Second), cmp.Or(c.Longest, time.Minute)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wake == nil {
		c.Wake = func(string) {}
	}
	return c
}

// Board is all followers, of this process and of others that share its database.
// Make one with New.
type Board struct {
	book book
	cfg  Config

	mu      sync.Mutex // guards watches
	watches map[string]*Watch
	looking sync.Mutex // held while what is held is read and taken over
	reports int        // so far; of Run's goroutine
}

// New makes a board on a migrated database. It starts nothing.
func New(db *storage.DB, cfg Config) *Board {
	return &Board{book: book{db}, cfg: cfg.withDefaults(), watches: map[string]*Watch{}}
}

// Watch is the follower of this name in this process.
func (b *Board) Watch(name string) *Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.watches[name]
	if w == nil {
		w = &Watch{name: name, board: b, places: map[string]*place{}}
		b.watches[name] = w
	}
	return w
}

// own are the followers of this process, by name.
func (b *Board) own() map[string]*Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.watches)
}

// Begin learns what is held, before any follower starts.
func (b *Board) Begin(ctx context.Context) error { return b.look(ctx) }

// Run reports where followers are, hears what others hold, and tells of changes,
// until ctx ends; then it reports a last time.
func (b *Board) Run(ctx context.Context) {
	look := time.NewTicker(b.cfg.Look)
	defer look.Stop()
	report := time.NewTicker(b.cfg.Report)
	defer report.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportAtEnd)
			defer cancel()
			if err := b.report(last); err != nil {
				b.cfg.Log.WarnContext(ctx, "where followers are was not noted at the end; they go on from their cursors", slog.Any("error", err))
			}
			return
		case <-look.C:
			if err = b.look(ctx); err == nil {
				err = b.tell(ctx)
			}
		case <-report.C:
			err = b.report(ctx)
		}
		if err != nil && ctx.Err() == nil {
			b.cfg.Log.WarnContext(ctx, "followers not looked after; the next look tries again", slog.Any("error", err))
		}
	}
}

const (
	reportAtEnd   = 3 * time.Second
	reportsAtOnce = 500 // followers in one transaction
	toldAtOnce    = 64  // changes that are read together, to be told of
)

// look takes over what is held.
func (b *Board) look(ctx context.Context) error {
	own := b.own()
	b.looking.Lock()
	defer b.looking.Unlock()
	rows, err := b.book.rows(ctx, everybody, `state <> 0 OR skip IS NOT NULL`)
	if err != nil {
		return err
	}
	held := map[string]map[string]*row{} // by follower, tenant
	for i := range rows {
		r := &rows[i]
		if held[r.Name] == nil {
			held[r.Name] = map[string]*row{}
		}
		held[r.Name][r.Tenant] = r
	}
	for name, w := range own {
		for tenant, r := range held[name] {
			b.take(w, tenant, r)
		}
		for _, tenant := range w.held() {
			if held[name][tenant] == nil {
				b.take(w, tenant, nil)
			}
		}
	}
	return nil
}

func (b *Board) take(w *Watch, tenant string, r *row) {
	if w.hold(tenant, r) {
		b.cfg.Wake(tenant)
	}
}

// held are the tenants where something is held, as far as is known here.
func (w *Watch) held() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for tenant, p := range w.places {
		if p.State == Paused || p.State == Parked || p.skip != Nowhere {
			out = append(out, tenant)
		}
	}
	return out
}

// report keeps where followers are: each once, however fast they go on meanwhile.
func (b *Board) report(ctx context.Context) error {
	own, now := b.own(), b.cfg.Now()
	b.reports++
	for {
		var list []Status
		for _, w := range own {
			list = append(list, w.unreported(b.reports, reportsAtOnce-len(list), now)...)
		}
		if len(list) == 0 {
			return nil
		}
		slices.SortFunc(list, func(a, c Status) int {
			return cmp.Or(strings.Compare(a.Tenant, c.Tenant), strings.Compare(a.Name, c.Name))
		})
		if err := b.book.report(ctx, list); err != nil {
			for i := range list {
				own[list[i].Name].unsaid(list[i].Tenant)
			}
			return err
		}
	}
}

// TypeFollower is the type of entries that tell of followers.
const TypeFollower = "logline.task.follower"

// Told is their payload.
type Told struct {
	Follower string  `json:"follower"`
	What     string  `json:"what"` // paused, parked, resumed, requeued, skipped
	Step     int     `json:"step"` // counts the changes of this follower
	At       string  `json:"at"`
	By       string  `json:"by,omitempty"`    // LogLine ID; absent: the node
	Entry    *uint64 `json:"entry,omitempty"` // at which it is parked, or which is skipped
	Code     string  `json:"code,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// tell records changes. What no timeline will ever take is left out: it is of
// another node by now, or gone.
func (b *Board) tell(ctx context.Context) (failed error) {
	if b.cfg.Author == nil {
		return nil
	}
	troubled := map[string]bool{} // timelines that take none now: what follows there waits, others do not
	var last *event
	for {
		events, err := b.book.untold(ctx, last, toldAtOnce)
		if err != nil {
			return cmp.Or(failed, err)
		}
		for i := range events {
			e := &events[i]
			if troubled[e.tenant] {
				continue
			}
			if err := b.tellOne(ctx, e); err != nil {
				troubled[e.tenant], failed = true, cmp.Or(failed, err)
			}
		}
		if len(events) < toldAtOnce || ctx.Err() != nil {
			return failed
		}
		last = &events[len(events)-1]
	}
}

// tellOne records one change and forgets it.
func (b *Board) tellOne(ctx context.Context, e *event) error {
	payload, err := payloadOf(e)
	if err == nil {
		err = b.cfg.Author.Tell(ctx, e.tenant, TypeFollower, payload, e.at, "follower", e.name, e.what, span.FormatTime(e.at))
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Limited, fault.Internal:
		return err
	case "":
	default:
		b.cfg.Log.ErrorContext(ctx, "a follower's change cannot be told of in its timeline; the database goes on knowing",
			slog.String("tenant", e.tenant), slog.String("follower", e.name), slog.Any("error", err))
	}
	if e.what == toldParked && b.cfg.Alert != nil {
		if err := b.cfg.Alert(ctx, e.tenant, TypeFollower, payload, e.at, "follower", e.name, strconv.Itoa(e.step)); err != nil {
			return err
		}
	}
	return b.book.told(ctx, e)
}

func payloadOf(e *event) ([]byte, error) {
	told := Told{Follower: e.name, What: e.what, Step: e.step, At: span.FormatTime(e.at), By: e.by, Code: e.code, Error: e.text}
	if e.entry != Nowhere {
		told.Entry = &e.entry
	}
	return span.Canonical(told)
}

// park parks a follower of this process, unless somebody has held it already.
// Where that cannot be stored, the next failure tries again.
func (b *Board) park(ctx context.Context, w *Watch, s Status, because error) {
	_, err := b.book.act(ctx, b.cfg.Now(), s.Tenant, s.Name, "", true, park(&s))
	switch {
	case err == nil:
		w.logParked(ctx, &s, because)
	case fault.CodeOf(err) != errHeld.Code:
		b.cfg.Log.WarnContext(ctx, "a follower is not parked yet; the next failure tries again", slog.String("follower", s.Name), slog.String("tenant", s.Tenant), slog.Any("error", err))
		return
	}
	b.heard(ctx)
}

// heard lets this process know at once what was changed; others look by
// themselves.
func (b *Board) heard(ctx context.Context) {
	if err := b.look(ctx); err != nil && ctx.Err() == nil {
		b.cfg.Log.WarnContext(ctx, "what is held was not read; the next look tries again", slog.Any("error", err))
	}
}

// List is how the followers of a tenant's timeline stand, by name.
func (b *Board) List(ctx context.Context, tenant string) ([]Status, error) {
	rows, err := b.book.rows(ctx, tenant, `tenant = $1`, tenant)
	if err != nil {
		return nil, err
	}
	known := map[string]Status{}
	for i := range rows {
		known[rows[i].Name] = rows[i].Status
	}
	for name, w := range b.own() {
		if here, ok := w.status(tenant); ok {
			known[name] = newer(known[name], here)
		}
	}
	return slices.SortedFunc(maps.Values(known), func(a, c Status) int { return strings.Compare(a.Name, c.Name) }), nil
}

// newer is what is known of a follower here and in the database. What holds it
// stands there.
func newer(stored, here Status) Status {
	if stored.Name == "" {
		here.Step = 0
		return here
	}
	if stored.State == Paused || stored.State == Parked {
		stored.Cursor = max(stored.Cursor, here.Cursor)
		return stored
	}
	if here.Cursor < stored.Cursor || here.State == Paused || here.State == Parked {
		return stored // another process is further, or it was just let go
	}
	here.Step, here.ChangedAt, here.ChangedBy, here.SeenAt = stored.Step, stored.ChangedAt, stored.ChangedBy, later(stored.SeenAt, here.SeenAt)
	return here
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Get is one of them; ErrUnknown.
func (b *Board) Get(ctx context.Context, tenant, name string) (Status, error) {
	list, err := b.List(ctx, tenant)
	if err != nil {
		return Status{}, err
	}
	for i := range list {
		if list[i].Name == name {
			return list[i], nil
		}
	}
	return Status{}, ErrUnknown
}

// Pause holds a follower until it is resumed. A repeat changes nothing. Mirror is
// the operator's: ErrOperators.
func (b *Board) Pause(ctx context.Context, tenant, name, by string) (Status, error) {
	return b.act(ctx, tenant, name, by, pause)
}

// Resume lets a follower go on that is paused or parked. A repeat changes nothing.
func (b *Board) Resume(ctx context.Context, tenant, name, by string) (Status, error) {
	return b.act(ctx, tenant, name, by, resume)
}

// Requeue lets a parked follower try again; ErrNotHeld for any other.
func (b *Board) Requeue(ctx context.Context, tenant, name, by string) (Status, error) {
	return b.act(ctx, tenant, name, by, requeue)
}

// Skip lets a follower that is parked at this entry go on behind it; ErrEntry,
// ErrUnskipped.
func (b *Board) Skip(ctx context.Context, tenant, name string, entry uint64, by string) (Status, error) {
	return b.act(ctx, tenant, name, by, skip(entry))
}

func (b *Board) act(ctx context.Context, tenant, name, by string, judge func(*row) (string, error)) (Status, error) {
	if _, err := b.Get(ctx, tenant, name); err != nil {
		return Status{}, err
	}
	s, err := b.book.act(ctx, b.cfg.Now(), tenant, name, by, true, judge)
	if err != nil {
		return Status{}, err
	}
	b.heard(ctx)
	return s, nil
}

// Measure is how the followers of this process stand, by name.
func (b *Board) Measure() (out []Measure) {
	now := b.cfg.Now()
	for _, w := range b.own() {
		out = append(out, w.measure(now))
	}
	slices.SortFunc(out, func(a, c Measure) int { return strings.Compare(a.Name, c.Name) })
	return out
}
