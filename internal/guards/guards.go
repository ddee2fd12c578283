// Package guards holds fault tests to what they say they guard: a list names,
// for each, a line of the product without which it must fail, and the check
// takes the line out and looks. It serves tests alone, changes no file of the
// tree but the table in docs/testing.md, and knows nothing of the product.
package guards

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:generate go test -count=1 -run ^TestTable$ . -update

// Dir is where the lists are, below the module's root: files of any name ending
// in .txt, each with any number of guards.
const Dir = "testdata/guards"

// Guard is one line of the product and the test that fails without it.
type Guard struct {
	What    string   // holds as long as the line is there, for people
	Package string   // of the test, a folder below the root
	Test    string   // name, as -run takes it: TestX, or TestX/sub
	File    string   // of the line, below the root
	In      string   // the function to look in; needed where the lines occur in several
	Out     []string // lines that are taken out, without the space around them
	Put     []string // what takes their place, so that the rest compiles
	Says    string   // stands in what the test prints then
	Flags   []string // of go test, besides -short
	Where   string   // file and line of the guard itself, for messages
}

var (
	errForm   = errors.New("a guard is the fields guard, test, file, says, and lines to take out and put, each begun by - or +")
	testName  = regexp.MustCompile(`^Test\w+(/\S+)?$`)
	fieldName = regexp.MustCompile(`^([a-z]+):\s*(.*)$`)
)

// List reads all guards under root, in order of test and line.
func List(root fs.FS) ([]Guard, error) {
	names, err := fs.Glob(root, Dir+"/*.txt")
	if err != nil {
		return nil, err
	}
	var all []Guard
	for _, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		some, err := parse(name, string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b Guard) int {
		return strings.Compare(a.Package+" "+a.Test+" "+a.File+" "+a.What, b.Package+" "+b.Test+" "+b.File+" "+b.What)
	})
	return all, nil
}

func parse(name, text string) ([]Guard, error) {
	var out []Guard
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		where := fmt.Sprintf("%s:%d", name, n)
		if field := fieldName.FindStringSubmatch(line); field != nil && field[1] == "guard" {
			out = append(out, Guard{What: field[2], Where: where})
			continue
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("%s: %w; it begins with the field guard", where, errForm)
		}
		if err := out[len(out)-1].add(line); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	for _, g := range out {
		if g.What == "" || g.File == "" || g.Says == "" || len(g.Out) == 0 || !testName.MatchString(g.Test) || g.Package == "" {
			return nil, fmt.Errorf("%s: something is missing: %w", g.Where, errForm)
		}
	}
	return out, nil
}

func (g *Guard) add(line string) error {
	switch line[0] {
	case '-':
		g.Out = append(g.Out, strings.TrimSpace(line[1:]))
		return nil
	case '+':
		g.Put = append(g.Put, line[1:])
		return nil
	}
	field := fieldName.FindStringSubmatch(line)
	if field == nil {
		return errForm
	}
	switch value := field[2]; field[1] {
	case "test":
		g.Package, g.Test, _ = strings.Cut(value, " ")
		g.Test = strings.TrimSpace(g.Test)
	case "file":
		g.File, g.In, _ = strings.Cut(value, " ")
		g.In = strings.TrimSpace(g.In)
	case "says":
		g.Says = value
	case "flags":
		g.Flags = strings.Fields(value)
	default:
		return errForm
	}
	return nil
}

// Without is the guard's file without its lines, and the function they stand in.
func (g *Guard) Without(root fs.FS) (source []byte, function string, err error) {
	text, err := fs.ReadFile(root, g.File)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", g.Where, err)
	}
	functions, err := functionsOf(g.File, text)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", g.Where, err)
	}
	lines := strings.Split(string(text), "\n")
	found := -1
	for i := range lines {
		if !g.startsAt(lines, i) || g.In != "" && functions(i+1) != g.In {
			continue
		}
		if found >= 0 {
			return nil, "", fmt.Errorf("%s: the lines stand in %s twice, at %d and %d; name the function after the file", g.Where, g.File, found+1, i+1)
		}
		found = i
	}
	if found < 0 {
		return nil, "", fmt.Errorf("%s: %s has no such lines any more (%s)", g.Where, g.File, g.Out[0])
	}
	changed := slices.Concat(lines[:found], g.Put, lines[found+len(g.Out):])
	return []byte(strings.Join(changed, "\n")), functions(found + 1), nil
}

func (g *Guard) startsAt(lines []string, at int) bool {
	if at+len(g.Out) > len(lines) {
		return false
	}
	for i, line := range g.Out {
		if strings.TrimSpace(lines[at+i]) != line {
			return false
		}
	}
	return true
}

// functionsOf tells in which function a line stands; files other than Go have
// none.
func functionsOf(name string, text []byte) (func(line int) string, error) {
	if path.Ext(name) != ".go" {
		return func(int) string { return "" }, nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return func(line int) string {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && set.Position(f.Pos()).Line <= line && line <= set.Position(f.End()).Line {
				return f.Name.Name
			}
		}
		return ""
	}, nil
}

// Check says which guards are stale: their lines are not to be found, or their
// test is gone.
func Check(root fs.FS) error {
	all, err := List(root)
	if err != nil {
		return err
	}
	var stale []error
	for i := range all {
		if _, _, err := all[i].Without(root); err != nil {
			stale = append(stale, err)
		}
		stale = append(stale, all[i].hasTest(root))
	}
	return errors.Join(stale...)
}

func (g *Guard) hasTest(root fs.FS) error {
	files, err := fs.Glob(root, g.Package+"/*_test.go")
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(g.Test, "/")
	for _, file := range files {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s: package %s has no test %s", g.Where, g.Package, name)
}
