package library

import (
	"fmt"
	"strings"

	"github.com/danvoulez/logline/internal/rules/lll"
)

// Change is one item of a contract that is not the same in two versions of it.
type Change struct {
	Item string // "rule two_approvals", "params", "requires"
	// Old and New are the item in the canonical style, "" where it is not there.
	Old, New string
	// OldLine and NewLine are where it begins in its file, 0 where it is not
	// there.
	OldLine, NewLine int
}

// Diff is what changed from one version of a contract to another, in the order
// of the new one; what is gone comes last. Layout is no change,
// nor are comments between the items.
func Diff(older, newer *Document) []Change {
	before, after := items(older), items(newer)
	var out []Change
	for _, n := range after {
		o, there := before.find(n.name)
		switch {
		case !there:
			out = append(out, Change{Item: n.name, New: n.text, NewLine: n.line})
		case squeezed(o.text) != squeezed(n.text):
			out = append(out, Change{n.name, o.text, n.text, o.line, n.line})
		}
	}
	for _, o := range before {
		if _, there := after.find(o.name); !there {
			out = append(out, Change{Item: o.name, Old: o.text, OldLine: o.line})
		}
	}
	return out
}

// item is one item of a contract.
type item struct {
	name, text string
	line       int
}

type itemList []item

func (l itemList) find(name string) (item, bool) {
	for _, i := range l {
		if i.name == name {
			return i, true
		}
	}
	return item{}, false
}

// items are those of the document's contract.
func items(d *Document) itemList {
	formatted, _ := lll.Format(d.File.Name, d.File.Text)
	again, _ := lll.Parse(d.File.Name, formatted)
	given, style := d.File.Contracts(), again.Contracts()
	if len(given) == 0 || len(style) == 0 {
		return nil
	}
	var out itemList
	seen := map[string]int{}
	for i, one := range style[0].Body.Items {
		name := called(one)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s #%d", name, seen[name])
		}
		line := 0
		if i < len(given[0].Body.Items) {
			line = d.File.Pos(given[0].Body.Items[i].Span().Offset).Line
		}
		out = append(out, item{name, again.Slice(one.Span()), line})
	}
	return out
}

// called is what an item is called.
func called(one lll.Item) string {
	switch one := one.(type) {
	case *lll.Attr:
		return one.Key
	case *lll.Node:
		if one.Body == nil { // a statement is what it says
			parts := []string{one.Head}
			for _, a := range one.Atoms {
				parts = append(parts, a.Source)
			}
			return strings.Join(parts, " ")
		}
		return strings.TrimSpace(one.Head + " " + one.Name())
	}
	return "text"
}

// squeezed is a text of the language with one blank wherever some stand between
// two words, so that layout makes no difference. Texts and comments stay.
func squeezed(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			n = len(text[i:]) - len(strings.TrimLeft(text[i:], " \n\t\r"))
			b.WriteByte(' ')
			i += n
			continue
		case c == '#' || strings.HasPrefix(text[i:], "//"):
			if n = strings.IndexByte(text[i:], '\n'); n < 0 {
				n = len(text) - i
			}
		case c == '"' || c == '\'':
			n = quotedLength(text[i:])
		}
		b.WriteString(text[i : i+n])
		i += n
	}
	return b.String()
}

// quotedLength is how long the text in quotes is that s begins with.
func quotedLength(s string) int {
	quote := s[:1]
	if strings.HasPrefix(s, `"""`) {
		quote = `"""`
	}
	for i := len(quote); i < len(s); i++ {
		if s[i] == '\\' && len(quote) == 1 {
			i++
		} else if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return len(s)
}
