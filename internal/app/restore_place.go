package app

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// killedBetween says that an earlier restore ended after it had put the
// timelines in their place and before the database, which still waits. They are
// moved aside, not removed, should they be somebody's after all.
func (r *restore) killedBetween() bool {
	target, err := storage.Parse(r.cfg.Database())
	if err != nil || target.Path == "" {
		return false
	}
	return gone(target.Path) && !gone(target.Path+restoringSuffix) && gone(r.folderNow())
}

// placeFolder moves the timelines into place, and what was there aside.
func (r *restore) placeFolder() error {
	folder := r.cfg.timelineDir()
	if folder == "" {
		return nil
	}
	if _, err := os.Stat(folder); err == nil {
		r.folderBefore = filepath.Clean(folder) + r.aside()
		if err := os.Rename(folder, r.folderBefore); err != nil {
			return fault.Newf(fault.Unavailable, "file_unusable", "%s cannot be moved aside", folder).Because(err)
		}
	}
	r.placing = true
	if err := os.Rename(r.folderNow(), folder); err != nil {
		return fault.Newf(fault.Unavailable, "file_unusable", "%s cannot be renamed to %s", r.folderNow(), folder).Because(err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(filepath.Clean(folder))); err != nil { // before the database that belongs to them
		return fault.Newf(fault.Unavailable, "file_unusable", "the parent of %s cannot be flushed", folder).Because(err)
	}
	return nil
}

// unplace puts back what stood in the way of a restore that failed, and removes
// what it made, unless the database has its place by now, with all that belongs
// to it. A call that failed may have done its work: what is there tells.
func (r *restore) unplace(fresh, path string) error {
	if gone(fresh) && !gone(path) && (r.placing || r.out.Kept != "") {
		return nil
	}
	var errs []error
	folder := r.cfg.timelineDir()
	if r.placing && gone(r.folderNow()) {
		errs = append(errs, os.Rename(folder, r.folderNow()))
	}
	if r.folderBefore != "" && gone(folder) {
		errs = append(errs, os.Rename(r.folderBefore, folder))
	}
	if r.out.Kept != "" && gone(path) {
		errs = append(errs, moveDatabase(r.out.Kept, path))
	}
	return errors.Join(append(errs, r.removeFolder(), removeDatabase(fresh))...)
}

func gone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}
