package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// WorkerConfig bounds a Worker. Zero values mean the defaults named beside them.
type WorkerConfig struct {
	Name    string           // of this process, for people
	Slots   int              // tasks that run at once: 16
	Lease   time.Duration    // 30 s; a task whose process ends runs again after it
	Beat    time.Duration    // between heartbeats, in which a cancellation is seen: a sixth of Lease
	Poll    time.Duration    // between looks that nobody asked for: 1 s
	Drain   time.Duration    // what runs at the end: 10 s
	Now     func() time.Time // time.Now
	Random  func() float64   // in [0, 1): math/rand
	Log     *slog.Logger     // slog.Default()
	Settled func()           // called after runs have ended; may be nil
	News    *News            // told how tasks stand; may be nil
}

func (c WorkerConfig) withDefaults() WorkerConfig {
	c.Slots = cmp.Or(c.Slots, 16)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.Beat = cmp.Or(c.Beat, c.Lease/6)
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c
}

// Why a run is told to end; its context's cause.
var (
	errLost      = errors.New("the lease is lost")
	errCancelled = errors.New("the task was cancelled")
	errDraining  = errors.New("the process is stopping")
	errTimeout   = fault.New(fault.Unavailable, "task_timeout", "the task took longer than it may")
)

// Worker runs tasks of a store, a number of them at once. Make one with
// NewWorker and run it once. It claims no more than it has free slots for, so
// that what waits for another tenant waits for one slot and not for a batch.
type Worker struct {
	store  Work
	kinds  Kinds
	queues []string
	cfg    WorkerConfig
	wake   chan struct{}
	ends   chan ended // one place for each slot, so that a run never waits
	clock  *Clock

	mu      sync.Mutex // guards running
	running map[Key]*run
	tallies tallies
}

// run is a task that runs here.
type run struct {
	lease  Lease
	until  time.Time // the lease, as far as this process knows
	cancel context.CancelCauseFunc
}

// ended is what came of a run.
type ended struct {
	Settlement
	of   *Task
	lost bool // there is nothing to settle
}

// ErrResting is what a handler gives where its tenant takes nothing any more: the run
// does not count, and the task waits.
var ErrResting = errors.New("the tenant rests")

// NewWorker makes a worker for these kinds. It starts nothing.
func NewWorker(store Work, kinds Kinds, cfg WorkerConfig) *Worker {
	w := &Worker{store: store, kinds: kinds, cfg: cfg.withDefaults(), wake: make(chan struct{}, 1), running: map[Key]*run{}}
	w.ends = make(chan ended, w.cfg.Slots)
	w.clock = NewClock(store, w.cfg.Now)
	for _, k := range kinds {
		if !slices.Contains(w.queues, k.Queue) {
			w.queues = append(w.queues, k.Queue)
		}
	}
	slices.Sort(w.queues)
	return w
}

// Now is the time that this worker's leases go by: see Clock.
func (w *Worker) Now() time.Time { return w.clock.Now() }

// Time is Now for a request, also where the worker does not run.
func (w *Worker) Time(ctx context.Context) (time.Time, error) { return w.clock.At(ctx) }

// Wake lets the worker look for tasks now.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // it will
	}
}

// Run claims and runs tasks until ctx ends; then it claims no more, waits for
// what runs, tells what still does after Config.Drain to end, and gives it back
// to be run elsewhere. It returns when none of its goroutines is left.
func (w *Worker) Run(ctx context.Context) {
	lasting := context.WithoutCancel(ctx)
	base, drain := context.WithCancelCause(lasting) // of all runs
	defer drain(nil)
	settling, giveUp := context.WithCancel(lasting)
	defer giveUp()
	beating, still := context.WithCancel(lasting)
	defer still()
	w.sync(ctx)
	var runs, settler, heart sync.WaitGroup
	settler.Go(func() { w.settle(settling) })
	heart.Go(func() { w.beat(beating) })

	w.claim(ctx, base, &runs)
	late := time.AfterFunc(w.cfg.Drain, func() { drain(errDraining) })
	defer late.Stop()
	runs.Wait()
	close(w.ends)
	limit := time.AfterFunc(settleAtEnd, giveUp)
	defer limit.Stop()
	settler.Wait()
	still()
	heart.Wait()
	last, enough := context.WithTimeout(lasting, settleAtEnd)
	defer enough()
	w.tally(last)
}

// settleAtEnd bounds what the last settlements take where the store is in
// trouble; what is not settled runs again after its lease.
const settleAtEnd = 3 * time.Second

