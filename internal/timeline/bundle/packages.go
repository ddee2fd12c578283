package bundle

import (
	"fmt"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// packageCheck compares the leaves of each package with the header's root of
// it: where nothing else betrays an altered line, it narrows the search to 256.
type packageCheck struct {
	from, to uint64
	roots    []span.Hash // nil where the header's are unusable
	limit    int         // of differing packages kept

	current   uint64 // package, by aligned index
	open      bool
	leaves    *tree.Range
	broken    bool // a leaf of the current package is missing
	explains  bool // a line of it is known to be bad
	firstLine int
	lastLine  int

	differing []differing
	count     int
}

// differing is a package whose root is not the header's.
type differing struct {
	Problem
	explained bool // by a line in it that is bad by itself
}

func (p *packageCheck) enter(at uint64) {
	if p.open && at/packageSize == p.current {
		return
	}
	p.finish()
	p.current, p.open, p.leaves = at/packageSize, true, &tree.Range{}
	p.broken, p.explains, p.firstLine, p.lastLine = false, false, 0, 0
}

func (p *packageCheck) add(at uint64, line int, leaf span.Hash) {
	p.enter(at)
	if p.firstLine == 0 {
		p.firstLine = line
	}
	p.lastLine = line
	p.leaves.Append(leaf, nil)
}

// explained says that the line at this position is known to be bad.
func (p *packageCheck) explained(at uint64) {
	if at < p.to {
		p.enter(at)
		p.explains = true
	}
}

// missing says that the leaves of [from, to) are not known.
func (p *packageCheck) missing(from, to uint64) {
	p.enter(from)
	p.broken = true
	if to < p.to && to/packageSize != p.current {
		p.enter(to)
		p.broken = to%packageSize != 0
	}
}

func (p *packageCheck) finish() {
	if !p.open {
		return
	}
	p.open = false
	first := max(p.current*packageSize, p.from)
	i := p.current - p.from/packageSize
	if p.broken || i >= uint64(len(p.roots)) || p.leaves.Root() == p.roots[i] {
		return
	}
	p.count++
	if len(p.differing) < p.limit {
		p.differing = append(p.differing, differing{explained: p.explains, Problem: Problem{
			Line: p.firstLine, LineTo: p.lastLine, Seq: first, Code: "package_mismatch",
			Reason: fmt.Sprintf("entries %d to %d are not those whose root the header gives for them: a line of these was altered where nothing but the tree can tell", first, first+p.leaves.End()-1),
		}})
	}
}
