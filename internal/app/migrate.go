package app

import (
	"context"
	"errors"
	"os"

	"github.com/danvoulez/logline/internal/storage"
)

// Schema is the version that a database has, 0 for none, and the one this build
// works with.
type Schema struct {
	Database string `json:"database"` // without secrets
	Current  int64  `json:"current"`
	Known    int64  `json:"known"`
}

// SchemaOf looks at the configured database and changes nothing; a SQLite file
// that is not there is not made.
func SchemaOf(ctx context.Context, cfg Config) (s Schema, err error) {
	target, err := storage.Parse(cfg.Database())
	if err != nil {
		return s, err
	}
	url, shown := cfg.Database(), target.String()
	if _, missing := os.Stat(target.Path); target.Path != "" && errors.Is(missing, os.ErrNotExist) {
		url = "memory:"
	}
	db, err := storage.Open(ctx, url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s.Database = shown
	s.Current, s.Known, err = db.SchemaVersion(ctx)
	return s, err
}

// MigrateUp brings the configured database to this build's schema, which every
// start of a server does too, and says from which version.
func MigrateUp(ctx context.Context, cfg Config) (s Schema, err error) {
	if cfg.exclusive() {
		lock, err := storage.LockDir(cfg.DataDir)
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	if s, err = SchemaOf(ctx, cfg); err != nil {
		return s, err
	}
	db, err := storage.Open(ctx, cfg.Database())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return s, db.Migrate(ctx)
}
