//go:build unix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock takes an advisory lock that belongs to the open file and that the
// kernel releases when the process ends.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// handle is a file that stays open, locked or not.
type handle struct{ file *os.File }

func (l *Lock) open() (err error) {
	l.held.file, err = openFile(l.path)
	return err
}

func (l *Lock) try() error { return tryLock(l.held.file) }

func (l *Lock) unlock() error { return syscall.Flock(int(l.held.file.Fd()), syscall.LOCK_UN) }

func (l *Lock) close() error { return l.held.file.Close() }
