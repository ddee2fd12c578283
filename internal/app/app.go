package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/lifecycle"
	"github.com/danvoulez/logline/internal/storage"
)

// Options is what the process gives a node besides its configuration.
type Options struct {
	Log     *slog.Logger     // slog.Default()
	Now     func() time.Time // time.Now
	Rand    io.Reader        // crypto/rand.Reader
	Version httpapi.Version

	// NewEpoch makes Run first open a new epoch for every timeline whose
	// database is older than the last checkpoint that was given out.
	NewEpoch bool
	// RotateKey makes Run first rotate the node's own key.
	RotateKey bool
}

// filled has the defaults in the place of what is not set.
func (opt Options) filled() Options {
	opt.Log = cmp.Or(opt.Log, slog.Default())
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	return opt
}

// App is one node: its data directory, database, keys and modules. Make it
// with New, run it once with Run; Close is for an App that is not run.
type App struct {
	cfg        Config
	opt        Options
	log        *slog.Logger
	modules    []lifecycle.Module
	lock       *storage.DirLock
	db         *storage.DB
	store      io.Closer    // of timelines; nil until it is open
	appends    func() error // why the store takes nothing; nil where it cannot say
	rates      io.Closer    // what is shared of rate limits; nil: nothing is
	node       *id.Node
	masters    id.Masters // none: none is set
	keeping    id.Masters // of what is kept for others
	notes      string     // where checkpoints given out are noted; "" for the data directory's
	beside     bool       // a server has the data directory, and notes what is given out
	keysStored bool       // the node's keys are in the database, not in a file
	own        *admin.Timeline
	halts      *halts // nil until it is wired

	ready chan struct{}
	certs certificates // nil: no TLS
	url   string       // valid once ready is closed

	closeOnce sync.Once
	closeErr  error
}

// New takes the data directory, opens and migrates the database, reads or
// makes the node's keys and the bootstrap token, and wires the modules. It
// serves nothing yet.
func New(ctx context.Context, cfg Config, opt Options) (*App, error) {
	opt = opt.filled()
	a := &App{cfg: cfg, opt: opt, log: opt.Log, ready: make(chan struct{})}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context) (err error) {
	if a.modules, err = lifecycle.Select(a.cfg.Modules, Modules()); err != nil {
		return err
	}
	if a.masters, err = a.cfg.masters(); err != nil {
		return err
	}
	if a.lock, err = storage.LockDir(a.cfg.DataDir); err != nil {
		return err
	}
	if a.db, err = storage.Open(ctx, a.cfg.Database()); err != nil {
		return err
	}
	if err = a.db.Migrate(ctx); err != nil {
		return err
	}
	if err = a.notHalf(ctx); err != nil {
		return err
	}
	for _, text := range a.db.Warnings() {
		a.log.WarnContext(ctx, "database", slog.String("warning", text))
	}
	if err = a.openNode(ctx); err != nil {
		return err
	}
	if err = a.openKeeping(ctx); err != nil {
		return err
	}
	return a.wire(ctx)
}

// Run starts the modules and works until ctx ends or one of them fails, then
// stops them within Config.DrainTimeout and closes everything.
func (a *App) Run(ctx context.Context) error {
	begun := time.Now()
	err := lifecycle.Run(ctx, a.modules, lifecycle.Options{
		Drain: a.cfg.DrainTimeout, Log: a.log,
		Ready: func() {
			names := make([]string, len(a.modules))
			for i, m := range a.modules {
				names[i] = m.Name
			}
			a.log.InfoContext(ctx, "ready", slog.String("url", a.url), slog.String("node", a.node.ID()),
				slog.Any("modules", names), slog.String("database", a.databaseShown()), slog.Duration("took", time.Since(begun)))
			close(a.ready)
		},
	})
	return errors.Join(err, a.Close())
}

// Ready is closed when every module is ready.
func (a *App) Ready() <-chan struct{} { return a.ready }

// URL is where the API is served, such as http://127.0.0.1:8080; "" when
// httpapi is off. Wait for Ready before asking.
func (a *App) URL() string { return a.url }

// NodeID is the node's LogLine ID.
func (a *App) NodeID() string { return a.node.ID() }

// Close gives back database and data directory; closing twice is harmless. Run
// does it at its end.
func (a *App) Close() error {
	a.closeOnce.Do(func() {
		var errs []error
		if a.rates != nil {
			errs = append(errs, a.rates.Close())
		}
		if a.store != nil {
			errs = append(errs, a.store.Close())
		}
		if a.db != nil {
			errs = append(errs, a.db.Close())
		}
		if a.lock != nil {
			errs = append(errs, a.lock.Release())
		}
		a.closeErr = errors.Join(errs...)
	})
	return a.closeErr
}

func (a *App) databaseShown() string {
	target, err := storage.Parse(a.cfg.Database())
	if err != nil {
		return ""
	}
	if abs, err := filepath.Abs(target.Path); err == nil && target.Path != "" {
		target.Path = abs
	}
	return target.String()
}
