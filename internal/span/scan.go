package span

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the deepest nesting of objects and arrays, the top included.
const maxDepth = 64

// scanner reads I-JSON once, strictly, and writes RFC 8785 as it goes: what
// it appends is canonical, and what it refuses carries its own code and the
// JSON Pointer of the place. It is not safe for concurrent use.
type scanner struct {
	src     []byte
	all     string // src again, for texts that share it; "" until needed
	pos     int
	depth   int
	members []member // of the objects that are open, innermost last
	scratch []byte   // for putting an object's members in order
	room    []byte   // for small objects until their size is known
}

// scanners are those that nobody uses, for their room.
var scanners = sync.Pool{New: func() any { return &scanner{} }}

// newScanner is one that is to be freed.
func newScanner(src []byte) *scanner {
	s := scanners.Get().(*scanner)
	*s = scanner{src: src, members: s.members[:0], scratch: s.scratch, room: s.room}
	return s
}

// free leaves the scanner to whoever comes next. Nothing that it gave is in its
// room. A large room is not kept.
func (s *scanner) free() {
	s.src, s.all = nil, ""
	if cap(s.members) <= 1024 && cap(s.scratch)+cap(s.room) <= 64<<10 {
		scanners.Put(s)
	}
}

// member locates one member of an object in the output buffer.
type member struct {
	name, nameEnd int // the canonical name without its quotes
	start, end    int // the whole `"name":value`
	plain         bool
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek is the next byte after white space, 0 at the end of the input.
func (s *scanner) peek() byte {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c || s.pos >= len(s.src) {
		return s.syntax("expected " + strconv.QuoteRune(rune(c)))
	}
	s.pos++
	return nil
}

func (s *scanner) open() error {
	if s.depth == maxDepth {
		return errTooDeep()
	}
	s.depth++
	s.pos++
	return nil
}

// end fails unless only white space is left.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.src) {
		return errTrailing(s.pos)
	}
	return nil
}

// value appends the canonical form of the next value.
func (s *scanner) value(dst []byte) ([]byte, error) {
	switch c := s.peek(); c {
	case '{':
		return s.object(dst)
	case '[':
		return s.array(dst)
	case '"':
		dst, _, _, err := s.quoted(dst)
		return dst, err
	case 't':
		return s.literal(dst, "true")
	case 'f':
		return s.literal(dst, "false")
	case 'n':
		return s.literal(dst, "null")
	default:
		return s.number(dst)
	}
}

func (s *scanner) literal(dst []byte, word string) ([]byte, error) {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(word)) {
		return nil, s.syntax("expected a value")
	}
	s.pos += len(word)
	return append(dst, word...), nil
}

func (s *scanner) array(dst []byte) ([]byte, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	dst = append(dst, '[')
	if s.peek() == ']' {
		s.pos++
		s.depth--
		return append(dst, ']'), nil
	}
	for i := 0; ; i++ {
		var err error
		if dst, err = s.value(dst); err != nil {
			return nil, within(err, strconv.Itoa(i))
		}
		switch s.peek() {
		case ',':
			s.pos++
			dst = append(dst, ',')
		case ']':
			s.pos++
			s.depth--
			return append(dst, ']'), nil
		default:
			return nil, s.syntax("expected ',' or ']'")
		}
	}
}

func (s *scanner) object(dst []byte) ([]byte, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	at, base, ordered := len(dst), len(s.members), true
	dst = append(dst, '{')
	if s.peek() == '}' {
		s.pos++
		s.depth--
		return append(dst, '}'), nil
	}
	for {
		if s.peek() != '"' {
			return nil, s.syntax("expected a member name")
		}
		m := member{start: len(dst), name: len(dst) + 1}
		var err error
		var name []byte
		if dst, name, m.plain, err = s.quoted(dst); err != nil {
			return nil, err
		}
		m.nameEnd = len(dst) - 1
		if err := s.expect(':'); err != nil {
			return nil, within(err, string(name))
		}
		dst = append(dst, ':')
		if n := len(s.members); n > base && ordered {
			switch order(dst, s.members[n-1], m) {
			case 0:
				return nil, within(errDuplicate(), string(name))
			case 1:
				ordered = false
			}
		}
		if dst, err = s.value(dst); err != nil {
			return nil, within(err, string(name))
		}
		m.end = len(dst)
		if s.members == nil {
			s.members = make([]member, 0, 8)
		}
		s.members = append(s.members, m)
		switch s.peek() {
		case ',':
			s.pos++
			dst = append(dst, ',')
			continue
		case '}':
			s.pos++
			s.depth--
		default:
			return nil, s.syntax("expected ',' or '}'")
		}
		dst = append(dst, '}')
		if !ordered {
			if err := s.reorder(dst, at, s.members[base:]); err != nil {
				return nil, err
			}
		}
		s.members = s.members[:base]
		return dst, nil
	}
}

