package lll

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExamplesAreFormatted(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		formatted, diags := Format(name, text)
		require.Empty(t, diags)
		require.Equal(t, strings.Split(text, "\n"), strings.Split(formatted, "\n"))
	}
}

// holds checks what Format promises of a text that parses.
func holds(t require.TestingT, text string) {
	file, diags := Parse("a.lll", text)
	if Failed(diags) {
		return
	}
	once, _ := Format("a.lll", text)
	again, diags := Parse("a.lll", once)
	require.False(t, Failed(diags), "%q\n%q\n%s", text, once, again.RenderAll(diags))
	require.Equal(t, dump(file), dump(again), "%q\n%q", text, once)
	require.Equal(t, remarks(file), remarks(again), "%q\n%q", text, once)
	twice, _ := Format("a.lll", once)
	require.Equal(t, once, twice, "%q", text)
}
