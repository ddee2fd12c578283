package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/danvoulez/logline/internal/fault"
)

// ReadFile reads a file that holds a secret, of at most limit bytes; what names
// it in errors. It refuses (unavailable secret_file_exposed) a file that others
// may read or write, or that belongs to somebody else, and judges the very file
// that it reads: a link, or a file that is exchanged meanwhile, gains nothing.
// Whoever may write into the folder can take the file away, and no more.
func ReadFile(path, what string, limit int64) ([]byte, error) {
	// A pipe or a device would have no mode to judge, and could keep us waiting.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, unreadable(path, what, "is no regular file", nil)
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, unreadable(path, what, "is not there", err)
	}
	if err != nil {
		return nil, unreadable(path, what, "cannot be opened; it has to belong to the user that runs this program", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(path, what, "cannot be looked at", err)
	}
	if !info.Mode().IsRegular() {
		return nil, unreadable(path, what, "is no regular file", nil)
	}
	if e := exposure(info, os.Geteuid()); e != "" {
		return nil, fault.Newf(fault.Unavailable, "secret_file_exposed", "%s %s %s", what, path, e)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, unreadable(path, what, "cannot be read", err)
	}
	if int64(len(text)) > limit {
		return nil, unreadable(path, what, fmt.Sprintf("has more than %d bytes, so that it is another file", limit), nil)
	}
	return text, nil
}

// Exposure says in words who else may read or change a file that should be its
// owner's alone, and what to do about it; "" for nobody, for a file that is not
// there, and where files have no such modes.
func Exposure(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if e := exposure(info, os.Geteuid()); e != "" {
		return path + " " + e
	}
	return ""
}

// FolderExposure says who else may exchange the files in a folder, and what to do
// about it; "" for nobody.
func FolderExposure(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || !modes {
		return ""
	}
	if by := folderOpen(info.Mode()); by != "" {
		return fmt.Sprintf("%s lets %s exchange the files in it (mode %04o); run: chmod 700 %[1]s", path, by, info.Mode().Perm())
	}
	return ""
}

func folderOpen(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSticky != 0: // names belong to who made them
		return ""
	case mode.Perm()&0o002 != 0:
		return "everybody"
	case mode.Perm()&0o020 != 0:
		return "its group"
	}
	return ""
}

func unreadable(path, what, why string, err error) error {
	return fault.Newf(fault.Unavailable, "secret_file_unreadable", "%s %s %s", what, path, why).Because(err)
}
