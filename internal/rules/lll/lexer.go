package lll

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of one file, checked before the work that they bound.
const (
	MaxBytes  = 1 << 20 // of source
	MaxTokens = 200_000 // comments and newlines included
	MaxDepth  = 64      // brackets inside each other
)

// maxHoleDepth is how many strings may stand inside each other's holes.
const maxHoleDepth = 8

// lexer cuts a source into tokens and notes what is wrong in them.
type lexer struct {
	src    string
	at     int
	tokens []token
	depth  int
	eol    int // where the line of at ends, once asked for
	broken int // end of the line in which a hole was not closed: no more holes are looked for before it
	diags  []Diagnostic

	unclosed []int // where texts, comments and holes begin that do not end
}

// lex returns the tokens of src, the last of which is tokEOF; false when src
// passes a limit or is no text at all.
func lex(src string) (*lexer, bool) {
	l := &lexer{src: src, eol: -1}
	if len(src) > MaxBytes {
		l.errorf(MaxBytes, MaxBytes, "split it into several files", "the file has %d bytes, and %d are read at most", len(src), MaxBytes)
		return l, false
	}
	for i, r := range src {
		if size := 1; r == utf8.RuneError {
			if _, size = utf8.DecodeRuneInString(src[i:]); size == 1 {
				l.errorf(i, i+1, "save the file as UTF-8", "the file is not UTF-8 text here")
				return l, false
			}
		}
		if r == 0 {
			l.errorf(i, i+1, "", "the file has a zero byte here; it is no text")
			return l, false
		}
	}
	l.at = len(src) - len(strings.TrimPrefix(src, byteOrderMark))
	for l.at < len(src) {
		if !l.next() {
			return l, false
		}
	}
	l.add(tokEOF, len(src))
	return l, true
}

// open reports a token that begins at l.at and does not end.
func (l *lexer) open(length int, fix, format string, args ...any) {
	l.unclosed = append(l.unclosed, l.at)
	l.errorf(l.at, l.at+length, fix, format, args...)
}

