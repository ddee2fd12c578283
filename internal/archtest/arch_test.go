package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestArchitecture(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	broken, err := check(root)
	require.NoError(t, err)
	require.Empty(t, broken, "\n%s", strings.Join(broken, "\n"))
}

// Each internal folder has its own line in the table, not only its parent's.
func TestEveryTopPackageIsInTheTable(t *testing.T) {
	t.Parallel()
	found, err := fs.Glob(os.DirFS("../.."), "internal/*")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, dir := range found {
		require.Contains(t, table, dir)
	}
}

// ARCHITECTURE.md names every package of the tree, and none that is gone.
func TestArchitectureNamesThePackages(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	doc, err := fs.ReadFile(root, "ARCHITECTURE.md")
	require.NoError(t, err)
	_, packages, found := strings.Cut(string(doc), "\n## Packages\n")
	require.True(t, found)
	packages, _, _ = strings.Cut(packages, "\n## ")
	for _, pattern := range []string{"internal/*", "internal/timeline/*", "cmd/*", "client", "migrations"} {
		dirs, err := fs.Glob(root, pattern)
		require.NoError(t, err)
		require.NotEmpty(t, dirs, pattern)
		for _, dir := range dirs {
			if info, err := fs.Stat(root, dir); err != nil || !info.IsDir() || path.Base(dir) == "testdata" {
				continue
			}
			require.True(t, strings.Contains(packages, "`"+dir+"`") || strings.Contains(packages, "`/"+path.Base(dir)+"`"), "%s is not in ARCHITECTURE.md", dir)
		}
	}
	for _, name := range regexp.MustCompile("`(internal/[a-z/]+)`").FindAllStringSubmatch(packages, -1) {
		_, err := fs.Stat(root, name[1])
		require.NoError(t, err, "ARCHITECTURE.md names a package that is gone")
	}
}

// The check finds what it is there for.
func TestViolationsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, src, want string }{
		{"internal/new/a.go", ``, "package internal/new is not in the table"},
		{"internal/fault/a.go", `import "github.com/danvoulez/logline/internal/span"`, "internal/fault never uses internal/span"},
		{"internal/span/a.go", `import "github.com/danvoulez/logline/internal/id"`, "internal/span never uses internal/id"},
		{"internal/standing/a.go", `import "os"`, "internal/standing never uses os"},
		{"internal/standing/a.go", `import "net/http"`, "internal/standing never uses net/http"},
		{"internal/rules/a.go", `import clock "time"; var x = clock.Now`, "internal/rules never uses time.Now"},
		{"internal/rules/sub/a.go", `import "github.com/danvoulez/logline/internal/timeline"`, "internal/rules/sub never uses internal/timeline"},
		{"internal/timeline/a.go", `import "github.com/danvoulez/logline/internal/engine"`, "internal/timeline never uses internal/engine"},
		{"internal/engine/a.go", `import _ "github.com/danvoulez/logline/internal/httpapi/api"`, "internal/engine never uses internal/httpapi/api"},
		{"internal/httpapi/a.go", `import "github.com/danvoulez/logline/internal/timeline/memstore"`, "internal/httpapi never uses internal/timeline/memstore"},
		{"internal/id/a.go", `import "github.com/labstack/echo/v4/middleware"`, "echo/v4/middleware is only for [internal/httpapi]"},
		{"internal/id/a.go", `import _ "modernc.org/sqlite"`, "modernc.org/sqlite is only for"},
		{"internal/id/a.go", `import "github.com/danvoulez/logline/internal/app"`, "internal/app is only for [cmd/logline]"},
		{"cmd/logline/a.go", `import "github.com/danvoulez/logline/internal/storage"`, "cmd/logline never uses internal/storage"},
		{"cmd/logline/a.go", `import "html/template"`, "html/template is only for []"},
		{"internal/bus/a.go", `import "os"; func f() { os.Exit(1) }`, "os.Exit is only for [cmd/logline internal/bench]"},
		{"internal/bus/a.go", `import "time"; func f() { time.Sleep(1) }`, "time.Sleep is only for []"},
		{"internal/bus/a.go", `func init() {}`, "no package has an init function"},
		{"internal/bus/a.go", `func f() { panic("x") }`, "no code panics below main"},
	} {
		src := "package " + path.Base(path.Dir(c.file)) + "\n" + c.src + "\n"
		broken, err := check(fstest.MapFS{c.file: {Data: []byte(src)}})
		require.NoError(t, err, c.src)
		require.Len(t, broken, 1, "%s %s: %v", c.file, c.src, broken)
		require.Contains(t, broken[0], c.want)
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	t.Parallel()
	broken, err := check(fstest.MapFS{
		"internal/span/a.go":                 {Data: []byte(`package span; import _ "github.com/danvoulez/logline/internal/fault"`)},
		"internal/httpapi/a.go":              {Data: []byte(`package httpapi; import (_ "github.com/labstack/echo/v4"; _ "github.com/danvoulez/logline/internal/httpapi/api")`)},
		"internal/rules/a.go":                {Data: []byte(`package rules; import "time"; type d = time.Duration`)},
		"internal/rules/a_test.go":           {Data: []byte(`package rules; import _ "os"`)},
		"internal/timeline/sqlitestore/a.go": {Data: []byte(`package sqlitestore; import _ "modernc.org/sqlite"`)},
		"internal/fault/testdata/a.go":       {Data: []byte(`package x; import _ "html/template"`)},
		"tools/go.mod":                       {Data: []byte(`module x`)},
		"tools/a.go":                         {Data: []byte(`package x; func init() {}`)},
	})
	require.NoError(t, err)
	require.Empty(t, broken)
}
