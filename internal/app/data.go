package app

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// openData opens a node's data for the operator: the database, which must be
// there and have this build's schema, and the timelines, but no keys and no
// modules. The data directory is taken where exclusive says so.
func openData(ctx context.Context, cfg Config, opt Options, exclusive bool) (*App, error) {
	if err := databaseExists(cfg); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, opt: opt.filled()}
	a.log = a.opt.Log
	if err := a.openData(ctx, exclusive); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) openData(ctx context.Context, exclusive bool) (err error) {
	if exclusive {
		if a.lock, err = storage.LockDir(a.cfg.DataDir); err != nil {
			return err
		}
	}
	if a.db, err = storage.Open(ctx, a.cfg.Database()); err != nil {
		return err
	}
	current, known, err := a.db.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	if err := schemaFits(current, known); err != nil {
		return err
	}
	if err := a.notHalf(ctx); err != nil {
		return err
	}
	store, _, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	return a.lacksNothing(ctx, store)
}

// lacksNothing refuses a store without a timeline of which this data directory
// gave out checkpoints: the timelines are then most likely kept elsewhere, and
// what is found here, or saved, would be a node without them.
func (a *App) lacksNothing(ctx context.Context, store timeline.Store) error {
	notes, err := os.ReadDir(a.notesDir())
	if err != nil {
		return nil // this process keeps none
	}
	held := map[string]bool{}
	for last := ""; ; {
		page, err := store.Tenants(ctx, last, timeline.MaxLimit)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, t := range page {
			held[t.ID] = true
		}
		last = page[len(page)-1].ID
	}
	node, err := a.owner(ctx)
	if err != nil {
		return err
	}
	for _, f := range notes {
		tenant, ok := strings.CutSuffix(f.Name(), ".note")
		if !ok || held[tenant] {
			continue
		}
		given, err := timeline.GivenOut(a.notesDir(), tenant)
		if err == nil && given != nil && given.Origin.Node == node { // else the directory is another node's
			return fault.Newf(fault.Unavailable, "timelines_missing",
				"checkpoints of the timeline %s were given out from here, and the configured database does not hold it; "+
					"set --database-url, or --timeline where timelines are kept in files, as the node has it. If that timeline was given up for good, remove %s",
				tenant, filepath.Join(a.notesDir(), f.Name()))
		}
	}
	return nil
}

// databaseExists refuses a database that opening would make: nothing would be
// found in it.
func databaseExists(cfg Config) error {
	target, err := storage.Parse(cfg.Database())
	if err != nil {
		return err
	}
	if target.Memory {
		return fault.New(fault.Invalid, "database_in_memory", "a database in memory ends with its server; set DATABASE_URL or --database-url to one that stays")
	}
	if target.Path == "" {
		return nil // a server's
	}
	if info, err := os.Stat(target.Path); err != nil || info.Size() == 0 {
		return fault.Newf(fault.Unavailable, "database_missing",
			"there is no database %s; set --data-dir or --database-url to the one of the node", target.Path).Because(err)
	}
	return nil
}

func schemaFits(current, known int64) error {
	switch {
	case current > known:
		return fault.Newf(fault.Unavailable, "schema_newer",
			"the database has schema version %d and this build knows only %d; use the newer logline that wrote it", current, known)
	case current < known:
		return fault.Newf(fault.Unavailable, "schema_older",
			"the database has schema version %d and this build needs %d; bring it up to date with logline migrate up", current, known)
	}
	return nil
}

// keeper is the store of the timelines as fsck, backup and restore need it.
func (a *App) keeper() (timeline.Keeper, error) {
	k, ok := a.store.(timeline.Keeper)
	if !ok {
		return nil, fault.New(fault.Internal, "timelines_unexaminable", "timelines kept like this cannot be read as a whole")
	}
	return k, nil
}

// exclusive says whether the node's data belongs to one process, so that
// nothing may be looked at beside a server.
func (c Config) exclusive() bool {
	target, err := storage.Parse(c.Database())
	return err != nil || target.Path != ""
}

