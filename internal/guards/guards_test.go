package guards

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table in docs/testing.md")

const top = "../.."

func TestTable(t *testing.T) {
	want, is, err := Table(os.DirFS(top))
	require.NoError(t, err)
	if *update && want != is {
		require.NoError(t, os.WriteFile(filepath.Join(top, filepath.FromSlash(Document)), []byte(want), 0o600))
		return
	}
	require.Equal(t, want, is, "the table of guards is stale: make generate")
}

// TestEveryLine takes every guarded line out, or those of a pattern. It runs
// many tests, so that only make guards asks for it.
func TestEveryLine(t *testing.T) {
	asked := os.Getenv("LOGLINE_TEST_GUARDS")
	if asked == "" {
		t.Skip("takes every guarded line out, one at a time, and takes long; make guards does")
	}
	wanted := regexp.MustCompile(asked)
	all, err := List(os.DirFS(top))
	require.NoError(t, err)
	ran := 0
	for _, g := range all {
		if !wanted.MatchString(g.Where + " " + g.Package + " " + g.Test + " " + g.File + " " + g.What) {
			continue
		}
		ran++
		began := time.Now()
		if err := g.Run(context.Background(), top); err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s: %s fails without it (%s)", g.What, g.Test, time.Since(began).Round(100*time.Millisecond))
	}
	require.NotZero(t, ran, "no guard is like %s", asked)
}

const product = `package x

func first() error { return nil }

func one() int {
	first()
	return 1
}

func two() int {
	first()
	return 2
}
`

func module(list string) fstest.MapFS {
	return fstest.MapFS{
		"go.mod":                  {Data: []byte("module example.org/x\n\ngo 1.26\n")},
		"x/x.go":                  {Data: []byte(product)},
		"x/x_test.go":             {Data: []byte("package x\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif one() != 1 {\n\t\tt.Fatal(\"one is\", one())\n\t}\n}\n")},
		"testdata/guards/all.txt": {Data: []byte(list)},
		Document:                  {Data: []byte("# Tests\n\n" + heading + "\nAbout it.\n\n| old |\n\nMore.\n\n## Next\n")},
	}
}

const good = `# what holds x
guard: one is one
test:  x TestOne
file:  x/x.go
-	return 1
+	return 11
says:  one is 11
`

func TestListAndCheck(t *testing.T) {
	t.Parallel()
	root := module(good)
	require.NoError(t, Check(root))
	want, is, err := Table(root)
	require.NoError(t, err)
	require.NotEqual(t, want, is)
	require.Equal(t, "# Tests\n\n"+heading+"\nAbout it.\n\n| test | guarded line | what the test says when it is taken out |\n|---|---|---|\n"+
		"| `x` `TestOne` | `x/x.go`, `one`: one is one | one is 11 |\n\nMore.\n\n## Next\n", want)

	for list, problem := range map[string]string{
		"test: x TestOne\n": "all.txt:1: a guard is",
		"guard: a\n":        "all.txt:1: something is missing",
		good + "flag: x\n":  "all.txt:8: a guard is",
		strings.ReplaceAll(good, "TestOne", "TestTwo"):               "package x has no test TestTwo",
		strings.ReplaceAll(good, "return 1\n", "return 3\n"):         "x/x.go has no such lines",
		strings.ReplaceAll(good, "return 1\n", "first()\n"):          "stand in x/x.go twice, at 6 and 11",
		strings.ReplaceAll(good, "file:  x/x.go", "file:  x/y.go\n"): "file does not exist",
	} {
		require.ErrorContains(t, Check(module(list)), problem, "%s", list)
	}
	require.NoError(t, Check(module(strings.NewReplacer("return 1\n", "first()\n", "x/x.go", "x/x.go two").Replace(good))))
}

// A guard whose line can go without a word is reported, in whichever way.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, module(good)))
	guard := func(change func(*Guard)) error {
		all, err := List(os.DirFS(dir))
		require.NoError(t, err)
		change(&all[0])
		return all[0].Run(context.Background(), dir)
	}
	require.NoError(t, guard(func(*Guard) {}))
	require.ErrorContains(t, guard(func(g *Guard) { g.Says = "two" }), `does not say "two"`)
	require.ErrorContains(t, guard(func(g *Guard) { g.Put = nil }), "does not build")
	require.ErrorContains(t, guard(func(g *Guard) { g.Put = []string{"return 1"} }), "passes without the line")
	left, err := os.ReadFile(filepath.Join(dir, "x", "x.go"))
	require.NoError(t, err)
	require.Equal(t, product, string(left), "the tree is not touched")
}
