package lll

import (
	"slices"
	"testing"
)

// remarks are all comments of a file, sorted: those inside items move.
func remarks(f *File) []string {
	var all []string
	add := func(comments []Comment) {
		for _, c := range comments {
			all = append(all, c.Text)
		}
	}
	var body func(*Body)
	var value func(*Value)
	node := func(n *Node) {
		for _, a := range n.Atoms {
			value(a)
		}
		if n.When != nil {
			value(n.When)
		}
		if n.Body != nil {
			body(n.Body)
		}
	}
	value = func(v *Value) {
		add(v.Comments)
		add(v.Trail)
		add(v.Tail)
		for _, e := range v.List {
			value(e)
		}
		if v.Body != nil {
			body(v.Body)
		}
		if v.Node != nil {
			node(v.Node)
		}
		if v.Arg != nil {
			value(v.Arg)
		}
	}
	body = func(b *Body) {
		add(b.open)
		add(b.Tail)
		for _, item := range b.Items {
			add(item.trivia().Comments)
			add(item.trivia().Trail)
			switch item := item.(type) {
			case *Attr:
				value(item.Value)
			case *Clause:
				value(item.Text)
			case *Node:
				node(item)
			}
		}
	}
	body(&f.Body)
	slices.Sort(all)
	return all
}

// seeds are texts for the fuzz targets: the examples, whole and in pieces, and
// the odd files.
func seeds(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, text := range examples(t) {
		all = append(all, text)
		all = append(all, splitBlocks(text)...)
	}
	return append(all, odd...)
}

func splitBlocks(text string) []string {
	file, _ := Parse("", text)
	var all []string
	for _, item := range file.Contracts()[0].Body.Items {
		all = append(all, "contract a {\n"+file.Slice(item.Span())+"\n}")
	}
	return all
}

// odd are small texts that were hard to read or to write, each for its own
// reason.
var odd = []string{
	"a: x; foo \"b\"", "a: not; foo \"x\"", "a: 1; or b", "a: 1;\nor b", "a:/  \n c/x y", "a:<\n b > c", "a: x +;\nfoo b", "when a &&;\nfoo b", "foo a:b c: d {}", "x: notify role:\"oncall\" { a: b }",
	"a: payment.*\nb: List<Text>\nc: Text?  d: 1", "a: 1; b", "a: x && // c\n y", "foo /* c */ bar", "x { // c\n}\n// tail",
	"x: [1, // one\n 2 /* two */, 3\n// tail\n]", "fn f(a: int) -> Text? { b }", "when span.type is contract and valor > 10000 then reject because \"…\"",
	"clause 1.1: \"x\"; clause 1.2 \"y\"", "a <<'T'\nx\nT>> b", "t: \"\"\"\nx\n\"\"\" ", "x { a: 1, b: 2; c }", "a ?: 1\n\"b\" = 2\nc := 3",
	"/// doc\r\na: 1\r\n\r\n\r\nb: 2 // t\r\n", "contract a { rule b { on: \"x\" when: a ? b : c then { tag \"a\" tag \"b\" } } }",
	"contract a { policy p { when x > 1 { reject \"no\" } } }", "x: {{hole}}", "ΔS: 1\nefetivação: \"ção\"\ncafe\u0301: 1", "a: -5\nb: +80%\nc: 1_000.5e3\nd: 1.2.0-rc.1",
	"add \"a\"   -1\nadd \"abc\" 2\nadd \"ab\" 300", "a\n{\n}\n", "f (a) /*c*/ -> b", "x: [ span { a: 1 } span \"b\" {\nc: 2 } ]",
}
