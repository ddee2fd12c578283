package storage

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// CheckRoom finds out whether dir's disk takes size more bytes, by writing them
// to a file that is removed again. A database file has free pages inside, so
// that a small write to it succeeds on a disk that is full already. Errors:
// disk_full, database_io.
func CheckRoom(dir string, size int) (err error) {
	f, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return roomError(err)
	}
	defer func() { err = roomError(errors.Join(err, f.Close(), os.Remove(f.Name()))) }()
	return fill(f, size)
}

func fill(f *os.File, size int) error {
	if _, err := f.Write(make([]byte, size)); err != nil {
		return err
	}
	return f.Sync()
}

func roomError(err error) error {
	var done *fault.Error
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errDiskFull.Because(err)
	default:
		return errIO.Because(fmt.Errorf("write a test file: %w", err))
	}
}

var (
	errDiskFull = fault.New(fault.Unavailable, "disk_full",
		"the disk that holds the database is full; nothing of this request was recorded; free space and send it again").After(30 * time.Second)
	errIO = fault.New(fault.Unavailable, "database_io",
		"the disk failed to read or write the database; nothing of this request was recorded; check the disk and its free space").After(30 * time.Second)
)
