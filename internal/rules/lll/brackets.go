package lll

import "fmt"

// brackets pairs the opening and closing brackets of a file, and where they do
// not pair finds the most likely culprit.
type brackets struct {
	lex   *lexer
	src   *Source
	match []int // for the token of a bracket that of its partner, else -1
}

// opener is a bracket that waits for its partner.
type opener struct {
	token, indent, line int
}

// pair fills match; false when some bracket has no partner. Brackets that do
// not fit are left alone, so that those around them still pair.
func (b *brackets) pair() bool {
	b.match = make([]int, len(b.lex.tokens))
	for i := range b.match {
		b.match[i] = -1
	}
	var open []int
	sound := true
	for i, t := range b.lex.tokens {
		switch t.kind {
		case tokOpen:
			open = append(open, i)
		case tokClose:
			keep := b.partner(open, i)
			if keep < 0 {
				sound = false
				continue
			}
			sound = sound && keep == len(open)-1
			b.match[i], b.match[open[keep]] = open[keep], i
			open = open[:keep]
		}
	}
	return sound && len(open) == 0
}

// partner is which of the open brackets the closing one at token i closes, -1
// for none. A ")" or "]" looks no further than the block it stands in.
func (b *brackets) partner(open []int, i int) int {
	want := pairs[b.char(i)]
	for k := len(open) - 1; k >= max(0, len(open)-MaxDepth); k-- { // without a bound, strays would make this slow
		c := b.char(open[k])
		if c == want {
			return k
		}
		if c == '{' {
			return -1
		}
	}
	return -1
}

func (b *brackets) char(token int) byte { return b.lex.src[b.lex.tokens[token].start] }

// stray reports the round and square brackets without a partner, which belong
// to their line, and says whether any brace has none.
func (b *brackets) stray() (diags []Diagnostic, braces bool) {
	for i, t := range b.lex.tokens {
		if b.match[i] >= 0 || t.kind != tokOpen && t.kind != tokClose {
			continue
		}
		switch c := b.char(i); {
		case c == '{' || c == '}':
			braces = true
		case len(diags) >= MaxErrors:
		case t.kind == tokClose:
			diags = append(diags, b.extra(i))
		default:
			diags = append(diags, Diagnostic{
				Offset: t.start, End: t.end,
				Message: fmt.Sprintf("this %c is not closed", c),
				Fix:     fmt.Sprintf("write %c where it ends", pairs[c]),
			})
		}
	}
	return diags, braces
}

// suspect names the brace that is most likely missing its partner. Lines are
// indented by people to show what belongs together, so where the indentation
// contradicts the brackets, the brackets are wrong.
func (b *brackets) suspect() Diagnostic {
	var open []opener
	line, indent := 0, 0
	leading := true // nothing but closing brackets stands on the line so far
	fresh := true
	for i, t := range b.lex.tokens {
		switch t.kind {
		case tokNewline, tokComment:
			fresh = fresh || t.kind == tokNewline
			continue
		case tokEOF:
			continue
		}
		if fresh {
			at := b.src.Pos(t.start)
			line, indent, leading, fresh = at.Line, at.Column-1, true, false
			if top := len(open) - 1; top >= 0 && t.kind != tokClose && t.kind != tokOpen && b.char(open[top].token) == '{' && indent <= open[top].indent {
				return b.unclosed(open[top], i)
			}
		}
		switch t.kind {
		case tokOpen:
			open = append(open, opener{token: i, indent: indent, line: line})
		case tokClose:
			d, rest, wrong := b.close(open, i, line, indent, leading)
			if wrong {
				return d
			}
			open = rest
			continue
		}
		leading = false
	}
	if len(open) == 0 {
		return Diagnostic{}
	}
	return b.unclosed(open[len(open)-1], len(b.lex.tokens)-1)
}

// close takes the partner of the closing bracket at token i off the open ones,
// or tells what is wrong.
func (b *brackets) close(open []opener, i, line, indent int, leading bool) (d Diagnostic, rest []opener, wrong bool) {
	if len(open) == 0 {
		return b.extra(i), nil, true
	}
	top := open[len(open)-1]
	if b.char(top.token) != pairs[b.char(i)] {
		tokens := make([]int, len(open))
		for k, o := range open {
			tokens[k] = o.token
		}
		if b.partner(tokens, i) < 0 && !(b.char(top.token) == '{' && len(open) > 1 && b.char(i) != '}' && top.line == line && b.char(open[len(open)-2].token) == pairs[b.char(i)]) {
			return b.extra(i), nil, true
		}
		return b.unclosed(top, i), nil, true
	}
	if top.line != line {
		if !leading || indent > top.indent {
			return b.extra(i), nil, true
		}
		if indent < top.indent {
			return b.unclosed(top, i), nil, true
		}
	}
	return Diagnostic{}, open[:len(open)-1], false
}

func (b *brackets) extra(i int) Diagnostic {
	t := b.lex.tokens[i]
	c := b.char(i)
	return Diagnostic{
		Offset: t.start, End: t.end,
		Message: fmt.Sprintf("this %c closes nothing that was opened here", c),
		Fix:     fmt.Sprintf("remove it, or write the %c that is missing before it", pairs[c]),
	}
}

// unclosed reports the opener where its partner was missed, at token i.
func (b *brackets) unclosed(o opener, i int) Diagnostic {
	t := b.lex.tokens[i]
	c := b.char(o.token)
	opened := b.lex.tokens[o.token].start
	return Diagnostic{
		Offset: t.start, End: t.end,
		Message: fmt.Sprintf("the %c of line %d is not closed before this", c, b.src.Pos(opened).Line),
		Fix:     fmt.Sprintf("write %c where it ends", pairs[c]),
		Notes:   []Note{{Offset: opened, Message: "opened here"}},
	}
}
