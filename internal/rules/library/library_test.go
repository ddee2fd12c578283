package library_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/library"
)

func source(name, body string) library.Source {
	return library.Source{Name: name + ".lll", Text: "contract " + name + " version \"1.0.0\" {\n" + body + "\n}\n"}
}

// said is what is wrong in all documents, one line each.
func said(l *library.Library) []string {
	var out []string
	for _, d := range l.Documents() {
		for _, p := range d.Diagnostics {
			out = append(out, d.File.Header(p))
		}
	}
	return out
}

func TestRequirementsAreCompiledFirst(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{
		source("c", `requires: ["b ^1.0", "a"]`+"\n"+`permit append "x.y" to [finance]`),
		source("b", `requires: ["a"]`),
		source("a", `role finance`),
	})
	require.Empty(t, said(l))
	var order []string
	for _, c := range l.With(l.Contract("c")) {
		order = append(order, c.Name)
	}
	require.Equal(t, []string{"a", "b", "c"}, order)
	require.Empty(t, l.Missing())
}

func TestWhatRequirementsCanLack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sources []library.Source
		said    []string
		missing []string
	}{
		"nowhere": {
			[]library.Source{source("c", `requires: ["bsae", "other"]`), source("base", "")},
			[]string{
				"c.lll:2:12: the contract requires bsae, which is in none of the files; did you mean base?",
				"c.lll:2:20: the contract requires other, which is in none of the files; give its file too",
			},
			[]string{"bsae", "other"},
		},
		"wrong itself": {
			[]library.Source{source("c", `requires: ["b"]`), source("b", "rule r { on: \"x.y\" then { tag x } }")},
			[]string{
				"c.lll:2:12: the contract requires b, whose file b.lll has errors; correct them first",
			},
			nil,
		},
		"circle of three": {
			[]library.Source{source("a", `requires: ["b"]`), source("b", `requires: ["c"]`), source("c", `requires: ["a"]`)},
			[]string{
				"a.lll:2:12: the contract requires b, which requires it in turn: a -> b -> c -> a; take one of the requirements out",
				"b.lll:2:12: the contract requires c, which requires it in turn: b -> c -> a -> b; take one of the requirements out",
				"c.lll:2:11: contracts require each other in a circle: a -> b -> c -> a; take one of the requirements out",
			},
			nil,
		},
		"itself": {
			[]library.Source{source("a", `requires: ["a"]`)},
			[]string{"a.lll:2:12: the contract requires itself; leave it out"},
			nil,
		},
		"two of one name": {
			[]library.Source{source("a", ""), {Name: "z.lll", Text: "contract a version \"1.0.0\" {\n}\n"}},
			[]string{"z.lll:1:1: the contract a stands in a.lll too; give one of them another name, or one file alone"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := library.Read(test.sources)
			for _, want := range test.said {
				require.Contains(t, said(l), want)
			}
			require.Equal(t, test.missing, l.Missing())
		})
	}
}

func TestDataIsNoContract(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{{Name: "d.lll", Text: "note { about: \"x\" }\n"}})
	require.Empty(t, said(l))
	d := l.Documents()[0]
	require.Nil(t, d.Contract)
	require.False(t, d.Failed())
	require.Empty(t, d.Name())
}

func TestDiffSeesTextsAndNoLayout(t *testing.T) {
	t.Parallel()
	of := func(body string) *library.Document {
		return library.Read([]library.Source{source("a", body)}).Documents()[0]
	}
	changed := func(older, newer string) []string {
		var out []string
		for _, c := range library.Diff(of(older), of(newer)) {
			out = append(out, c.Item)
		}
		return out
	}
	const rule = `rule r { on: "x.y"  then { reject "a b" } }`
	require.Empty(t, changed(rule, "rule r {\n on: \"x.y\"\n then {\n reject \"a b\" }\n}\n"))
	require.Equal(t, []string{"rule r"}, changed(rule, `rule r { on: "x.y"  then { reject "a  b" } }`), "blanks in texts count")
	require.Equal(t, []string{"retain \"x\" 2d", "retain \"x\" 1d"}, changed(`retain "x" 1d`, `retain "x" 2d`))
	require.Equal(t, []string{"rule s", "rule r"}, changed(rule, `rule s { on: "x.y"  then { reject "a b" } }`))
}
