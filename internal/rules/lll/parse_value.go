package lll

import "strings"

// value reads the value of an attribute or an element of a list. strict is for
// what is executed: no blocks as values, no loose words; element for what stands
// in a list. nil after an error.
func (p *parser) value(strict, element bool) *Value {
	if !strict && p.typed(p.i) {
		n := &Node{Head: normal(p.text(p.i)), HeadRange: p.rangeOf(p.i)}
		p.i++
		p.head(n, p.words.data, false)
		p.block(n, entry{}, false, p.words.data)
		return &Value{Kind: KindTyped, Range: n.Range, Source: p.src.Slice(n.Range), Node: n}
	}
	x := extent{parser: p, strict: strict, element: element, at: p.i, end: p.i, want: true}
	return p.expression(&x)
}

// condition reads the expression of "when EXPR {".
func (p *parser) condition(strict bool) *Value {
	x := extent{parser: p, strict: strict, head: true, at: p.i, end: p.i, want: true}
	return p.expression(&x)
}

// typed says that "name atoms {" stands at token i. Arguments are told from
// the attributes that follow on a line by having no blanks.
func (p *parser) typed(i int) bool {
	if p.kind(i) != tokName || p.keyAt(i) > 0 {
		return false
	}
	for i++; ; {
		i = p.after(i)
		switch p.kind(i) {
		case tokName, tokString:
			value := p.keyAt(i)
			if value == 0 {
				i++
				continue
			}
			if p.tokens[i].end+1 != p.tokens[value].start || !p.argument(i, value) || p.kind(i) != tokName {
				return false
			}
			i = max(value+1, p.signed(value))
		case tokOpen:
			if p.text(i) == "{" {
				return p.match[i] > i
			}
			if p.match[i] < i {
				return false
			}
			i = p.match[i] + 1
		case tokArrow, tokHole, tokText:
			i++
		default:
			next := p.signed(i)
			if next == 0 {
				return false
			}
			i = next
		}
	}
}

// expression reads the longest run of tokens that is an expression, and says
// what it is: a scalar, a list, an object, or an expression proper.
func (p *parser) expression(x *extent) *Value {
	start := x.at
	x.scan()
	if x.end == start {
		p.noValue(x.strict)
		return nil
	}
	p.checkExpression(x, start)
	p.i = x.end
	v := p.classify(start, x.end, x.strict)
	v.loose, v.unfinished = !x.strict, v.Kind != KindPercent && (x.want && !x.wordSign() || len(x.pending) > 0)
	return v
}

// classify makes a value of the tokens start to end.
func (p *parser) classify(start, end int, strict bool) *Value {
	switch {
	case p.kind(start) == tokOpen && p.match[start] == end-1 && p.text(start) == "[":
		p.i = start
		return p.list(strict)
	case p.kind(start) == tokOpen && p.match[start] == end-1 && p.text(start) == "{":
		return p.object(start, strict)
	case p.signed(start) == end:
		p.i = start
		return p.number(end)
	case !strict && p.isShare(start, end):
		v := p.leaf(KindPercent, start, "")
		v.Range.End = p.tokens[end-1].end
		v.Source = p.src.Slice(v.Range)
		v.Text = strings.ReplaceAll(v.Source, "_", "")
		p.i = end
		return v
	case end == start+1 && p.kind(start) != tokRaw && p.kind(start) != tokWord && p.kind(start) != tokOther && p.kind(start) != tokArrow:
		return p.scalar(start)
	}
	return p.expr(start, end)
}

func (p *parser) checkExpression(x *extent, start int) {
	if !x.strict {
		return
	}
	for i := start; i < x.end; i++ {
		if p.kind(i) == tokHole {
			p.errorAt(p.rangeOf(i), "fill the template in", "a template hole cannot be executed")
		}
	}
	last := p.rangeOf(x.end - 1)
	switch {
	case len(x.pending) > 0:
		p.errorAt(p.rangeOf(x.pending[len(x.pending)-1]), "write `condition ? value : value`", "no `:` follows this `?`")
	case x.want && p.text(x.end-1) == "*" && p.tokens[x.end-2].end == last.Offset:
		at := Range{p.tokens[start].start, last.End}
		p.errorAt(at, "write `\""+p.src.Slice(at)+"\"`", "a pattern stands in quotes")
	case x.want:
		p.errorAt(last, "write what comes after it", "the expression ends behind %s", p.show(x.end-1))
	}
}

// noValue reports what stands where a value should.
func (p *parser) noValue(strict bool) {
	t := p.token()
	at := p.rangeOf(p.i)
	switch {
	case t.kind == tokNewline || t.kind == tokEOF || t.kind == tokSeparator || t.kind == tokClose:
		before := p.rangeOf(max(0, p.i-1))
		p.errorAt(Range{before.End - 1, before.End}, "write the value on the same line", "a value is missing here")
	case (t.kind == tokName || t.kind == tokString) && strict && p.keyAt(p.i) > 0 && p.text(p.keyAt(p.i)-1) == "=":
		p.errorAt(p.rangeOf(p.keyAt(p.i)-1), "write == to compare", "= compares nothing")
		p.i = p.keyAt(p.i)
	case t.kind == tokName || t.kind == tokString:
		p.errorAt(at, "write the value on the same line, a list of keys as { key: value }", "a value is missing before %s", p.show(p.i))
	case t.kind == tokOpen:
		p.errorAt(at, "write "+string(pairs[p.src.Text[t.start]])+" where it ends", "this %s is not closed", p.text(p.i))
	default:
		p.errorAt(at, "put a text in quotes", "%s cannot begin a value", p.show(p.i))
	}
}

