package expr

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Part is a piece of a text: what stands there, or a ${…} hole with the
// expression's source and where that begins in the `.lll` file.
type Part struct {
	Text   string // with its escapes resolved
	Hole   bool
	Source string
	Offset int
}

// Template is a compiled text. It is immutable and safe for concurrent use.
type Template struct {
	texts []string   // what stands before each hole, and after the last
	holes []*Program // one fewer
}

// CompileText compiles the holes of a text. A text without holes needs no
// scope.
func CompileText(parts []Part, scope *Scope) (*Template, Errors) {
	t := &Template{texts: []string{""}}
	var errs Errors
	for _, part := range parts {
		if !part.Hole {
			t.texts[len(t.texts)-1] += part.Text
			continue
		}
		hole, wrong := Compile(part.Source, part.Offset, Any, scope)
		errs = append(errs, wrong...)
		t.holes = append(t.holes, hole)
		t.texts = append(t.texts, "")
	}
	if errs != nil {
		return nil, errs
	}
	return t, nil
}

// Programs are those of the holes, in their order.
func (t *Template) Programs() []*Program { return slices.Clone(t.holes) }

// noValue shows where a hole has no value.
const noValue = "(none)"

// Render gives the text. A hole without a value shows as "(none)", and one that
// fails otherwise as "(error)": the error is then the first one's *EvalError,
// and the text can be used all the same. Text beyond MaxText is cut off, which
// is an error too.
func (t *Template) Render(in *Input) (string, error) {
	if len(t.holes) == 0 {
		return t.texts[0], nil
	}
	var b strings.Builder
	var first error
	for i, hole := range t.holes {
		b.WriteString(t.texts[i])
		v, err := hole.Eval(in)
		switch {
		case err == nil:
			v.render(&b, false)
		case err.(*EvalError).Reason == Missing:
			b.WriteString(noValue)
		default:
			b.WriteString("(error)")
		}
		if err == nil && b.Len() > MaxText {
			err = &EvalError{Reason: TooCostly, Offset: hole.whole.offset, End: hole.whole.end, Message: "the text becomes too long"}
		}
		if first == nil {
			first = err
		}
		if b.Len() > MaxText {
			return cut(b.String()), first
		}
	}
	b.WriteString(t.texts[len(t.holes)])
	return cut(b.String()), first
}

// cut shortens a text to MaxText bytes, at the beginning of a code point.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	n := MaxText - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
