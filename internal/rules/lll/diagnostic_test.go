package lll

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inContract and inRule put text into a contract that is sound without it.
func inContract(text string) string { return "contract a {\n" + text + "\n}\n" }
func inRule(text string) string {
	return inContract("rule b {\n on: \"x\"\n" + text + "\n then { allow }\n}")
}

// Each mistake has its message and its fix, alone and in its place.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{inRule(`priorty: 3`), "a.lll:4:1: `priorty` is not known in a rule; did you mean `priority`?"},
		{inRule(`prority 3`), "a.lll:4:1: `prority` is not known in a rule; did you mean `priority`?"},
		{inRule(`rule c { }`), "a.lll:4:1: `rule` cannot stand in a rule; close the block before it with }"},
		{inRule(`xyzzy: 3`), "a.lll:4:1: `xyzzy` is not known in a rule; known are on, priority, enabled, when, on_error, description, else, then"},
		{inRule(`priority 3`), "a.lll:4:1: `priority` needs a colon before its value; write `priority: …`"},
		{inRule(`when data.amount > 3 && data.b`), "a.lll:4:1: `when` needs a colon before its value; write `when: …`"},
		{inRule(`else: { allow }`), "a.lll:4:1: `else` takes no colon; write `else { … }`"},
		{inRule("on: payment.*\nenabled: true"), "a.lll:4:5: a pattern stands in quotes; write `\"payment.*\"`"},
		{inRule("on \"x\" {\n allow\n }"), "a.lll:4:1: `on` needs a colon before its value; write `on: …`"},
		{inRule("when: spans(\"x\".by(actor.id).count() > 3"), "a.lll:4:12: this ( is not closed; write ) where it ends"},
		{inRule("when: spans(\"x\")).by(actor.id).count() > 3"), "a.lll:4:17: this ) closes nothing that was opened here; remove it, or write the ( that is missing before it"},
		{inRule("on: [\"a\", \"b\""), "a.lll:4:5: this [ is not closed; write ] where it ends"},
		{"{\n \"a\": 1\n}", "a.lll:1:1: `{` cannot begin an attribute, a block or a text; begin with a name or a text in quotes"},
		{inRule(`else tag "x"`), "a.lll:4:1: `else` needs a block; write `else { … }`"},
		{inRule(`else loudly { allow }`), "a.lll:4:6: nothing stands between `else` and its block; write `else { … }`"},
		{inRule(`else { alow }`), "a.lll:4:8: `alow` is not known in a list of actions; did you mean `allow`?"},
		{inRule(`else { allow { } }`), "a.lll:4:14: `allow` takes no block; remove the block"},
		{inRule(`"a text"`), "a.lll:4:1: a text on its own means nothing in a rule; write key: before it"},
		{inRule(`when: data.a = 3`), "a.lll:4:14: = compares nothing; write == to compare"},
		{inRule(`when: data.a && `), "a.lll:4:14: the expression ends behind `&&`; write what comes after it"},
		{inRule(`when: data.a ? 1`), "a.lll:4:14: no `:` follows this `?`; write `condition ? value : value`"},
		{inRule(`when: {{x}}`), "a.lll:4:7: a template hole cannot be executed; fill the template in"},
		{inRule(`when: data.a data.b`), "a.lll:4:14: `data.b` does not belong to the value before it; write an operator before it, or begin a line"},
		{inRule(`when: data.a;data.b`), "a.lll:4:14: `data.b` is not known in a rule; known are on, priority, enabled, when, on_error, description, else, then"},
		{inRule(`when:`), "a.lll:4:5: a value is missing here; write the value on the same line"},
		{inRule(`on?: "x"`), "a.lll:4:1: `?` marks what is optional in data; in a rule it means nothing; write `on: …`"},
		{inRule(`else { annotate { a 1 } }`), "a.lll:4:19: `a` needs a colon before its value; write `a: …`"},
		{inRule(`else { reject “ }`), "a.lll:4:15: \"“\" has no meaning here; write \""},
		{"a: 1\rb: 2", "a.lll:1:5: U+000D has no meaning here; end lines as \\n or \\r\\n"},
		{inRule(`else { reject "a\d" }`), "a.lll:4:17: \\d means nothing in a text; write \\\\ for a plain backslash"},
		{inRule(`else { reject "${}" }`), "a.lll:4:16: this ${} is empty; write an expression in it, or \\${} for the plain text"},
		{inRule(`else { reject "$data.x}" }`), "a.lll:4:16: a } follows this $ without its {; write ${data.x}, or \\$ for a plain dollar"},
		{inRule(`else { reject "${data.x" }`), "a.lll:4:16: this ${ is not closed; write } where the expression ends, or \\${ for the plain text"},
		{inRule("priority: 3 // \u202Eon:"), "a.lll:4:16: U+202E here changes the direction of the text that follows, so that people read something else than what is meant; remove it"},
		{inContract(`rule c`), "a.lll:2:1: `rule` needs a block; write `rule … { … }`"},
		{inContract(`test "t" { expects { decision: "allow" } }`), "a.lll:2:12: `expects` is not known in a test; did you mean `expect`?"},
		{inContract(`test "t" { expect { state.a: "b" stat.a: "b" } }`), "a.lll:2:34: `stat.a` is not known in what a test expects; did you mean `state`?"},
		{inContract(`rolle x`), "a.lll:2:1: warning: `rolle` is kept as data and never runs; did you mean `role`?"},
		{"x {\n contract a { }\n}", "a.lll:2:2: warning: this contract stands inside another block: it is data and never runs; write it at the top of a file"},
		{"if x > 5 { y: 1 }", "a.lll:1:6: `>` cannot stand here; an expression stands behind a colon: write `key: …`"},
		{"> 5", "a.lll:1:1: `>` cannot begin an attribute, a block or a text; begin with a name or a text in quotes"},
		{"a: 1\n\x00", "a.lll:2:1: the file has a zero byte here; it is no text"},
		{"a: \xff", "a.lll:1:4: the file is not UTF-8 text here; save the file as UTF-8"},
		{"/* a\n", "a.lll:1:1: this comment is not closed; write */ where the comment ends"},
		{"a: <<'T'\nx\n", "a.lll:1:4: this text is not closed; write T>> on a line of its own where it ends"},
	} {
		file, diags := Parse("a.lll", c.text)
		require.Len(t, diags, 1, "%s\n%s", c.text, file.RenderAll(diags))
		require.Equal(t, c.want, file.Header(diags[0]), c.text)
	}
}