// claim takes tasks while there are free slots, until ctx ends.
func (w *Worker) claim(ctx, base context.Context, runs *sync.WaitGroup) {
	poll := time.NewTicker(w.cfg.Poll)
	defer poll.Stop()
	served := "" // the tenant whose task was taken last
	for ctx.Err() == nil {
		w.mu.Lock()
		free := w.cfg.Slots - len(w.running)
		w.mu.Unlock()
		if free > 0 {
			// Not ctx: a claim whose answer is not awaited is one that lapses.
			now := w.clock.Now()
			list, err := w.store.Claim(context.WithoutCancel(ctx), Claim{
				Now: now, Until: now.Add(w.cfg.Lease), Most: free, After: served, Queues: w.queues, Worker: w.cfg.Name,
			})
			if err != nil {
				w.cfg.Log.WarnContext(ctx, "no tasks claimed; the next look tries again", slog.Any("error", err))
			}
			w.cfg.News.Tell(list...)
			for i := range list {
				w.begin(base, runs, &list[i])
			}
			served = turn(served, list)
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-poll.C:
		}
	}
}

// turn is the last tenant, going round from the one that was served before, of
// which there is a task.
func turn(before string, list []Task) string {
	last, wrapped := "", false
	for i := range list {
		t := list[i].Tenant
		around := t <= before
		if last == "" || around && !wrapped || around == wrapped && t > last {
			last, wrapped = t, around
		}
	}
	return cmp.Or(last, before)
}

// begin starts the run of a claimed task.
func (w *Worker) begin(base context.Context, runs *sync.WaitGroup, t *Task) {
	ctx, cancel := context.WithCancelCause(base)
	r := &run{lease: t.Lease(), until: t.LeaseUntil, cancel: cancel}
	w.mu.Lock()
	w.running[t.Key] = r
	w.mu.Unlock()
	runs.Go(func() {
		defer cancel(nil)
		k, known := w.kinds[t.Kind]
		if !known {
			w.ends <- w.judge(t, &k, nil, Final(fault.Newf(fault.Internal, "task_kind_unknown", "nothing here runs tasks of kind %q", t.Kind)), nil)
			return
		}
		ctx, stop := context.WithTimeoutCause(ctx, k.Timeout, errTimeout)
		defer stop()
		output, err := w.call(ctx, &k, t)
		w.ends <- w.judge(t, &k, output, err, context.Cause(ctx))
	})
}

// call runs the handler; its panic is a failure with its text.
func (w *Worker) call(ctx context.Context, k *Kind, t *Task) (output []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.cfg.Log.ErrorContext(ctx, "a task's handler panicked", slog.String("tenant", t.Tenant), slog.String("task", t.ID()),
				slog.String("kind", t.Kind), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			output, err = nil, fault.New(fault.Internal, "task_panicked", fmt.Sprintf("the handler panicked: %v", p))
		}
	}()
	return k.Run(ctx, t)
}

// judge says what comes of a run that gave output and err; cause is why it was
// told to end, nil where it was not.
func (w *Worker) judge(t *Task, k *Kind, output []byte, err, cause error) ended {
	e := ended{Settlement: Settlement{Lease: t.Lease(), State: Completed, Output: output, RunAt: w.clock.Now()}, of: t}
	switch {
	case err == nil: // whatever it was told meanwhile
		return e
	case errors.Is(cause, errLost):
		e.lost = true
		return e
	case errors.Is(cause, errCancelled):
		e.State, e.Code, e.Error = Cancelled, "task_cancelled", "it was cancelled while it ran"
		return e
	case errors.Is(err, ErrResting):
		e.State, e.Free, e.Code, e.Error = Queued, true, "tenant_resting", "its tenant is suspended or closed"
		return e
	case errors.Is(cause, errDraining):
		e.State, e.Free, e.Code, e.Error = Queued, true, "worker_stopping", "the process that ran it stopped"
		return e
	case errors.Is(cause, errTimeout):
		err = errTimeout.Because(err)
	}
	if e.Code, e.Error = reason(err); e.Code == unclassified {
		w.cfg.Log.Error("a task failed with an error that only the log shows", slog.String("tenant", t.Tenant), slog.String("task", t.ID()),
			slog.String("kind", t.Kind), slog.Any("error", err))
	}
	if e.State = Failed; IsFinal(err) || t.Attempt >= t.Attempts {
		return e
	}
	e.State = Queued
	e.RunAt = e.RunAt.Add(max(k.wait(t.Attempt, w.cfg.Random()), fault.From(err).RetryAfter))
	return e
}

// settle settles what ends: all that has ended while the last settlement was
// made, at once.
func (w *Worker) settle(ctx context.Context) {
	for first := range w.ends {
		batch := []ended{first}
	more:
		for len(batch) < cap(w.ends) {
			select {
			case e, open := <-w.ends:
				if !open {
					break more
				}
				batch = append(batch, e)
			default:
				break more
			}
		}
		w.settleAll(ctx, batch)
		w.mu.Lock()
		for i := range batch {
			delete(w.running, batch[i].Key)
		}
		w.mu.Unlock()
		w.Wake()
		if w.cfg.Settled != nil {
			w.cfg.Settled()
		}
	}
}

