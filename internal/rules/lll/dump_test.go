package lll

import (
	"fmt"
	"strconv"
	"strings"
)

// dump writes a tree without places and layout: what parsing a formatted file
// has to give again.
func dump(f *File) string {
	var d dumper
	d.body(&f.Body)
	return d.String()
}

type dumper struct {
	strings.Builder
	depth int
}

func (d *dumper) line(format string, args ...any) {
	d.WriteString(strings.Repeat("  ", d.depth))
	fmt.Fprintf(d, format, args...)
	d.WriteByte('\n')
}

func (d *dumper) body(b *Body) {
	for _, item := range b.Items {
		if doc := item.Doc(); doc != "" {
			d.line("/// %q", doc)
		}
		switch item := item.(type) {
		case *Attr:
			mark := ":"
			if item.Optional {
				mark = "?:"
			}
			d.line("%s%s", quoteIf(item.Quoted, item.Key), mark)
			d.value(item.Value)
		case *Node:
			d.node(item)
		case *Clause:
			d.line("clause")
			d.value(item.Text)
		}
	}
}

func quoteIf(quoted bool, s string) string {
	if quoted {
		return strconv.Quote(s)
	}
	return s
}

func (d *dumper) node(n *Node) {
	d.line("%s", n.Head)
	d.depth++
	for _, a := range n.Atoms {
		d.value(a)
	}
	if n.When != nil {
		d.line("when")
		d.value(n.When)
	}
	if n.Body != nil {
		d.line("{")
		d.depth++
		d.body(n.Body)
		d.depth--
		d.line("}")
	}
	d.depth--
}

func (d *dumper) value(v *Value) {
	d.depth++
	defer func() { d.depth-- }()
	switch v.Kind {
	case KindList:
		d.line("[")
		for _, e := range v.List {
			d.value(e)
		}
		d.line("]")
	case KindObject:
		d.line("{")
		d.depth++
		d.body(v.Body)
		d.depth--
		d.line("}")
	case KindTyped:
		d.line("typed")
		d.node(v.Node)
	case KindArg:
		d.line("%s:", v.Text)
		d.value(v.Arg)
	case KindExpr, KindParams:
		d.line("%s %q", v.Kind, unix(v.Source))
	case KindString:
		d.line("string")
		for _, p := range v.Parts {
			d.line("  %v %q", p.Hole, p.Text)
		}
	default:
		d.line("%s %q", v.Kind, v.Text)
	}
}
