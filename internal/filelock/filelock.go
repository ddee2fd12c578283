// Package filelock gives a process the exclusive use of something that a lock
// file stands for. The operating system keeps the lock: it ends with the file's
// Close or with the process, however that ends.
package filelock

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked is what Try returns while another holder has the lock.
var ErrLocked = errors.New("locked by another process")

// Try takes the lock of the file at path, made for the owner alone (0600) when
// it is missing, without waiting. Close releases it. The file must stay: were it
// removed, two processes could lock two files of one name.
func Try(path string) (*os.File, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	if err := tryLock(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// again is how often Wait tries.
const again = 10 * time.Millisecond

// Wait is Try that waits for the lock until ctx ends.
func Wait(ctx context.Context, path string) (*os.File, error) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		file, err := Try(path)
		if !errors.Is(err, ErrLocked) {
			return file, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ErrLocked, ctx.Err())
		}
	}
}

// Lock is a lock file that is taken and given back over and over, by one
// goroutine at a time. It is Try's lock: whoever holds the one waits for the
// other.
type Lock struct {
	path string
	held handle
}

// Open makes a lock of the file at path without taking it, and makes the file for
// the owner alone (0600) when it is missing. Close gives it up.
func Open(path string) (*Lock, error) {
	l := &Lock{path: path}
	return l, l.open()
}

// Try takes the lock without waiting; ErrLocked while another holder has it.
func (l *Lock) Try() error { return l.try() }

// Unlock gives the lock back.
func (l *Lock) Unlock() error { return l.unlock() }

// Close closes the file, and with it gives the lock back.
func (l *Lock) Close() error { return l.close() }
