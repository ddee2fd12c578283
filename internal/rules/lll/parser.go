package lll

import (
	"fmt"
	"slices"
	"strings"
)

// Parse reads the text of a file. The file it returns is never nil, and holds
// what was understood; it is complete when no diagnostic is an Error.
func Parse(name, text string) (*File, []Diagnostic) {
	file := &File{Source: NewSource(name, text), Body: Body{Range: Range{0, len(text)}}}
	l, ok := lex(text)
	if !ok {
		return file, sorted(l.diags)
	}
	b := &brackets{lex: l, src: file.Source}
	sound := b.pair()
	p := &parser{src: file.Source, tokens: l.tokens, match: b.match, words: newVocabulary()}
	p.body(&file.Body, p.words.file, -1)
	diags := l.diags
	if !sound && len(l.unclosed) > 0 {
		p.diags = before(p.diags, l.unclosed[0])
	} else if !sound {
		strays, braces := b.stray()
		diags = append(diags, strays...)
		if braces {
			culprit := b.suspect()
			p.diags = before(p.diags, culprit.Offset)
			diags = append(diags, culprit)
		}
	}
	return file, sorted(append(settle(file.Source, diags, p.diags), diags...))
}

// settle drops what the parser found in a line that has a broken token or
// bracket: it only follows from that.
func settle(src *Source, diags, follow []Diagnostic) []Diagnostic {
	broken := make(map[int]bool, len(diags))
	for _, d := range diags {
		broken[src.line(d.Offset)] = true
	}
	return slices.DeleteFunc(follow, func(d Diagnostic) bool { return broken[src.line(d.Offset)] })
}

// before keeps what was found before the place where brackets go wrong: the
// rest only follows from that.
func before(diags []Diagnostic, offset int) []Diagnostic {
	return slices.DeleteFunc(diags, func(d Diagnostic) bool { return d.Offset >= offset })
}

// parser walks the tokens once, from left to right.
type parser struct {
	src    *Source
	tokens []token
	match  []int
	words  *vocabulary
	i      int       // the token to read next
	odd    []Comment // comments inside the item that is being read
	diags  []Diagnostic
	wrong  int  // the line of the last error: one in a line is enough
	glued  bool // nothing but blanks stands between the item to read and the attribute before it
}

