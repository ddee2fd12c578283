package lll

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// fragments make texts that are nearly right, or right and ugly.
var fragments = []string{
	"a", "b.c", "foo-bar", "x/y", "p@v1", "m::n", "ΔS", "cafe\u0301", "and", "or", "in", "not", "true", "null", "when", "is",
	"rule", "then", "contract", "policy", "test", "state", "on", "priority", "data", "allow", "tag", "reject",
	"1", "-5", "+2", "1_000", "1.5e3", "1.2.0", "1.2.0-rc.1", "48h", "30d", "80%", "3rd", "10%3", "0x1F", "clause 1.1",
	`"s"`, `'s'`, `"a ${b.c} d"`, `"${x ? "y" : "z"}"`, `"\u00e9\n\\"`, `r"\d"`, `""`, "\"\"\"t\nu\"\"\"", "<<'T'\nu\nT>>", "{{hole}}",
	":", ": ", " = ", " := ", "?", "?: ", " ? ", " : ", ",", ";", "\n", "\n", "\n\n\n", "\r\n", " ", " ", "  ", "\t",
	"{", "}", " { ", " }\n", "[", "]", "(", ")", " {}", "{ a: 1 }", "[a, b]", "(x: y)", "->", "→", " -> T",
	"+", "-", "*", ".", "&&", " || ", "==", "<", ">", "!", "++", "??", "?.", "/", "%",
	"// c\n", "# d\n", "/* e */", "/* f\n g */", "/// h\n", "//// i\n", "key: value", "role:\"x\"", "k: {", "k: [",
}

func soup(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 1, 25).Draw(t, "fragments"), rapid.SampledFrom([]string{"", " "}).Draw(t, "glue"))
}

// often checks a property a thousand times: most of what is put together at
// random is no file.
func often(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	for range 10 {
		rapid.Check(t, property)
	}
}

// Whatever parses keeps its meaning and comments when it is formatted, and
// formatting it again changes nothing.
func TestFormatKeepsTheTree(t *testing.T) {
	t.Parallel()
	often(t, func(t *rapid.T) {
		text := soup(t)
		sound(t, text)
		holds(t, text)
	})
}

// What was hard to read or to write once stays right.
func TestOddTexts(t *testing.T) {
	t.Parallel()
	for _, text := range seeds(t) {
		_, diags := Parse("a.lll", text)
		require.False(t, Failed(diags), "%q", text)
		sound(t, text)
		holds(t, text)
	}
}

// What TestFormatKeepsTheTree says, inside the blocks of a contract.
func TestFormatKeepsContracts(t *testing.T) {
	t.Parallel()
	often(t, func(t *rapid.T) {
		frame := rapid.SampledFrom([]string{
			"contract a { tags: [", "contract a { params { k: ", "contract a {\nrule b {\n on: ", "contract a { rule b { on: \"x\" then { ",
			"contract a { policy p { when ", "contract a { test \"t\" { given span \"x\" { ", "contract a { workflow w { ",
		}).Draw(t, "frame")
		closing := ""
		for _, c := range frame {
			switch c {
			case '{':
				closing = " }" + closing
			case '[':
				closing = " ]" + closing
			}
		}
		text := frame + soup(t) + closing
		sound(t, text)
		holds(t, text)
	})
}
