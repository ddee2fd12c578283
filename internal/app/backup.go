package app

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/backup"
	"github.com/danvoulez/logline/internal/doctor"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// BackupOptions say what a backup holds.
type BackupOptions struct {
	Keys     bool                                  // the node's key file too, as it is
	Progress func(slug string, done, total uint64) // nil for nobody
}

// sqlStore is a store whose timelines stand in the database itself.
type sqlStore interface {
	SnapshotOf(tx *sql.Tx) timeline.Snapshot
}

// Backup writes an archive of the node's whole data, as of one moment, also
// while servers work on it.
func Backup(ctx context.Context, cfg Config, opt Options, what BackupOptions, to io.Writer) (sum backup.Summary, err error) {
	a, err := openData(ctx, cfg, opt, false)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	src := backup.Source{Progress: what.Progress}
	if src.Header, err = a.archiveHeader(ctx); err != nil {
		return sum, err
	}
	if what.Keys {
		if src.Keys, err = a.keyFile(); err != nil {
			return sum, err
		}
	}
	return sum, a.snapshot(ctx, func(tx *sql.Tx, timelines timeline.Snapshot) error {
		src.Tables, src.Timelines = backup.SQLTables{Tx: tx, Dialect: a.db.Dialect}, timelines
		sum, err = backup.Write(ctx, to, src)
		return err
	})
}

// BackupWritten notes in the database when the last backup was written, for who
// asks for its age. A backup is whole without it.
func BackupWritten(ctx context.Context, cfg Config, sum backup.Summary) (err error) {
	db, err := storage.Open(ctx, cfg.Database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return doctor.NoteBackup(ctx, db, sum.Header.MadeAt)
}

// snapshot reads database and timelines as of one moment. Timelines beside the
// database are as of a moment of their own, after the tables': what these say
// of identities is never newer than what the timelines hold.
func (a *App) snapshot(ctx context.Context, fn func(*sql.Tx, timeline.Snapshot) error) error {
	tx, err := a.db.BeginSnapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it only read
	if s, ok := a.store.(sqlStore); ok {
		return fn(tx, s.SnapshotOf(tx))
	}
	k, err := a.keeper()
	if err != nil {
		return err
	}
	return k.Snapshot(ctx, func(timelines timeline.Snapshot) error { return fn(tx, timelines) })
}

func (a *App) archiveHeader(ctx context.Context) (h backup.Header, err error) {
	if h.Node, err = a.owner(ctx); err != nil {
		return h, err
	}
	if h.Node == "" {
		return h, fault.New(fault.Unavailable, "database_unused", "no server has worked on this database yet, so that there is nothing to back up")
	}
	if h.Schema, _, err = a.db.SchemaVersion(ctx); err != nil {
		return h, err
	}
	h.MadeAt, h.MadeBy = span.FormatTime(a.opt.Now()), a.opt.Version.Version
	return h, nil
}

// keyFile is the node's key file as it is.
func (a *App) keyFile() ([]byte, error) {
	path := filepath.Join(a.cfg.DataDir, id.NodeKeyFile)
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "key_file_unreadable",
			"the node's keys are not in %s; where they are sealed in the database, they are in every backup as they are, and --with-keys is not needed", path).Because(err)
	}
	return file, nil
}