// settleAll tries until the store takes it, the leases are over or ctx ends. As
// long as the store cannot be reached, or others are writing, leases count as the
// last heartbeat left them; what it refuses otherwise is given up after a lease.
func (w *Worker) settleAll(ctx context.Context, batch []ended) {
	list := make([]Settlement, 0, len(batch))
	for i := range batch {
		if !batch[i].lost {
			list = append(list, batch[i].Settlement)
		}
	}
	for wait, left := 50*time.Millisecond, w.cfg.Lease; len(list) > 0; wait = min(2*wait, 2*time.Second) {
		done, err := w.store.Settle(ctx, w.clock.Now(), false, list)
		if err == nil {
			w.tallies.count(w.clock.Now(), list, done)
			w.tell(batch, done)
			if lost := len(list) - len(done); lost > 0 {
				w.cfg.Log.WarnContext(ctx, "tasks ended whose lease was lost; they run again", slog.Int("tasks", lost))
			}
			return
		}
		w.cfg.Log.WarnContext(ctx, "ended tasks not settled yet", slog.Int("tasks", len(list)), slog.Any("error", err))
		if left -= wait; left <= 0 && !(fault.KindOf(err) == fault.Unavailable && w.holds(batch)) {
			return // others run them by now
		}
		retry := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			retry.Stop()
			return
		case <-retry.C:
		}
	}
}

// holds says whether a lease of these is not over, as far as this process knows.
func (w *Worker) holds(batch []ended) bool {
	now := w.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(batch, func(e ended) bool {
		r := w.running[e.Key]
		return r != nil && !e.lost && now.Before(r.until)
	})
}

// tell passes on how tasks stand whose runs were settled.
func (w *Worker) tell(batch []ended, done []Key) {
	if w.cfg.News.Silent() {
		return
	}
	for i := range batch {
		if e := &batch[i]; slices.Contains(done, e.Key) {
			w.cfg.News.Tell(settled(*e.of, &e.Settlement, w.clock.Now()))
		}
	}
}

// beat keeps the leases of what runs, and looks for those that lapsed, until ctx
// ends.
func (w *Worker) beat(ctx context.Context) {
	ticker := time.NewTicker(w.cfg.Beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.sync(ctx)
		w.keep(ctx)
		w.tally(ctx)
		if err := w.reclaim(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Log.WarnContext(ctx, "ended leases not looked for; the next look tries again", slog.Any("error", err))
		}
	}
}

// sync asks the store what time it is.
func (w *Worker) sync(ctx context.Context) {
	if err := w.clock.Sync(ctx); err != nil && ctx.Err() == nil {
		w.cfg.Log.WarnContext(ctx, "the database was not asked for its time; the next heartbeat tries again", slog.Any("error", err))
	}
}

// keep extends the leases of what runs here, and ends runs that have none or are
// asked to end.
func (w *Worker) keep(ctx context.Context) {
	now := w.clock.Now()
	until := now.Add(w.cfg.Lease)
	w.mu.Lock()
	leases := make([]Lease, 0, len(w.running))
	for _, r := range w.running {
		leases = append(leases, r.lease)
	}
	w.mu.Unlock()
	if len(leases) == 0 {
		return
	}
	beats, err := w.store.Heartbeat(ctx, until, leases)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Log.WarnContext(ctx, "leases not extended; the next heartbeat tries again", slog.Any("error", err))
		}
		for _, r := range w.running {
			if now.After(r.until) {
				r.cancel(errLost)
			}
		}
		return
	}
	for _, b := range beats {
		r := w.running[b.Key]
		switch {
		case r == nil || r.lease != b.Lease: // it has ended meanwhile
		case b.Lost:
			r.cancel(errLost)
		case b.Cancelling:
			r.cancel(errCancelled)
		default:
			r.until = until
		}
	}
}

// lapsedAtOnce bounds the lapsed leases that one look takes up.
const lapsedAtOnce = 100

// reclaim lets tasks run again whose process has ended or lost its way.
func (w *Worker) reclaim(ctx context.Context) error {
	now := w.clock.Now()
	lapsed, err := w.store.Lapsed(ctx, now, lapsedAtOnce)
	if err != nil || len(lapsed) == 0 {
		return err
	}
	ends := make([]Settlement, len(lapsed))
	for i := range lapsed {
		t := &lapsed[i]
		ends[i] = Settlement{Lease: t.Lease(), State: Queued, RunAt: now, Code: "lease_lapsed", Error: "the process that ran it was not heard of any more"}
		switch {
		case t.Cancelling:
			ends[i].State = Cancelled
		case t.Attempt >= t.Attempts:
			ends[i].State = Failed
		}
	}
	done, err := w.store.Settle(ctx, now, true, ends)
	for i := range lapsed {
		if slices.Contains(done, lapsed[i].Key) {
			w.cfg.News.Tell(settled(lapsed[i], &ends[i], now))
		}
	}
	if len(done) > 0 {
		w.cfg.Log.InfoContext(ctx, "tasks of ended processes taken up", slog.Int("tasks", len(done)))
		w.Wake()
		if w.cfg.Settled != nil {
			w.cfg.Settled()
		}
	}
	return err
}
