package expr

import (
	"encoding/hex"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rewritten is an expression as CEL reads it, with the way back to the source.
type rewritten struct {
	text   string
	pieces []piece           // in order; what lies between two pieces is as in the source
	names  map[string]string // the names that CEL could not read, by what stands for them
}

// piece is a part of the text that stands for other bytes of the source.
type piece struct{ from, to, sourceFrom, sourceTo int }

// source gives the source's bytes for the text's bytes [from,to).
func (r *rewritten) source(from, to int) (int, int) {
	start, _ := r.locate(from)
	last := max(from, to-1)
	end, inPiece := r.locate(last)
	if inPiece != nil {
		return start, inPiece.sourceTo
	}
	return start, end + (max(to, from) - last)
}

// locate gives the source's byte for a byte of the text, and the piece it lies
// in.
func (r *rewritten) locate(at int) (int, *piece) {
	shift := 0
	for i := range r.pieces {
		p := &r.pieces[i]
		if at < p.from {
			break
		}
		if at < p.to {
			return p.sourceFrom, p
		}
		shift = p.sourceTo - p.to
	}
	return at + shift, nil
}

// rewriter turns LLL's literals, words and names into CEL's.
type rewriter struct {
	src    string
	pos    int
	out    strings.Builder
	result rewritten
	errs   Errors // offsets within src
	nots   []int  // how many wait to be closed, by depth of brackets
	opened []int  // where the open brackets stand
	last   lastToken
}

// lastToken is what the token before this one was.
type lastToken uint8

const (
	lastNone    lastToken = iota
	lastOperand           // something that has a value: a name, literal or closing bracket
	lastDot
	lastOperator
)

// rewrite reads src. Its errors have offsets within src.
func rewrite(src string) (*rewritten, Errors) {
	r := rewriter{src: src, nots: []int{0}}
	r.result.names = make(map[string]string)
	for r.pos < len(src) && len(r.errs) == 0 {
		r.token()
	}
	r.closeNots()
	if n := len(r.opened); n > 0 && r.errs == nil {
		at := r.opened[n-1]
		r.fail(at, at+1, "this bracket is never closed", "close it")
	}
	r.result.text = r.out.String()
	return &r.result, r.errs
}

func (r *rewriter) token() {
	rest := r.src[r.pos:]
	c := rest[0]
	switch {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		r.keep(1)
	case strings.HasPrefix(rest, "//") || c == '#':
		r.blank(lineEnd(rest))
	case strings.HasPrefix(rest, "/*"):
		r.comment(rest)
	case c == '"' || c == '\'':
		r.text(0)
	case isDigit(c) && r.last != lastDot:
		r.number()
	default:
		if n := nameLength(rest); n > 0 {
			r.name(n)
			return
		}
		r.operator(rest)
	}
}

// keep copies n bytes.
func (r *rewriter) keep(n int) {
	r.out.WriteString(r.src[r.pos : r.pos+n])
	r.pos += n
}

// replace writes other text for n bytes.
func (r *rewriter) replace(n int, text string) {
	from := r.out.Len()
	r.out.WriteString(text)
	r.result.pieces = append(r.result.pieces, piece{from, r.out.Len(), r.pos, r.pos + n})
	r.pos += n
}

// insert writes text that stands for nothing.
func (r *rewriter) insert(text string) { r.replace(0, text) }

// blank writes blanks for a comment of n bytes.
func (r *rewriter) blank(n int) { r.replace(n, " ") }

func (r *rewriter) fail(from, to int, message, fix string) {
	r.errs = append(r.errs, Error{from, to, message, fix})
}

func (r *rewriter) comment(rest string) {
	n := strings.Index(rest[2:], "*/")
	if n < 0 {
		r.fail(r.pos, r.pos+2, "the comment is never closed", "close it with */")
		return
	}
	r.blank(n + 4)
}

// text copies a string that begins after a prefix of n bytes (r).
func (r *rewriter) text(prefix int) {
	rest := r.src[r.pos+prefix:]
	n := stringLength(rest, prefix > 0)
	if n < 0 {
		r.fail(r.pos, len(r.src), "the text is never closed", "close it with "+rest[:1])
		return
	}
	r.keep(prefix + n)
	r.last = lastOperand
}

// stringLength is the length of the string literal that s begins with, -1 when
// it is not closed.
func stringLength(s string, raw bool) int {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = s[:3]
	}
	for i := len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		case s[i] == '\n' && len(quote) == 1:
			return -1
		}
	}
	return -1
}

