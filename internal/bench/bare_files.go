package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bareFiles appends the lines that a node wrote to files, and syncs them: for
// each batch the payloads, the lines, and one line of commits.
type bareFiles struct {
	payloads, lines, commits *bareFile
	at                       uint64
}

// bareFile is a file that grows by the lines of what a node wrote.
type bareFile struct {
	file *os.File
	left [][]byte
}

func newBareFiles(n *node) (*bareFiles, error) {
	root := filepath.Join(n.Dir, "timelines", n.tenant.Id)
	w := &bareFiles{at: uint64(n.tenant.Size)}
	for _, p := range []struct {
		to   **bareFile
		name string
		skip uint64 // lines of the entries before
	}{{&w.payloads, "payloads", w.at}, {&w.lines, "lines", w.at}, {&w.commits, "commits", 1}} {
		f, err := newBareFile(filepath.Join(root, p.name), filepath.Join(n.Dir, "bare-"+p.name), p.skip)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		*p.to = f
	}
	return w, nil
}

// newBareFile reads the files of a folder, which follow each other by name.
func newBareFile(from, to string, skip uint64) (*bareFile, error) {
	names, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	f := &bareFile{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f.left = slices.AppendSeq(f.left, bytes.Lines(content))
	}
	if uint64(len(f.left)) <= skip {
		return nil, fmt.Errorf("%s has %d lines", from, len(f.left))
	}
	f.left = f.left[skip:]
	f.file, err = os.Create(to)
	return f, err
}

// take takes the next n lines as one piece.
func (f *bareFile) take(n int) ([]byte, error) {
	if len(f.left) < n {
		return nil, fmt.Errorf("%s: no more lines", strings.TrimPrefix(filepath.Base(f.file.Name()), "bare-"))
	}
	taken := bytes.Join(f.left[:n], nil)
	f.left = f.left[n:]
	return taken, nil
}

func (f *bareFile) write(b []byte) error {
	if _, err := f.file.Write(b); err != nil {
		return err
	}
	return f.file.Sync()
}

// next implements bareWriter.
func (w *bareFiles) next(n int) (func(context.Context) error, error) {
	payloads, err := w.payloads.take(n)
	if err != nil {
		return nil, err
	}
	lines, err := w.lines.take(n)
	if err != nil {
		return nil, err
	}
	commit := w.commits.left[0]
	if len(w.commits.left) > 1 { // a node makes fewer commits than single spans are written here
		w.commits.left = w.commits.left[1:]
	}
	return func(context.Context) error {
		return errors.Join(w.payloads.write(payloads), w.lines.write(lines), w.commits.write(commit))
	}, nil
}

func (w *bareFiles) close() error {
	var errs []error
	for _, f := range []*bareFile{w.payloads, w.lines, w.commits} {
		if f != nil && f.file != nil {
			errs = append(errs, f.file.Close())
		}
	}
	return errors.Join(errs...)
}

// bareMemory keeps the bytes of spans, and their ids in a map.
type bareMemory struct {
	spans [][]byte // left to write
	kept  [][]byte
	ids   map[[16]byte]int
	id    [16]byte
}

func newBareMemory(bodies [][]byte) *bareMemory {
	w := &bareMemory{ids: map[[16]byte]int{}}
	for _, body := range bodies {
		w.spans = slices.AppendSeq(w.spans, bytes.Lines(body))
	}
	return w
}

// next implements bareWriter.
func (w *bareMemory) next(n int) (func(context.Context) error, error) {
	batch := w.spans[:n]
	w.spans = w.spans[n:]
	return func(context.Context) error {
		for _, line := range batch {
			copy(w.id[:], line[len(line)-200:]) // of the signature: as random as an id
			w.ids[w.id] = len(w.kept)
			w.kept = append(w.kept, bytes.Clone(line))
		}
		return nil
	}, nil
}

func (w *bareMemory) close() error { return nil }
