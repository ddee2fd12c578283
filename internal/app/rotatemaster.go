package app

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
)

// RotateMasterOptions say what the new master key is.
type RotateMasterOptions struct {
	By       string                // who does it, for the admin timeline
	To       *id.MasterKey         // nil: the one that is set, which takes over from the one before it
	Progress func(done, total int) // nil for nobody
}

// RotateMaster seals what the node keeps sealed under another master key. Beside
// running servers only where both keys are set, as they then are for the servers:
// one that knows the old key alone could open nothing any more.
func RotateMaster(ctx context.Context, cfg Config, opt Options, what RotateMasterOptions) (out id.Resealed, err error) {
	opt = opt.filled()
	masters, err := cfg.masters()
	if err != nil {
		return out, err
	}
	opening, err := cfg.keeping()
	if err != nil {
		return out, err
	}
	shared := len(masters) == 2 && (what.To == nil || what.To.ID() == masters[0].ID())
	if what.To == nil {
		if len(masters) == 0 {
			return out, fault.New(fault.Invalid, "master_key_required", "no master key is set; set LOGLINE_MASTER_KEY or LOGLINE_MASTER_KEY_FILE to the one that the database is sealed under, or to the new one with that one as LOGLINE_MASTER_KEY_PREVIOUS")
		}
		what.To = masters[0]
	}
	db, err := openSealed(ctx, cfg)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if !shared {
		lock, err := alone(ctx, cfg, db)
		if err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	book := admin.NewBook(db, opt.Now)
	return id.Reseal{
		DB: db, Masters: opening, To: what.To, Now: opt.Now, Rand: opt.Rand, Progress: what.Progress,
		Finish: func(ctx context.Context, tx *sql.Tx, by id.SealedBy) error {
			return book.AddIn(ctx, tx, admin.Act{Type: admin.MasterKeyRotated, OSUser: what.By, Facts: map[string]any{"from": by.From, "to": by.ID}})
		},
	}.Run(ctx)
}

// SealingOf is how the configured database is sealed. It needs no master key.
func SealingOf(ctx context.Context, cfg Config) (s id.Sealing, err error) {
	db, err := openSealed(ctx, cfg)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return id.ReadSealing(ctx, db)
}

// openSealed opens the database for a look at what is sealed in it.
func openSealed(ctx context.Context, cfg Config) (*storage.DB, error) {
	if err := databaseExists(cfg); err != nil {
		return nil, err
	}
	db, err := storage.Open(ctx, cfg.Database())
	if err != nil {
		return nil, err
	}
	current, known, err := db.SchemaVersion(ctx)
	if err == nil {
		err = schemaFits(current, known)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// alone makes sure that no server works on the data, for as long as the lock is held.
func alone(ctx context.Context, cfg Config, db *storage.DB) (*storage.DirLock, error) {
	const both = "; stop every server, or give them all both keys first (the new one as LOGLINE_MASTER_KEY, the old one as LOGLINE_MASTER_KEY_PREVIOUS) and run this with the same settings"
	lock, err := storage.LockDir(cfg.DataDir)
	if err != nil {
		return nil, withHint(err, both)
	}
	if err := nobodyElse(ctx, db); err != nil {
		return nil, errors.Join(withHint(err, both), lock.Release())
	}
	return lock, nil
}

// withHint adds to what a fault tells people.
func withHint(err error, hint string) error {
	f := fault.From(err)
	return fault.New(f.Kind, f.Code, f.Detail+hint)
}

// MakeMasterKeyFile makes a new master key in a file for its owner alone; a file
// that is there already is left as it is (secret_file_exists).
func MakeMasterKeyFile(path string, rand io.Reader) error {
	text, err := id.NewMasterKey(rand)
	if err != nil {
		return err
	}
	err = atomicfile.Create(path, atomicfile.Content([]byte(text+"\n")))
	switch {
	case errors.Is(err, os.ErrExist):
		return fault.Newf(fault.Conflict, "secret_file_exists", "%s exists already and is left as it is; choose another file", path).Because(err)
	case err != nil:
		return fault.Newf(fault.Unavailable, "secret_file_unwritable", "the master key file %s cannot be written; check its directory, its permissions and the free space", path).Because(err)
	}
	return nil
}
