package expr

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	scope := scopeOf(t, Text)
	in := Bind(facts(t))
	hole := func(source string) Part { return Part{Hole: true, Source: source} }
	for _, c := range []struct {
		parts []Part
		want  string
	}{
		{nil, ""},
		{[]Part{{Text: "plain ${x}"}}, "plain ${x}"},
		{[]Part{hole("actor.handle"), {Text: " is "}, hole("actor.status"), {Text: " and cannot move money"}}, "@ana is validated and cannot move money"},
		{[]Part{{Text: "amount "}, hole("data.amount"), {Text: " is outside 0.."}, hole("params.limit")}, "amount 1500 is outside 0..1000"},
		{[]Part{{Text: "no quorum within "}, hole("params.window"), {Text: "."}}, "no quorum within 48h."},
		{[]Part{hole("30d"), hole("now"), hole("data.tags"), hole("[[1], [2]]")}, "30d2026-03-14T15:09:26Zx, y[1], [2]"},
		{[]Part{hole("data.missing"), {Text: "!"}}, "(none)!"},
		{[]Part{hole("null")}, "null"},
	} {
		tmpl, errs := CompileText(c.parts, scope)
		require.NoError(t, asError(errs))
		got, _ := tmpl.Render(in)
		require.Equal(t, c.want, got)
	}
}

// A text is usable however its holes fail, and the first failure is told.
func TestTemplateFailures(t *testing.T) {
	t.Parallel()
	scope := scopeOf(t, Text)
	tmpl, errs := CompileText([]Part{{Text: "a "}, {Hole: true, Source: "data.amount / 0", Offset: 5}, {Text: " b "}, {Hole: true, Source: "data.nope.x", Offset: 30}}, scope)
	require.NoError(t, asError(errs))
	got, err := tmpl.Render(Bind(facts(t)))
	require.Equal(t, "a (error) b (none)", got)
	requireReason(t, err, Undefined)
	require.Equal(t, 5, err.(*EvalError).Offset)
	require.Len(t, tmpl.Programs(), 2)

	_, errs = CompileText([]Part{{Hole: true, Source: "dta.x", Offset: 3}, {Hole: true, Source: "actor.x", Offset: 20}}, scope)
	require.Len(t, errs, 2)
	require.Equal(t, []int{3, 26}, []int{errs[0].Offset, errs[1].Offset})
}

func TestTemplateLength(t *testing.T) {
	t.Parallel()
	f := facts(t)
	f.Data = MapValue(map[string]Value{"x": StringValue(strings.Repeat("ã", MaxText))})
	tmpl, errs := CompileText([]Part{{Text: "é"}, {Hole: true, Source: "data.x"}, {Text: "end"}}, scopeOf(t, Text))
	require.NoError(t, asError(errs))
	got, err := tmpl.Render(Bind(f))
	requireReason(t, err, TooCostly)
	require.LessOrEqual(t, len(got), MaxText)
	require.True(t, utf8.ValidString(got) && strings.HasSuffix(got, "ã…"))
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0s": "0s", "250ms": "250ms", "15s": "15s", "60s": "1m", "90m": "90m", "48h": "48h", "72h": "72h", "96h": "4d", "720h": "30d",
		"1h0m0.5s": "1h0m0.5s", "-48h": "-48h", "-240h": "-10d", "1ns": "1ns", "1500us": "1.5ms",
	} {
		d, ok := parseDuration(text)
		require.True(t, ok, text)
		require.Equal(t, want, FormatDuration(d), text)
	}
}