// FsckOptions say what Fsck does.
type FsckOptions struct {
	Tenant   string // id or slug; "" for all
	Repair   bool
	Progress func(slug string, done, total uint64) // nil for nobody
}

// Fsck examines the timelines of a node that is not running, or, on a database
// server, beside running ones, as of one moment for each timeline. With Repair
// it mends what can be derived from lines that are sound, and looks again.
func Fsck(ctx context.Context, cfg Config, opt Options, what FsckOptions) (results []*fsck.Result, err error) {
	a, err := openData(ctx, cfg, opt, cfg.exclusive() || what.Repair)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	k, err := a.keeper()
	if err != nil {
		return nil, err
	}
	if what.Repair {
		if err := nobodyElse(ctx, a.db); err != nil {
			return nil, err
		}
	}
	var tenants []timeline.Tenant
	if err := k.Snapshot(ctx, func(snap timeline.Snapshot) (err error) {
		tenants, err = snap.Tenants(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	found := false
	for _, t := range tenants {
		if what.Tenant != "" && t.ID != what.Tenant && t.Slug != what.Tenant {
			continue
		}
		found = true
		r, err := a.fsck(ctx, k, t.ID, what)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	if what.Tenant != "" && !found {
		return nil, timeline.ErrTenantUnknown
	}
	return results, nil
}

// fsck examines and mends one timeline.
func (a *App) fsck(ctx context.Context, k timeline.Keeper, tenant string, what FsckOptions) (*fsck.Result, error) {
	r, err := a.examine(ctx, k, tenant, what)
	if err != nil || !what.Repair || !r.CanRepair() {
		return r, err
	}
	if err := fsck.Repair(ctx, k, r); err != nil {
		return r, err
	}
	r.After, err = a.examine(ctx, k, tenant, what)
	return r, err
}

func (a *App) examine(ctx context.Context, k timeline.Keeper, tenant string, what FsckOptions) (r *fsck.Result, err error) {
	// Before the snapshot: running servers give out more meanwhile.
	given, unreadable := a.givenOut(tenant)
	node, err := a.owner(ctx)
	if err != nil {
		return nil, err
	}
	err = k.Snapshot(ctx, func(snap timeline.Snapshot) error {
		tenants, err := snap.Tenants(ctx)
		if err != nil {
			return err
		}
		for _, t := range tenants {
			if t.ID != tenant {
				continue
			}
			opt := fsck.Options{Verifier: id.DefaultVerifier(), Folder: engine.Folder{}, Node: node, Note: given, NoteUnreadable: unreadable}
			if what.Progress != nil {
				opt.Progress = func(done, total uint64) { what.Progress(t.Slug, done, total) }
			}
			if r, err = fsck.Check(ctx, snap, t, opt); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && r == nil {
		err = timeline.ErrTenantUnknown
	}
	return r, err
}

// owner is the node that the database belongs to, "" for none yet.
func (a *App) owner(ctx context.Context) (string, error) {
	var node []byte
	err := a.db.Read.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'node'`).Scan(&node)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return string(node), storage.Classify(err)
}

// givenOut is the last checkpoint given out as the data directory knows it.
func (a *App) givenOut(tenant string) (*tree.Checkpoint, error) {
	dir := a.notesDir()
	if _, err := os.Stat(dir); err != nil {
		return nil, nil // this process keeps none
	}
	return timeline.GivenOut(dir, tenant)
}

// How often and how long nobodyElse asks: a connection that was just closed is
// seen for a moment, and so is one of this process that is being made.
const (
	elseEvery = 100 * time.Millisecond
	elseTries = 30
)

// nobodyElse makes sure that no server works on the same database: what it holds
// in memory would outlive what is done to the database.
func nobodyElse(ctx context.Context, db *storage.DB) error {
	for try := 0; ; try++ {
		others, err := db.OtherSessions(ctx)
		if err != nil || others == 0 {
			return err
		}
		if try == elseTries {
			return fault.Newf(fault.Unavailable, "database_in_use",
				"other programs have %d connections to the database open; stop every server that uses it and try again", others)
		}
		select {
		case <-time.After(elseEvery):
		case <-ctx.Done():
			return storage.Classify(ctx.Err())
		}
	}
}
