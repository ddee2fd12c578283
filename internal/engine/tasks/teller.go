package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/span"
)

// TypePrefix begins the types of the entries that tell of tasks; the rest is one
// of the Told constants.
const TypePrefix = "logline.task."

// Told is the payload of an entry that tells of tasks: all that came to the same
// at about the same time.
type Told struct {
	Tasks []ToldTask `json:"tasks"`
}

// ToldTask is one change of one task. The change with the greatest step is how
// it stands.
type ToldTask struct {
	Task    string          `json:"task"` // Key.ID
	Step    int             `json:"step"`
	Attempt int             `json:"attempt"`
	At      string          `json:"at"`
	RunAt   string          `json:"run_at,omitempty"` // not before
	Code    string          `json:"code,omitempty"`
	Error   string          `json:"error,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

// TellerConfig of a Teller. Zero values mean the defaults named beside them.
type TellerConfig struct {
	Poll  time.Duration    // between looks that nobody asked for: 1 s
	Hold  time.Duration    // for which nobody else tells what was taken up: 30 s
	Now   func() time.Time // time.Now
	Log   *slog.Logger     // slog.Default()
	Watch *followers.Watch // of followers.Teller; may be nil
	Alert followers.Alert  // hears of what contracts asked for and failed for good; may be nil
}

// Teller tells timelines what became of tasks. What it has not told stands in
// the store, so that it goes on wherever a process ended; then, and only then, an
// event may be told twice.
type Teller struct {
	store  Journal
	scribe *Scribe
	cfg    TellerConfig
	wake   chan struct{}
}

// NewTeller makes a teller. It starts nothing.
func NewTeller(store Journal, scribe *Scribe, cfg TellerConfig) *Teller {
	cfg.Poll, cfg.Hold = cmp.Or(cfg.Poll, time.Second), cmp.Or(cfg.Hold, 30*time.Second)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Teller{store: store, scribe: scribe, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Wake lets it look now.
func (t *Teller) Wake() {
	select {
	case t.wake <- struct{}{}:
	default: // it will
	}
}

// Run tells until ctx ends, and then what there is left. What it has taken up it
// finishes, so that nobody waits for events that it holds.
func (t *Teller) Run(ctx context.Context) {
	lasting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(tellAtEnd, giveUp) })()
	poll := time.NewTicker(t.cfg.Poll)
	defer poll.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-t.wake:
		case <-poll.C:
		}
		t.round(lasting)
	}
}

const (
	// tellAtEnd bounds what is done at the end; what is left is told by the next
	// process.
	tellAtEnd = 3 * time.Second
	// eventsAtOnce is how many events are taken up together, and toldAtOnce how
	// many tasks one entry tells of: no more than a span has causes.
	eventsAtOnce = 512
	toldAtOnce   = 64
)

// round tells all there is.
func (t *Teller) round(ctx context.Context) {
	for ctx.Err() == nil {
		now := t.cfg.Now()
		events, err := t.store.Untold(ctx, now, now.Add(t.cfg.Hold), eventsAtOnce)
		if err == nil {
			err = t.tell(ctx, events)
		}
		if err != nil && ctx.Err() == nil {
			t.cfg.Log.WarnContext(ctx, "tasks not told of yet; the next look tries again", slog.Any("error", err))
		}
		if err != nil || len(events) < eventsAtOnce {
			return
		}
	}
}

// tell records events and forgets them. An error of one timeline keeps no other
// from being told.
func (t *Teller) tell(ctx context.Context, events []Event) (failed error) {
	for _, group := range groups(events) {
		err := t.record(ctx, group.told)
		if err == nil {
			err = t.alert(ctx, group.told)
		}
		if err == nil {
			err = t.store.Told(ctx, group.events)
		}
		if failed = cmp.Or(failed, err); err != nil {
			t.cfg.Watch.Failed(ctx, group.told[0].Tenant, followers.Nowhere, err)
			continue
		}
		t.cfg.Watch.At(group.told[0].Tenant, 0, 0)
	}
	return failed
}

// group is what one entry tells, and the events that need not be told after it.
type group struct {
	told, events []Event
}

// groups puts together what one timeline is told of one kind of change. That a
// run has begun is told only where its end is not: the end says it too.
func groups(events []Event) (out []group) {
	type of struct{ tenant, what string }
	open := map[of]int{} // where in out
	latest := map[Key]int{}
	for i := range events {
		latest[events[i].Key] = max(latest[events[i].Key], events[i].Step)
	}
	implied := map[string][]Event{} // by tenant
	for _, e := range events {
		if e.What == ToldStarted && e.Step < latest[e.Key] {
			implied[e.Tenant] = append(implied[e.Tenant], e)
			continue
		}
		at, ok := open[of{e.Tenant, e.What}]
		if !ok || len(out[at].told) == toldAtOnce {
			at = len(out)
			open[of{e.Tenant, e.What}] = at
			out = append(out, group{})
		}
		out[at].told, out[at].events = append(out[at].told, e), append(out[at].events, e)
	}
	for i := range out { // with the first entry behind which they are known
		tenant := out[i].told[0].Tenant
		out[i].events = append(out[i].events, implied[tenant]...)
		delete(implied, tenant)
	}
	return out
}

// record appends one entry. What no timeline will ever take is left out: it is
// of another node by now, or gone.
func (t *Teller) record(ctx context.Context, events []Event) error {
	first := &events[0]
	payload, causes, of, err := say(events)
	if err != nil {
		return err
	}
	_, err = t.scribe.record(ctx, first.Tenant, TypePrefix+first.What, payload, engine.OwnOptions{Causes: causes}, first.At, of...)
	switch {
	case err == nil:
		return nil
	case fault.KindOf(err) == fault.Unavailable, fault.KindOf(err) == fault.Limited, fault.KindOf(err) == fault.Internal:
		return fmt.Errorf("tell of tasks in %s: %w", first.Tenant, err)
	}
	t.cfg.Log.ErrorContext(ctx, "tasks cannot be told of in their timeline; the database goes on knowing", slog.String("tenant", first.Tenant), slog.Any("error", err))
	return nil
}

// alert tells the tenant of tasks that failed for good. Of what was asked for by a
// request, alerts too, whoever asked for it knows where to look.
func (t *Teller) alert(ctx context.Context, events []Event) error {
	if events[0].What != ToldFailed || t.cfg.Alert == nil {
		return nil
	}
	events = slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return !e.Caused })
	if len(events) == 0 {
		return nil
	}
	payload, _, of, err := say(events)
	if err != nil {
		return err
	}
	return t.cfg.Alert(ctx, events[0].Tenant, TypePrefix+ToldFailed, payload, events[0].At, of...)
}

// say is the payload that tells of changes, the spans that asked for the tasks, and
// what the changes are known by.
func say(events []Event) (payload []byte, causes, of []string, err error) {
	told := Told{}
	of = []string{"told"}
	for i := range events {
		e := &events[i]
		if e.Caused && !slices.Contains(causes, e.Origin) {
			causes = append(causes, e.Origin)
		}
		task := ToldTask{Task: e.ID(), Step: e.Step, Attempt: e.Attempt, At: span.FormatTime(e.At), Code: e.Code, Error: e.Error, Result: e.Result}
		if !e.RunAt.IsZero() {
			task.RunAt = span.FormatTime(e.RunAt)
		}
		told.Tasks = append(told.Tasks, task)
		of = append(of, e.ID(), strconv.Itoa(e.Step))
	}
	payload, err = span.Canonical(told)
	return payload, causes, of, err
}
