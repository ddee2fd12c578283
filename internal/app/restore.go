package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/backup"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// RestoreOptions say how a backup is restored.
type RestoreOptions struct {
	// Replace puts the restored SQLite file in the place of one that holds
	// timelines, which is kept beside it under another name.
	Replace  bool
	Progress func(slug string, done, total uint64) // nil for nobody
}

// Restored is what a restore has made.
type Restored struct {
	Summary  backup.Summary
	Renewed  []timeline.Tenant // timelines that go on under a new origin
	Database string
	Kept     string // the database file that was there before; "" for none
}

// Restore makes a node of an archive: its database, its timelines and, where
// the archive has them and the data directory has not, its keys. It opens a new
// epoch for every timeline that the node writes, because nobody knows what was
// given out after the backup. The archive is read whole first; then everything
// is made where no server looks (a SQLite file under another name; a PostgreSQL
// database that is marked), checked, and put in place at the end. After an error
// nothing is there that was not before.
func Restore(ctx context.Context, cfg Config, opt Options, file string, what RestoreOptions) (out Restored, err error) {
	target, err := storage.Parse(cfg.Database())
	if err != nil {
		return out, err
	}
	if target.Memory {
		return out, fault.New(fault.Invalid, "database_in_memory", "a database in memory ends with this command; set DATABASE_URL or --database-url to one that stays")
	}
	r := &restore{cfg: cfg, opt: opt.filled(), what: what, path: file, survey: backup.NewSurvey(id.DefaultVerifier(), engine.Folder{})}
	r.out.Database = target.String()
	if err := r.check(ctx); err != nil {
		return out, err
	}
	lock, err := storage.LockDir(cfg.DataDir) // makes the directory
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := r.checkFolder(); err != nil {
		return out, err
	}
	if target.Path == "" {
		err = r.server(ctx)
	} else {
		err = r.file(ctx, target.Path)
	}
	return r.out, err
}

// checkFolder sees to it that timelines that are kept in files can be made in
// a folder of another name, and then get the place of an empty one.
func (r *restore) checkFolder() error {
	folder := r.cfg.timelineDir()
	if folder == "" {
		return nil
	}
	found, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Newf(fault.Unavailable, "file_unusable", "the folder %s cannot be read", folder).Because(err)
	}
	for _, f := range found {
		if f.IsDir() && !r.what.Replace && !r.killedBetween() {
			return fault.Newf(fault.Conflict, "timelines_not_empty",
				"the folder %s holds timelines; choose another, or say --replace to keep it under another name", folder)
		}
	}
	return r.removeFolder()
}

// restoringSuffix ends the names of what is made and not in its place yet.
const restoringSuffix = ".restoring"

// folderNow is where the timelines are while they are made.
func (r *restore) folderNow() string { return filepath.Clean(r.cfg.timelineDir()) + restoringSuffix }

func (r *restore) removeFolder() error {
	if r.cfg.timelineDir() == "" {
		return nil
	}
	if err := os.RemoveAll(r.folderNow()); err != nil {
		return fault.Newf(fault.Unavailable, "file_unusable", "%s is in the way and cannot be removed", r.folderNow()).Because(err)
	}
	return nil
}

// notesNow is where the checkpoints of the new epochs are noted until the
// database that has them is in place: to the database that is there meanwhile
// they would be a history that it lacks.
func (r *restore) notesNow() string {
	return filepath.Join(r.cfg.DataDir, checkpointsDir+restoringSuffix)
}

// copyNotes begins with what was given out before, which counts for the epochs.
func (r *restore) copyNotes() error {
	err := os.RemoveAll(r.notesNow()) // of a restore that was killed
	if err == nil {
		err = os.Mkdir(r.notesNow(), 0o700)
	}
	if err == nil {
		err = os.CopyFS(r.notesNow(), os.DirFS(filepath.Join(r.cfg.DataDir, checkpointsDir)))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return fault.Newf(fault.Unavailable, "file_unusable", "the checkpoints given out cannot be copied to %s", r.notesNow()).Because(err)
	}
	return nil
}

// placeNotes moves the notes to where a server looks for them. A database of
// later epochs than the notes beside it is no older copy, so this comes last.
func (r *restore) placeNotes() error {
	dir := filepath.Join(r.cfg.DataDir, checkpointsDir)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var made []os.DirEntry
		made, err = os.ReadDir(r.notesNow())
		for _, f := range made {
			err = errors.Join(err, os.Rename(filepath.Join(r.notesNow(), f.Name()), filepath.Join(dir, f.Name())))
		}
	}
	if err = errors.Join(err, os.RemoveAll(r.notesNow())); err != nil {
		return fault.Newf(fault.Unavailable, "file_unusable", "the checkpoints given out cannot be noted in %s", dir).Because(err)
	}
	return nil
}

