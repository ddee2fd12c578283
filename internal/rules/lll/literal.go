package lll

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// string reads "…" or '…', which end on their line.
func (l *lexer) string() {
	s := scanner{src: l.src, line: l.lineEnd(), report: l.errorf}
	plain := l.at < l.broken
	end, _, ok := s.string(l.at, plain, 0)
	if s.holesBroken {
		plain, l.broken = true, s.line
	}
	if !ok {
		l.open(1, "write "+l.src[l.at:l.at+1]+" where it ends; longer texts stand between \"\"\" and \"\"\"", "this text is not closed on its line")
	}
	l.visibleOnly(l.at, end)
	l.add(tokString, end)
	l.tokens[len(l.tokens)-1].plain = plain
}

// raw reads a string of CEL without escapes and holes.
func (l *lexer) raw(quote int) {
	line := l.lineEnd()
	end := quote + 1
	for end < line && l.src[end] != l.src[quote] {
		end++
	}
	if end == line {
		l.open(quote+1-l.at, "write "+l.src[quote:quote+1]+" where it ends", "this text is not closed on its line")
	} else {
		end++
	}
	l.visibleOnly(l.at, end)
	l.add(tokRaw, end)
}

// text reads """…""".
func (l *lexer) text() {
	const quotes = `"""`
	length := strings.Index(l.src[l.at+len(quotes):], quotes)
	end := len(l.src)
	if length < 0 {
		l.open(len(quotes), `write """ where it ends`, "this text is not closed")
	} else {
		end = l.at + length + 2*len(quotes)
	}
	l.visibleOnly(l.at, end)
	l.add(tokText, end)
}

