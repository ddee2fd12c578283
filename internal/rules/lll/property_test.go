package lll

import (
	"strings"
	"testing"

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

// Whatever parses keeps its meaning and comments when it is formatted, and
// formatting it again changes nothing.
func TestFormatKeepsTheTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := soup(t)
		sound(t, text)
		holds(t, text)
	})
}

// The same inside the blocks of a contract.
func TestFormatKeepsContracts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
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
