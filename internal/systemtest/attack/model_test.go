package attack

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

var (
	// named is a test as the page names it, with its folder where it is not this one.
	mention = regexp.MustCompile("(?:`(internal/[a-z/]+)` )?`(Test[A-Za-z0-9]+)`")
	tests   = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
)

// TestThreatModelNamesItsTests: each test that the page names exists, and each of
// this folder is named there. Those of the OWASP API top ten are all there.
func TestThreatModelNamesItsTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/threat-model.md"))
	require.NoError(t, err)
	in := func(folder string) map[string]bool {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		require.NoError(t, err)
		found := map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range tests.FindAllStringSubmatch(string(text), -1) {
				found[m[1]] = true
			}
		}
		return found
	}
	told := map[string]bool{}
	all := mention.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(all), 30)
	for _, m := range all {
		folder := "."
		if m[1] != "" {
			folder = filepath.Join(root, m[1])
		} else {
			told[m[2]] = true
		}
		require.True(t, in(folder)[m[2]], "docs/threat-model.md names %s, which is not in %s", m[2], folder)
	}
	for name := range in(".") {
		if name != "TestMain" && name != "TestThreatModelNamesItsTests" {
			require.True(t, told[name], "docs/threat-model.md does not name %s", name)
		}
	}
	for n := range 10 {
		prefix := "TestOWASPAPI" + strings.TrimPrefix(string(rune('0'+(n+1)/10))+string(rune('0'+(n+1)%10)), "0")
		count := 0
		for name := range told {
			if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && (rest[0] < '0' || rest[0] > '9') {
				count++
			}
		}
		require.Equal(t, 1, count, prefix)
	}
}
