package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
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

// openStore opens the timelines' store, and the directory of the checkpoints
// given out: a store in memory is always older than those, so it has none.
func (a *App) openStore(ctx context.Context) (store timeline.Store, notes string, err error) {
	files := a.cfg.timelineDir()
	if a.cfg.inMemory() && files == "" {
		store = memstore.New()
		a.store = store
		return store, "", nil
	}
	notes = filepath.Join(a.cfg.DataDir, "checkpoints")
	if err := os.MkdirAll(notes, 0o700); err != nil {
		return nil, "", fault.Newf(fault.Unavailable, "data_dir_unusable",
			"the directory %s cannot be created; check its parent's permissions", notes).Because(err)
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
