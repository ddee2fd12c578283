package storage

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/filelock"
)

// turnstile lets those who write one SQLite file, be they handles or processes,
// take turns. SQLite lets whoever asks have the write lock when it is free, and
// whoever waits asks every 100 ms in the end: one that writes all the time has it
// again each time, and another may wait for ever. So one waits for the write lock
// in the turnstile, which is another lock, held only meanwhile: who has just had
// the write lock, and wants it again, waits behind. Programs that know nothing of
// the turnstile are waited for by SQLite as ever.
//
// For one handle's use at a time. Its file, "<database>-turn", is empty and stays.
type turnstile struct {
	lock *filelock.Lock // nil lets everybody pass: of a database in memory, or where locks cannot be had
}

// turnSuffix follows the name of a database in that of its turnstile's file.
const turnSuffix = "-turn"

// Files are those of the SQLite database at path, some of which may be missing.
func Files(path string) []string {
	return []string{path, path + "-wal", path + "-shm", path + turnSuffix}
}

// openTurnstile opens the turnstile of the database at path, however the path
// leads there. Without one, turns are not taken and all else is as it was.
func openTurnstile(path string) turnstile {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	lock, err := filelock.Open(path + turnSuffix)
	if err != nil {
		return turnstile{}
	}
	return turnstile{lock}
}

// turnWait is how long one waits in the turnstile: as long as SQLite waits for
// its lock, which is busyTimeout.
const turnWait = 10 * time.Second

// errBusy is what waiting for other writers ends with.
var errBusy = fault.New(fault.Unavailable, "database_busy",
	"the database is locked by another writer; try again in a moment").After(time.Second)

// pass runs begin, which waits for the write lock, when it is this handle's turn.
func (t *turnstile) pass(ctx context.Context, begin func() error) error {
	if t.lock == nil {
		return begin()
	}
	switch err := t.enter(ctx); {
	case errors.Is(err, errNoTurns):
		return begin()
	case err != nil:
		return err
	}
	err := begin()
	// A lock that cannot be given back would keep all others out.
	if left := t.lock.Unlock(); left != nil {
		_ = t.lock.Close()
		t.lock = nil
	}
	return err
}

// errNoTurns says that the file system keeps no locks.
var errNoTurns = errors.New("the turnstile cannot be locked")

// enter waits until nobody else waits for the write lock.
func (t *turnstile) enter(ctx context.Context) error {
	err := t.lock.Try()
	if err == nil {
		return nil
	}
	limit := time.NewTimer(turnWait)
	defer limit.Stop()
	again := time.NewTimer(turnPause())
	defer again.Stop()
	for errors.Is(err, filelock.ErrLocked) {
		select {
		case <-again.C:
		case <-limit.C:
			return errBusy
		case <-ctx.Done():
			return ctx.Err()
		}
		if err = t.lock.Try(); err == nil {
			return nil
		}
		again.Reset(turnPause())
	}
	return errNoTurns
}

// turnPause is how long one waits before looking at the turnstile again: about a
// millisecond, as a commit takes, and never in step with others who wait.
func turnPause() time.Duration {
	return 500*time.Microsecond + rand.N(time.Millisecond)
}

func (t *turnstile) close() error {
	if t.lock == nil {
		return nil
	}
	return t.lock.Close()
}
