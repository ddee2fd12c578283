package lll

import "strings"

// File is one parsed document: its source and its items, which are reached
// through Body's methods.
type File struct {
	*Source
	Body
}

// Contracts are the contract blocks at the top of the file; those alone can be
// executed.
func (f *File) Contracts() []*Node { return f.Nodes("contract") }

// Item is what stands in a file or a block: *Attr, *Node or *Clause.
type Item interface {
	Span() Range // from its first to its last byte, comments left out
	Doc() string // text of the /// comments above it, lines joined by newlines
	trivia() *Trivia
}

var (
	_ Item = (*Attr)(nil)
	_ Item = (*Node)(nil)
	_ Item = (*Clause)(nil)
)

// Attr is "key: value". In data "=" and ":=" are read as ":" is.
type Attr struct {
	Range
	Trivia
	Key      string // a name in NFC, or the text of a quoted key
	KeyRange Range
	Quoted   bool // the key is a string in quotes
	Optional bool // "key?: value"
	Value    *Value
}

// Node is a block "head atoms { … }", or without Body a statement.
type Node struct {
	Range
	Trivia
	Head      string // first word, in NFC
	HeadRange Range
	Atoms     []*Value // what follows the head on its line
	When      *Value   // the condition of "when EXPR { … }", of KindExpr or a scalar; nil elsewhere
	Body      *Body    // nil for a statement; its methods work on nil

	wide bool // the source aligned the head with more than one blank
}

// Clause is a text on its own: "Every action is recorded".
type Clause struct {
	Range
	Trivia
	Text *Value // of KindString or KindText
}

// Body is the items between two braces, or those of a file.
type Body struct {
	Range // the braces included
	Items []Item

	Tail []Comment // comments below the last item

	open    []Comment // comments on the line of the opening brace
	oneLine bool      // the source had it all on one line
}

// Trivia is what stands around an item and means nothing, kept for the
// formatter.
type Trivia struct {
	Comments []Comment // above the item, and those inside it that have no place of their own
	Trail    []Comment // behind it on its line

	blank  bool // an empty line right above the item
	joined bool // the item begins on the line where the one before it ends
	comma  bool // a comma stands before it
}

// Comment is one comment as written, with its "//", "///", "#" or "/*".
type Comment struct {
	Range
	Text string

	blank bool // an empty line above it
}

// IsDoc says that the comment documents the item below it: "///", but not
// "////".
func (c Comment) IsDoc() bool {
	return strings.HasPrefix(c.Text, "///") && !strings.HasPrefix(c.Text, "////")
}

func (t *Trivia) trivia() *Trivia { return t }

// Doc is the text of the /// comments above the item.
func (t *Trivia) Doc() string {
	var lines []string
	for _, c := range t.Comments {
		if c.IsDoc() {
			lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(c.Text, "///"), " "))
		}
	}
	return strings.Join(lines, "\n")
}

// Attr is the first attribute with that key, nil when there is none.
func (b *Body) Attr(key string) *Attr {
	for _, a := range b.Attrs() {
		if a.Key == key {
			return a
		}
	}
	return nil
}

// Value is the value of the first attribute with that key, nil when there is
// none.
func (b *Body) Value(key string) *Value {
	if a := b.Attr(key); a != nil {
		return a.Value
	}
	return nil
}

// Attrs are the attributes in their order.
func (b *Body) Attrs() []*Attr { return only[*Attr](b) }

// Clauses are the bare texts in their order.
func (b *Body) Clauses() []*Clause { return only[*Clause](b) }

// Nodes are the blocks and statements whose head is one of those given, or all
// of them, in their order.
func (b *Body) Nodes(heads ...string) []*Node {
	var found []*Node
	for _, n := range only[*Node](b) {
		if len(heads) == 0 || contains(heads, n.Head) {
			found = append(found, n)
		}
	}
	return found
}

// Node is the first block or statement with that head, nil when there is none.
func (b *Body) Node(head string) *Node {
	if found := b.Nodes(head); len(found) > 0 {
		return found[0]
	}
	return nil
}

// Object is what "key: { … }" or "key { … }" holds, nil when there is neither:
// in data the two are the same.
func (b *Body) Object(key string) *Body {
	if v := b.Value(key); v != nil && v.Kind == KindObject {
		return v.Body
	}
	for _, n := range b.Nodes(key) {
		if n.Body != nil {
			return n.Body
		}
	}
	return nil
}

// Attr is the first attribute of the block with that key, nil when there is
// none.
func (n *Node) Attr(key string) *Attr { return n.Body.Attr(key) }

// Value is the value of the block's first attribute with that key, nil when
// there is none.
func (n *Node) Value(key string) *Value { return n.Body.Value(key) }

// Children are the blocks and statements of the block whose head is one of
// those given, or all of them.
func (n *Node) Children(heads ...string) []*Node { return n.Body.Nodes(heads...) }

// Child is the first of Children(head), nil when there is none.
func (n *Node) Child(head string) *Node { return n.Body.Node(head) }

// Name is the text of the first atom where that is a name or a string, else
// "": the name in "rule name { … }" and in `test "name" { … }`.
func (n *Node) Name() string { return n.Word(0) }

// Word is the text of atom i where there is one that is a name or a string,
// else "".
func (n *Node) Word(i int) string {
	if a := n.Atom(i); a != nil && (a.Kind == KindName || a.Kind == KindString || a.Kind == KindText) {
		return a.Text
	}
	return ""
}

// Atom is atom i, nil when there are not that many.
func (n *Node) Atom(i int) *Value {
	if i < 0 || i >= len(n.Atoms) {
		return nil
	}
	return n.Atoms[i]
}

// After is the atom behind the name word, nil when there is none: "1.2.0" for
// After("version") in `contract name version "1.2.0" { … }`.
func (n *Node) After(word string) *Value {
	for i, a := range n.Atoms {
		if a.Kind == KindName && a.Text == word {
			return n.Atom(i + 1)
		}
	}
	return nil
}

func only[T Item](b *Body) []T {
	if b == nil {
		return nil
	}
	var found []T
	for _, item := range b.Items {
		if one, ok := item.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
