package older

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/rules/lll"
)

// maxDepth bounds how deep conditions stand in each other.
const maxDepth = 32

// token is a word, number, text, sign, or at the end of the file none of them.
type token struct {
	lll.Range
	kind tokenKind
	text string // of a text what it holds, else as written
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokWord
	tokNumber
	tokText
	tokSign
)

// is says that the token is one of these words, in whatever case, or signs.
func (t token) is(words ...string) bool {
	for _, w := range words {
		if (t.kind == tokWord || t.kind == tokSign) && strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}

// quotes are the pairs in which texts stand.
var quotes = map[rune]rune{'"': '"', '\'': '\'', '“': '”', '‘': '’', '«': '»'}

// signs are those of more than one character before those that begin them.
var signs = []string{"==", "!=", "<>", ">=", "<=", "&&", "||", "=", ">", "<", "(", ")", "[", "]", ",", ";", "!", "≥", "≤", "≠"}

// next reads the next token.
func (r *reader) next() token {
	r.blanks()
	from := r.at
	rest := r.src[from:]
	c, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
		return token{Range: lll.Range{Offset: from, End: from}}
	case quotes[c] != 0:
		return r.text(c, size)
	case c >= '0' && c <= '9' || c == '-' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		return r.take(tokNumber, size+wordLength(rest[size:], "._%+"))
	case unicode.IsLetter(c) || c == '_':
		return r.take(tokWord, size+wordLength(rest[size:], "._-"))
	}
	for _, sign := range signs {
		if strings.HasPrefix(rest, sign) {
			return r.take(tokSign, len(sign))
		}
	}
	r.errorf(lll.Range{Offset: from, End: from + size}, "take it out, or put the text in quotes", "%q has no meaning here", string(c))
	r.at = len(r.src)
	return token{Range: lll.Range{Offset: from, End: from + size}}
}

// take is the token of the next n bytes. Dots behind it end a sentence.
func (r *reader) take(kind tokenKind, n int) token {
	text := r.src[r.at : r.at+n]
	if kind != tokSign {
		text = strings.TrimRight(text, ".")
	}
	t := token{lll.Range{Offset: r.at, End: r.at + len(text)}, kind, text}
	r.at += n
	return t
}

// wordLength is how many bytes of s are letters, digits, or of the others.
func wordLength(s, others string) int {
	for i, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c) && !strings.ContainsRune(others, c) {
			return i
		}
	}
	return len(s)
}

// blanks passes over blanks and comments.
func (r *reader) blanks() {
	for r.at < len(r.src) {
		rest := r.src[r.at:]
		c, size := utf8.DecodeRuneInString(rest)
		switch {
		case strings.HasPrefix(rest, "#") || strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			r.at += end
		case unicode.IsSpace(c):
			r.at += size
		default:
			return
		}
	}
}

// text reads a text, which ends on its line.
func (r *reader) text(open rune, size int) token {
	from := r.at
	line := r.src[from+size:]
	if end := strings.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		c, n := utf8.DecodeRuneInString(line[i:])
		switch {
		case c == quotes[open]:
			r.at = from + size + i + n
			return token{lll.Range{Offset: from, End: r.at}, tokText, b.String()}
		case c == '\\' && i+1 < len(line) && (line[i+1] == '\\' || line[i+1] == '"' || line[i+1] == '\''):
			b.WriteByte(line[i+1])
			i += 2
			continue
		}
		b.WriteString(line[i : i+n])
		i += n
	}
	r.errorf(lll.Range{Offset: from, End: from + size}, "write "+string(quotes[open])+" where it ends", "this text is not closed on its line")
	r.at = len(r.src)
	return token{Range: lll.Range{Offset: from, End: from + size}}
}

// sentences reads a file of rules in words.
func (r *reader) sentences() []*rule {
	s := sentences{r: r}
	s.advance()
	var rules []*rule
	for s.t.kind != tokEnd && !s.failed() {
		if s.t.is(";", ",") {
			s.advance()
			continue
		}
		if one := s.rule(); one != nil {
			rules = append(rules, one)
		}
	}
	return rules
}

// sentences is a parser with one token before it. It ends with the first
// mistake: what follows it is read otherwise than it was meant.
type sentences struct {
	r     *reader
	t     token
	prev  int // where the token before ends
	depth int
}

