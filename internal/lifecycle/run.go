package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// Options bound a Run. Zero values mean the defaults named beside them.
type Options struct {
	Start time.Duration // for one module to become ready: 1 minute
	Drain time.Duration // for all modules together to stop: 25 s
	Log   *slog.Logger  // slog.Default()
	Ready func()        // called once, when every module is ready; may be nil
}

func (o Options) withDefaults() Options {
	if o.Start <= 0 {
		o.Start = time.Minute
	}
	if o.Drain <= 0 {
		o.Drain = 25 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	return o
}

// Run starts the modules in the order of their needs, each once those it needs
// are ready, and works until ctx ends or one of them fails. Then it stops them
// in reverse order: each is told to stop when the ones that need it are done.
// What has not stopped within Options.Drain is told to all at once, left
// behind, and named in the error (drain_timeout). It returns nil after a clean
// stop, and otherwise every module's error.
func Run(ctx context.Context, modules []Module, opt Options) error {
	opt = opt.withDefaults()
	ordered, err := order(modules)
	if err != nil {
		return err
	}
	r := &runner{opt: opt, exits: make(chan *running, len(ordered))}
	if err = r.start(ctx, ordered); err == nil && ctx.Err() == nil {
		opt.Ready()
		err = r.wait(ctx)
	}
	return errors.Join(err, r.stop(ctx))
}

type runner struct {
	opt     Options
	started []*running
	exits   chan *running // modules whose Run has returned; never blocks a sender
}

// running is a module with a goroutine.
type running struct {
	name   string
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
	err    error // valid once done is closed
}

func (r *runner) start(ctx context.Context, modules []Module) error {
	for _, m := range modules {
		if ctx.Err() != nil {
			return nil
		}
		if m.Run == nil {
			r.opt.Log.DebugContext(ctx, "module ready", slog.String("module", m.Name))
			continue
		}
		begun := time.Now()
		run := r.launch(ctx, m)
		timeout := time.NewTimer(r.opt.Start)
		defer timeout.Stop()
		select {
		case <-run.ready:
			r.opt.Log.DebugContext(ctx, "module ready", slog.String("module", m.Name), slog.Duration("took", time.Since(begun)))
		case failed := <-r.exits:
			return failed.early()
		case <-timeout.C:
			return fault.Newf(fault.Unavailable, "module_start_timeout", "the module %s was not ready within %s", m.Name, r.opt.Start)
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// launch starts the goroutine of one module. Its context does not end with
// ctx, because modules stop in order.
func (r *runner) launch(ctx context.Context, m Module) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	run := &running{name: m.Name, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	r.started = append(r.started, run)
	go func() {
		run.err = m.Run(own, sync.OnceFunc(func() { close(run.ready) }))
		close(run.done)
		r.exits <- run
	}()
	return run
}

// wait returns nil when ctx ends, and the error of a module that ends first.
func (r *runner) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case failed := <-r.exits:
		return failed.early()
	}
}

// early is the error of a module that ended before it was told to.
func (run *running) early() error {
	<-run.done
	if run.err != nil {
		return fmt.Errorf("module %s: %w", run.name, run.err)
	}
	return fault.Newf(fault.Internal, "module_ended", "the module %s ended by itself", run.name)
}

// stop ends what was started, in reverse, within the drain time.
func (r *runner) stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if len(r.started) > 0 {
		r.opt.Log.InfoContext(ctx, "stopping; a second signal ends the process at once", slog.Duration("within", r.opt.Drain))
	}
	deadline := time.NewTimer(r.opt.Drain)
	defer deadline.Stop()
	var errs []error
	expired := false
	for _, run := range slices.Backward(r.started) {
		failedBefore := run.finished()
		run.cancel()
		if !expired {
			select {
			case <-run.done:
			case <-deadline.C:
				expired = true
			}
		}
		switch {
		case !run.finished() || failedBefore:
		case run.err != nil && !errors.Is(run.err, context.Canceled):
			errs = append(errs, fmt.Errorf("stop module %s: %w", run.name, run.err))
		default:
			r.opt.Log.DebugContext(ctx, "module stopped", slog.String("module", run.name))
		}
	}
	if expired {
		errs = append(errs, r.late())
	}
	return errors.Join(errs...)
}

func (r *runner) late() error {
	var late []string
	for _, run := range r.started {
		if !run.finished() {
			late = append(late, run.name)
		}
	}
	return fault.Newf(fault.Unavailable, "drain_timeout",
		"not everything stopped within %s (%s); what was acknowledged is safe", r.opt.Drain, strings.Join(late, ", "))
}

func (run *running) finished() bool {
	select {
	case <-run.done:
		return true
	default:
		return false
	}
}
