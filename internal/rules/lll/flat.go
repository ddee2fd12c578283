package lll

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// flatItem is an item on one line; false when the author had it on several, or
// comments stand in it. rows are the widths of aligned heads.
func (p *printer) flatItem(item Item, rows map[*Node][]int) (string, bool) {
	switch item := item.(type) {
	case *Attr:
		value, ok := p.flatValue(item.Value)
		return p.key(item) + value, ok
	case *Clause:
		return p.flatValue(item.Text)
	case *Node:
		return p.flatNode(item, rows[item])
	}
	return "", false
}

func (p *printer) flatNode(n *Node, widths []int) (string, bool) {
	cells, ok := p.cells(n)
	if !ok {
		return "", false
	}
	if n.Body != nil {
		body, ok := p.flatBody(n.Body)
		if !ok {
			return "", false
		}
		cells = append(cells, body)
	}
	return pad(cells, widths), true
}

// cells are the words of a head; false when one of them takes several lines.
func (p *printer) cells(n *Node) ([]string, bool) {
	cells := []string{n.Head}
	for _, a := range n.Atoms {
		flat, ok := p.flatValue(a)
		if !ok {
			return nil, false
		}
		if a.tight {
			cells[len(cells)-1] += flat
		} else {
			cells = append(cells, flat)
		}
	}
	if n.When != nil {
		flat, ok := p.flatValue(n.When)
		if !ok {
			return nil, false
		}
		cells = append(cells, flat)
	}
	return cells, true
}

// pad joins cells by a blank, each but the last filled up to its width. The
// sign of a number hangs out to the left, so that digits stand below digits.
func pad(cells []string, widths []int) string {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c)
		if i+1 < len(cells) && i < len(widths) {
			room := widths[i] - utf8.RuneCountInString(c)
			if next := cells[i+1]; (next[0] == '-' || next[0] == '+') && next != "->" {
				room--
			}
			b.WriteString(strings.Repeat(" ", max(0, room)))
		}
	}
	return b.String()
}

// flatBody is a block on one line, which it had to be before.
func (p *printer) flatBody(b *Body) (string, bool) {
	if len(b.open) > 0 || len(b.Tail) > 0 {
		return "", false
	}
	if len(b.Items) == 0 {
		return "{}", true
	}
	if !b.oneLine {
		return "", false
	}
	line := "{ "
	for i, item := range b.Items {
		t := item.trivia()
		flat, ok := p.flatItem(item, nil)
		if !ok || len(t.Comments) > 0 || len(t.Trail) > 0 || len(line) > 4*FormatWidth {
			return "", false
		}
		if i > 0 {
			line += separator(b.Items[i-1], item)
		}
		line += flat
	}
	return line + " }", true
}

// flatValue is a value on one line.
func (p *printer) flatValue(v *Value) (string, bool) {
	switch v.Kind {
	case KindName, KindArrow:
		return v.Text, true
	case KindArg:
		flat, ok := p.flatValue(v.Arg)
		return v.Text + ":" + flat, ok
	case KindObject:
		return p.flatBody(v.Body)
	case KindTyped:
		return p.flatNode(v.Node, nil)
	case KindList:
		return p.flatList(v)
	}
	return v.Source, !strings.Contains(v.Source, "\n")
}

func (p *printer) flatList(v *Value) (string, bool) {
	if len(v.Tail) > 0 || len(v.List) > 0 && !v.oneLine {
		return "", false
	}
	line := "["
	for i, e := range v.List {
		flat, ok := p.flatValue(e)
		if !ok || len(e.Comments) > 0 || len(e.Trail) > 0 || len(line) > 4*FormatWidth {
			return "", false
		}
		if i > 0 {
			line += ", "
		}
		line += flat
	}
	return line + "]", true
}

// align finds groups of lines with blocks or statements of the same head, and
// gives those groups their widths in which the author aligned any.
func (p *printer) align(b *Body, depth int, split bool) map[*Node][]int {
	rows := map[*Node][]int{}
	for i := 0; i < len(b.Items); {
		end := i
		for end < len(b.Items) && p.row(b, i, end, split) {
			end++
		}
		p.alignGroup(b.Items[i:end], depth, rows)
		i = max(end, i+1)
	}
	return rows
}

// row says that item i stands alone on its line, right below those of the
// group that begins with item first.
func (p *printer) row(b *Body, first, i int, split bool) bool {
	n, ok := b.Items[i].(*Node)
	if !ok || n.When != nil {
		return false
	}
	if !split && (i > 0 && n.joined || i+1 < len(b.Items) && b.Items[i+1].trivia().joined) {
		return false
	}
	if i == first {
		return true
	}
	return n.Head == b.Items[first].(*Node).Head && !n.blank && len(n.Comments) == 0
}

func (p *printer) alignGroup(items []Item, depth int, rows map[*Node][]int) {
	if len(items) < 2 {
		return
	}
	wide := false
	var widths []int
	lines := make([][]string, len(items))
	for i, item := range items {
		n := item.(*Node)
		wide = wide || n.wide
		cells, ok := p.cells(n)
		if !ok {
			return
		}
		for k, c := range cells {
			if k == len(widths) {
				widths = append(widths, 0)
			}
			widths[k] = max(widths[k], utf8.RuneCountInString(c))
		}
		if n.Body != nil {
			if body, ok := p.flatBody(n.Body); ok && fits(depth, pad(append(slices.Clone(cells), body), nil)) {
				cells = append(cells, body)
			}
		}
		lines[i] = cells
	}
	if !wide {
		return
	}
	for _, cells := range lines {
		if !fits(depth, pad(cells, widths)) {
			return
		}
	}
	for _, item := range items {
		rows[item.(*Node)] = widths
	}
}