// list reads "[…]" at its opening bracket, which has a partner.
func (p *parser) list(strict bool) *Value {
	open, end := p.i, p.match[p.i]
	v := &Value{Kind: KindList, Range: Range{p.tokens[open].start, p.tokens[end].end}}
	v.Source = p.src.Slice(v.Range)
	v.oneLine = !strings.Contains(v.Source, "\n")
	p.i++
	saved := p.odd
	var opening []Comment // on the line of the bracket
	trail := &opening
	for {
		g := p.gap(trail)
		if p.i >= end {
			v.Tail = g.comments
			break
		}
		if opening != nil {
			g.comments, opening = append(opening, g.comments...), nil
		}
		p.odd = g.comments
		begin := p.i
		e := p.value(strict, true)
		if e == nil {
			p.skipElement(begin, end)
			saved = append(saved, p.odd...)
			continue
		}
		e.Comments, e.blank = p.odd, g.blank
		v.List = append(v.List, e)
		trail = &e.Trail
	}
	v.Tail = append(opening, v.Tail...)
	p.odd = saved
	p.i = end + 1
	return v
}

// skipElement goes on behind an element that cannot be read.
func (p *parser) skipElement(begin, end int) {
	for p.i < end && (p.i == begin || p.token().kind != tokSeparator && p.token().kind != tokNewline) {
		if p.match[p.i] > p.i {
			p.i = p.match[p.i]
		}
		p.i++
	}
}

// object reads "{…}" whose opening brace is token open.
func (p *parser) object(open int, strict bool) *Value {
	p.i = open
	s := p.words.data
	if strict {
		s = p.words.object
	}
	b := p.braces(s)
	return &Value{Kind: KindObject, Range: b.Range, Source: p.src.Slice(b.Range), Body: b}
}

// expr is an expression proper: tokens start to end, as they stand.
func (p *parser) expr(start, end int) *Value {
	v := &Value{Kind: KindExpr, Range: Range{p.tokens[start].start, p.tokens[end-1].end}}
	v.Source = p.src.Slice(v.Range)
	v.Text = v.Source
	code, blanked := []byte(v.Source), false
	for i := start; i < end; i++ {
		if p.kind(i) != tokComment {
			continue
		}
		for k := p.tokens[i].start; k < p.tokens[i].end; k++ {
			if c := p.src.Text[k]; c != '\n' && c != '\r' {
				code[k-v.Offset] = ' '
			}
		}
		blanked = true
	}
	if blanked {
		v.code = string(code)
	}
	return v
}

// signed is the index behind the number, duration or percentage at token i,
// its sign included; 0 when there is none.
func (p *parser) signed(i int) int {
	if p.kind(i) == tokVersion {
		return i + 1
	}
	if p.kind(i) == tokOther && (p.text(i) == "-" || p.text(i) == "+") && p.tokens[i].end == p.tokens[i+1].start {
		i++
	}
	switch p.kind(i) {
	case tokNumber, tokDuration, tokPercent:
		return i + 1
	}
	return 0
}

// isShare says that tokens are a number, with a sign or none, and a % right behind
// it, which was read as an operator because a key follows without a blank.
func (p *parser) isShare(start, end int) bool {
	return end-start >= 2 && p.signed(start) == end-1 && p.kind(end-2) == tokNumber && p.text(end-1) == "%" && p.tokens[end-2].end == p.tokens[end-1].start
}

var numberKinds = map[tokenKind]Kind{tokNumber: KindNumber, tokVersion: KindVersion, tokDuration: KindDuration, tokPercent: KindPercent}

// number reads what signed found.
func (p *parser) number(end int) *Value {
	v := &Value{Kind: numberKinds[p.kind(end-1)], Range: Range{p.token().start, p.tokens[end-1].end}}
	v.Source = p.src.Slice(v.Range)
	v.Text = v.Source
	if v.Kind != KindVersion {
		v.Text = strings.ReplaceAll(v.Source, "_", "")
	}
	p.i = end
	return v
}

// leaf is a value of one token.
func (p *parser) leaf(kind Kind, i int, text string) *Value {
	return &Value{Kind: kind, Range: p.rangeOf(i), Source: p.text(i), Text: text}
}

// scalar is the value of token i.
func (p *parser) scalar(i int) *Value {
	text := p.text(i)
	switch p.kind(i) {
	case tokName:
		switch text {
		case "true", "false":
			return p.leaf(KindBool, i, text)
		case "null":
			return p.leaf(KindNull, i, text)
		}
		return p.leaf(KindName, i, normal(text))
	case tokString:
		return p.stringValue(i)
	case tokText:
		return p.leaf(KindText, i, textOf(text))
	case tokHole:
		return p.leaf(KindHole, i, strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "{{"), "}}")))
	case tokNumber, tokVersion, tokDuration, tokPercent:
		v := p.leaf(numberKinds[p.kind(i)], i, text)
		if v.Kind != KindVersion {
			v.Text = strings.ReplaceAll(text, "_", "")
		}
		return v
	}
	return p.leaf(KindExpr, i, text)
}

func (p *parser) stringValue(i int) *Value {
	v := p.leaf(KindString, i, "")
	t := p.tokens[i]
	s := scanner{src: p.src.Text, line: t.end, report: func(int, int, string, string, ...any) {}}
	_, v.Parts, _ = s.string(t.start, t.plain, 0)
	var text strings.Builder
	for _, part := range v.Parts {
		if part.Hole {
			text.WriteString("${" + part.Text + "}")
		} else {
			text.WriteString(part.Text)
		}
	}
	v.Text = text.String()
	return v
}
