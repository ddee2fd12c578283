package lll

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nameLength is how many bytes of s are a name: identifiers joined by
// ".", "@", "::" and "/", without blanks. 0 when s begins with none.
func nameLength(s string) int {
	n := identifierLength(s, false)
	if n == 0 {
		return 0
	}
	for {
		joint := 1
		switch rest := s[n:]; {
		case strings.HasPrefix(rest, "::"):
			joint = 2
		case strings.HasPrefix(rest, "."), strings.HasPrefix(rest, "@"), strings.HasPrefix(rest, "/"):
		default:
			return n
		}
		length := identifierLength(s[n+joint:], true)
		if length == 0 {
			return n
		}
		n += joint + length
	}
}

// identifierLength is how many bytes of s are an identifier; with digits it
// may begin with one, as what stands behind a joint does.
func identifierLength(s string, digits bool) int {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == '_' || unicode.IsLetter(r):
		case n > 0 && (unicode.IsMark(r) || unicode.IsDigit(r)):
		case n == 0 && digits && r >= '0' && r <= '9':
		case n > 0 && r == '-' && startsLetter(s[n+size:]):
		default:
			return n
		}
		n += size
	}
	return n
}

func startsLetter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r)
}

// normal is a name in NFC, in which equal names are equal bytes.
func normal(name string) string { return norm.NFC.String(name) }

// rawPrefix knows what CEL writes before strings without escapes and bytes.
func rawPrefix(s string) bool {
	switch strings.ToLower(s) {
	case "r", "b", "rb", "br":
		return true
	}
	return false
}

// number reads what begins with a digit: its kind and length.
func number(s string) (tokenKind, int) {
	n := digits(s)
	kind := tokNumber
	if more := fraction(s[n:]); more > 0 {
		n += more
		if patch := fraction(s[n:]); patch > 0 {
			n += patch
			kind = tokVersion
			n += preRelease(s[n:])
		}
	}
	if kind == tokNumber {
		n += exponent(s[n:])
		if unit := identifierTail(s[n:]); unit > 0 {
			if _, ok := units[s[n:n+unit]]; ok {
				return tokDuration, n + unit
			}
		} else if strings.HasPrefix(s[n:], "%") && !startsOperand(s[n+1:]) {
			return tokPercent, n + 1
		}
	}
	if rest := wordTail(s[n:]); rest > 0 {
		return tokWord, n + rest
	}
	return kind, n
}

// digits is the length of digits with single "_" between them.
func digits(s string) int {
	n := 0
	for n < len(s) {
		switch {
		case s[n] >= '0' && s[n] <= '9':
			n++
		case n > 0 && s[n] == '_' && n+1 < len(s) && s[n-1] != '_' && s[n+1] >= '0' && s[n+1] <= '9':
			n++
		default:
			return n
		}
	}
	return n
}

// fraction is the length of "." and digits.
func fraction(s string) int {
	if strings.HasPrefix(s, ".") {
		if n := digits(s[1:]); n > 0 {
			return n + 1
		}
	}
	return 0
}

// exponent is the length of "e", a sign or none, and digits.
func exponent(s string) int {
	if s == "" || (s[0] != 'e' && s[0] != 'E') {
		return 0
	}
	sign := 1
	if len(s) > 1 && (s[1] == '+' || s[1] == '-') {
		sign = 2
	}
	n := digits(s[sign:])
	if n == 0 || identifierTail(s[sign+n:]) > 0 {
		return 0
	}
	return sign + n
}

// preRelease is the length of what follows the three numbers of a version:
// "-rc.1", "+build".
func preRelease(s string) int {
	n := 0
	for n < len(s) && (n == 0 && (s[0] == '-' || s[0] == '+') || n > 0 && (isAlnum(s[n]) || strings.IndexByte("-+.", s[n]) >= 0)) {
		n++
	}
	for n > 0 && !isAlnum(s[n-1]) {
		n--
	}
	return n
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// identifierTail is the length of the characters of an identifier, digits and
// letters alike.
func identifierTail(s string) int {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) {
			break
		}
		n += size
	}
	return n
}

// wordTail is the length of what makes a word of a number: letters, and dots
// between them.
func wordTail(s string) int {
	n := identifierTail(s)
	for {
		if !strings.HasPrefix(s[n:], ".") {
			return n
		}
		more := identifierTail(s[n+1:])
		if more == 0 || n == 0 && s[n+1] >= 'A' {
			return n
		}
		n += 1 + more
	}
}

// startsOperand says that s goes on with a value, so that "10%3" is a
// remainder.
func startsOperand(s string) bool {
	return identifierTail(s) > 0 || strings.HasPrefix(s, "(")
}
