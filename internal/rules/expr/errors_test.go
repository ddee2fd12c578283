package expr

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// TestErrors compiles each source of testdata/errors.golden, a line like
// "condition bool: a > b", and compares what follows: each error under the
// bytes it points at. The source stands at an offset, as in a file.
func TestErrors(t *testing.T) {
	t.Parallel()
	const offset = 1000
	golden(t, "errors.golden", func(place Place, want Type, indent, source string) string {
		_, errs := Compile(source, offset, want, scopeOf(t, place))
		var out strings.Builder
		for _, e := range errs {
			out.WriteString(caret(t, indent, source, e.Offset-offset, e.End-offset, e.Error()))
		}
		if errs == nil {
			return "    (compiles)\n"
		}
		return out.String()
	})
}

// TestEvalErrors does the same with errors of evaluation.
func TestEvalErrors(t *testing.T) {
	t.Parallel()
	const offset = 77
	in := Bind(facts(t))
	golden(t, "eval.golden", func(place Place, want Type, indent, source string) string {
		p, errs := Compile(source, offset, want, scopeOf(t, place))
		require.NoError(t, asError(errs), source)
		v, err := p.Eval(in)
		if err == nil {
			return "    = " + v.String() + "\n"
		}
		var failed *EvalError
		require.ErrorAs(t, err, &failed)
		return caret(t, indent, source, failed.Offset-offset, failed.End-offset, failed.Reason.String()+": "+failed.Message)
	})
}

// caret marks bytes of a source of one line.
func caret(t *testing.T, indent, source string, from, to int, message string) string {
	require.True(t, 0 <= from && from <= to && to <= len(source), "%q: %d to %d: %s", source, from, to, message)
	blanks := utf8.RuneCountInString(source[:from])
	marks := max(1, utf8.RuneCountInString(source[from:to]))
	return fmt.Sprintf("%s%s%s\n    %s\n", indent, strings.Repeat(" ", blanks), strings.Repeat("^", marks), message)
}

func golden(t *testing.T, name string, check func(place Place, want Type, indent, source string) string) {
	t.Helper()
	file, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	places := map[string]Place{"condition": Condition, "guard": Guard, "key": Key, "computed": Computed, "text": Text, "each": Each, "constant": Constant}
	wants := map[string]Type{"any": Any, "bool": Bool, "number": Number, "string": String, "duration": Duration, "time": Time, "list": List, "map": Map}
	var out strings.Builder
	cases := 0
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "# ") {
			out.WriteString(line + "\n")
			continue
		}
		if strings.HasPrefix(line, "    ") {
			continue
		}
		kind, source, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		place, want, _ := strings.Cut(kind, " ")
		require.Contains(t, places, place, line)
		require.Contains(t, wants, want, line)
		out.WriteString(line + "\n")
		out.WriteString(check(places[place], wants[want], strings.Repeat(" ", len(kind)+2), source))
		cases++
	}
	require.NotZero(t, cases)
	got := out.String()
	if *update {
		require.NoError(t, os.WriteFile("testdata/"+name, []byte(got), 0o644))
		return
	}
	require.Equal(t, string(file), got, "go test -run %s -update writes it anew", t.Name())
}
