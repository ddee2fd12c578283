package lll

import (
	"strings"
	"unicode/utf8"
)

// FormatWidth is how many characters a line has at most where Format can choose.
const FormatWidth = 160

const (
	indentation = "  "
	between     = "  "  // between two items on a line
	beforeTrail = "   " // before a comment behind an item
)

// Format writes a file in the canonical style: "key: value", two blanks for
// each level, one item on a line unless the author put several there, heads of
// equal blocks aligned where the author aligned any, lines ended by "\n". A
// block or list that stood on one line stays there when it fits. Comments and
// the empty lines between groups are kept; a comment inside an item moves above
// it. What a file says does not change, and formatting again changes nothing.
//
// A file with errors is returned as it is, with its diagnostics.
func Format(name, text string) (string, []Diagnostic) {
	file, diags := Parse(name, text)
	if Failed(diags) {
		return text, diags
	}
	p := printer{src: file.Source}
	p.items(&file.Body, 0, false)
	return p.String(), diags
}

// printer writes a tree as text.
type printer struct {
	strings.Builder
	src *Source
}

func (p *printer) indent(depth int) { p.WriteString(strings.Repeat(indentation, depth)) }

// items writes what stands in a body, each line indented by depth. split puts
// every item on a line of its own.
func (p *printer) items(b *Body, depth int, split bool) {
	rows := p.align(b, depth, split)
	begun := false // something of the body stands above
	for i := 0; i < len(b.Items); {
		item := b.Items[i]
		t := item.trivia()
		begun = p.comments(t.Comments, depth, begun)
		if begun && t.blank {
			p.WriteByte('\n')
		}
		begun = true
		p.indent(depth)
		line, ok := p.flatItem(item, rows)
		if ok = ok && fits(depth, line); ok {
			if !split {
				line, i = p.more(b, i, depth, line)
			}
			p.WriteString(line)
		} else {
			p.item(item, depth, rows)
		}
		if i+1 < len(b.Items) && runsOn(b.Items[i], b.Items[i+1]) {
			p.WriteByte(';')
		}
		p.trail(b.Items[i].trivia().Trail)
		p.WriteByte('\n')
		i++
	}
	p.comments(b.Tail, depth, begun)
}

// more adds to the line of item i those that the author wrote on it, as far as
// it has room, and returns the last of them.
func (p *printer) more(b *Body, i, depth int, line string) (string, int) {
	for i+1 < len(b.Items) {
		next := b.Items[i+1]
		t := next.trivia()
		flat, ok := p.flatItem(next, nil)
		if !ok || !t.joined || len(t.Comments) > 0 || len(b.Items[i].trivia().Trail) > 0 {
			break
		}
		longer := line + separator(b.Items[i], next) + flat
		if !fits(depth, longer) {
			break
		}
		line = longer
		i++
	}
	return line, i
}

// fits says that a line has room for text.
func fits(depth int, text string) bool {
	return depth*len(indentation)+utf8.RuneCountInString(text) <= FormatWidth
}

// separator stands between two items on a line: a comma where the author wrote
// one, else two blanks where those do, which is where the second item cannot be
// read as the end of the first.
func separator(before, next Item) string {
	const semicolon, comma = "; ", ", "
	if next.trivia().comma {
		return comma
	}
	switch before := before.(type) {
	case *Attr:
		switch before.Value.Kind {
		case KindObject, KindTyped, KindList:
			return between
		}
		if !before.Value.loose {
			return between
		}
		if a, ok := next.(*Attr); ok && before.Value.Kind != KindExpr && !strings.Contains(a.Key, " ") {
			return between
		}
	case *Node:
		if before.Body != nil {
			return between
		}
	}
	return semicolon
}

// runsOn says that the item before would go on with the line of the next one.
func runsOn(before, next Item) bool {
	var last *Value
	switch before := before.(type) {
	case *Attr:
		last = before.Value
	case *Node:
		if before.Body == nil {
			last = before.When
		}
	}
	if last == nil {
		return false
	}
	n, ok := next.(*Node)
	return last.unfinished || ok && (n.Head == "and" || n.Head == "or")
}

// comments writes comments on lines of their own, and says whether anything
// stands above what follows.
func (p *printer) comments(all []Comment, depth int, begun bool) bool {
	for _, c := range all {
		if begun && c.blank {
			p.WriteByte('\n')
		}
		begun = true
		p.indent(depth)
		p.WriteString(c.Text)
		p.WriteByte('\n')
	}
	return begun
}

// trail writes the comments behind an item.
func (p *printer) trail(all []Comment) {
	for i, c := range all {
		if i == 0 {
			p.WriteString(beforeTrail)
		} else {
			p.WriteByte(' ')
		}
		p.WriteString(c.Text)
	}
}

// item writes an item that does not fit on one line.
func (p *printer) item(item Item, depth int, rows map[*Node][]int) {
	switch item := item.(type) {
	case *Attr:
		p.WriteString(p.key(item))
		p.value(item.Value, depth)
	case *Clause:
		p.value(item.Text, depth)
	case *Node:
		p.node(item, depth, rows[item])
	}
}

func (p *printer) key(a *Attr) string {
	key := a.Key
	if a.Quoted {
		key = p.src.Slice(a.KeyRange)
	}
	if a.Optional {
		key += "?"
	}
	return key + ": "
}

func (p *printer) node(n *Node, depth int, widths []int) {
	if cells, ok := p.cells(n); ok {
		p.WriteString(pad(cells, widths))
	} else {
		p.WriteString(n.Head)
		for _, a := range n.Atoms {
			if !a.tight {
				p.WriteByte(' ')
			}
			p.value(a, depth)
		}
		if n.When != nil {
			p.WriteByte(' ')
			p.value(n.When, depth)
		}
	}
	if n.Body != nil {
		p.WriteByte(' ')
		p.body(n.Body, depth)
	}
}

// body writes a block over several lines.
func (p *printer) body(b *Body, depth int) {
	p.WriteByte('{')
	p.trail(b.open)
	p.WriteByte('\n')
	p.items(b, depth+1, b.oneLine)
	p.indent(depth)
	p.WriteByte('}')
}

// value writes a value where it begins, on one line when it can.
func (p *printer) value(v *Value, depth int) {
	flat, ok := p.flatValue(v)
	switch {
	case ok && (fits(depth, flat) || v.Kind < KindList || v.Kind > KindTyped):
		p.WriteString(flat)
	case v.Kind == KindList:
		p.list(v, depth)
	case v.Kind == KindObject:
		p.body(v.Body, depth)
	case v.Kind == KindTyped:
		p.node(v.Node, depth, nil)
	default:
		p.WriteString(unix(v.Source))
	}
}

// list writes a list with an element on each line.
func (p *printer) list(v *Value, depth int) {
	p.WriteString("[\n")
	begun := false
	for i, e := range v.List {
		begun = p.comments(e.Comments, depth+1, begun)
		if begun && e.blank {
			p.WriteByte('\n')
		}
		begun = true
		p.indent(depth + 1)
		p.value(e, depth+1)
		if i+1 < len(v.List) {
			p.WriteByte(',')
		}
		p.trail(e.Trail)
		p.WriteByte('\n')
	}
	p.comments(v.Tail, depth+1, begun)
	p.indent(depth)
	p.WriteByte(']')
}