// Everything around a mistake is still read, up to 50 of them are told, and
// what a later line says is found although an earlier one is wrong.
func TestRecovery(t *testing.T) {
	t.Parallel()
	file, diags := Parse("a.lll", inRule("priorty: 3\nwhen: a = 1; enabled: true\n) \nelse { allow; > }\non_error: \"reject\""))
	require.Len(t, diags, 4, file.RenderAll(diags))
	rule := file.Contracts()[0].Child("rule")
	require.NotNil(t, rule.Attr("enabled"))
	require.NotNil(t, rule.Attr("on_error"))
	require.NotNil(t, rule.Child("then").Child("allow"))
	require.NotNil(t, rule.Child("else").Child("allow"))

	_, diags = Parse("a.lll", inRule(strings.Repeat("priorty: 3\n", 200)))
	require.Len(t, diags, MaxErrors)
}

func TestRender(t *testing.T) {
	t.Parallel()
	file, diags := Parse("pay.lll", "contract a {\n\trule b {\n\t\ton: \"ção\"  prioridad: 3\n\t\tthen { allow\n\t}\n}\n")
	require.Equal(t, "pay.lll:3:14: `prioridad` is not known in a rule; did you mean `priority`?\n"+
		"    \t\ton: \"ção\"  prioridad: 3\n"+
		"    \t\t           ^^^^^^^^^\n"+
		"\n"+
		"pay.lll:5:2: the { of line 4 is not closed before this; write } where it ends\n"+
		"    \t}\n"+
		"    \t^\n"+
		"  pay.lll:4:8: opened here\n"+
		"    \t\tthen { allow\n"+
		"    \t\t     ^\n", file.RenderAll(diags))
}

