package jsonl

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/itchyny/gojq"

	"github.com/danvoulez/logline/internal/span"
)

// maxSteps and maxRecordSteps bound the work of finding the records of a line,
// and on each record, in instructions of the expressions' machine: counted
// instead of timed, so that a line is accepted or rejected the same way on every
// machine.
const (
	maxSteps       = 5_000_000
	maxRecordSteps = 500_000
)

// errSteps is what an expression ends with that does too much.
var errSteps = errors.New("the expression does not come to an end in time")

// prelude takes away what would make one record two different spans on two
// runs, or end the program. Functions that read files, the environment or
// further input are not given to expressions in the first place.
const prelude = `
def now: error("now is not available: a record must give the same span on every run");
def localtime: error("localtime is not available: it depends on the machine");
def strflocaltime($f): error("strflocaltime is not available: it depends on the machine");
def halt: error("halt is not available");
def halt_error: error("halt_error is not available");
def halt_error($code): error("halt_error is not available");
def input_filename: error("input_filename is not available");
.`

// expr is one compiled expression.
type expr struct{ code *gojq.Code }

// compile reads an expression. The error says where in it something is wrong.
func compile(src string) (*expr, error) {
	query, err := gojq.Parse(src)
	if err != nil {
		var parse *gojq.ParseError
		if errors.As(err, &parse) {
			return nil, fmt.Errorf("%v at byte %d of the expression", printable(err.Error()), parse.Offset)
		}
		return nil, err
	}
	head, err := gojq.Parse(prelude)
	if err != nil {
		return nil, err
	}
	query.FuncDefs = append(head.FuncDefs, query.FuncDefs...)
	code, err := gojq.Compile(query,
		gojq.WithFunction("totype", 0, 0, func(v any, _ []any) any { return toType(v) }),
		gojq.WithFunction("totime", 0, 0, func(v any, _ []any) any { return toTime(v) }),
		gojq.WithFunction("digest", 0, 0, func(v any, _ []any) any { return digest(v) }),
	)
	if err != nil {
		return nil, errors.New(printable(err.Error()))
	}
	return &expr{code}, nil
}

// one gives the only output, nil for none. The context is a budget (see spend).
func (e *expr) one(ctx context.Context, v any) (any, error) {
	out := e.code.RunWithContext(ctx, v)
	value, ok := out.Next()
	if !ok {
		return nil, nil
	}
	if err, failed := value.(error); failed {
		return nil, evalError(err)
	}
	if second, more := out.Next(); more {
		if err, failed := second.(error); failed {
			return nil, evalError(err)
		}
		return nil, errors.New("the expression gives more than one value; write [...] for a list, or first(...)")
	}
	return value, nil
}

// each calls f for every output until it fails.
func (e *expr) each(ctx context.Context, v any, f func(any) error) error {
	out := e.code.RunWithContext(ctx, v)
	for {
		value, ok := out.Next()
		if !ok {
			return nil
		}
		if err, failed := value.(error); failed {
			return evalError(err)
		}
		if err := f(value); err != nil {
			return err
		}
	}
}

func evalError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errSteps) {
		return err
	}
	return errors.New(printable(err.Error()))
}

// budget is a context that ends after so many looks at it: the machine looks
// once for each instruction. For one goroutine.
type budget struct {
	context.Context
	left  int
	spent chan struct{} // closed when nothing is left
}

func spend(ctx context.Context, steps int) *budget {
	return &budget{Context: ctx, left: steps, spent: make(chan struct{})}
}

// Done counts a step. The real context is looked at now and then.
func (b *budget) Done() <-chan struct{} {
	const often = 1024
	if b.left--; b.left > 0 {
		if b.left%often == 0 {
			return b.Context.Done()
		}
		return nil
	}
	if b.left == 0 {
		close(b.spent)
	}
	return b.spent
}

// Err is why Done's channel is closed.
func (b *budget) Err() error {
	if err := b.Context.Err(); err != nil {
		return err
	}
	if b.left <= 0 {
		return errSteps
	}
	return nil
}

// toType makes a type of text: lower-case, a new word at each capital
// (RebootDBInstance: reboot_db_instance), dots kept, anything else a "_".
// Nothing usable gives null.
func toType(v any) any {
	s, ok := v.(string)
	if !ok {
		if v == nil {
			return nil
		}
		return fmt.Errorf("totype takes text, not %s", gojq.TypeOf(v))
	}
	if len(s) > maxTypeText {
		s = s[:maxTypeText]
	}
	var segments []string
	for segment := range strings.SplitSeq(s, ".") {
		if word := strings.Trim(words([]rune(segment)), "_-"); word != "" {
			segments = append(segments, word)
		}
	}
	if len(segments) == 0 {
		return nil
	}
	return strings.Join(segments, ".")
}

// maxTypeText bounds what totype reads: far more than a type may have.
const maxTypeText = 1024

func words(r []rune) string {
	var b strings.Builder
	gap := true // the last byte written is a "_", or there is none
	for i, c := range r {
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && !gap && (!isUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1]) && isUpper(r[i-1])) {
			b.WriteByte('_')
		}
		switch {
		case upper:
			b.WriteRune(c + 'a' - 'A')
			gap = false
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
			b.WriteRune(c)
			gap = c == '-'
		case !gap:
			b.WriteByte('_')
			gap = true
		}
	}
	return b.String()
}

func isUpper(c rune) bool { return c >= 'A' && c <= 'Z' }

// timeLayouts are what totime reads beside RFC 3339; no zone is UTC.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999 -0700 MST", time.DateOnly,
}

// toTime makes a time of text, or of a number that counts seconds,
// milliseconds, microseconds or nanoseconds since 1970, told apart by its size:
// every unit is read for the years 1973 to 5138.
func toTime(v any) any {
	if v == nil {
		return nil
	}
	if s, ok := v.(string); ok {
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
				return t.UTC().Format(time.RFC3339Nano)
			}
		}
		return fmt.Errorf("totime cannot read %q as a time", cut(s))
	}
	n, ok := number(v)
	if !ok {
		return fmt.Errorf("totime takes text or a number, not %s", gojq.TypeOf(v))
	}
	const perSecond = 1e11 // larger numbers of seconds lie after the year 5138
	for n > perSecond {
		n /= 1000
	}
	t, ok := fromSeconds(n)
	if !ok {
		return fmt.Errorf("totime cannot read %v as a time", v)
	}
	return t.Format(time.RFC3339Nano)
}

// digest is a name for a record that has none: 128 bits of the SHA-256 of its
// JSON with sorted members, as base64url.
func digest(v any) any {
	body, err := gojq.Marshal(v)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return span.B64(sum[:16])
}

// printable is text that cannot control a terminal and stays on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cut shortens text for a message.
func cut(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
