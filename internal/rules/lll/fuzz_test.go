package lll

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFormat holds Format to its promise on any text.
func FuzzFormat(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { holds(t, text) })
}

// FuzzParse: whatever a file holds, each diagnostic can be shown, each part of
// the tree is the slice of the source that it says, and in a file without
// errors every word and sign belongs to an item.
func FuzzParse(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { sound(t, text) })
}

func sound(t require.TestingT, text string) {
	file, diags := Parse("a.lll", text)
	require.LessOrEqual(t, len(diags), MaxErrors)
	for i, d := range diags {
		require.True(t, 0 <= d.Offset && d.Offset <= d.End && d.End <= len(text), "%q %v", text, d)
		require.True(t, i == 0 || diags[i-1].Offset <= d.Offset)
		require.NotEmpty(t, d.Message)
		shown := file.Render(d)
		require.True(t, strings.HasPrefix(shown, "a.lll:") && strings.Contains(shown, "^"), "%q", shown)
		require.Less(t, len(shown), 8*(2*caretContext+400))
	}
	c := covered{t: t, file: file, taken: make([]bool, len(text))}
	c.body(&file.Body)
	if Failed(diags) {
		return
	}
	l, ok := lex(text)
	require.True(t, ok)
	for _, token := range l.tokens {
		switch token.kind {
		case tokNewline, tokComment, tokSeparator, tokEOF:
		default:
			require.True(t, c.taken[token.start], "%q is in no item of %q", text[token.start:token.end], text)
		}
	}
}

// covered marks what the items of a tree stand for.
type covered struct {
	t     require.TestingT
	file  *File
	taken []bool
}

func (c *covered) mark(r Range, within Range) {
	require.True(c.t, within.Offset <= r.Offset && r.Offset <= r.End && r.End <= within.End, "%v is not within %v of %q", r, within, c.file.Text)
	for i := r.Offset; i < r.End; i++ {
		c.taken[i] = true
	}
}

func (c *covered) body(b *Body) {
	last := b.Offset
	for _, item := range b.Items {
		at := item.Span()
		require.LessOrEqual(c.t, last, at.Offset, "items overlap in %q", c.file.Text)
		last = at.End
		switch item := item.(type) {
		case *Attr:
			c.mark(item.KeyRange, at)
			c.mark(Range{item.KeyRange.End, item.Value.Offset}, at)
			c.value(item.Value, at)
		case *Clause:
			c.value(item.Text, at)
		case *Node:
			c.node(item, at)
		}
		c.mark(at, b.Range)
	}
}

func (c *covered) node(n *Node, within Range) {
	c.mark(n.HeadRange, within)
	for _, a := range n.Atoms {
		c.value(a, within)
	}
	if n.When != nil {
		c.value(n.When, within)
	}
	if n.Body != nil {
		c.mark(Range{n.Body.Offset, n.Body.Offset + 1}, within)
		c.body(n.Body)
	}
}

func (c *covered) value(v *Value, within Range) {
	c.mark(v.Range, within)
	require.Equal(c.t, c.file.Slice(v.Range), v.Source)
	code, offset := v.Code()
	require.Equal(c.t, len(v.Source), len(code))
	require.Equal(c.t, v.Offset, offset)
	for _, p := range v.Parts {
		c.mark(p.Range, v.Range)
		require.True(c.t, !p.Hole || p.Text == c.file.Slice(p.Range))
	}
	for _, e := range v.List {
		c.value(e, v.Range)
	}
	if v.Arg != nil {
		c.value(v.Arg, v.Range)
	}
	if v.Node != nil {
		c.node(v.Node, v.Range)
	}
	if v.Body != nil {
		c.body(v.Body)
	}
}
