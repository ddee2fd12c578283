package trial

import (
	"errors"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// wrong is a mistake in a test block, with its place.
type wrong struct {
	lll.Range
	message, fix string
}

func (w *wrong) Error() string { return w.message }

func wrongAt(at lll.Range, fix, message string) error { return &wrong{at, message, fix} }

// placed gives an error the place that it comes from, unless it has one.
func placed(at lll.Range, err error) error {
	var w *wrong
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &w):
		return err
	case errors.As(err, &f):
		return wrongAt(at, "", f.Detail)
	}
	return err
}

// reading turns what stands in test blocks into values. Expressions may use the
// contract's parameters and now, the time of the trial's clock.
type reading struct {
	scope *expr.Scope
	now   func() time.Time
	real  func(text string) string
}

func newReading(c *contract.Contract, now func() time.Time, real func(string) string) (*reading, error) {
	scope, err := expr.NewScope(expr.ScopeConfig{Place: expr.Constant, Vars: expr.VarNow, Params: c.Params})
	return &reading{scope, now, real}, err
}

// value is what a value of the source holds.
func (r *reading) value(v *lll.Value) (expr.Value, error) {
	if text, ok := v.Plain(); ok {
		return expr.StringValue(r.real(text)), nil
	}
	switch v.Kind {
	case lll.KindNull:
		return expr.Value{}, nil
	case lll.KindObject:
		return r.object(v.Body)
	case lll.KindList:
		items := make([]expr.Value, len(v.List))
		for i, item := range v.List {
			var err error
			if items[i], err = r.value(item); err != nil {
				return expr.Value{}, err
			}
		}
		return expr.ListValue(items...), nil
	case lll.KindName:
		if !strings.Contains(v.Text, ".") && v.Text != "now" {
			return expr.StringValue(v.Text), nil // a word without its quotes
		}
	case lll.KindString:
		return r.text(v)
	}
	return r.expression(v)
}

// text is a text with holes.
func (r *reading) text(v *lll.Value) (expr.Value, error) {
	parts := make([]expr.Part, len(v.Parts))
	for i, p := range v.Parts {
		parts[i] = expr.Part{Text: p.Text, Hole: p.Hole, Source: p.Text, Offset: p.Offset}
	}
	template, errs := expr.CompileText(parts, r.scope)
	if errs != nil {
		return expr.Value{}, firstOf(errs)
	}
	text, err := template.Render(r.input())
	if err != nil {
		return expr.Value{}, wrongAt(v.Range, "", err.Error())
	}
	return expr.StringValue(r.real(text)), nil
}

func (r *reading) expression(v *lll.Value) (expr.Value, error) {
	code, offset := v.Code()
	program, errs := expr.Compile(code, offset, expr.Any, r.scope)
	if errs != nil {
		return expr.Value{}, firstOf(errs)
	}
	value, err := program.Eval(r.input())
	if err != nil {
		return expr.Value{}, wrongAt(v.Range, "", err.Error())
	}
	return value, nil
}

func (r *reading) input() *expr.Input { return expr.Bind(expr.Facts{Now: r.now()}) }

func firstOf(errs expr.Errors) error {
	return wrongAt(lll.Range{Offset: errs[0].Offset, End: errs[0].End}, errs[0].Fix, errs[0].Message)
}

// object is what a block of data holds.
func (r *reading) object(body *lll.Body) (expr.Value, error) {
	members := map[string]expr.Value{}
	if body == nil {
		return expr.MapValue(members), nil
	}
	for _, item := range body.Items {
		var err error
		switch item := item.(type) {
		case *lll.Attr:
			members[item.Key], err = r.value(item.Value)
		case *lll.Node:
			if item.Body == nil || len(item.Atoms) > 0 {
				return expr.Value{}, wrongAt(item.Range, "write "+item.Head+": …", "this is no member of an object")
			}
			members[item.Head], err = r.object(item.Body)
		default:
			return expr.Value{}, wrongAt(item.Span(), "write name: …", "this is no member of an object")
		}
		if err != nil {
			return expr.Value{}, err
		}
	}
	return expr.MapValue(members), nil
}

// plain is a text without holes, or a word.
func plain(v *lll.Value, what string) (string, error) {
	if text, ok := v.Plain(); ok {
		return text, nil
	}
	if v != nil && v.Kind == lll.KindName {
		return v.Text, nil
	}
	at := lll.Range{}
	if v != nil {
		at = v.Range
	}
	return "", wrongAt(at, `write "…"`, what+" is a text")
}

func words(v *lll.Value, what string) ([]string, error) {
	list, ok := v.Words()
	if ok {
		return list, nil
	}
	if v != nil && v.Kind == lll.KindName {
		return []string{v.Text}, nil
	}
	return nil, wrongAt(v.Range, "write [a, b]", what+" is a list of texts")
}