func (s *sentences) failed() bool { return len(s.r.diagnostics) > 0 }

func (s *sentences) advance() token {
	t := s.t
	s.prev = t.End
	s.t = s.r.next()
	return t
}

// wrong says what is wrong with the token at hand.
func (s *sentences) wrong(fix, format string, args ...any) {
	if !s.failed() {
		s.r.errorf(s.t.Range, fix, format, args...)
	}
}

// shown is the token at hand for messages.
func (s *sentences) shown() string {
	if s.t.kind == tokEnd {
		return "the end of the file"
	}
	return s.r.src[s.t.Offset:s.t.End]
}

const wholeRule = `write when amount > 10000 then reject because "…"`

func (s *sentences) rule() *rule {
	from := s.t.Offset
	if !s.t.is("when", "if") {
		fix := wholeRule
		if near := lll.Nearest(strings.ToLower(s.t.text), []string{"when", "if"}); near != "" {
			fix = "did you mean " + near + "?"
		}
		s.wrong(fix, "a rule begins with when, and here is %s", s.shown())
		return nil
	}
	s.advance()
	one := &rule{when: negated(s.either(), false)}
	if !s.t.is("then") {
		s.wrong(wholeRule, "behind the condition comes then, and here is %s", s.shown())
		return nil
	}
	for more := true; more && !s.failed(); more = s.t.is("and", ",", "then", "&&") {
		s.advance()
		one.then = append(one.then, s.action())
	}
	if s.t.is("because") {
		s.advance()
		if s.t.kind != tokText {
			s.wrong(`write because "…"`, "the reason stands in quotes, and here is %s", s.shown())
			return nil
		}
		one.because = s.advance().text
	}
	one.at = s.r.ended(from, max(from, s.prev))
	return one
}

func (s *sentences) action() action {
	word := strings.ToLower(s.t.text)
	if s.t.kind != tokWord || !contains(actionWords, word) {
		fix := "there is " + strings.Join(actionWords, ", ")
		if near := lll.Nearest(word, actionWords); near != "" {
			fix = "did you mean " + near + "?"
		}
		s.wrong(fix, "%s is nothing that a rule can do", s.shown())
		return action{}
	}
	s.advance()
	a := action{word: word}
	if takesText(word) {
		if s.t.kind != tokText {
			s.wrong("write "+word+` "…"`, "%s is followed by a text in quotes, and here is %s", word, s.shown())
			return a
		}
		a.text = s.advance().text
	}
	return a
}

// either reads conditions with or between them.
func (s *sentences) either() node {
	if s.depth++; s.depth > maxDepth {
		s.wrong("take some brackets out", "conditions stand more than %d deep in each other", maxDepth)
		return nil
	}
	defer func() { s.depth-- }()
	j := &junction{list: []node{s.all()}}
	for s.t.is("or", "||") && !s.failed() {
		s.advance()
		j.list = append(j.list, s.all())
	}
	return j
}

func (s *sentences) all() node {
	j := &junction{and: true, list: []node{s.one()}}
	for s.t.is("and", "&&") && !s.failed() {
		s.advance()
		j.list = append(j.list, s.one())
	}
	return j
}

func (s *sentences) one() node {
	switch {
	case s.t.is("not", "!"):
		not := false
		for s.t.is("not", "!") {
			s.advance()
			not = !not
		}
		if n := s.one(); not {
			return &negation{n}
		} else {
			return n
		}
	case s.t.is("("):
		s.advance()
		n := s.either()
		if !s.t.is(")") {
			s.wrong("write ) where it ends", "a bracket is open, and here is %s", s.shown())
			return n
		}
		s.advance()
		return n
	}
	return s.comparison()
}

// keywords end a comparison.
var keywords = []string{"when", "if", "then", "because", "and", "or", "not", "is", "in", "contains", "exists", "equals"}

