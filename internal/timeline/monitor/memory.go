package monitor

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Memory keeps, for one timeline, the last checkpoint seen and the state after
// the entries verified; what it holds is believed. Both are nil before the
// first Save; the state is nil where none could be made.
type Memory interface {
	Load() (checkpoint []byte, state *bundle.State, err error)
	Save(checkpoint []byte, state *bundle.State) error
}

// Folder is a Memory in a folder of its own: the files checkpoint and
// state.json, readable by their owner alone. A crash leaves the old files or
// new ones; one run uses it at a time.
type Folder string

var _ Memory = Folder("")

// Load implements Memory.
func (f Folder) Load() ([]byte, *bundle.State, error) {
	note, err := f.read("checkpoint", tree.MaxNoteSize)
	if err != nil || note == nil {
		return nil, nil, err
	}
	raw, err := f.read("state.json", 1<<30)
	if err != nil || raw == nil {
		return note, nil, err
	}
	state, err := bundle.ReadState(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	return note, state, nil
}

// Save implements Memory. The checkpoint is written first: with an older state
// beside it a run verifies some entries again, the other way round it would
// not notice a fork of those it has verified.
func (f Folder) Save(checkpoint []byte, state *bundle.State) error {
	if err := atomicfile.MkdirAll(string(f)); err != nil {
		return f.unusable(err)
	}
	if err := f.write("checkpoint", func(w io.Writer) error { _, err := w.Write(checkpoint); return err }); err != nil {
		return err
	}
	if state == nil {
		err := os.Remove(filepath.Join(string(f), "state.json"))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return f.unusable(err)
	}
	return f.write("state.json", state.Write)
}

// Forget removes what is remembered.
func (f Folder) Forget() error {
	if err := os.RemoveAll(string(f)); err != nil {
		return f.unusable(err)
	}
	return nil
}

func (f Folder) read(name string, limit int64) ([]byte, error) {
	file, err := os.Open(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.unusable(err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, f.unusable(err)
	}
	return raw, nil
}

// write replaces a file, durably, so that what was seen is not forgotten.
func (f Folder) write(name string, fill func(io.Writer) error) error {
	err := atomicfile.Write(filepath.Join(string(f), name), func(file *os.File) error { return fill(file) })
	if err != nil {
		return f.unusable(err)
	}
	return nil
}

func (f Folder) unusable(err error) error {
	return fault.Newf(fault.Unavailable, "memory_unusable",
		"what earlier runs saw is kept in %s, which cannot be read or written; check its permissions", string(f)).Because(err)
}
