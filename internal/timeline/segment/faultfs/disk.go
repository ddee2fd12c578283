package faultfs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// Link gives a file a second name.
func (f *FS) Link(from, to string) error {
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
	node, ok := d.now[name].(*file)
	if !ok {
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	if into.now[as] != nil {
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	fault, err := f.step("link " + from)
	if err != nil {
		return err
	}
	into.set(as, node)
	return f.after(fault)
}

// Sync flushes a file or the names of a folder.
func (f *FS) Sync(path string) error {
	f.mu.Lock()
	d, name, err := f.find(path)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if n, ok := d.now[name].(*file); ok {
		return (&handle{f, n, path}).Sync()
	}
	return f.SyncDir(path)
}

// Load takes a folder of the machine in, at its own path, as it is on the medium.
func (f *FS) Load(root string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		d := f.root
		parts := split(path)
		for _, p := range parts[:len(parts)-1] {
			next, ok := d.now[p].(*dir)
			if !ok {
				next = newDir()
				d.now[p] = next
				d.stable[p] = next
			}
			d = next
		}
		name := parts[len(parts)-1]
		switch {
		case entry.IsDir():
			d.now[name] = newDir()
		case entry.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			d.now[name] = &file{now: content, stable: append([]byte{}, content...)}
		}
		d.stable = maps.Clone(d.now)
		return nil
	})
}

// Store writes a folder, as the program sees it, into one of the machine.
func (f *FS) Store(path, into string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.root
	for _, p := range split(path) {
		next, ok := d.now[p].(*dir)
		if !ok {
			return os.MkdirAll(into, 0o700)
		}
		d = next
	}
	return d.store(into)
}

func (d *dir) store(into string) error {
	if err := os.MkdirAll(into, 0o700); err != nil {
		return err
	}
	for name, node := range d.now {
		var err error
		switch n := node.(type) {
		case *dir:
			err = n.store(filepath.Join(into, name))
		case *file:
			err = os.WriteFile(filepath.Join(into, name), n.now, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
