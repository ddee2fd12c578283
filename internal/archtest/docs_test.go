package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/guards"
)

// docs/testing.md tells what every fuzz target holds, and of none that is gone.
func TestFuzzTargetsAreDescribed(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	doc, err := fs.ReadFile(root, "docs/testing.md")
	require.NoError(t, err)
	described := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| `(Fuzz\\w+)` \\|(?: [^|]+ \\|){5}$").FindAllStringSubmatch(string(doc), -1) {
		described[row[1]+" "+row[2]] = true
	}
	require.NotEmpty(t, described)
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	require.NoError(t, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for _, f := range target.FindAllStringSubmatch(string(src), -1) {
			key := path.Dir(name) + " " + f[1]
			require.Contains(t, described, key, "add the target to the table in docs/testing.md")
			delete(described, key)
		}
		return nil
	}))
	require.Empty(t, described, "targets of docs/testing.md that are gone")
}

// Every guard's lines and test are there, and docs/testing.md has its row.
func TestGuardsAreCurrent(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	require.NoError(t, guards.Check(root))
	want, is, err := guards.Table(root)
	require.NoError(t, err)
	require.Equal(t, want, is, "make generate brings the table in docs/testing.md up to date")
}
