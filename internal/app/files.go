package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/mirror"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/wordindex"
)

// ndjsonScheme begins a Config.Timeline that names a folder.
const ndjsonScheme = "ndjson:"

// timelineDir is the folder of the timelines' own files, "" where the database
// keeps them.
func (c Config) timelineDir() string {
	dir, ok := strings.CutPrefix(c.Timeline, ndjsonScheme)
	if !ok {
		return ""
	}
	return dir
}

// checkTimeline is what is wrong with Config.Timeline.
func (c Config) checkTimeline() string {
	if c.Timeline == "" || strings.TrimSpace(c.timelineDir()) != "" {
		return ""
	}
	return "must be ndjson:<folder>, such as ndjson:./timelines, or empty to keep timelines in the database"
}

// checkMirror is what is wrong with Config.Mirror.
func (c Config) checkMirror() string {
	if c.Mirror != "" && c.timelineDir() != "" && filepath.Clean(c.Mirror) == filepath.Clean(c.timelineDir()) {
		return "must be another folder than that of the timelines themselves"
	}
	return ""
}

// newMirror makes what follows the timelines into Config.Mirror, nil where that
// is not set.
func (a *App) newMirror(source mirror.Source, wakes *bus.Bus, board *followers.Board) *mirror.Mirror {
	if a.cfg.Mirror == "" {
		return nil
	}
	return mirror.New(source, wakes, mirror.Config{Dir: a.cfg.Mirror, Payloads: a.cfg.MirrorPayloads, Log: a.log, Watch: board.Watch(followers.Mirror)})
}

// startMirror runs m, if there is one, until stop, which comes after the last
// commit and so not with ctx.
func (a *App) startMirror(ctx context.Context, m *mirror.Mirror) (stop func(), err error) {
	if m == nil {
		return func() {}, nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- m.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		a.log.InfoContext(ctx, "timelines are mirrored", slog.String("folder", a.cfg.Mirror), slog.Bool("payloads", a.cfg.MirrorPayloads))
		return func() { cancel(); <-ended }, nil // which is nil: it was ready
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// newIndexer makes what follows the timelines into the index of their words, nil
// where the store keeps none or the setting search is off.
func (a *App) newIndexer(store timeline.Store, wakes *bus.Bus, board *followers.Board) *wordindex.Indexer {
	source, ok := store.(wordindex.Source)
	if !ok || a.cfg.Search == Off {
		return nil
	}
	return wordindex.New(source, wakes, wordindex.Config{Log: a.log, Watch: board.Watch(followers.Words)})
}

// startIndexer runs x, if there is one, until stop or the end of ctx.
func startIndexer(ctx context.Context, x *wordindex.Indexer) (stop func()) {
	if x == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Run(ctx)
	}()
	return func() { cancel(); <-ended }
}

// notesDir is where this process keeps the last checkpoints given out.
func (a *App) notesDir() string {
	if a.notes != "" {
		return a.notes
	}
	return filepath.Join(a.cfg.DataDir, checkpointsDir)
}

// checkpointsDir is the place of the checkpoints given out in the data directory.
const checkpointsDir = "checkpoints"

// openStore opens the timelines' store, and the directory of the checkpoints
// given out: a store in memory is always older than those, so it has none.
func (a *App) openStore(ctx context.Context) (store timeline.Store, notes string, err error) {
	files := a.cfg.timelineDir()
	if a.cfg.inMemory() && files == "" {
		store = memstore.New()
		a.store = store
		return store, "", nil
	}
	if notes = a.notesDir(); a.beside {
		notes = ""
	}
	switch {
	case files != "":
		opened, err := ndjsonstore.Open(ctx, files, ndjsonstore.Config{Log: a.log})
		if err != nil {
			return nil, "", err
		}
		store, a.appends = opened, opened.Err
	case a.db.Dialect == storage.Postgres:
		store = pgstore.NewStore(a.db)
	default:
		store = sqlitestore.NewStore(a.db)
	}
	a.store = store
	return store, notes, nil
}