// aside is the ending of the names of what was there before.
func (r *restore) aside() string { return ".before-" + r.opt.Now().UTC().Format("20060102T150405Z") }

// restore is a restore under way.
type restore struct {
	cfg    Config
	opt    Options
	what   RestoreOptions
	path   string
	survey *backup.Survey
	out    Restored

	placing      bool   // the timelines' folder may have its place
	folderBefore string // where the one that was there is now; "" for none
}

// check reads the whole archive, and looks whether the node's keys will be
// there. It writes nothing.
func (r *restore) check(ctx context.Context) error {
	if err := r.read(func(f io.Reader) (err error) {
		r.out.Summary, err = backup.Read(ctx, f, r.survey)
		return err
	}); err != nil {
		return err
	}
	node := r.out.Summary.Header.Node
	_, known, err := r.schema(ctx)
	if err != nil {
		return err
	}
	if schema := r.out.Summary.Header.Schema; schema > known {
		return fault.Newf(fault.Unavailable, "archive_newer",
			"the backup has schema version %d and this program knows only %d; use the newer logline that made it", schema, known)
	}
	if err := r.opens(); err != nil {
		return err
	}
	keys, err := id.LoadKeys(r.keyPath(), nil)
	switch {
	case err == nil && keys.ID() != node:
		return fault.Newf(fault.Conflict, "node_mismatch",
			"the backup is of the node %s, and %s holds the keys of %s; move that file away, or choose another --data-dir", node, r.keyPath(), keys.ID())
	case err == nil:
		return nil
	case fault.CodeOf(err) != "key_file_missing":
		return err
	case r.survey.KeyFile() != nil, r.survey.Sealed(node) && r.cfg.hasMaster():
		return nil
	case r.survey.Sealed(node):
		return fault.Newf(fault.Unavailable, "master_key_required",
			"the keys of the node %s are sealed in the backup; set LOGLINE_MASTER_KEY to the master key they were sealed with", node)
	}
	return fault.Newf(fault.Unavailable, "node_keys_missing",
		"the backup is of the node %s and was made without --with-keys; put a copy of its %s into %s first", node, id.NodeKeyFile, r.cfg.DataDir)
}

// opens makes sure that what is sealed in the archive opens, where a master key is
// set: an archive holds keys under two of them if it was made during an exchange.
func (r *restore) opens() error {
	masters, err := r.cfg.masters()
	if err != nil || len(masters) == 0 {
		return err
	}
	var lacking []string
	for _, master := range slices.Sorted(maps.Keys(r.survey.Under())) {
		if !slices.ContainsFunc(masters, func(k *id.MasterKey) bool { return k.ID() == master }) {
			lacking = append(lacking, fmt.Sprintf("%d under %s", r.survey.Under()[master], master))
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return fault.Newf(fault.Unavailable, "master_key_wrong",
		"keys in the backup are sealed under master keys that are not set (%s); set the one that the backup was made with, or, beside a newer one, as LOGLINE_MASTER_KEY_PREVIOUS; exchange it afterwards by logline keys rotate-master", strings.Join(lacking, ", "))
}

// schema is what this program knows for the database's dialect.
func (r *restore) schema(ctx context.Context) (current, known int64, err error) {
	s, err := SchemaOf(ctx, r.cfg)
	return s.Current, s.Known, err
}

func (r *restore) keyPath() string { return filepath.Join(r.cfg.DataDir, id.NodeKeyFile) }

func (r *restore) read(fn func(io.Reader) error) error {
	f, err := os.Open(r.path)
	if err != nil {
		return fault.Newf(fault.Unavailable, "file_unusable", "the backup %s cannot be read", r.path).Because(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fault.Newf(fault.Unavailable, "file_unusable", "the backup %s cannot be read: it is a folder", r.path)
	}
	return fn(f)
}

// file makes a SQLite file under another name and then moves it into place.
func (r *restore) file(ctx context.Context, path string) (err error) {
	if err := r.mayReplace(ctx, path); err != nil {
		return err
	}
	fresh := path + restoringSuffix
	if err := removeDatabase(fresh); err != nil { // of a restore that was killed
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.unplace(fresh, path))
		}
	}()
	cfg := r.cfg
	cfg.DatabaseURL = "sqlite:" + fresh
	if err := r.make(ctx, cfg); err != nil {
		return err
	}
	if err := r.placeFolder(); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		r.out.Kept = path + r.aside()
		if err := moveDatabase(path, r.out.Kept); err != nil {
			return err
		}
	}
	if err := moveDatabase(fresh, path); err != nil {
		return err
	}
	return r.placeNotes()
}

