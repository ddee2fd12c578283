package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/backtests"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/timeline"
)

var (
	_ tasks.Author    = (*engine.Engine)(nil)
	_ tasks.Spans     = (*timeline.Log)(nil)
	_ tasks.Timelines = (*timeline.Log)(nil)
)

// Tasks is how this process runs tasks.
type Tasks struct {
	Lease time.Duration `mapstructure:"lease"`
	Slots int           `mapstructure:"slots"`
}

// labour is what the engine does by itself: it makes tasks of what decisions
// ask for, runs them, tells of them, and forgets them.
type labour struct {
	store    tasks.Store
	kinds    tasks.Kinds
	follower *tasks.Follower
	worker   *tasks.Worker
	teller   *tasks.Teller
	news     *tasks.News
	sweeper  *tasks.Sweeper
	halts    *halts

	backtests *backtests.Service
}

func (a *App) newLabour(eng *engine.Engine, log *timeline.Log, book *rulebook.Book, wakes *bus.Bus, calls *tasks.Caller, board *followers.Board, scribe *tasks.Scribe, alerts *tasks.Alerter) (*labour, error) {
	l := &labour{
		store: taskstore.New(a.db), news: tasks.NewNews(),
	}
	functions := tasks.NewFunctions(l.store, func() { l.worker.Wake() },
		func(ctx context.Context) (time.Time, error) { return l.worker.Time(ctx) }, a.opt.Rand)
	l.backtests = backtests.New(log, book, l.store, functions)
	if err := functions.Register("engine",
		tasks.Kind{Name: rules.ActionEmit, Priority: tasks.Normal, Run: tasks.NewEmitter(log, scribe).Run},
		tasks.Kind{Name: rules.ActionCall, Priority: tasks.Normal, Run: calls.Run, Attempts: tasks.MaxCalls},
		l.backtests.TaskKind(), l.backtests.ReplayKind(), alerts.Kind(),
	); err != nil {
		return nil, err
	}
	l.kinds = functions.Kinds()
	l.halts = &halts{store: l.store, log: log, slog: a.log}
	for name, k := range l.kinds {
		l.kinds[name] = l.halts.walled(k)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // it is for people alone
	}
	now := func() time.Time { return l.worker.Now() }
	l.teller = tasks.NewTeller(l.store, scribe, tasks.TellerConfig{Hold: a.cfg.Tasks.Lease, Now: now, Log: a.log, Watch: board.Watch(followers.Teller), Alert: alerts.Alert})
	l.worker = tasks.NewWorker(l.store, l.kinds, tasks.WorkerConfig{
		Name: fmt.Sprintf("%s/%d", host, os.Getpid()), Slots: a.cfg.Tasks.Slots, Lease: a.cfg.Tasks.Lease, Drain: a.cfg.DrainTimeout / 4, Now: a.opt.Now, Log: a.log, Settled: l.teller.Wake, News: l.news,
	})
	l.halts.now = l.worker
	l.follower = tasks.NewFollower(log, l.store, l.kinds, wakes, tasks.FollowerConfig{
		Now: now, Log: a.log, Made: l.worker.Wake, Watch: board.Watch(followers.Tasks), News: l.news,
	})
	l.sweeper = tasks.NewSweeper(log, l.store, tasks.SweeperConfig{Now: a.opt.Now, Log: a.log})
	return l, nil
}

// start begins all of it and returns what ends it: first what makes work, then
// what runs, at last what tells of it.
func (l *labour) start(ctx context.Context) (stop func(), err error) {
	for _, k := range l.kinds {
		if err := l.store.Limit(ctx, k.Queue, k.Most); err != nil {
			return nil, err
		}
	}
	ctx = context.WithoutCancel(ctx)
	var stops []func()
	for _, run := range []func(context.Context){l.teller.Run, l.worker.Run, l.follower.Run, l.sweeper.Run} {
		own, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { run(own) })
		stops = append(stops, func() { cancel(); running.Wait() })
	}
	return func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}, nil
}

// tell passes on how a task stands that somebody changed.
func (l *labour) tell(t tasks.Task, err error) {
	if err == nil {
		l.news.Tell(t)
	}
}

// desk is the store for people: what they change is taken up at once, by the time
// that workers go by.
type desk struct {
	tasks.Desk
	work *labour
}

// Cancel implements tasks.Desk.
func (d desk) Cancel(ctx context.Context, _ time.Time, k tasks.Key) (tasks.Task, error) {
	now, err := d.work.worker.Time(ctx)
	if err != nil {
		return tasks.Task{}, err
	}
	t, err := d.Desk.Cancel(ctx, now, k)
	d.work.tell(t, err)
	d.work.teller.Wake()
	return t, err
}

// Requeue implements tasks.Desk.
func (d desk) Requeue(ctx context.Context, _ time.Time, k tasks.Key, more int) (tasks.Task, error) {
	now, err := d.work.worker.Time(ctx)
	if err != nil {
		return tasks.Task{}, err
	}
	t, err := d.Desk.Requeue(ctx, now, k, more)
	d.work.tell(t, err)
	d.work.worker.Wake()
	return t, err
}
