// Package library is contracts read together: each source is parsed, and
// compiled against those of the others that it requires, in whatever order they
// are given.
//
// It opens no files. What the sources of one library may not share (a name) and
// what only several of them show (a circle of requirements) is found here;
// everything else is found by internal/rules/contract.
package library

import (
	"fmt"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// Source is the text of one file with its name.
type Source struct{ Name, Text string }

// Document is one source and what came of it.
type Document struct {
	File *lll.File
	// Contract is what the file holds; nil where the diagnostics have an error,
	// and of a file that holds data alone.
	Contract *contract.Contract
	// Diagnostics are in the order of the source.
	Diagnostics []lll.Diagnostic

	requires []string
	state    state
}

// state says how far a document is.
type state uint8

const (
	waiting state = iota
	compiling
	done
)

// Name is that of the contract which the file holds, whether it is right or
// not; "" for a file that holds data alone.
func (d *Document) Name() string {
	if found := d.File.Contracts(); len(found) > 0 {
		return found[0].Name()
	}
	return ""
}

// Failed says that one of the diagnostics is an error.
func (d *Document) Failed() bool { return lll.Failed(d.Diagnostics) }

// Library is immutable once read, and safe for concurrent use.
type Library struct {
	documents []*Document
	byName    map[string]*Document
}

// Read reads sources together.
func Read(sources []Source) *Library {
	l := &Library{byName: map[string]*Document{}}
	for _, s := range sources {
		l.parse(s)
	}
	for _, d := range l.documents {
		l.compile(d, nil)
	}
	return l
}

// Documents are the sources in the order in which they were given. The caller
// does not change them.
func (l *Library) Documents() []*Document { return l.documents }

// Contract is the contract of that name, nil where there is none without
// errors. It may serve as contract.Options.Required.
func (l *Library) Contract(name string) *contract.Contract {
	if d := l.byName[name]; d != nil {
		return d.Contract
	}
	return nil
}

// Missing are the contracts that are required and that no source holds, each
// once, in the order of the alphabet.
func (l *Library) Missing() []string {
	var names []string
	for _, d := range l.documents {
		for _, name := range d.requires {
			if l.byName[name] == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// With are the contract and all that it requires, those first that others
// stand on.
func (l *Library) With(c *contract.Contract) []*contract.Contract {
	var out []*contract.Contract
	var add func(*contract.Contract)
	add = func(c *contract.Contract) {
		if c == nil || slices.Contains(out, c) {
			return
		}
		for _, r := range c.Requires {
			add(l.Contract(r.Name))
		}
		out = append(out, c)
	}
	add(c)
	return out
}

func (l *Library) parse(s Source) {
	d := &Document{}
	d.File, d.Diagnostics = lll.Parse(s.Name, s.Text)
	l.documents = append(l.documents, d)
	name := d.Name()
	if name == "" {
		return
	}
	if first := l.byName[name]; first != nil {
		n := d.File.Contracts()[0]
		d.note(n.Range.Offset, n.HeadRange.End, "give one of them another name, or one file alone",
			"the contract %s stands in %s too", name, first.File.Name)
		d.state = done
		return
	}
	l.byName[name] = d
	d.requires = required(d.File.Contracts()[0])
}

// required are the names that a contract requires, as far as they can be read.
func required(n *lll.Node) []string {
	var names []string
	for _, key := range []string{"requires", "inherits"} {
		v := n.Value(key)
		if v == nil {
			continue
		}
		list, _ := v.Words()
		for _, text := range list {
			if name, _, _ := strings.Cut(strings.TrimSpace(text), " "); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

func (d *Document) note(offset, end int, fix, format string, args ...any) {
	d.Diagnostics = append(d.Diagnostics, lll.Diagnostic{
		Severity: lll.Error, Offset: offset, End: end, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// compile compiles what d requires, then d. path are the documents on the way
// to it.
func (l *Library) compile(d *Document, path []*Document) {
	if d.state != waiting || len(d.File.Contracts()) == 0 {
		return
	}
	d.state = compiling
	path = append(slices.Clone(path), d)
	var circle []string
	for _, name := range d.requires {
		next := l.byName[name]
		if next == nil || next == d {
			continue
		}
		if next.state == compiling && circle == nil {
			circle = names(path[slices.Index(path, next):], name)
		}
		l.compile(next, path)
	}
	d.state = done
	if circle != nil {
		at := d.File.Contracts()[0].Value("requires")
		if at == nil {
			at = d.File.Contracts()[0].Value("inherits")
		}
		d.note(at.Offset, at.End, "take one of the requirements out", "contracts require each other in a circle: %s", strings.Join(circle, " -> "))
	}
	if d.Failed() {
		return
	}
	d.Contract, d.Diagnostics = l.check(d)
}

func names(path []*Document, back string) []string {
	out := make([]string, 0, len(path)+1)
	for _, d := range path {
		out = append(out, d.Name())
	}
	return append(out, back)
}

// check compiles a document that was read without an error; warnings of the
// reading are kept.
func (l *Library) check(d *Document) (*contract.Contract, []lll.Diagnostic) {
	absent := func(name string) (why, fix string) {
		if path := l.wayBack(name, d.Name(), nil); path != nil {
			return "which requires it in turn: " + strings.Join(append([]string{d.Name()}, path...), " -> "), "take one of the requirements out"
		}
		return l.absent(name)
	}
	c, found := contract.Compile(d.File, contract.Options{Required: l.Contract, Absent: absent})
	all := append(slices.Clone(d.Diagnostics), found...)
	slices.SortStableFunc(all, func(a, b lll.Diagnostic) int { return a.Offset - b.Offset })
	return c, all
}

// wayBack are the requirements that lead from one contract to another, nil where
// none do.
func (l *Library) wayBack(from, to string, seen []string) []string {
	d := l.byName[from]
	if d == nil || slices.Contains(seen, from) {
		return nil
	}
	for _, next := range d.requires {
		if next == to {
			return []string{from, to}
		}
		if path := l.wayBack(next, to, append(seen, from)); path != nil {
			return append([]string{from}, path...)
		}
	}
	return nil
}

// absent says why a contract that is required is not at hand.
func (l *Library) absent(name string) (why, fix string) {
	if d := l.byName[name]; d != nil {
		return "whose file " + d.File.Name + " has errors", "correct them first"
	}
	known := make([]string, 0, len(l.byName))
	for n := range l.byName {
		known = append(known, n)
	}
	slices.Sort(known)
	if near := lll.Nearest(name, known); near != "" {
		return "which is in none of the files", "did you mean " + near + "?"
	}
	return "which is in none of the files", "give its file too"
}