func (l *lexer) errorf(start, end int, fix, format string, args ...any) {
	if len(l.diags) < 4*MaxErrors { // enough to sort and cut
		l.diags = append(l.diags, Diagnostic{Offset: start, End: end, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
}

// add ends a token that began at l.at.
func (l *lexer) add(kind tokenKind, end int) {
	l.tokens = append(l.tokens, token{kind: kind, start: l.at, end: end})
	l.at = end
}

// next reads one token or some blanks; false when a limit is passed.
func (l *lexer) next() bool {
	if len(l.tokens) >= MaxTokens {
		l.errorf(l.at, l.at, "split it into several files", "the file has more than %d words and signs", MaxTokens)
		return false
	}
	rest := l.src[l.at:]
	switch c := rest[0]; {
	case c == ' ' || c == '\t':
		l.at++
	case c == '\n':
		l.add(tokNewline, l.at+1)
	case strings.HasPrefix(rest, "\r\n"):
		l.add(tokNewline, l.at+2)
	case c == '#' || strings.HasPrefix(rest, "//"):
		l.comment(lineEnd(l.src, l.at))
	case strings.HasPrefix(rest, "/*"):
		l.blockComment()
	case strings.HasPrefix(rest, `"""`):
		l.text()
	case c == '"' || c == '\'':
		l.string()
	case strings.HasPrefix(rest, "<<'") && l.heredoc():
	case strings.HasPrefix(rest, "{{"):
		l.hole()
	case c >= '0' && c <= '9':
		kind, length := number(rest)
		l.add(kind, l.at+length)
	case c == ',' || c == ';':
		l.add(tokSeparator, l.at+1)
	case c == '{' || c == '[' || c == '(':
		return l.bracket()
	case c == '}' || c == ']' || c == ')':
		l.depth = max(0, l.depth-1)
		l.add(tokClose, l.at+1)
	default:
		l.wordOrSign(rest)
	}
	return true
}

func (l *lexer) bracket() bool {
	l.depth++
	if l.depth > MaxDepth {
		l.errorf(l.at, l.at+1, "nest less", "more than %d brackets stand inside each other here", MaxDepth)
		return false
	}
	l.add(tokOpen, l.at+1)
	return true
}

func (l *lexer) wordOrSign(rest string) {
	if n := nameLength(rest); n > 0 {
		if quote := l.at + n; rawPrefix(rest[:n]) && quote < len(l.src) && (l.src[quote] == '"' || l.src[quote] == '\'') {
			l.raw(quote)
			return
		}
		l.add(tokName, l.at+n)
		return
	}
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case r == '→':
		l.add(tokArrow, l.at+size)
	case unicode.Is(unicode.Zs, r):
		l.at += size
	case r < utf8.RuneSelf && r > ' ' && r != 0x7f, unicode.IsSymbol(r):
		l.sign(rest, size)
	default:
		fix := ""
		switch r {
		case '“', '”', '„', '«', '»':
			fix = `write "`
		case '‘', '’':
			fix = "write '"
		case '\r':
			fix = "end lines as \\n or \\r\\n"
		}
		l.errorf(l.at, l.at+size, fix, "%s has no meaning here", describe(r))
		l.at += size
	}
}

// signs of more than one character; longer ones first.
var signs = []string{":=", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "++", "::", "->"}

func (l *lexer) sign(rest string, size int) {
	for _, s := range signs {
		if strings.HasPrefix(rest, s) {
			size = len(s)
			break
		}
	}
	kind := tokOther
	if rest[:size] == "->" {
		kind = tokArrow
	}
	l.add(kind, l.at+size)
}

func (l *lexer) comment(end int) {
	l.visibleOnly(l.at, end)
	l.add(tokComment, end)
}

func (l *lexer) blockComment() {
	length := strings.Index(l.src[l.at+2:], "*/")
	if length < 0 {
		l.open(2, "write */ where the comment ends", "this comment is not closed")
		l.comment(len(l.src))
		return
	}
	l.comment(l.at + 2 + length + 2)
}

// hole reads {{…}} of a template, which ends on its line.
func (l *lexer) hole() {
	end := l.lineEnd()
	if length := strings.Index(l.src[l.at:end], "}}"); length >= 0 {
		end = l.at + length + 2
	} else {
		l.open(2, "write }} where it ends, or { { for two blocks", "this {{ is not closed on its line")
	}
	l.visibleOnly(l.at, end)
	l.add(tokHole, end)
}

// visibleOnly reports what makes text look different from what it is.
func (l *lexer) visibleOnly(start, end int) {
	for i, r := range l.src[start:end] {
		switch {
		case turnsText(r):
			l.errorf(start+i, start+i+utf8.RuneLen(r), "remove it", "%s here changes the direction of the text that follows, so that people read something else than what is meant", describe(r))
		case r == '\r' && !strings.HasPrefix(l.src[start+i:], "\r\n"), r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			l.errorf(start+i, start+i+1, "remove it", "the control character %s is in the text here", describe(r))
		}
	}
}

// turnsText knows the characters that reorder text on a screen.
func turnsText(r rune) bool {
	return (r >= 0x202A && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069)
}

// describe names a character so that it can be found and told.
func describe(r rune) string {
	if unicode.IsPrint(r) {
		return fmt.Sprintf("%q", string(r))
	}
	return fmt.Sprintf("U+%04X", r)
}

// lineEnd is where the line of l.at ends; it is looked for once a line.
func (l *lexer) lineEnd() int {
	if l.at > l.eol {
		l.eol = lineEnd(l.src, l.at)
	}
	return l.eol
}

// lineEnd is where the line of at ends, its "\n" or "\r\n" excluded.
func lineEnd(src string, at int) int {
	length := strings.IndexByte(src[at:], '\n')
	if length < 0 {
		return len(src)
	}
	end := at + length
	if end > at && src[end-1] == '\r' {
		end--
	}
	return end
}