// reorder sorts the members of the object that starts at dst[at] in place.
func (s *scanner) reorder(dst []byte, at int, ms []member) error {
	slices.SortStableFunc(ms, func(a, b member) int { return order(dst, a, b) })
	for i := 1; i < len(ms); i++ {
		if order(dst, ms[i-1], ms[i]) == 0 {
			return within(errDuplicate(), string(unquote(dst[ms[i].name:ms[i].nameEnd])))
		}
	}
	s.scratch = append(s.scratch[:0], dst[at:]...)
	out := dst[:at+1]
	for i, m := range ms {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, s.scratch[m.start-at:m.end-at]...)
	}
	return nil // the closing brace stands where it stood
}

// order compares two names by UTF-16 code units (RFC 8785 §3.2.3).
func order(dst []byte, a, b member) int {
	x, y := dst[a.name:a.nameEnd], dst[b.name:b.nameEnd]
	if a.plain && b.plain {
		return bytes.Compare(x, y)
	}
	x, y = unquote(x), unquote(y)
	for len(x) > 0 && len(y) > 0 {
		r, n := utf8.DecodeRune(x)
		q, m := utf8.DecodeRune(y)
		if r != q {
			// Beyond the BMP the first unit is a surrogate, 0xd800 to 0xdbff,
			// which sorts below 0xe000 to 0xffff; two such runes compare alike
			// by rune and by units.
			if r > 0xffff && q >= 0xe000 && q <= 0xffff {
				return -1
			}
			if q > 0xffff && r >= 0xe000 && r <= 0xffff {
				return 1
			}
			if r < q {
				return -1
			}
			return 1
		}
		x, y = x[n:], y[m:]
	}
	return cmp.Compare(len(x), len(y))
}

// number appends the ECMAScript form of the next number, behind the guard:
// the magnitude as written may not exceed 2^53-1.
func (s *scanner) number(dst []byte) ([]byte, error) {
	start := s.pos
	integer, ok := s.numberToken()
	if !ok {
		return nil, s.syntax("expected a value")
	}
	tok := s.src[start:s.pos]
	if integer && len(tok) <= 15 { // below 10^15: its digits are its canonical form
		if string(tok) == "-0" {
			tok = tok[1:]
		}
		return append(dst, tok...), nil
	}
	f, err := strconv.ParseFloat(string(tok), 64)
	if err != nil || f > maxSafe || f < -maxSafe || (f == maxSafe || f == -maxSafe) && beyondSafe(tok) {
		return nil, errNumber()
	}
	if f == 0 {
		return append(dst, '0'), nil // -0 too
	}
	return jsontext.AppendFloat(dst, f, 64), nil
}

// maxSafe is the largest integer below which doubles are exact.
const maxSafe = 1<<53 - 1

// beyondSafe reports whether a number that rounds to ±(2^53-1) is written
// with a magnitude above it. Such a number has 16 digits before its point.
func beyondSafe(tok []byte) bool {
	tok = bytes.TrimPrefix(tok, []byte("-"))
	mantissa, _, _ := bytes.Cut(bytes.ToLower(tok), []byte("e"))
	digits := bytes.TrimLeft(bytes.Replace(mantissa, []byte("."), nil, 1), "0")
	const limit = "9007199254740991"
	n := min(len(digits), len(limit))
	if c := bytes.Compare(digits[:n], []byte(limit)[:n]); c != 0 {
		return c > 0
	}
	return len(bytes.Trim(digits[n:], "0")) > 0
}

// numberToken moves over one number of RFC 8259 §6.
func (s *scanner) numberToken() (integer, ok bool) {
	src, i := s.src, s.pos
	digits := func() bool {
		from := i
		for i < len(src) && src[i] >= '0' && src[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(src) && src[i] == '-' {
		i++
	}
	if i < len(src) && src[i] == '0' {
		i++
	} else if !digits() {
		return false, false
	}
	integer = true
	if i < len(src) && src[i] == '.' {
		integer = false
		if i++; !digits() {
			return false, false
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		integer = false
		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if !digits() {
			return false, false
		}
	}
	s.pos = i
	return integer, true
}
