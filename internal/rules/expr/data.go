package expr

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseData reads a payload's JSON, at most MaxData bytes and MaxDataDepth
// deep. Null members are left out: to an expression they are absent. The same
// name twice in one object is refused.
func ParseData(src []byte) (Value, error) {
	if len(src) > MaxData {
		return Value{}, fmt.Errorf("the data has more than %d bytes", MaxData)
	}
	r := reader{src: string(src)} // texts are parts of this one copy
	v, err := r.value(0)
	if err == nil && r.peek() != 0 {
		err = r.wrong("something follows")
	}
	if err != nil {
		return Value{}, fmt.Errorf("read the data: %w", err)
	}
	return Value{v}, nil
}

// reader reads JSON (RFC 8259). It is our own because every decision waits for
// it: it makes CEL's values without anything between.
type reader struct {
	src string
	pos int
}

func (r *reader) wrong(what string) error { return fmt.Errorf("%s at byte %d", what, r.pos) }

// peek passes over blanks and gives the next byte, 0 at the end.
func (r *reader) peek() byte {
	for ; r.pos < len(r.src); r.pos++ {
		switch c := r.src[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		case 0:
			return 0xff // no byte that a value begins with
		default:
			return c
		}
	}
	return 0
}

func (r *reader) value(depth int) (ref.Val, error) {
	if depth > MaxDataDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", MaxDataDepth)
	}
	switch c := r.peek(); c {
	case '{':
		return r.object(depth)
	case '[':
		return r.list(depth)
	case '"':
		s, err := r.text()
		return types.String(s), err
	case 't':
		return types.True, r.word("true")
	case 'f':
		return types.False, r.word("false")
	case 'n':
		return types.NullValue, r.word("null")
	default:
		if c == '-' || isDigit(c) {
			return r.number()
		}
	}
	return nil, r.wrong("a value is missing")
}

func (r *reader) word(word string) error {
	if !strings.HasPrefix(r.src[r.pos:], word) {
		return r.wrong("a value is missing")
	}
	r.pos += len(word)
	return nil
}

func (r *reader) list(depth int) (ref.Val, error) {
	items := make([]ref.Val, 0, 4)
	for r.pos++; r.peek() != ']'; {
		if len(items) > 0 {
			if r.peek() != ',' {
				return nil, r.wrong("a comma is missing")
			}
			r.pos++
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	r.pos++
	return newList(items), nil
}

func (r *reader) object(depth int) (ref.Val, error) {
	seen := make([]member, 0, 8) // with those that are null, to find names that stand twice
	sorted, nulls := true, false
	for r.pos++; r.peek() != '}'; {
		if len(seen) > 0 {
			if r.peek() != ',' {
				return nil, r.wrong("a comma is missing")
			}
			r.pos++
		}
		m, err := r.member(depth)
		if err != nil {
			return nil, err
		}
		if n := len(seen); n > 0 && seen[n-1].name >= m.name {
			sorted = false
		}
		nulls = nulls || m.value == types.NullValue
		seen = append(seen, m)
	}
	r.pos++
	if !sorted {
		slices.SortFunc(seen, func(a, b member) int { return cmp.Compare(a.name, b.name) })
		for i := 1; i < len(seen); i++ {
			if seen[i].name == seen[i-1].name {
				return nil, r.wrong("a name stands twice in the object that ends")
			}
		}
	}
	if nulls {
		seen = slices.DeleteFunc(seen, func(m member) bool { return m.value == types.NullValue })
	}
	return &object{seen}, nil
}

func (r *reader) member(depth int) (member, error) {
	if r.peek() != '"' {
		return member{}, r.wrong("a name is missing")
	}
	name, err := r.text()
	if err != nil {
		return member{}, err
	}
	if r.peek() != ':' {
		return member{}, r.wrong("a colon is missing")
	}
	r.pos++
	v, err := r.value(depth + 1)
	return member{name, v}, err
}

// text reads a string from its quote on.
func (r *reader) text() (string, error) {
	from := r.pos
	escaped := false
	for i := from + 1; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			r.pos = i + 1
			return r.unquote(r.src[from:r.pos], escaped)
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			r.pos = i
			return "", r.wrong("a control character stands in a text")
		}
	}
	return "", r.wrong("a text is never closed")
}

func (r *reader) unquote(quoted string, escaped bool) (string, error) {
	if !escaped {
		if s := quoted[1 : len(quoted)-1]; utf8.ValidString(s) {
			return s, nil
		}
		return "", r.wrong("a text that is not UTF-8 ends")
	}
	s, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "", r.wrong("a text with a wrong escape ends")
	}
	return string(s), nil
}

// number reads a number in JSON's form.
func (r *reader) number() (ref.Val, error) {
	from, i := r.pos, r.pos
	digits := func() bool {
		start := i
		for i < len(r.src) && isDigit(r.src[i]) {
			i++
		}
		return i > start
	}
	is := func(c byte) bool { return i < len(r.src) && r.src[i] == c }
	if is('-') {
		i++
	}
	ok := true
	if is('0') {
		i++
	} else {
		ok = digits()
	}
	if ok && is('.') {
		i++
		ok = digits()
	}
	if ok && (is('e') || is('E')) {
		i++
		if is('+') || is('-') {
			i++
		}
		ok = digits()
	}
	f, err := strconv.ParseFloat(r.src[from:i], 64)
	if !ok || err != nil {
		return nil, r.wrong("a number is wrong or too great")
	}
	r.pos = i
	return types.Double(f), nil
}

// AppendJSON appends the value as JSON: durations as LLL writes them and times
// in RFC 3339, both as texts. Members that are null are left out, and an
// identity is its id.
func (v Value) AppendJSON(dst []byte) []byte {
	switch x := v.v.(type) {
	case nil, types.Null:
		return append(dst, "null"...)
	case types.Bool:
		return strconv.AppendBool(dst, bool(x))
	case types.Double:
		return jsontext.AppendFloat(dst, float64(x), 64)
	case types.Timestamp:
		return appendText(dst, x.UTC().Format(time.RFC3339Nano))
	case *object:
		dst = append(dst, '{')
		for i, m := range x.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, m.name), ':')
			dst = Value{m.value}.AppendJSON(dst)
		}
		return append(dst, '}')
	case traits.Lister:
		dst = append(dst, '[')
		for i, item := range v.List() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.AppendJSON(dst)
		}
		return append(dst, ']')
	}
	return appendText(dst, v.String())
}

func appendText(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil { // not UTF-8, which no text of ours is
		return append(dst, `""`...)
	}
	return out
}