// name handles a name, a word that is an operator, or the prefix of a string.
func (r *rewriter) name(n int) {
	word := r.src[r.pos : r.pos+n]
	if r.last == lastDot {
		r.member(word)
		return
	}
	if next := r.src[r.pos+n:]; next != "" && (next[0] == '"' || next[0] == '\'') {
		r.prefixed(word)
		return
	}
	switch word {
	case "and":
		r.closeNots()
		r.replace(n, "&&")
		r.last = lastOperator
	case "or":
		r.closeNots()
		r.replace(n, "||")
		r.last = lastOperator
	case "not":
		r.not(n)
	case "in":
		r.keep(n)
		r.last = lastOperator
	default:
		r.keepName(word)
		r.last = lastOperand
	}
}

// member handles a name after a dot, where no word is reserved.
func (r *rewriter) member(word string) {
	switch word {
	case "in", "true", "false", "null":
		r.standIn(word)
	default:
		r.keepName(word)
	}
	r.last = lastOperand
}

func (r *rewriter) keepName(word string) {
	for i := range len(word) {
		if word[i] >= utf8.RuneSelf {
			r.standIn(word)
			return
		}
	}
	r.keep(len(word))
}

// standIn writes a name of ASCII letters for one that CEL cannot read.
func (r *rewriter) standIn(word string) {
	name := "lll_" + hex.EncodeToString([]byte(word))
	r.result.names[name] = word
	r.replace(len(word), name)
}

func (r *rewriter) prefixed(word string) {
	if word == "r" || word == "R" {
		r.text(1)
		return
	}
	r.fail(r.pos, r.pos+len(word), "there is no "+word+"\"…\" here", "leave out the "+word)
}

// not opens a bracket that closes where its operand ends: `not a == b` is
// !(a == b).
func (r *rewriter) not(n int) {
	if r.last == lastOperand {
		r.fail(r.pos, r.pos+n, "\"not\" stands before what it denies", "write not (x in y)")
		return
	}
	r.replace(n, "!(")
	r.nots[len(r.nots)-1]++
	r.last = lastOperator
}

// closeNots closes the brackets of the nots of this depth.
func (r *rewriter) closeNots() {
	if last := &r.nots[len(r.nots)-1]; *last > 0 {
		r.insert(strings.Repeat(")", *last))
		*last = 0
	}
}

func (r *rewriter) operator(rest string) {
	two := rest[:min(2, len(rest))]
	switch {
	case two == "{{":
		r.fail(r.pos, r.pos+2, two+" is the hole of a template, which nothing runs", "write the expression itself")
		return
	case two == "??":
		r.fail(r.pos, r.pos+2, "there is no ?? here", "write has(data.x) ? data.x : 0")
		return
	case two == "++":
		r.fail(r.pos, r.pos+2, "there is no ++ here", "write +")
		return
	case two == "&&" || two == "||":
		r.closeNots()
		r.keep(2)
		r.last = lastOperator
		return
	case two == "==" || two == "!=" || two == "<=" || two == ">=":
		r.keep(2)
		r.last = lastOperator
		return
	}
	r.sign(rest)
}

// sign handles an operator of one character.
func (r *rewriter) sign(rest string) {
	switch c := rest[0]; c {
	case '(', '[', '{':
		r.opened = append(r.opened, r.pos)
		r.keep(1)
		r.nots = append(r.nots, 0)
		r.last = lastNone
	case ')', ']', '}':
		r.closeNots()
		if n := len(r.opened); n > 0 {
			r.opened, r.nots = r.opened[:n-1], r.nots[:n]
		}
		r.keep(1)
		r.last = lastOperand
	case ',', '?', ':':
		r.closeNots()
		r.keep(1)
		r.last = lastOperator
	case '.':
		r.keep(1)
		r.last = lastDot
	case '<', '>', '+', '-', '*', '/', '%', '!':
		r.keep(1)
		r.last = lastOperator
	case '=':
		r.fail(r.pos, r.pos+1, "one = compares nothing", "write ==")
	case '&', '|':
		r.fail(r.pos, r.pos+1, string(c)+" is no operator", "write "+string(c)+string(c))
	default:
		_, n := utf8.DecodeRuneInString(rest)
		r.fail(r.pos, r.pos+n, "this character has no meaning in an expression", "")
	}
}