// errorAt notes an error, unless the line has one already.
func (p *parser) errorAt(at Range, fix, format string, args ...any) {
	line := p.src.line(at.Offset)
	if line == p.wrong || len(p.diags) >= 4*MaxErrors {
		return
	}
	p.wrong = line
	p.diags = append(p.diags, Diagnostic{Offset: at.Offset, End: at.End, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (p *parser) token() token         { return p.tokens[p.i] }
func (p *parser) text(i int) string    { return p.src.Text[p.tokens[i].start:p.tokens[i].end] }
func (p *parser) is(text string) bool  { return p.token().kind != tokEOF && p.text(p.i) == text }
func (p *parser) rangeOf(i int) Range  { return Range{p.tokens[i].start, p.tokens[i].end} }
func (p *parser) kind(i int) tokenKind { return p.tokens[min(i, len(p.tokens)-1)].kind }

// comments passes over the comments at hand that something follows on the
// line; they become the item's.
func (p *parser) comments() {
	for p.token().kind == tokComment && !p.endsLine(p.i) {
		p.odd = append(p.odd, p.comment(p.i))
		p.i++
	}
}

func (p *parser) comment(i int) Comment {
	return Comment{Range: p.rangeOf(i), Text: strings.TrimRight(unix(p.text(i)), " \t\r")}
}

// after is the index of the first token from i on that is no comment.
func (p *parser) after(i int) int {
	for p.kind(i) == tokComment {
		i++
	}
	return i
}

// beyond is the index of the first token from i on that is neither comment nor
// newline.
func (p *parser) beyond(i int) int {
	for p.kind(i) == tokComment || p.kind(i) == tokNewline {
		i++
	}
	return i
}

// gap is what stood between two items.
type gap struct {
	comments []Comment
	blank    bool // an empty line behind the last of the comments
	joined   bool // no newline
	comma    bool // a comma
	cut      bool // a comma or semicolon
}

// gap passes over newlines, separators and comments. Comments on the line of
// what ended before go to trail, all others are returned.
func (p *parser) gap(trail *[]Comment) gap {
	g := gap{joined: true}
	empty := 0 // newlines since the last thing on a line
	for {
		switch t := p.token(); t.kind {
		case tokNewline:
			g.joined = false
			empty++
		case tokSeparator:
			empty = 0
			g.comma, g.cut = g.comma || p.is(","), true
		case tokComment:
			c := p.comment(p.i)
			c.blank = empty > 1
			if g.joined && trail != nil && p.endsLine(p.i) {
				*trail = append(*trail, c)
			} else {
				g.comments = append(g.comments, c)
			}
			if strings.Contains(c.Text, "\n") {
				g.joined = false
			}
			empty = 0
		default:
			g.blank = empty > 1
			return g
		}
		p.i++
	}
}

// endsLine says that nothing but comments and separators follows token i on
// its line.
func (p *parser) endsLine(i int) bool {
	if strings.Contains(p.text(i), "\n") {
		return false
	}
	for i++; ; i++ {
		switch p.kind(i) {
		case tokComment, tokSeparator:
		case tokNewline, tokEOF:
			return true
		default:
			return false
		}
	}
}

// body reads items up to the closing bracket at token end, or with end -1 up
// to the end of the file.
func (p *parser) body(b *Body, s *scope, end int) {
	trail := &b.open
	if p.i == 0 {
		trail = nil // a file has no opening brace
	}
	for {
		g := p.gap(trail)
		if p.token().kind == tokEOF || p.i == end {
			b.Tail = g.comments
			return
		}
		begin := p.i
		saved := p.odd
		p.odd = g.comments
		p.glued = g.joined && !g.cut && b.endsWithAttr()
		item := p.item(s)
		comments := p.odd
		p.odd = saved
		if item == nil {
			p.skip(begin, end)
			p.odd = append(p.odd, comments...)
			continue
		}
		t := item.trivia()
		t.Comments, t.blank, t.joined, t.comma = comments, g.blank, g.joined && begin > 0, g.comma
		b.Items = append(b.Items, item)
		trail = &t.Trail
	}
}

func (b *Body) endsWithAttr() bool {
	if len(b.Items) == 0 {
		return false
	}
	_, ok := b.Items[len(b.Items)-1].(*Attr)
	return ok
}

// skip recovers from an error: it goes on at the next newline, ";" or "}".
// Brackets that pair are passed over as a whole.
func (p *parser) skip(begin, end int) {
	for p.i == begin || p.token().kind != tokNewline {
		t := p.token()
		switch {
		case t.kind == tokEOF || p.i == end:
			return
		case t.kind == tokSeparator && p.is(";"):
			return
		case t.kind == tokClose && p.i != begin:
			return
		case t.kind == tokOpen && p.match[p.i] > p.i:
			p.i = p.match[p.i]
		}
		p.i++
	}
}

// item reads one attribute, block, statement or text; nil after an error
// behind which nothing can be made of it.
func (p *parser) item(s *scope) Item {
	t := p.token()
	switch {
	case (t.kind == tokName || t.kind == tokString) && p.keyAt(p.i) > 0:
		return p.attr(s, p.i, p.keyAt(p.i))
	case !s.executed() && p.labelled(p.i):
		return p.attr(s, p.i+1, p.keyAt(p.i+1))
	case t.kind == tokString || t.kind == tokText:
		return p.clause(s)
	case t.kind == tokName:
		return p.named(s)
	case t.kind == tokClose:
		p.errorAt(p.rangeOf(p.i), "remove it", "this %s closes nothing that was opened here", p.text(p.i))
	case t.kind == tokHole:
		p.errorAt(p.rangeOf(p.i), "fill the template in", "a template hole can only be a value")
	default:
		p.errorAt(p.rangeOf(p.i), "begin with a name or a text in quotes", "%s cannot begin an attribute, a block or a text", p.show(p.i))
	}
	return nil
}

// show is a token for a message.
func (p *parser) show(i int) string {
	text := p.text(i)
	switch {
	case p.kind(i) == tokEOF:
		return "the end of the file"
	case p.kind(i) == tokNewline:
		return "the end of the line"
	case len(text) > 40:
		return "this"
	}
	return "`" + text + "`"
}

// keyAt is the index of the value when an attribute begins at token i, 0 when
// none does: a name or string, perhaps "?", and ":", "=" or ":=".
func (p *parser) keyAt(i int) int {
	i = p.after(i + 1)
	if p.kind(i) == tokOther && p.text(i) == "?" {
		i = p.after(i + 1)
	}
	if p.kind(i) == tokOther {
		switch p.text(i) {
		case ":", "=", ":=":
			return i + 1
		}
	}
	return 0
}

// labelled says that "clause 1.1:" stands at token i, a key of two words.
func (p *parser) labelled(i int) bool {
	return p.kind(i) == tokName && (p.kind(i+1) == tokNumber || p.kind(i+1) == tokVersion) && p.keyAt(i+1) > 0
}

// attr reads an attribute whose key ends at token last, and whose value begins
// at token value.
func (p *parser) attr(s *scope, last, value int) Item {
	a := &Attr{KeyRange: p.rangeOf(p.i), Quoted: p.token().kind == tokString}
	if a.Quoted {
		a.Key = p.scalar(p.i).Text
	} else {
		a.Key = normal(p.text(p.i))
	}
	if last > p.i {
		p.i = last
		a.Key, a.KeyRange.End = a.Key+" "+p.text(last), p.tokens[last].end
	}
	for p.i++; p.i < value; p.i++ {
		if p.token().kind == tokComment {
			p.odd = append(p.odd, p.comment(p.i))
		} else if p.is("?") {
			a.Optional = true
		}
	}
	p.checkKey(s, a)
	return p.valueOf(s, a)
}

// valueOf reads the value of an attribute whose key is read.
func (p *parser) valueOf(s *scope, a *Attr) Item {
	p.comments()
	if next := p.beyond(p.i); p.token().kind == tokNewline && p.kind(next) == tokOpen && p.text(next) != "(" {
		p.skipLines(next)
	}
	executed := s.executed() && !(s.anyNode && !s.attr(a.Key))
	a.Value = p.value(executed, false)
	if a.Value == nil {
		return nil
	}
	a.Range = Range{a.KeyRange.Offset, a.Value.End}
	return a
}

// skipLines goes on at token i, and keeps the comments before it.
func (p *parser) skipLines(i int) {
	for ; p.i < i; p.i++ {
		if p.token().kind == tokComment {
			p.odd = append(p.odd, p.comment(p.i))
		}
	}
}

func (p *parser) clause(s *scope) Item {
	if s.executed() && !s.clauses {
		p.errorAt(p.rangeOf(p.i), "write key: before it", "a text on its own means nothing in %s", s.title)
	}
	c := &Clause{Text: p.scalar(p.i)}
	c.Range = c.Text.Range
	p.i++
	return c
}

// named reads what begins with a name that no colon follows.
func (p *parser) named(s *scope) Item {
	name := normal(p.text(p.i))
	e, known := s.nodes[name]
	if s.executed() && !known && (s.attr(name) && !s.anyNode || contains(s.attrs, name)) {
		return p.missingColon(s, name)
	}
	body := p.words.data
	if known {
		body = e.scope
	} else {
		p.unknown(s, name, p.rangeOf(p.i))
	}
	n := &Node{Head: name, HeadRange: p.rangeOf(p.i)}
	p.i++
	strict := known || s.executed() && !s.anyNode
	p.comments()
	if name == "when" && !p.headEnds(p.i) {
		n.When = p.condition(strict)
	} else {
		p.head(n, s, strict)
	}
	return p.block(n, e, known, body)
}

// block reads the body of a node whose head is read.
func (p *parser) block(n *Node, e entry, known bool, body *scope) Item {
	n.Range = n.HeadRange
	if n.When != nil {
		n.End = n.When.End
	} else if len(n.Atoms) > 0 {
		n.End = n.Atoms[len(n.Atoms)-1].End
	}
	p.comments()
	if next := p.beyond(p.i); p.token().kind == tokNewline && p.kind(next) == tokOpen && p.text(next) == "{" {
		p.skipLines(next)
	}
	if !p.is("{") {
		if known && e.body == always {
			p.errorAt(n.HeadRange, "write `"+e.form(n.Head)+"`", "`%s` needs a block", n.Head)
		}
		return n
	}
	if known && e.bare && len(n.Atoms) > 0 {
		p.errorAt(n.Atoms[0].Range, "write `"+n.Head+" { … }`", "nothing stands between `%s` and its block", n.Head)
	}
	if known && e.body == never {
		p.errorAt(p.rangeOf(p.i), "remove the block", "`%s` takes no block", n.Head)
		body = p.words.data
	}
	n.Body = p.braces(body)
	n.End = n.Body.End
	return n
}

// braces reads a body at its opening brace.
func (p *parser) braces(s *scope) *Body {
	b := &Body{Range: Range{Offset: p.token().start}}
	end := p.match[p.i]
	open := p.i
	p.i++
	p.body(b, s, end)
	b.End = p.token().end
	if p.i == end {
		p.i++
	}
	b.oneLine = !strings.Contains(p.src.Text[p.tokens[open].start:b.End], "\n")
	return b
}

// head reads the atoms of a node. strict heads, those of a contract, hold no
// arguments: "name:" begins an attribute there.
func (p *parser) head(n *Node, s *scope, strict bool) {
	for {
		last := p.tokens[p.i-1].end
		p.comments()
		if p.headEnds(p.i) || s.actions && p.actionBegins(n, s) {
			p.widen(n, last)
			return
		}
		if p.token().kind != tokOpen || !p.is("(") {
			p.widen(n, last)
		}
		a := p.atom(strict)
		if a == nil {
			return
		}
		n.Atoms = append(n.Atoms, a)
	}
}

// widen notes that the source aligned the head: two blanks or more stand
// before the token at hand.
func (p *parser) widen(n *Node, last int) {
	if t := p.token(); t.start-last > 1 && (!p.headEnds(p.i) || t.kind == tokOpen) &&
		strings.Trim(p.src.Text[last:t.start], " \t") == "" {
		n.wide = true
	}
}

func (p *parser) headEnds(i int) bool {
	switch p.kind(i) {
	case tokComment, tokNewline, tokEOF, tokSeparator, tokClose:
		return true
	case tokOpen:
		return p.text(i) == "{"
	}
	return false
}

// actionBegins says that the head before is complete and an action begins: no
// action's head goes on with an action's name behind a text.
func (p *parser) actionBegins(n *Node, s *scope) bool {
	if p.token().kind != tokName {
		return false
	}
	if _, known := s.nodes[normal(p.text(p.i))]; !known {
		return false
	}
	if n.Head == "allow" || n.Head == "simulate" {
		return true
	}
	last := len(n.Atoms) - 1
	return last >= 0 && n.Atoms[last].Kind == KindString
}

// atom reads one piece of a head; nil at its end, or after an error.
func (p *parser) atom(strict bool) *Value {
	t := p.token()
	switch {
	case t.kind == tokName || t.kind == tokString:
		if value := p.keyAt(p.i); value > 0 {
			if strict || t.kind == tokString || !p.argument(p.i, value) {
				return nil
			}
			return p.arg(value)
		}
		p.i++
		return p.scalar(p.i - 1)
	case t.kind == tokArrow:
		p.i++
		return p.leaf(KindArrow, p.i-1, "->")
	case p.signed(p.i) > 0:
		return p.number(p.signed(p.i))
	case t.kind == tokOpen && p.is("[") && p.match[p.i] > p.i:
		return p.list(strict)
	case t.kind == tokOpen && p.is("(") && p.match[p.i] > p.i:
		return p.params()
	case t.kind == tokHole && !strict, t.kind == tokText:
		p.i++
		return p.scalar(p.i - 1)
	}
	p.errorAt(p.rangeOf(p.i), p.fixHead(), "%s cannot stand here", p.show(p.i))
	for !p.headEnds(p.i) {
		if p.match[p.i] > p.i {
			p.i = p.match[p.i]
		}
		p.i++
	}
	return nil
}

func (p *parser) fixHead() string {
	switch p.token().kind {
	case tokOther:
		return "an expression stands behind a colon: write `key: …`"
	case tokWord:
		return "put it in quotes"
	}
	return ""
}

// argument says that "name:scalar" with its value at token i is an argument
// and not the begin of an attribute: a scalar alone stands behind the colon.
func (p *parser) argument(name, i int) bool {
	if p.after(name+1) != i-1 || p.text(i-1) != ":" {
		return false
	}
	end := i + 1
	if n := p.signed(i); n > 0 {
		end = n
	} else if k := p.kind(i); k < tokName || k > tokHole || k == tokRaw {
		return false
	}
	switch p.kind(end) {
	case tokOther:
		return p.signed(end) > 0
	case tokOpen:
		return p.text(end) != "("
	}
	return p.keyAt(i) == 0
}

func (p *parser) arg(value int) *Value {
	v := &Value{Kind: KindArg, Range: p.rangeOf(p.i), Text: normal(p.text(p.i))}
	p.skipLines(value)
	if n := p.signed(p.i); n > 0 {
		v.Arg = p.number(n)
	} else {
		v.Arg = p.scalar(p.i)
		p.i++
	}
	v.End = v.Arg.End
	v.Source = p.src.Slice(v.Range)
	return v
}

// params reads "(…)" and what it returns, none of which is looked into.
func (p *parser) params() *Value {
	v := &Value{Kind: KindParams, Range: p.rangeOf(p.i)}
	v.tight = v.Offset > 0 && p.tokens[p.i-1].end == v.Offset
	p.i = p.match[p.i] + 1
	v.End = p.tokens[p.i-1].end
	arrow := p.after(p.i)
	if name := p.after(arrow + 1); p.kind(arrow) == tokArrow && p.kind(name) == tokName && p.keyAt(name) == 0 {
		p.i = name + 1
		v.End = p.tokens[p.i-1].end
		for p.token().start == v.End && !p.headEnds(p.i) { // List<Text>, Text[], Text?
			if p.token().kind == tokOpen {
				if p.match[p.i] < p.i {
					break
				}
				p.i = p.match[p.i]
			}
			v.End = p.token().end
			p.i++
		}
	}
	v.Source = p.src.Slice(v.Range)
	return v
}
