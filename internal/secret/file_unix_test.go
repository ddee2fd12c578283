//go:build unix

package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(planted), 0o600))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestReadFileOfItsOwnerAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o400, 0o600, 0o700} {
		text, err := ReadFile(write(t, mode), "the key", 100)
		require.NoError(t, err, mode)
		require.Equal(t, planted, string(text))
	}
	for _, mode := range []fs.FileMode{0o644, 0o604, 0o640, 0o620, 0o602, 0o444, 0o440, 0o606, 0o777, 0o601} {
		path := write(t, mode)
		_, err := ReadFile(path, "the key", 100)
		requireCode(t, "secret_file_exposed", err)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "chmod 600")
		require.NotContains(t, err.Error(), planted)
		require.NotEmpty(t, Exposure(path))

		// A link has a mode of its own, which counts for nothing.
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(path, link))
		_, err = ReadFile(link, "the key", 100)
		requireCode(t, "secret_file_exposed", err)
	}
	link := filepath.Join(t.TempDir(), "link") // as orchestrators mount them
	require.NoError(t, os.Symlink(write(t, 0o400), link))
	_, err := ReadFile(link, "the key", 100)
	require.NoError(t, err)
}

func TestReadFileOfNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{filepath.Join(dir, "none"), dir, pipe, "/dev/null"} {
		_, err := ReadFile(path, "the key", 100)
		requireCode(t, "secret_file_unreadable", err)
		require.ErrorContains(t, err, path)
	}
	path := write(t, 0o600)
	_, err := ReadFile(path, "the key", int64(len(planted)))
	require.NoError(t, err)
	_, err = ReadFile(path, "the key", int64(len(planted))-1)
	requireCode(t, "secret_file_unreadable", err)
}

// info is a file as another user would find it.
type info struct {
	mode fs.FileMode
	uid  uint32
}

func (i info) Name() string       { return "key" }
func (i info) Size() int64        { return 1 }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return &syscall.Stat_t{Uid: i.uid} }

func TestWhoseFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		info
		euid int
		good bool
		what string
	}{
		{info{0o600, 1000}, 1000, true, "one's own"},
		{info{0o600, 1001}, 1000, false, "another's"},
		{info{0o644, 1001}, 1000, false, "another's, open"},
		{info{0o600, 1001}, 0, false, "another's, read by root"},
		{info{0o400, 0}, 1000, true, "root's, given by a mount"},
		{info{0o440, 0}, 1000, true, "root's, lent to a group: fsGroup"},
		{info{0o640, 0}, 1000, true, "the same"},
		{info{0o660, 0}, 1000, false, "root's, writable by a group"},
		{info{0o444, 0}, 1000, false, "root's, for everybody: the default of swarm secrets"},
		{info{0o440, 1000}, 1000, false, "one's own, lent to a group"},
		{info{0o440, 0}, 0, false, "root's own, lent to a group"},
	} {
		require.Equal(t, c.good, exposure(c.info, c.euid) == "", c.what)
	}
}

func TestFolderExposure(t *testing.T) {
	t.Parallel()
	for mode, open := range map[fs.FileMode]bool{
		0o700: false, 0o755: false, 0o750: false, 0o775: true, 0o777: true, 0o777 | fs.ModeSticky: false,
	} {
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.Chmod(dir, mode))
		require.Equal(t, open, FolderExposure(dir) != "", "%o", mode)
	}
}