func (r *rewriter) number() {
	rest := r.src[r.pos:]
	r.last = lastOperand
	if len(rest) > 1 && rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X') {
		n := 2
		for n < len(rest) && isHex(rest[n]) {
			n++
		}
		r.keep(n)
		return
	}
	n := numberLength(rest)
	digits := strings.ReplaceAll(rest[:n], "_", "")
	if n < len(rest)-1 && rest[n] == '.' && isDigit(rest[n+1]) {
		r.fail(r.pos, r.pos+n+1+digitsLength(rest[n+1:]), "a version is no number", "put it in quotes")
		return
	}
	unit := nameLength(rest[n:])
	switch {
	case unit > 0:
		r.duration(digits, n, rest[n:n+unit])
	case strings.HasPrefix(rest[n:], "%") && !isModulo(rest[n+1:]):
		r.percent(digits, n+1)
	case digits != rest[:n]:
		r.replace(n, digits)
	default:
		r.keep(n)
	}
}

// isModulo says that what follows a % is its right operand, so that 10%3 is a
// remainder and not ten per cent.
func isModulo(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	if rest == "" {
		return false
	}
	if n := nameLength(rest); n > 0 {
		word := rest[:n]
		return word != "and" && word != "or" && word != "in"
	}
	return isDigit(rest[0]) || strings.IndexByte("\"'([", rest[0]) >= 0
}

func (r *rewriter) percent(digits string, n int) {
	if strings.ContainsAny(digits, "eE") {
		r.fail(r.pos, r.pos+n, "a percentage has no exponent", "write the number itself")
		return
	}
	r.replace(n, digits+"e-2")
}

// units are those of durations, in nanoseconds.
var units = map[string]int64{
	"ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9, "d": 24 * 3600e9, "w": 7 * 24 * 3600e9,
}

func (r *rewriter) duration(digits string, n int, unit string) {
	from, to := r.pos, r.pos+n+len(unit)
	size, ok := units[unit]
	if !ok {
		r.fail(from, to, "a number is followed by no "+quote(unit), "durations end in ms, s, m, h, d or w, one unit each")
		return
	}
	value, ok := new(big.Rat).SetString(digits)
	if !ok || strings.ContainsAny(digits, "eE") {
		r.fail(from, to, "this is no duration", "write a number and one of ms, s, m, h, d, w")
		return
	}
	value.Mul(value, new(big.Rat).SetInt64(size))
	if !value.IsInt() || !value.Num().IsInt64() {
		r.fail(from, to, "the duration is finer than a nanosecond or longer than 292 years", "write another")
		return
	}
	r.replace(n+len(unit), "duration(\""+value.Num().String()+"ns\")")
}

func numberLength(s string) int {
	n := digitsLength(s)
	if n < len(s)-1 && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + digitsLength(s[n+1:])
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		sign := n + 1
		if sign < len(s) && (s[sign] == '+' || s[sign] == '-') {
			sign++
		}
		if sign < len(s) && isDigit(s[sign]) {
			n = sign + digitsLength(s[sign:])
		}
	}
	return n
}

// digitsLength counts digits with underscores between them.
func digitsLength(s string) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n] == '_' && n+1 < len(s) && isDigit(s[n+1])) {
		n++
	}
	return n
}

// nameLength is the length of the name that s begins with, 0 for none.
func nameLength(s string) int {
	n := 0
	for i, c := range s {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c) && !unicode.IsMark(c)) {
			break
		}
		n = i + utf8.RuneLen(c)
	}
	return n
}

func lineEnd(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n
	}
	return len(s)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func quote(s string) string { return "\"" + s + "\"" }