func (s *sentences) comparison() node {
	f, ok := s.field()
	if !ok {
		return nil
	}
	c := &comparison{field: f, op: "==", value: value{kind: kindBool, text: "true"}}
	not := false
	switch {
	case s.t.is("exists"):
		s.advance()
		c.op, c.value = "exists", value{}
		return c
	case s.t.is("is"):
		s.advance()
		if s.t.is("not") {
			s.advance()
			not = true
		}
		if !s.t.is("in") {
			c.value = s.value(true)
			break
		}
		fallthrough
	case s.t.is("in"):
		s.advance()
		c.op, c.value = "in", s.list()
	case s.t.is("not"):
		s.advance()
		if !s.t.is("in", "contains") {
			s.wrong("write not in […], or is not", "behind not comes in or contains, and here is %s", s.shown())
			return nil
		}
		not = true
		if s.advance().is("in") {
			c.op, c.value = "in", s.list()
			break
		}
		c.op, c.value = "contains", s.value(true)
	case s.t.is("contains"):
		s.advance()
		c.op, c.value = "contains", s.value(true)
	default:
		op := map[string]string{"=": "==", "==": "==", "equals": "==", "!=": "!=", "<>": "!=", "≠": "!=",
			">": ">", ">=": ">=", "≥": ">=", "<": "<", "<=": "<=", "≤": "<="}[strings.ToLower(s.t.text)]
		if op == "" || s.t.kind == tokText {
			return c // a member that is true
		}
		s.advance()
		c.op, c.value = op, s.value(op == "==" || op == "!=")
	}
	s.checkNull(c)
	if not {
		return &negation{c}
	}
	return c
}

func (s *sentences) checkNull(c *comparison) {
	if c.value.kind == kindNull && c.op != "==" && c.op != "!=" {
		s.wrong("write is null, or is not null", "null is neither more nor less than anything")
	}
}

func (s *sentences) field() (field, bool) {
	if s.t.kind != tokWord || contains(keywords, strings.ToLower(s.t.text)) {
		s.wrong(wholeRule, "a condition begins with the name of a field, and here is %s", s.shown())
		return nil, false
	}
	path := strings.Split(s.t.text, ".")
	if contains(path, "") {
		s.wrong("write one dot between two names", "%s names no field", s.shown())
		return nil, false
	}
	s.advance()
	return fieldOf(path), true
}

// value reads what a field is compared with. A bare word is a text where words
// says so, else the name of a field; with a root it is a field in any case.
func (s *sentences) value(words bool) value {
	t := s.t
	switch {
	case t.kind == tokText:
		s.advance()
		return value{kind: kindText, text: t.text}
	case t.kind == tokNumber:
		return s.number()
	case t.is("true", "false"):
		s.advance()
		return value{kind: kindBool, text: strings.ToLower(t.text)}
	case t.is("null", "nothing"):
		s.advance()
		return value{kind: kindNull}
	case t.kind == tokWord && !contains(keywords, strings.ToLower(t.text)):
		root, _, dotted := strings.Cut(t.text, ".")
		if words && !(dotted && (roots[root] || root == "payload")) {
			s.advance()
			return value{kind: kindText, text: t.text}
		}
		f, _ := s.field()
		return value{kind: kindField, field: f}
	}
	s.wrong("write a number, a text in quotes, or a name", "something to compare with is missing, and here is %s", s.shown())
	return value{}
}

func (s *sentences) number() value {
	text := strings.ReplaceAll(s.t.text, "_", "")
	if _, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64); err != nil || strings.ContainsAny(text, "xXpPiI") {
		s.wrong("write 10000 or 0.5, or put it in quotes", "%s is no number", s.shown())
	}
	s.advance()
	return value{kind: kindNumber, text: text}
}

func (s *sentences) list() value {
	closing := map[string]string{"[": "]", "(": ")"}[s.t.text]
	if s.t.kind != tokSign || closing == "" {
		s.wrong("write in [a, b]", "behind in comes a list, and here is %s", s.shown())
		return value{}
	}
	s.advance()
	out := value{kind: kindList}
	for !s.t.is(closing) && !s.failed() {
		v := s.value(true)
		if v.kind == kindNull {
			s.wrong("write is null beside it", "null stands in no list")
		}
		out.list = append(out.list, v)
		if s.t.is(",") {
			s.advance()
		} else if !s.t.is(closing) {
			s.wrong("write , or "+closing, "a list is open, and here is %s", s.shown())
		}
	}
	s.advance()
	return out
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
