// Package faultfs is a file system in memory for tests, whose calls fail on
// demand and whose power can be cut. It keeps apart what a program sees and
// what is on the medium: writes and changes of folders that were not flushed
// are lost, kept or half kept in a cut, as chance has it; what a failed flush
// was to write is seen by the program and never on the medium.
package faultfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/danvoulez/logline/internal/timeline/segment"
)

// Errors of calls that were made to fail.
var (
	ErrInjected = errors.New("faultfs: the test made this call fail")
	ErrCut      = errors.New("faultfs: the power is gone")
)

var _ segment.FS = (*FS)(nil)

// FS is a file system. It is safe for concurrent use. Make one with New.
type FS struct {
	mu     sync.Mutex // guards the rest
	root   *dir
	random *rand.Rand
	calls  int           // that change something, so far
	faults map[int]Fault // by number of the call
	cut    bool
	Log    []string // of the calls that change something
}

// Fault is what happens at a call.
type Fault int

// The faults.
const (
	None      Fault = iota
	Fail            // it does nothing and fails
	Half            // a write writes half of its bytes and fails; others fail
	FailAfter       // it does its work and fails; a flush's work is lost
	CutBefore       // the power goes before it
	CutAfter        // the power goes after it
)

// dir is a folder as the program sees it and as it is on the medium.
type dir struct {
	now, stable map[string]any // *dir or *file
	pending     []change       // of now, since stable
}

type change struct {
	name string
	to   any    // nil: removed
	from string // the name it had until then, in the same change; "" for none
	move *move  // to or from another folder
}

type file struct {
	now     []byte
	stable  []byte
	pending []write // since stable
}

// write is one write or, with data nil, a truncation.
type write struct {
	at   int64
	data []byte
}

// New makes an empty file system; random decides about cuts.
func New(random *rand.Rand) *FS { return &FS{root: newDir(), random: random, faults: map[int]Fault{}} }

func newDir() *dir { return &dir{now: map[string]any{}, stable: map[string]any{}} }

// FailAt makes the changing call number n (from 0, of all calls so far) fail.
func (f *FS) FailAt(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[n] = fault
}

// Calls is how many changing calls there were.
func (f *FS) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// step decides about a changing call; half is for writes alone.
func (f *FS) step(what string) (fault Fault, err error) {
	if f.cut {
		return None, ErrCut
	}
	n := f.calls
	f.calls++
	f.Log = append(f.Log, what)
	switch f.faults[n] {
	case Fail:
		return Fail, ErrInjected
	case CutBefore:
		f.cut = true
		return Fail, ErrCut
	case CutAfter:
		return CutAfter, nil
	}
	return f.faults[n], nil
}

// after is the answer to a call that did its work.
func (f *FS) after(fault Fault) error {
	switch fault {
	case CutAfter:
		f.cut = true
		return ErrCut
	case FailAfter, Half:
		return ErrInjected
	}
	return nil
}

// Powered is the file system after the power came back: what was on the medium,
// and of what was not flushed whatever chance kept.
func (f *FS) Powered() *FS {
	f.mu.Lock()
	f.cut = true
	f.mu.Unlock()
	return f.Survivor(Chance(f.random))
}

// Restarted is the file system for the next process: nothing is lost but what a
// failed flush did not write remains doubtful.
func (f *FS) Restarted() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &FS{root: f.root, random: f.random, faults: map[int]Fault{}}
}

func (w write) apply(to []byte) []byte {
	if w.data == nil {
		for int64(len(to)) < w.at {
			to = append(to, 0)
		}
		return to[:w.at]
	}
	for int64(len(to)) < w.at+int64(len(w.data)) {
		to = append(to, 0)
	}
	copy(to[w.at:], w.data)
	return to
}

