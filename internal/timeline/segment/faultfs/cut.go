package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Luck decides what a power cut leaves of what was not flushed.
type Luck struct {
	name  func() bool // whether a change of a folder is kept
	write func() int  // of a write: lost, kept, its first bytes, or its size and some sectors
	part  func(n int) int
}

const (
	writeLost = iota
	writeKept
	writeBegun
	writeHoles
	writeFates
)

// Chance keeps and loses as it comes.
func Chance(random *rand.Rand) Luck {
	return Luck{
		name:  func() bool { return random.IntN(2) == 0 },
		write: func() int { return random.IntN(writeFates) },
		part:  random.IntN,
	}
}

// Nothing keeps only what was flushed.
func Nothing() Luck {
	return Luck{name: func() bool { return false }, write: func() int { return writeLost }, part: func(int) int { return 0 }}
}

// NamesAlone keeps every change of a folder and no byte that was not flushed:
// files are there and empty, as some file systems leave them.
func NamesAlone() Luck {
	l := Nothing()
	l.name = func() bool { return true }
	return l
}

// Everything keeps all, as when only the program is killed.
func Everything() Luck {
	return Luck{name: func() bool { return true }, write: func() int { return writeKept }, part: func(int) int { return 0 }}
}

// Survivor is what the medium would hold after a power cut now. The file system
// goes on.
func (f *FS) Survivor(luck Luck) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := surviving{luck: luck, moves: map[*move]bool{}}
	return &FS{root: s.dir(f.root), random: f.random, faults: map[int]Fault{}}
}

// surviving is one power cut.
type surviving struct {
	luck  Luck
	moves map[*move]bool // which of them are kept, at both ends
}

// dir keeps, of a folder's changes, each that luck keeps; of two to one name
// the later needs the earlier.
func (s surviving) dir(d *dir) *dir {
	left := maps.Clone(d.stable)
	lost := map[string]bool{}
	for _, c := range d.pending {
		if lost[c.name] || !s.keeps(c) {
			lost[c.name] = true
			continue
		}
		if c.to == nil {
			delete(left, c.name)
		} else {
			left[c.name] = c.to
		}
		if c.from != "" {
			delete(left, c.from)
		}
	}
	out := newDir()
	for name, node := range left {
		switch n := node.(type) {
		case *dir:
			out.now[name] = s.dir(n)
		case *file:
			content := s.file(n)
			out.now[name] = &file{now: content, stable: slices.Clone(content)}
		}
	}
	out.stable = maps.Clone(out.now)
	return out
}

func (s surviving) keeps(c change) bool {
	if c.move == nil {
		return s.luck.name()
	}
	if _, known := s.moves[c.move]; !known {
		s.moves[c.move] = s.luck.name()
	}
	return s.moves[c.move]
}

// file is one of whose pending writes luck kept all, nothing, or a part: sectors
// in any order, and zeros where the size alone was kept.
func (s surviving) file(n *file) []byte {
	out := slices.Clone(n.stable)
	for _, w := range n.pending {
		switch s.luck.write() {
		case writeLost:
		case writeKept:
			out = w.apply(out)
		case writeBegun:
			if w.data != nil {
				w.data = w.data[:s.luck.part(len(w.data)+1)]
			}
			out = w.apply(out)
		case writeHoles:
			whole := w.apply(slices.Clone(out))
			if w.data == nil {
				out = whole
				break
			}
			for int64(len(out)) < w.at+int64(len(w.data)) {
				out = append(out, 0)
			}
			const sector = 64
			for i := 0; i < len(w.data); i += sector {
				if s.luck.part(2) == 0 {
					at := int(w.at) + i
					copy(out[at:], whole[at:min(at+sector, int(w.at)+len(w.data))])
				}
			}
		}
	}
	return out
}

// move is a rename from one folder to another: the journals of file systems
// keep it or lose it at both ends at once.
type move struct {
	from, to *dir
	name, as string
	node     any
}

func (d *dir) moveTo(into *dir, name, as string) {
	m := &move{d, into, name, as, d.now[name]}
	into.now[as] = m.node
	delete(d.now, name)
	into.pending = append(into.pending, change{name: as, to: m.node, move: m})
	d.pending = append(d.pending, change{name: name, move: m})
}

// flush makes the move last.
func (m *move) flush() {
	done := func(c change) bool { return c.move == m }
	m.to.stable[m.as] = m.node
	delete(m.from.stable, m.name)
	m.to.pending = slices.DeleteFunc(slices.Clone(m.to.pending), done)
	m.from.pending = slices.DeleteFunc(slices.Clone(m.from.pending), done)
}
