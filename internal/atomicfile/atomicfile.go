// Package atomicfile replaces a file whole: a crash or a power failure leaves
// the old file or the new one, and what is there when it returns stays. It
// knows nothing of what files hold.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Half begins the names of files that are being written, in the folder of the
// file they become; a crash leaves them.
const Half = ".new-"

// Write lets fill write a new file, readable by its owner alone, and gives it
// path's place when it is on the disk. After an error path is as it was, unless
// only its folder could not be flushed. Errors of fill are passed on.
func Write(path string, fill func(*os.File) error) error {
	return write(path, fill, os.Rename)
}

// Create is Write for a name that is not taken: where path exists, also since a
// moment ago, it is left alone and the error is an os.ErrExist.
func Create(path string, fill func(*os.File) error) error {
	return write(path, fill, publish)
}

// Content is the fill of a file that is at hand.
func Content(content []byte) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(content)
		return err
	}
}

func write(path string, fill func(*os.File) error, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, Half+"*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// publish gives the finished file its name unless the name is taken; a hard
// link does that in one step.
func publish(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	return publishWithoutLink(from, to)
}

// publishWithoutLink is for file systems that have no links: an empty file
// reserves the name first.
func publishWithoutLink(from, to string) error {
	reserved, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := reserved.Close(); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// MkdirAll makes a folder for its owner alone, and those above it that are
// missing, all of them durably: a file in a folder whose own name is lost with
// the power is lost too. Folders that exist are left as they are.
func MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if info, seen := os.Stat(dir); seen == nil && info.IsDir() { // somebody else was first
			return SyncDir(parent)
		}
		return err
	}
	return SyncDir(parent)
}

// SyncDir makes the names in a folder durable: what was made, renamed or
// removed in it stays so. Where folders cannot be flushed it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // NTFS keeps names in its journal
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil // a file system that has no such thing, as some over networks
	}
	return errors.Join(err, d.Close())
}
