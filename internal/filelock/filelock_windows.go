package filelock

import (
	"errors"
	"os"
	"syscall"
)

// openFile opens the file so that nobody else may open it for writing
// until it is closed, which is the lock: sharing is for reading alone.
func openFile(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE,
		syscall.FILE_SHARE_READ, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	const sharingViolation = syscall.Errno(32)
	if errors.Is(err, sharingViolation) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(handle), path), nil
}

func tryLock(*os.File) error { return nil }

// handle is a file that is open as long as the lock is held.
type handle struct{ file *os.File }

// open finds out whether the file can be opened.
func (l *Lock) open() error {
	err := l.try()
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.unlock()
}

func (l *Lock) try() (err error) {
	l.held.file, err = openFile(l.path)
	return err
}

func (l *Lock) unlock() error { return l.close() }

func (l *Lock) close() error {
	file := l.held.file
	if l.held.file = nil; file == nil {
		return nil
	}
	return file.Close()
}
