//go:build unix

package secret

import (
	"fmt"
	"io/fs"
	"syscall"
)

// modes says that files have owners and modes here.
const modes = true

// root may read every file, so that a file of root's is as safe as one's own.
const root = 0

// exposure is what is wrong with the owner or the mode of a file that only the
// user euid should be able to read. Orchestrators mount secrets that belong to
// root and are lent to one group; that group may read them.
func exposure(info fs.FileInfo, euid int) string {
	mode := info.Mode().Perm()
	owner := -1
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(s.Uid)
	}
	allowed := fs.FileMode(0o700)
	if owner == root && euid != root {
		allowed = 0o740
	}
	switch {
	case owner != euid && owner != root:
		return fmt.Sprintf("belongs to another user (%d), who can change it; it has to belong to user %d, who runs this program, or to root", owner, euid)
	case mode&^allowed == 0:
		return ""
	case mode&0o007 != 0:
		return fmt.Sprintf("can be read or changed by everybody on this machine (mode %04o); run chmod 600 on it, or mount it with mode 0400 and as user %d", mode, euid)
	default:
		return fmt.Sprintf("can be read or changed by its group (mode %04o); run chmod 600 on it, or mount it with mode 0400 and as user %d", mode, euid)
	}
}
