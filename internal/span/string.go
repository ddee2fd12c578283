package span

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// plainRun is the index of the first byte at or after i that a canonical
// string treats specially: quote, backslash, control, or not ASCII; len(b)
// when there is none. Eight bytes at a time: most of what is signed is text.
func plainRun(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// A byte below n borrows from its high bit; a borrow can spill over
		// only into bytes after the first hit.
		hit := (w | (w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// raw moves over the string that starts at s.pos and gives what stands
// between its quotes, checked: valid UTF-8, no control characters, whole
// escapes, paired surrogates, no U+0000.
func (s *scanner) raw() (body []byte, escaped, ascii bool, err error) {
	src := s.src
	start := s.pos + 1
	i := start
	ascii = true
	for {
		if i = plainRun(src, i); i >= len(src) {
			break
		}
		c := src[i]
		switch {
		case c == '"':
			s.pos = i + 1
			return src[start:i], escaped, ascii, nil
		case c == '\\':
			escaped = true
			n, err := s.escape(i)
			if err != nil {
				return nil, false, false, err
			}
			i += n
		case c < ' ':
			s.pos = i
			if c == 0 {
				return nil, false, false, errNul()
			}
			return nil, false, false, s.syntax("a raw control character in a string; escape it")
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, false, errUTF8(i)
			}
			ascii = false
			i += n
		}
	}
	s.pos = len(src)
	return nil, false, false, s.syntax("the string is not closed")
}

// escape is the length of the escape at src[i], a surrogate pair included.
func (s *scanner) escape(i int) (int, error) {
	s.pos = i
	if i+1 >= len(s.src) {
		return 0, s.syntax("the string is not closed")
	}
	switch s.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
	default:
		return 0, s.syntax("an unknown escape in a string")
	}
	u, ok := hex4(s.src, i+2)
	switch {
	case !ok:
		return 0, s.syntax("an escape needs four hexadecimal digits")
	case u == 0:
		return 0, errNul()
	case u >= 0xdc00 && u <= 0xdfff:
		return 0, errSurrogate()
	case u >= 0xd800 && u <= 0xdbff:
		if i+7 >= len(s.src) || s.src[i+6] != '\\' || s.src[i+7] != 'u' {
			return 0, errSurrogate()
		}
		low, ok := hex4(s.src, i+8)
		if !ok || low < 0xdc00 || low > 0xdfff {
			return 0, errSurrogate()
		}
		return 12, nil
	}
	return 6, nil
}

func hex4(src []byte, i int) (u rune, ok bool) {
	if i+4 > len(src) {
		return 0, false
	}
	for _, c := range src[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// quoted appends the canonical form of the next string, quotes included, and
// gives the text it stands for; plain means ASCII without escapes in both.
// The text is valid until the scanner moves on.
func (s *scanner) quoted(dst []byte) (out, text []byte, plain bool, err error) {
	body, escaped, ascii, err := s.raw()
	if err != nil {
		return nil, nil, false, err
	}
	if !escaped { // unescaped and checked: canonical as it stands
		dst = append(dst, '"')
		dst = append(dst, body...)
		return append(dst, '"'), body, ascii, nil
	}
	body = unquote(body)
	return AppendString(dst, string(body)), body, false, nil
}

// unquote resolves the escapes of a checked string body.
func unquote(body []byte) []byte {
	i := 0
	for i < len(body) && body[i] != '\\' {
		i++
	}
	if i == len(body) {
		return body
	}
	out := append(make([]byte, 0, len(body)), body[:i]...)
	for i < len(body) {
		c := body[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		c = body[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(body, i)
			i += 4
			if r >= 0xd800 && r <= 0xdbff {
				low, _ := hex4(body, i+2)
				i += 6
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	return out
}

// AppendString appends s as a canonical JSON string, RFC 8785 §3.2.2.2: only
// quote, backslash and control characters are escaped. s must be valid UTF-8.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	at := len(dst)
	dst = append(dst, s...)
	for i := plainRun(dst, at); i < len(dst); i = plainRun(dst, i+1) {
		if c := dst[i]; c < utf8.RuneSelf { // non-ASCII stands as it is
			return appendEscaped(dst[:i], s[i-at:])
		}
	}
	return append(dst, '"')
}

// appendEscaped appends the rest of a string that holds something to escape,
// and its closing quote.
func appendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