// mayReplace refuses to put something in the place of timelines unasked.
func (r *restore) mayReplace(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || r.what.Replace {
		return nil
	}
	db, err := storage.Open(ctx, "sqlite:"+path)
	if err != nil {
		return err
	}
	holds, err := contents(ctx, db)
	if err = errors.Join(err, db.Close()); err == nil && holds != "" {
		err = fault.Newf(fault.Conflict, "database_not_empty",
			"the database %s holds %s; choose another --data-dir, or say --replace to keep it under another name", path, holds)
	}
	return err
}

// contents says what a database holds beside what the first start of a server
// leaves, "" for nothing.
func contents(ctx context.Context, db *storage.DB) (string, error) {
	timelines, err := db.Count(ctx, "timeline_tenants")
	if err != nil {
		return "", err
	}
	identities, err := db.Count(ctx, "identities")
	if err != nil || timelines == 0 && identities <= 1 { // the node's own
		return "", err
	}
	return fmt.Sprintf("%d timelines and %d identities", timelines, identities), nil
}

// removeDatabase removes a SQLite database with its logs.
func removeDatabase(path string) error {
	for _, name := range storage.Files(path) {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fault.Newf(fault.Unavailable, "file_unusable", "%s is in the way and cannot be removed", name).Because(err)
		}
	}
	return nil
}

// moveDatabase renames a database that nobody has open.
func moveDatabase(from, to string) error {
	names := storage.Files(from)
	slices.Reverse(names) // the database itself comes last
	for _, name := range names {
		suffix := strings.TrimPrefix(name, from)
		if err := os.Rename(name, to+suffix); err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			return fault.Newf(fault.Unavailable, "file_unusable", "%s cannot be renamed to %s", name, to+suffix).Because(err)
		}
	}
	if err := atomicfile.SyncDir(filepath.Dir(to)); err != nil {
		return fault.New(fault.Unavailable, "file_unusable", "the directory of the database cannot be flushed").Because(err)
	}
	return nil
}

// restoring is the settings row of a database that is being made of a backup.
const restoring = "restoring"

// server makes a database on a server, which must be empty, and marks it
// meanwhile, so that no server of ours works on it.
func (r *restore) server(ctx context.Context) (err error) {
	db, err := storage.Open(ctx, r.cfg.Database())
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, db.Close())
		}
	}()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	marked, err := isRestoring(ctx, db)
	if err != nil {
		return err
	}
	holds, err := contents(ctx, db)
	if err != nil {
		return err
	}
	if holds != "" && !marked {
		return fault.Newf(fault.Conflict, "database_not_empty", "the database holds %s; restore into an empty one", holds)
	}
	if err := nobodyElse(ctx, db); err != nil {
		return err
	}
	if err := db.Reset(ctx); err != nil {
		return err
	}
	if err := setRestoring(ctx, db, true); err != nil {
		return err
	}
	closed = true
	if err := db.Close(); err != nil {
		return err
	}
	if err = r.make(ctx, r.cfg); err == nil {
		if err = r.placeFolder(); err == nil {
			err = r.placeNotes()
		}
		if err == nil {
			err = r.unmark(ctx)
		}
	}
	if err != nil {
		err = errors.Join(err, r.undo(context.WithoutCancel(ctx)))
	}
	return err
}

// unmark is the last step: from now on servers work on the database.
func (r *restore) unmark(ctx context.Context) error {
	db, err := storage.Open(ctx, r.cfg.Database())
	if err != nil {
		return err
	}
	return errors.Join(setRestoring(ctx, db, false), db.Close())
}

// undo empties the database after a failure. A killed restore leaves the mark,
// and the next one begins anew.
func (r *restore) undo(ctx context.Context) error {
	db, err := storage.Open(ctx, r.cfg.Database())
	if err != nil {
		return err
	}
	return errors.Join(db.Reset(ctx), db.Close())
}

func setRestoring(ctx context.Context, db *storage.DB, on bool) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM settings WHERE key = $1`, restoring)
		if err == nil && on {
			_, err = tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2)`, restoring, []byte("begun"))
		}
		return err
	})
}

func isRestoring(ctx context.Context, db *storage.DB) (bool, error) {
	var n int
	err := db.Read.QueryRowContext(ctx, `SELECT count(*) FROM settings WHERE key = $1`, restoring).Scan(&n)
	return n > 0, storage.Classify(err)
}

// notHalf refuses a database in which a restore was killed.
func (a *App) notHalf(ctx context.Context) error {
	half, err := isRestoring(ctx, a.db)
	if err == nil && half {
		err = fault.New(fault.Unavailable, "restore_unfinished",
			"the database holds half a restored backup; run logline restore again, which begins anew")
	}
	return err
}

