package expr

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseData reads a payload's JSON, at most MaxData bytes and MaxDataDepth
// deep. Null members are left out: to an expression they are absent.
func ParseData(src []byte) (Value, error) {
	if len(src) > MaxData {
		return Value{}, fmt.Errorf("the data has more than %d bytes", MaxData)
	}
	d := jsontext.NewDecoder(bytes.NewReader(src))
	v, err := readValue(d, 0)
	if err != nil {
		return Value{}, fmt.Errorf("read the data: %w", err)
	}
	if _, err := d.ReadToken(); err == nil {
		return Value{}, fmt.Errorf("something follows the data")
	}
	return Value{v}, nil
}

func readValue(d *jsontext.Decoder, depth int) (ref.Val, error) {
	if depth > MaxDataDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", MaxDataDepth)
	}
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return types.NullValue, nil
	case 't', 'f':
		return types.Bool(t.Bool()), nil
	case '"':
		return types.String(t.String()), nil
	case '0':
		f, err := t.Float()
		if err != nil || math.IsInf(f, 0) {
			return nil, fmt.Errorf("a number is too great")
		}
		return types.Double(f), nil
	case '[':
		return readList(d, depth)
	}
	return readObject(d, depth)
}

func readList(d *jsontext.Decoder, depth int) (ref.Val, error) {
	items := []ref.Val{}
	for d.PeekKind() != ']' {
		v, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	_, err := d.ReadToken()
	return newList(items), err
}

func readObject(d *jsontext.Decoder, depth int) (ref.Val, error) {
	o := &object{}
	sorted := true
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.value, err = readValue(d, depth+1); err != nil {
			return nil, err
		}
		if m.value == types.NullValue {
			continue
		}
		if n := len(o.members); n > 0 && o.members[n-1].name > m.name {
			sorted = false
		}
		o.members = append(o.members, m)
	}
	if !sorted {
		slices.SortFunc(o.members, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	}
	_, err := d.ReadToken()
	return o, err
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