func TestLongLinesAreShownInPart(t *testing.T) {
	t.Parallel()
	file, diags := Parse("a.lll", "a: \""+strings.Repeat("é", 5000)+"\\q"+strings.Repeat("x", 5000)+"\"")
	require.Len(t, diags, 1)
	shown := strings.Split(file.Render(diags[0]), "\n")
	require.Len(t, []rune(shown[1]), 4+2*caretContext)
	require.Equal(t, strings.Index(strings.ReplaceAll(shown[1], "é", "e"), "\\q"), strings.Index(shown[2], "^^"))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{strings.Repeat(" ", MaxBytes+1), "the file has 1048577 bytes, and 1048576 are read at most"},
		{strings.Repeat("a ", MaxTokens+1), "the file has more than 200000 words and signs"},
		{"a: " + strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), "more than 64 brackets stand inside each other here"},
	} {
		file, diags := Parse("a.lll", c.text)
		require.Len(t, diags, 1)
		require.Equal(t, c.want, diags[0].Message)
		require.Empty(t, file.Items)
	}
	for _, text := range []string{
		"#" + strings.Repeat(" ", MaxBytes-1), strings.Repeat("a ", MaxTokens-1),
		"a: " + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), "a: \"" + strings.Repeat("${\"", maxHoleDepth) + strings.Repeat("\"}", maxHoleDepth) + "\"",
	} {
		_, diags := Parse("a.lll", text)
		require.Empty(t, diags)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"on", "priority", "enabled", "when", "then"}
	for word, want := range map[string]string{
		"prio": "", "prioritys": "priority", "pirority": "priority", "prority": "priority", "wehn": "when", "than": "then",
		"On": "on", "o": "", "xyzzy": "", "enabeld": "enabled", "priority": "", "": "",
	} {
		require.Equal(t, want, Nearest(word, known), word)
	}
	require.Equal(t, 0, Distance("ação", "ação", 2))
	require.Equal(t, 2, Distance("ação", "acao", 2))
	require.Equal(t, 1, Distance("ab", "ba", 2))
	require.Equal(t, 3, Distance("abcdef", "uvwxyz", 2), "more than the limit is the limit and one")
}

func TestValues(t *testing.T) {
	t.Parallel()
	file, diags := Parse("a.lll", `d: 1.5h; week: 2w; day: -1d; far: 200000d; n: 1_000; f: 2.5; p: 80%; big: 1e400; v: 1.2.0; b: true; s: "x"; h: "${x}"; l: ["a", b]; e: "a\u00e9\n"`)
	require.Empty(t, diags, file.RenderAll(diags))
	for key, want := range map[string]time.Duration{"d": 90 * time.Minute, "week": 14 * 24 * time.Hour, "day": -24 * time.Hour} {
		got, ok := file.Value(key).Duration()
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := file.Value("far").Duration()
	require.False(t, ok, "beyond what a time.Duration holds")
	_, ok = file.Value("n").Duration()
	require.False(t, ok)
	n, ok := file.Value("n").Int()
	require.True(t, ok)
	require.EqualValues(t, 1000, n)
	_, ok = file.Value("f").Int()
	require.False(t, ok)
	p, ok := file.Value("p").Number()
	require.True(t, ok)
	require.InDelta(t, 0.8, p, 1e-12)
	_, ok = file.Value("big").Number()
	require.False(t, ok)
	b, ok := file.Value("b").Bool()
	require.True(t, ok && b)
	_, ok = file.Value("h").Plain()
	require.False(t, ok, "a text with holes is not plain")
	_, ok = file.Value("l").Strings()
	require.False(t, ok)
	words, ok := file.Value("l").Words()
	require.True(t, ok)
	require.Equal(t, []string{"a", "b"}, words)
	text, ok := file.Value("e").Plain()
	require.True(t, ok)
	require.Equal(t, "aé\n", text)

	_, ok = file.Value("nothing").Words()
	require.False(t, ok, "methods work on what is not there")
	require.Nil(t, (*Node)(&Node{}).Attr("x"))
	require.Nil(t, (&Node{}).Atom(0))
}

// An expression is given with its comments blanked, at its place.
func TestCode(t *testing.T) {
	t.Parallel()
	text := "contract a { rule b { on: \"x\"\n when: data.a && // why\n  data.b /* é */ > 1\n then { allow } } }"
	file, diags := Parse("a.lll", text)
	require.Empty(t, diags, file.RenderAll(diags))
	code, offset := file.Contracts()[0].Child("rule").Value("when").Code()
	require.Equal(t, "data.a &&       \n  data.b          > 1", code)
	require.Equal(t, strings.Index(text, "data.a"), offset)
}
