package id

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/danvoulez/logline/internal/fault"
)

// writeSecret writes a file for the owner alone (0600): whole or not at all,
// and on the disk when it returns. Without replace an existing file is left
// alone and answers key_file_exists, also when two writers race.
func writeSecret(path string, data []byte, replace bool) (err error) {
	dir := filepath.Dir(path)
	// CreateTemp makes files of mode 0600.
	tmp, err := os.CreateTemp(dir, ".logline-*")
	if err != nil {
		return unwritable(path, err)
	}
	defer os.Remove(tmp.Name()) // gone already when it was renamed
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return unwritable(path, err)
	}
	if replace {
		err = os.Rename(tmp.Name(), path)
	} else {
		err = publish(tmp.Name(), path)
	}
	if errors.Is(err, os.ErrExist) {
		return fault.Newf(fault.Conflict, "key_file_exists", "%s exists already and is left as it is; choose another file", path).Because(err)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return unwritable(path, err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return fault.Newf(fault.Unavailable, "key_file_unwritable", "the key file %s cannot be written; check that its directory exists, its permissions and the free space", path).Because(err)
}

// publish gives the finished file its name unless the name is taken; a hard
// link does that in one step.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	return publishWithoutLink(tmp, path)
}

// publishWithoutLink is for file systems that have no links: an empty file
// reserves the name first.
func publishWithoutLink(tmp, path string) error {
	reserved, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := reserved.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
