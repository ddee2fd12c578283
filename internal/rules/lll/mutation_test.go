package lll

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// code marks the bytes of a contract that stand in no comment, and which of
// those stand in no string. The examples hold neither "//" nor "#" in strings
// but in identities, and no quotes in comments.
func code(text string) (inCode, bare []bool) {
	inCode, bare = make([]bool, len(text)), make([]bool, len(text))
	quoted, comment := false, false
	for i := range len(text) {
		switch {
		case text[i] == '\n':
			quoted, comment = false, false
		case comment:
		case !quoted && strings.HasPrefix(text[i:], "//"):
			comment = true
		case text[i] == '"':
			quoted = !quoted
		}
		inCode[i] = !comment
		bare[i] = !comment && !quoted && text[i] != '"'
	}
	return inCode, bare
}

// partners gives each bracket of a sound text its partner.
func partners(t *testing.T, text string, inCode []bool) map[int]int {
	t.Helper()
	var open []int
	found := map[int]int{}
	for i := range len(text) {
		switch {
		case !inCode[i]:
		case strings.IndexByte("{[(", text[i]) >= 0:
			open = append(open, i)
		case strings.IndexByte("}])", text[i]) >= 0:
			last := len(open) - 1
			require.Equal(t, pairs[text[i]], text[open[last]])
			found[i], found[open[last]] = open[last], i
			open = open[:last]
		}
	}
	require.Empty(t, open)
	return found
}

// One bracket or quote less, anywhere, is told within two lines or by naming
// the bracket that lost its partner.
func TestOneBracketOrQuoteLess(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		inCode, _ := code(text)
		pairs := partners(t, text, inCode)
		tried, shown, exact := 0, 0, 0
		for i := range len(text) {
			if !inCode[i] || strings.IndexByte(`{}[]()"`, text[i]) < 0 {
				continue
			}
			tried++
			mutant := text[:i] + text[i+1:]
			file, diags := Parse(name, mutant)
			at := file.Pos(i).Line
			near, named, same := false, false, false
			partner, hasPartner := pairs[i]
			if partner > i {
				partner-- // it moved up
			}
			for _, d := range diags {
				line := file.Pos(d.Offset).Line
				near = near || d.Severity == Error && line >= at-2 && line <= at+2
				same = same || d.Severity == Error && line == at
				named = named || hasPartner && d.Offset == partner
				for _, n := range d.Notes {
					named = named || hasPartner && n.Offset == partner
				}
			}
			require.True(t, near || named, "without the %c of line %d:\n%s\n%s", text[i], at, file.Line(at), file.RenderAll(diags))
			shown += len(diags)
			if same || named {
				exact++
			}
		}
		t.Logf("%s: %d mutants, %d errors, %d at the very line or bracket", name, tried, shown, exact)
		require.Greater(t, tried, 100)
		require.LessOrEqual(t, 2*shown, 3*tried, "errors that only follow from another are not worth reading")
	}
}

// One colon less is told at its line, with the fix.
func TestOneColonLess(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		_, bare := code(text)
		tried := 0
		for i := range len(text) {
			if !bare[i] || text[i] != ':' {
				continue
			}
			tried++
			mutant := text[:i] + text[i+1:]
			file, diags := Parse(name, mutant)
			at := file.Pos(i).Line
			found := false
			for _, d := range diags {
				found = found || d.Severity == Error && file.Pos(d.Offset).Line == at && strings.HasPrefix(d.Fix, "write `") && strings.Contains(d.Fix, ":")
			}
			require.True(t, found, "without the colon of line %d:\n%s\n%s", at, file.Line(at), file.RenderAll(diags))
			require.LessOrEqual(t, len(diags), 2, file.RenderAll(diags))
		}
		require.Greater(t, tried, 20)
	}
}
