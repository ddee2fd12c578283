package storage

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/filelock"
)

// DirLock is the exclusive use of a data directory by one process. It ends
// with Release or with the process, however that ends.
type DirLock struct {
	file *os.File
	once sync.Once
	err  error
}

// LockDir creates dir for the owner alone (0700) when it is missing and takes
// its lock, without waiting. While another process holds it the error is
// data_dir_in_use, of kind Unavailable, and names that process.
func LockDir(dir string) (*DirLock, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "logline.lock")
	file, err := filelock.Try(path)
	if err != nil {
		if errors.Is(err, filelock.ErrLocked) {
			return nil, fault.Newf(fault.Unavailable, "data_dir_in_use",
				"the data directory %s is in use by another LogLine server (%s); stop it, or choose another directory with --data-dir",
				dir, holder(path))
		}
		return nil, fault.Newf(fault.Unavailable, "data_dir_unusable",
			"the data directory %s cannot be locked; check its permissions, or choose another with --data-dir", dir).Because(err)
	}
	// The process id is for the error message of whoever comes second; the
	// lock itself is the operating system's.
	if err := file.Truncate(0); err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(fault.Newf(fault.Unavailable, "data_dir_unusable",
				"the data directory %s cannot be written to; check the free space and its permissions", dir).Because(err), file.Close())
		}
	}
	return &DirLock{file: file}, nil
}

// Release gives the directory up; releasing twice is harmless. The file stays:
// removing it would let two processes lock two files of one name.
func (l *DirLock) Release() error {
	l.once.Do(func() { l.err = l.file.Close() })
	return l.err
}

func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "process unknown"
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(text))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return "process unknown"
	}
	return "process " + pid
}
