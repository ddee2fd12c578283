package lll

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExamplesAreFormatted(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("../../../examples/*/*.lll")
	require.NoError(t, err)
	require.Greater(t, len(found), 15)
	for _, name := range found {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		formatted, diags := Format(name, string(text))
		require.Empty(t, diags)
		require.Equal(t, strings.Split(string(text), "\n"), strings.Split(formatted, "\n"))
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
