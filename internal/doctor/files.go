package doctor

import (
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/secret"
)

// Room on a disk below which something is said, in bytes.
const (
	littleRoom = 1 << 30
	noRoom     = 64 << 20
)

// Files checks who else can reach files with secrets, and exchange what is in
// folders. Those that are not there are passed over.
func (r *Report) Files(files, folders []string) {
	looked, bad := 0, 0
	for _, path := range files {
		if _, err := os.Stat(path); path == "" || err != nil {
			continue
		}
		looked++
		if e := secret.Exposure(path); e != "" {
			bad++
			r.Fail("permissions", "take the right away (chmod 600); what was readable may have been read: exchange the keys in it", "%s", e)
		}
	}
	for _, path := range folders {
		if _, err := os.Stat(path); path == "" || err != nil {
			continue
		}
		looked++
		if e := secret.FolderExposure(path); e != "" {
			bad++
			r.Fail("permissions", "take the right away: chmod 700", "%s", e)
		}
	}
	if bad == 0 {
		r.OK("permissions", "%d files and folders are their owner's alone", looked)
	}
}

// Disk checks the room on the disks of folders.
func (r *Report) Disk(folders ...string) {
	seen := map[string]bool{}
	for _, path := range folders {
		if path = filepath.Clean(path); seen[path] {
			continue
		}
		seen[path] = true
		free, known := room(path)
		if !known {
			continue
		}
		r.disk(path, free)
	}
}

func (r *Report) disk(path string, free uint64) {
	const more = "make room, or move the data to a larger disk; appends are refused when there is none (disk_full)"
	switch mib := free >> 20; {
	case free < noRoom:
		r.Fail("disk", more, "%s has %d MiB left", path, mib)
	case free < littleRoom:
		r.Warn("disk", more, "%s has %d MiB left", path, mib)
	default:
		r.OK("disk", "%s has %d GiB left", path, free>>30)
	}
}
