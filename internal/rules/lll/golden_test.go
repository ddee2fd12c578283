package lll

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each odd but legal file reads as its .tree says, and is written as its .fmt.
func TestGolden(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("testdata/golden/*.lll")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, name := range found {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			file, diags := Parse(filepath.Base(name), string(text))
			require.Empty(t, diags, file.RenderAll(diags))
			formatted, _ := Format(name, string(text))
			golden(t, strings.TrimSuffix(name, ".lll")+".tree", dump(file))
			golden(t, strings.TrimSuffix(name, ".lll")+".fmt", formatted)
			holds(t, string(text))
			sound(t, string(text))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err, "run with -update to make it")
	require.Equal(t, string(want), got)
}
