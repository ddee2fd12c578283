package id

import (
	"errors"
	"os"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// writeSecret writes a file for the owner alone (0600): whole or not at all,
// and on the disk when it returns. Without replace an existing file is left
// alone and answers key_file_exists, also when two writers race.
func writeSecret(path string, data []byte, replace bool) error {
	write := atomicfile.Create
	if replace {
		write = atomicfile.Write
	}
	err := write(path, atomicfile.Content(data))
	switch {
	case err == nil:
		return nil
	case !replace && errors.Is(err, os.ErrExist):
		return fault.Newf(fault.Conflict, "key_file_exists", "%s exists already and is left as it is; choose another file", path).Because(err)
	default:
		return fault.Newf(fault.Unavailable, "key_file_unwritable", "the key file %s cannot be written; check that its directory exists, its permissions and the free space", path).Because(err)
	}
}
