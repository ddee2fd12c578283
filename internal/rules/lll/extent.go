package lll

// extent finds where an expression ends. It knows no grammar of expressions
// but which signs stand between two operands: an operand that follows another
// begins something new.
type extent struct {
	*parser
	strict  bool // in a contract: an operand behind an operand is never a loose word
	head    bool // before a block: loose words go on until its brace
	element bool // in a list: loose words begin with a name

	start   int   // the first token
	at      int   // token to look at
	end     int   // behind the last token of the expression
	want    bool  // an operand is due
	pending []int // the "?" that wait for their ":"
	generic int   // "<" that opened a type's parameters, as in List<Text>
	loose   bool  // words without operators: prose, in data
	sign    int   // the last operator
}

func (x *extent) scan() {
	x.start = x.at
	for {
		taken := false
		switch kind := x.kind(x.at); {
		case kind == tokComment:
			x.at++
			continue
		case kind == tokNewline:
			if !x.goesOn() {
				return
			}
			continue
		case kind == tokOpen:
			taken = x.bracket()
		case kind.operand():
			taken = x.operand()
		case kind == tokArrow:
			taken = !x.strict
			x.want = taken
		case kind == tokOther:
			taken = x.operator()
		}
		if !taken {
			return
		}
		x.at++
		x.end = x.at
	}
}

// goesOn decides at a newline: the expression goes on behind an operator, or
// when the next line begins with one.
func (x *extent) goesOn() bool {
	next := x.beyond(x.at)
	switch {
	case x.end == x.start:
		return false
	case x.want:
		if x.wordSign() || x.strict && x.blockAt(next) {
			return false
		}
	case x.kind(next) == tokOther:
		switch x.text(next) {
		case "&&", "||", "??", "?", "?.", ".", "+", "++":
		case ":":
			if len(x.pending) == 0 {
				return false
			}
		default:
			return false
		}
	case x.kind(next) != tokName || x.keyAt(next) > 0 || x.text(next) != "and" && x.text(next) != "or":
		return false
	}
	x.at = next
	return true
}

// blockAt says that "name {" stands at token i, which no expression of a
// contract goes on with.
func (x *extent) blockAt(i int) bool {
	brace := x.after(i + 1)
	return x.kind(i) == tokName && x.kind(brace) == tokOpen && x.text(brace) == "{"
}

// wordSign says that the last operator belongs to the word before it, in data:
// payment.*, List<Text>, and the end of a sentence.
func (x *extent) wordSign() bool {
	return !x.strict && x.kind(x.sign) == tokOther && len(x.text(x.sign)) == 1 && x.touches(x.sign)
}

// touches says that token i stands right behind another of the expression.
func (x *extent) touches(i int) bool {
	return i > x.start && x.tokens[i-1].end == x.tokens[i].start
}

// bracket takes everything to the partner of a bracket.
func (x *extent) bracket() bool {
	if x.text(x.at) == "{" && !x.want || x.match[x.at] < x.at {
		return false
	}
	x.at = x.match[x.at]
	x.want = false
	return true
}

// operand takes a name or literal, or a name that is an operator.
func (x *extent) operand() bool {
	kind := x.kind(x.at)
	if (kind == tokName || kind == tokString) && x.keyAt(x.at) > 0 && len(x.pending) == 0 {
		return false
	}
	if kind == tokName {
		switch x.text(x.at) {
		case "in", "and", "or":
			if !x.want {
				x.want, x.sign = true, x.at
				return true
			}
		case "not":
			if x.want {
				return true
			}
		}
	}
	if !x.want && !x.looseWord() {
		return false
	}
	x.want = false
	return true
}

// looseWord says that the operand at hand is a loose word: only in data, and only
// when no block begins behind it on the line.
func (x *extent) looseWord() bool {
	if x.strict {
		return false
	}
	if x.head || x.loose {
		return true
	}
	if x.kind(x.start) == tokOpen || x.element && x.kind(x.start) != tokName {
		return false
	}
	for i := x.at; ; i++ {
		switch x.kind(i) {
		case tokNewline, tokEOF, tokSeparator, tokClose:
			x.loose = true
			return true
		case tokName, tokString:
			if x.keyAt(i) > 0 {
				x.loose = true
				return true
			}
		case tokOpen:
			if x.text(i) == "{" || x.match[i] < i {
				return false
			}
			i = x.match[i]
		}
	}
}

// operator takes a sign, unless it ends the expression.
func (x *extent) operator() bool {
	switch sign := x.text(x.at); sign {
	case "=", ":=":
		return false
	case ":":
		if len(x.pending) == 0 {
			return false
		}
		x.pending = x.pending[:len(x.pending)-1]
	case "?":
		if x.want {
			return true
		}
		if !x.strict && x.typeMark() {
			return true
		}
		x.pending = append(x.pending, x.at)
	case "!":
		return x.want
	case "<":
		if !x.strict && x.touches(x.at) && x.tokens[x.at].end == x.tokens[x.at+1].start {
			x.generic++
		}
	case ">":
		if x.generic > 0 && x.touches(x.at) {
			x.generic--
			return true
		}
	}
	x.want, x.sign = true, x.at
	return true
}

// typeMark knows the "?" of an optional type: "Text?".
func (x *extent) typeMark() bool {
	switch x.kind(x.at + 1) {
	case tokNewline, tokEOF, tokSeparator, tokClose, tokComment:
		return true
	}
	return false
}