// heredoc reads <<'TAG' to TAG>>; false when the source at l.at begins none.
func (l *lexer) heredoc() bool {
	_, begin, tag := heredocHead(l.src[l.at:])
	if tag == "" {
		return false
	}
	for at := l.at + begin; at < len(l.src); {
		line := l.src[at:lineEnd(l.src, at)]
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), tag+">>") {
			end := at + strings.Index(line, tag) + len(tag) + len(">>")
			l.visibleOnly(l.at, end)
			l.add(tokText, end)
			return true
		}
		next := strings.IndexByte(l.src[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	l.open(len("<<'")+len(tag)+1, "write "+tag+">> on a line of its own where it ends", "this text is not closed")
	l.visibleOnly(l.at, len(l.src))
	l.add(tokText, len(l.src))
	return true
}

// heredocHead finds the tag of a heredoc, where its first line ends, and where
// its text begins; tag is "" when s begins none.
func heredocHead(s string) (head, begin int, tag string) {
	rest, ok := strings.CutPrefix(s, "<<'")
	if !ok {
		return 0, 0, ""
	}
	n := identifierLength(rest, false)
	if n == 0 || !strings.HasPrefix(rest[n:], "'") {
		return 0, 0, ""
	}
	head = len("<<'") + n + 1
	line := lineEnd(s, head)
	if strings.TrimLeft(s[head:line], " \t") != "" || line == len(s) {
		return 0, 0, ""
	}
	return head, line + strings.IndexByte(s[line:], '\n') + 1, rest[:n]
}

// textOf is what a multi-line text holds, with "\n" at the ends of its lines.
func textOf(source string) string {
	if _, begin, tag := heredocHead(source); tag != "" {
		source = source[min(begin, len(source)):]
		if end := strings.LastIndex(source, tag+">>"); end >= 0 {
			source = strings.TrimRight(source[:end], " \t")
			source = strings.TrimSuffix(source, "\n")
		}
	} else {
		source = strings.TrimSuffix(strings.TrimPrefix(source, `"""`), `"""`)
	}
	return strings.TrimSuffix(unix(source), "\r")
}

// unix ends lines with "\n".
func unix(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// scanner reads strings with holes in which strings may stand.
type scanner struct {
	src         string
	line        int // where the line ends
	holesBroken bool
	report      func(start, end int, fix, format string, args ...any)
}

// string reads the string whose quote is at start. plain leaves ${ as text. ok
// is false when it is not closed; end is then the end of the line.
func (s *scanner) string(start int, plain bool, depth int) (end int, parts []Part, ok bool) {
	quote := s.src[start]
	var text strings.Builder
	at, from := start+1, start+1
	flush := func() {
		if at > from {
			parts = append(parts, Part{Range: Range{from, at}, Text: text.String()})
			text.Reset()
		}
	}
	for at < s.line {
		c := s.src[at]
		switch {
		case c == quote:
			flush()
			return at + 1, parts, true
		case c == '\\':
			decoded, size := s.escape(at)
			text.WriteString(decoded)
			at += size
		case c == '$' && quote == '"' && !plain && !s.holesBroken && strings.HasPrefix(s.src[at:s.line], "${"):
			code, found := s.hole(at+2, depth)
			if !found {
				continue // as text, from now on
			}
			flush()
			parts = append(parts, Part{Range: Range{at + 2, code}, Text: s.src[at+2 : code], Hole: true})
			at = code + 1
			from = at
		default:
			if c == '$' && quote == '"' {
				s.dollar(at)
			}
			_, size := utf8.DecodeRuneInString(s.src[at:])
			text.WriteString(s.src[at : at+size])
			at += size
		}
	}
	flush()
	return s.line, parts, false
}

// hole finds the "}" of the hole whose code begins at start.
func (s *scanner) hole(start, depth int) (end int, ok bool) {
	var open []byte
	for at := start; at < s.line && depth < maxHoleDepth; at++ {
		switch c := s.src[at]; c {
		case '"', '\'':
			next, _, closed := s.string(at, false, depth+1)
			if !closed || s.holesBroken {
				at = s.line
				break
			}
			at = next - 1
		case '{', '(', '[':
			open = append(open, c)
		case '}', ')', ']':
			if len(open) == 0 && c == '}' {
				if strings.TrimSpace(s.src[start:at]) == "" {
					s.report(start-2, at+1, `write an expression in it, or \${} for the plain text`, "this ${} is empty")
				}
				return at, true
			}
			if len(open) == 0 || open[len(open)-1] != pairs[c] {
				at = s.line
				break
			}
			open = open[:len(open)-1]
		}
	}
	if !s.holesBroken {
		s.holesBroken = true
		s.report(start-2, start, `write } where the expression ends, or \${ for the plain text`, "this ${ is not closed")
	}
	return 0, false
}

// dollar finds a hole without its "{": "$name}".
func (s *scanner) dollar(at int) {
	rest := s.src[at+1 : s.line]
	if !startsLetter(rest) {
		return
	}
	end := strings.IndexAny(rest, `{}"$`)
	if end > 0 && rest[end] == '}' {
		s.report(at, at+1+end+1, "write ${"+rest[:end]+`}, or \$ for a plain dollar`, "a } follows this $ without its {")
	}
}

// escape decodes the backslash sequence at a place, and its length.
func (s *scanner) escape(at int) (string, int) {
	rest := s.src[at+1 : s.line]
	if rest == "" {
		return "", 1
	}
	switch c := rest[0]; c {
	case 'n':
		return "\n", 2
	case 't':
		return "\t", 2
	case 'r':
		return "\r", 2
	case 'b':
		return "\b", 2
	case 'f':
		return "\f", 2
	case '"', '\'', '\\', '/', '$', '`', '?':
		return rest[:1], 2
	case 'u':
		if text, size := unicodeEscape(rest); size > 0 {
			return text, size + 1
		}
	}
	_, size := utf8.DecodeRuneInString(rest)
	s.report(at, at+1+size, `write \\ for a plain backslash`, "\\%s means nothing in a text", rest[:size])
	return s.src[at : at+1+size], 1 + size
}

// unicodeEscape decodes u0041, pairs of surrogates as JSON writes them, and
// u{1F600}; size 0 when it is neither.
func unicodeEscape(s string) (text string, size int) {
	if inner, ok := strings.CutPrefix(s, "u{"); ok {
		digits, _, closed := strings.Cut(inner, "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", 0
		}
		return string(rune(n)), len("u{}") + len(digits)
	}
	unit := func(s string) (rune, bool) {
		if len(s) < 5 || s[0] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(s[1:5], 16, 16)
		return rune(n), err == nil
	}
	first, ok := unit(s)
	if !ok {
		return "", 0
	}
	if first >= 0xD800 && first < 0xDC00 && len(s) > 5 && s[5] == '\\' {
		if second, ok := unit(s[6:]); ok && second >= 0xDC00 && second < 0xE000 {
			return string((first-0xD800)<<10 + (second - 0xDC00) + 0x10000), len("uXXXX\\uXXXX")
		}
	}
	if !utf8.ValidRune(first) {
		return "", 0
	}
	return string(first), 5
}