// make fills an empty database, opens the new epochs and checks everything.
func (r *restore) make(ctx context.Context, cfg Config) (err error) {
	if cfg.timelineDir() != "" {
		cfg.Timeline = ndjsonScheme + r.folderNow()
	}
	a := &App{cfg: cfg, opt: r.opt, log: r.opt.Log, notes: r.notesNow()}
	made := false // the key file
	defer func() {
		err = errors.Join(err, a.Close())
		if err != nil && made {
			err = errors.Join(err, os.RemoveAll(r.keyPath())) // it may be gone
		}
		if err != nil {
			err = errors.Join(err, r.removeFolder(), os.RemoveAll(r.notesNow()))
		}
	}()
	if err = r.copyNotes(); err != nil {
		return err
	}
	if a.db, err = storage.Open(ctx, cfg.Database()); err != nil {
		return err
	}
	if err := a.db.Migrate(ctx); err != nil {
		return err
	}
	if a.masters, err = cfg.masters(); err != nil {
		return err
	}
	if err := r.tables(ctx, a.db); err != nil {
		return err
	}
	if made, err = r.keys(); err != nil {
		return err
	}
	if err := a.openNode(ctx); err != nil {
		return err
	}
	verify := id.DefaultVerifier()
	store, log, err := a.openLog(ctx, verify)
	if err != nil {
		return err
	}
	if err := r.timelines(ctx, store); err != nil {
		return err
	}
	eng := a.newEngine(log, id.NewDirectory(a.db, verify, r.opt.Now), verify, bus.New(), nil, nil)
	if r.out.Renewed, err = eng.RenewEpochs(ctx, true); err != nil {
		return err
	}
	for _, t := range r.out.Renewed {
		a.log.InfoContext(ctx, "new epoch", slog.String("tenant", t.ID), slog.String("origin", t.Origin), slog.Uint64("size", t.Size))
	}
	if err := admin.NewBook(a.db, a.opt.Now).Add(ctx, admin.Act{Type: admin.Restored, OSUser: osUser(), Facts: map[string]any{
		"made_at": r.out.Summary.Header.MadeAt, "timelines": r.out.Summary.Timelines, "renewed": len(r.out.Renewed),
	}}); err != nil {
		return err
	}
	return r.sound(ctx, a, store)
}

// tables fills the database's tables, in one transaction.
func (r *restore) tables(ctx context.Context, db *storage.DB) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		var marked int // the mark is a row of one of the tables
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM settings WHERE key = $1`, restoring).Scan(&marked); err != nil {
			return err
		}
		if err := r.read(func(f io.Reader) error {
			return backup.LoadTables(ctx, f, backup.SQLTables{Tx: tx, Dialect: db.Dialect})
		}); err != nil {
			return err
		}
		if marked == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, restoring, []byte("begun"))
		return err
	})
}

// timelines writes the timelines.
func (r *restore) timelines(ctx context.Context, store timeline.Store) error {
	load := &backup.Load{Context: ctx, Survey: r.survey, Store: store, Progress: r.what.Progress}
	return r.read(func(f io.Reader) error { _, err := backup.Read(ctx, f, load); return err })
}

// keys puts the archive's key file into the data directory, where there is none.
func (r *restore) keys() (made bool, err error) {
	file := r.survey.KeyFile()
	if file == nil {
		return false, nil
	}
	if _, err := os.Stat(r.keyPath()); err == nil {
		return false, nil
	}
	if err := atomicfile.Create(r.keyPath(), atomicfile.Content(file)); err != nil {
		return !errors.Is(err, os.ErrExist), fault.Newf(fault.Unavailable, "file_unusable", "the node's keys cannot be written to %s", r.keyPath()).Because(err)
	}
	return true, nil
}

// sound checks what was made as fsck does.
func (r *restore) sound(ctx context.Context, a *App, store timeline.Store) error {
	k, err := a.keeper()
	if err != nil {
		return err
	}
	tenants, err := store.Tenants(ctx, "", timeline.MaxLimit)
	for err == nil && len(tenants) > 0 {
		for _, t := range tenants {
			res, err := a.examine(ctx, k, t.ID, FsckOptions{})
			if err != nil {
				return err
			}
			if !res.OK() {
				return fault.Newf(fault.Invalid, "archive_timeline_invalid",
					"the timeline of tenant %s in the backup is damaged (%s); use another copy", t.ID, res.Findings[0])
			}
		}
		tenants, err = store.Tenants(ctx, tenants[len(tenants)-1].ID, timeline.MaxLimit)
	}
	return err
}