// find is the folder of a path, and the last name in it.
func (f *FS) find(path string) (*dir, string, error) {
	parts := split(path)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	d := f.root
	for _, p := range parts[:len(parts)-1] {
		next, ok := d.now[p].(*dir)
		if !ok {
			return nil, "", fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		d = next
	}
	return d, parts[len(parts)-1], nil
}

func split(path string) []string {
	return strings.FieldsFunc(filepath.ToSlash(filepath.Clean(path)), func(r rune) bool { return r == '/' })
}

func (d *dir) set(name string, to any) {
	if to == nil {
		delete(d.now, name)
	} else {
		d.now[name] = to
	}
	d.pending = append(d.pending, change{name: name, to: to})
}

// Open implements segment.FS.
func (f *FS) Open(path string, create bool) (segment.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.find(path)
	if err != nil {
		return nil, err
	}
	if n, ok := d.now[name].(*file); ok {
		if f.cut {
			return nil, ErrCut
		}
		return &handle{f, n, path}, nil
	}
	if !create {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	fault, err := f.step("create " + path)
	if err != nil {
		return nil, err
	}
	n := &file{}
	d.set(name, n)
	return &handle{f, n, path}, f.after(fault)
}

// Mkdir implements segment.FS.
func (f *FS) Mkdir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.root
	for _, p := range split(path) {
		next, ok := d.now[p].(*dir)
		if !ok {
			fault, err := f.step("mkdir " + path)
			if err != nil {
				return err
			}
			next = newDir()
			d.set(p, next)
			if err := f.after(fault); err != nil {
				return err
			}
		}
		d = next
	}
	return nil
}

// Rename implements segment.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.find(from)
	if err != nil {
		return err
	}
	into, as, err := f.find(to)
	if err != nil {
		return err
	}
	node, ok := d.now[name]
	if !ok {
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	if _, isDir := into.now[as].(*dir); isDir {
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	fault, err := f.step("rename " + from)
	if err != nil {
		return err
	}
	if d != into {
		d.moveTo(into, name, as)
		return f.after(fault)
	}
	d.now[as] = node
	delete(d.now, name)
	d.pending = append(d.pending, change{name: as, to: node, from: name})
	return f.after(fault)
}

// Remove implements segment.FS.
func (f *FS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.find(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, ok := d.now[name]; !ok {
		return nil
	}
	fault, err := f.step("remove " + path)
	if err != nil {
		return err
	}
	d.set(name, nil)
	return f.after(fault)
}

// List implements segment.FS.
func (f *FS) List(path string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.root
	for _, p := range split(path) {
		next, ok := d.now[p].(*dir)
		if !ok {
			return nil, nil
		}
		d = next
	}
	return slices.Sorted(maps.Keys(d.now)), nil
}

// SyncDir implements segment.FS.
func (f *FS) SyncDir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.root
	for _, p := range split(path) {
		next, ok := d.now[p].(*dir)
		if !ok {
			return fs.ErrNotExist
		}
		d = next
	}
	fault, err := f.step("sync folder " + path)
	if err != nil {
		return err
	}
	if fault != FailAfter && fault != Half {
		d.flush()
	}
	return f.after(fault)
}

// flush makes the names last, and moves at both of their ends.
func (d *dir) flush() {
	for _, c := range d.pending {
		if c.move != nil {
			c.move.flush()
		}
	}
	d.stable, d.pending = maps.Clone(d.now), nil
}

// Walk calls fn for every file as the program sees it.
func (f *FS) Walk(fn func(path string, content []byte)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	walk("", f.root, fn)
}

func walk(path string, d *dir, fn func(string, []byte)) {
	for _, name := range slices.Sorted(maps.Keys(d.now)) {
		switch n := d.now[name].(type) {
		case *dir:
			walk(path+"/"+name, n, fn)
		case *file:
			fn(path+"/"+name, n.now)
		}
	}
}

type handle struct {
	fs   *FS
	file *file
	path string
}

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.cut {
		return 0, ErrCut
	}
	if at >= int64(len(h.file.now)) {
		return 0, io.EOF
	}
	n := copy(b, h.file.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	fault, err := h.fs.step("write " + h.path)
	if err != nil {
		return 0, err
	}
	data := append([]byte{}, b...)
	if fault == Half {
		data = data[:len(data)/2]
	}
	h.file.change(write{at, data})
	return len(data), h.fs.after(fault)
}

func (n *file) change(w write) {
	n.now = w.apply(n.now)
	n.pending = append(n.pending, w)
}

func (h *handle) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	fault, err := h.fs.step("truncate " + h.path)
	if err != nil {
		return err
	}
	h.file.change(write{at: size})
	return h.fs.after(fault)
}

// Sync makes the writes last. Where it fails they are seen and nowhere: the
// pages count as written.
func (h *handle) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	fault, err := h.fs.step("sync " + h.path)
	switch {
	case errors.Is(err, ErrCut):
		return err
	case err != nil || fault == FailAfter || fault == Half:
		h.file.pending = nil
		return ErrInjected
	}
	for _, w := range h.file.pending { // those of a flush that failed stay out
		h.file.stable = w.apply(h.file.stable)
	}
	h.file.pending = nil
	return h.fs.after(fault)
}

func (h *handle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return int64(len(h.file.now)), nil
}

func (h *handle) Close() error { return nil }
