package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// check reads every Go file under fsys, the module's root, and returns what
// breaks the rules, one line each.
func check(fsys fs.FS) ([]string, error) {
	var broken []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(name, fsys)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		if ignored(file) {
			return nil
		}
		for _, problem := range checkFile(path.Dir(name), file) {
			broken = append(broken, name+": "+problem)
		}
		return nil
	})
	slices.Sort(broken)
	return broken, err
}

// skip leaves out what is no package of this module.
func skip(dir string, fsys fs.FS) error {
	base := path.Base(dir)
	if dir != "." && (base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil && dir != "." {
		return fs.SkipDir // another module
	}
	return nil
}

// ignored says that a file is in no ordinary build: it asks for a build tag of
// its own with //go:build ignore or the like at the module's root.
func ignored(file *ast.File) bool {
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, c := range group.List {
			if tag, ok := strings.CutPrefix(c.Text, "//go:build "); ok && (tag == "ignore" || tag == "warm") {
				return true
			}
		}
	}
	return false
}

func checkFile(pkg string, file *ast.File) []string {
	r, known := ruleFor(pkg)
	if !known {
		return []string{"package " + pkg + " is not in the table of internal/archtest/table_test.go"}
	}
	var problems []string
	for _, u := range uses(file) {
		if u.matches(r.never) && !u.matches(r.except) && !below(u.path, module+"/"+pkg) {
			problems = append(problems, pkg+" never uses "+u.String())
		}
		for what, where := range confined {
			if u.matches([]string{what}) && !slices.ContainsFunc(where, func(p string) bool { return below(pkg, p) }) {
				problems = append(problems, fmt.Sprintf("%s is only for %v", u, where))
			}
		}
	}
	return append(problems, checkCode(r, file)...)
}

// checkCode finds what no package does, whatever it imports.
func checkCode(r rule, file *ast.File) []string {
	var problems []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, "no package has an init function")
		}
	}
	if r.testing {
		return problems
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "panic" && !abortsHandler(call) {
			problems = append(problems, "no code panics below main")
		}
		return true
	})
	return problems
}

// abortsHandler knows panic(http.ErrAbortHandler), the documented way to tell
// net/http that an answer ends incomplete.
func abortsHandler(call *ast.CallExpr) bool {
	if len(call.Args) != 1 {
		return false
	}
	sel, ok := call.Args[0].(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "ErrAbortHandler"
}

// ruleFor finds the entry of a package or the nearest above it.
func ruleFor(pkg string) (rule, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		if r, ok := table[p]; ok {
			return r, true
		}
	}
	return rule{}, false
}

// use is an import (name empty), or the use of a name of an import.
type use struct{ path, name string }

func (u use) String() string {
	p := strings.TrimPrefix(u.path, module+"/")
	if u.name != "" {
		return p + "." + u.name
	}
	return p
}

// matches says that the rule's names hold this import or a path above it, or
// exactly this name.
func (u use) matches(names []string) bool {
	return slices.ContainsFunc(expand(names), func(name string) bool {
		if u.name != "" {
			return name == u.path+"."+u.name
		}
		return below(u.path, name)
	})
}

func uses(file *ast.File) []use {
	var out []use
	paths := make(map[string]string) // by the import's local name
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it already
		}
		local := path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		paths[local] = p
		out = append(out, use{path: p})
	}
	seen := make(map[use]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && paths[x.Name] != "" {
			if u := (use{path: paths[x.Name], name: sel.Sel.Name}); !seen[u] {
				seen[u] = true
				out = append(out, u)
			}
		}
		return true
	})
	return out
}

// expand replaces set names by what they hold, and our paths by full ones.
func expand(names []string) []string {
	var out []string
	for _, name := range names {
		members, isSet := sets[name]
		if !isSet {
			members = []string{name}
		}
		for _, m := range members {
			if _, ours := table[m]; ours || strings.HasPrefix(m, "internal/") {
				m = module + "/" + m
			}
			out = append(out, m)
		}
	}
	return out
}

// below says that a path is root or below it.
func below(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }
