package lll

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind tells the kinds of values and atoms apart.
type Kind uint8

// What a Value may be. The last three stand in heads alone.
const (
	KindName     Kind = iota + 1 // Text is the name in NFC; in a contract it may be an expression
	KindString                   // Text is the decoded text with ${…} as written, Parts has the holes apart
	KindText                     // """…""" or a heredoc; Text is what it holds
	KindNumber                   // Text is the number without "_"; see Number and Int
	KindVersion                  // Text is the version
	KindDuration                 // Text is the duration without "_"; see Duration
	KindPercent                  // Text is the percentage without "_"; see Number
	KindBool                     // Text is "true" or "false"
	KindNull                     // null
	KindHole                     // {{…}} of a template; Text is what stands inside
	KindList                     // List
	KindObject                   // Body
	KindTyped                    // Node: "span { … }" as a value
	KindExpr                     // Source alone, for CEL
	KindArrow                    // -> or →
	KindArg                      // name:scalar; Text is the name, Arg the scalar
	KindParams                   // (…) with what it returns; opaque, Source alone
)

// String names the kind for messages.
func (k Kind) String() string {
	names := [...]string{
		"nothing", "a name", "a string", "a text", "a number", "a version", "a duration", "a percentage", "true or false", "null",
		"a template hole", "a list", "an object", "a block", "an expression", "an arrow", "an argument", "parameters",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "?"
}

// Value is the value of an attribute, an element of a list, or an atom of a
// head. Kind says which of the fields count.
type Value struct {
	Range
	Trivia // of an element of a list
	Kind   Kind
	Source string // exactly as written
	Text   string
	Parts  []Part   // KindString: the text cut at its holes; one part where there are none, none for ""
	List   []*Value // KindList
	Tail   []Comment
	Body   *Body  // KindObject
	Node   *Node  // KindTyped
	Arg    *Value // KindArg

	code    string // Source with comments blanked, where there are any
	oneLine bool   // a list that the source had on one line
	tight   bool   // parameters with no blank before them

	loose      bool // read as data, where words may follow each other
	unfinished bool // data that ends behind an operator, and would go on with the next line
}

// Part is a piece of a string: decoded text, or the expression of a hole,
// whose range is what stands between "${" and "}".
type Part struct {
	Range
	Text string
	Hole bool
}

// Code is the value as an expression: the slice of the source, with comments
// in it replaced by as many blanks, and the byte offset where it begins. Any
// value may be asked, for `x: 1` and `x: data.y` are expressions too.
func (v *Value) Code() (text string, offset int) {
	if v.code != "" {
		return v.code, v.Offset
	}
	return v.Source, v.Offset
}

// HasHoles says that the value is a string with ${…} in it.
func (v *Value) HasHoles() bool {
	for _, p := range v.Parts {
		if p.Hole {
			return true
		}
	}
	return false
}

// Plain is the text of a string without holes, or of a multi-line text; false
// for anything else, nil included.
func (v *Value) Plain() (string, bool) {
	if v == nil || v.HasHoles() || (v.Kind != KindString && v.Kind != KindText) {
		return "", false
	}
	return v.Text, true
}

// Strings is the text of a string, or of each string of a list, none of which
// has holes; false for anything else, nil included.
func (v *Value) Strings() ([]string, bool) {
	return v.texts(func(e *Value) (string, bool) { return e.Plain() })
}

// Words is as Strings, and takes names too: [finance, "admin"].
func (v *Value) Words() ([]string, bool) {
	return v.texts(func(e *Value) (string, bool) {
		if e != nil && e.Kind == KindName {
			return e.Text, true
		}
		return e.Plain()
	})
}

func (v *Value) texts(text func(*Value) (string, bool)) ([]string, bool) {
	if v == nil || v.Kind != KindList {
		one, ok := text(v)
		if !ok {
			return nil, false
		}
		return []string{one}, true
	}
	all := make([]string, 0, len(v.List))
	for _, e := range v.List {
		one, ok := text(e)
		if !ok {
			return nil, false
		}
		all = append(all, one)
	}
	return all, true
}

// Bool is the value of true and false; ok is false for anything else, nil
// included.
func (v *Value) Bool() (value, ok bool) {
	if v == nil || v.Kind != KindBool {
		return false, false
	}
	return v.Text == "true", true
}

// Number is the value of a number, or of a percentage divided by 100; false
// for anything else and for what no float64 holds.
func (v *Value) Number() (float64, bool) {
	if v == nil || (v.Kind != KindNumber && v.Kind != KindPercent) {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(v.Text, "%"), 64)
	if v.Kind == KindPercent {
		n /= 100
	}
	return n, err == nil
}

// Int is the value of a number that is whole and was written so; false for
// anything else, nil included.
func (v *Value) Int() (int64, bool) {
	if v == nil || v.Kind != KindNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	return n, err == nil
}

// units of durations; CEL and Go know no days and weeks.
var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// Duration is the value of a duration, to the nanosecond; false for anything
// else, nil included, and beyond 290 years.
func (v *Value) Duration() (time.Duration, bool) {
	if v == nil || v.Kind != KindDuration {
		return 0, false
	}
	number := strings.TrimRight(v.Text, "msdhw")
	unit := units[v.Text[len(number):]]
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		d := time.Duration(n) * unit
		return d, d/unit == time.Duration(n)
	}
	n, err := strconv.ParseFloat(number, 64)
	d := math.Round(n * float64(unit))
	if err != nil || math.Abs(d) >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(d), true
}
