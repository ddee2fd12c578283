package segment

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/danvoulez/logline/internal/atomicfile"
)

// FS is the system calls that files of lines are written with: small, so that
// tests can make each of them fail. Paths are the operating system's.
type FS interface {
	// Open opens for reading and writing; create makes an empty file of mode
	// 0600 where there is none.
	Open(path string, create bool) (File, error)
	Mkdir(path string) error // mode 0700; one that exists is no error
	Rename(from, to string) error
	Remove(path string) error // a file or a tree; one that is gone is no error
	// List is the names of files and folders, sorted; an absent folder has none.
	List(path string) ([]string, error)
	SyncDir(path string) error // what was created, renamed or removed in it stays so
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// Disk is the file system of the machine.
type Disk struct{}

var _ FS = Disk{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Open implements FS.
func (Disk) Open(path string, create bool) (File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// Mkdir implements FS.
func (Disk) Mkdir(path string) error { return os.MkdirAll(path, 0o700) }

// Rename implements FS.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (Disk) Remove(path string) error { return os.RemoveAll(path) }

// List implements FS.
func (Disk) List(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// SyncDir implements FS.
func (Disk) SyncDir(path string) error { return atomicfile.SyncDir(path) }

// nextSuffix ends the name of a file that takes another one's place.
const nextSuffix = ".new"

// WriteFile replaces a file whole: after a crash it has the old content or the
// new. The folder is flushed too.
func WriteFile(fsys FS, dir, path string, content []byte) error {
	next := path + nextSuffix
	if err := fsys.Remove(next); err != nil {
		return err
	}
	f, err := fsys.Open(next, true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(next, path); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// ReadFile reads a whole file, at most limit bytes of it; nil without an error
// where there is none.
func ReadFile(fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > limit {
		err = errTooLong
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	content := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), content)
	return content, errors.Join(err, f.Close())
}

var errTooLong = errors.New("the file is longer than any that was written")
