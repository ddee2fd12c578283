package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Compile checks and plans the expression that stands at offset in the `.lll`
// file. want is what it must yield; Any takes everything. It gives a program or
// at least one error.
func Compile(source string, offset int, want Type, scope *Scope) (*Program, Errors) {
	c := compiler{source: source, offset: offset, scope: scope, want: want}
	p, errs := c.compile()
	if len(errs) > 0 {
		for i := range errs {
			errs[i].Offset += offset
			errs[i].End += offset
		}
		slices.SortStableFunc(errs, func(a, b Error) int { return a.Offset - b.Offset })
		return nil, slices.Compact(errs)
	}
	return p, nil
}

// compiler compiles one expression. Its errors have offsets within the source.
type compiler struct {
	source string
	offset int
	scope  *Scope
	want   Type

	text  *rewritten
	runes []int // the byte of each code point of text
	nodes map[int64]ast.Expr
	info  *ast.SourceInfo
	errs  Errors
	prog  *Program

	counted map[int64]bool // the calls of spans() that an aggregate begins with
}

func (c *compiler) compile() (*Program, Errors) {
	if errs := c.readable(); errs != nil {
		return nil, errs
	}
	text, errs := rewrite(c.source)
	if errs != nil {
		return nil, errs
	}
	c.text, c.runes = text, runeStarts(text.text)
	parsed, issues := c.scope.env.Parse(text.text)
	if issues.Err() != nil {
		return nil, c.syntax(issues)
	}
	c.info = parsed.NativeRep().SourceInfo()
	c.index(parsed.NativeRep().Expr())
	if c.adapt(parsed.NativeRep()); c.errs != nil {
		return nil, c.errs
	}
	checked, issues := c.scope.env.Check(parsed)
	if issues.Err() != nil {
		return nil, c.mistakes(issues)
	}
	return c.plan(checked)
}

// readable refuses what is not worth reading.
func (c *compiler) readable() Errors {
	switch {
	case len(c.source) > MaxSource:
		return Errors{{0, len(c.source), fmt.Sprintf("the expression has more than %d bytes", MaxSource), "divide it"}}
	case !utf8.ValidString(c.source):
		return Errors{{0, len(c.source), "the expression is not UTF-8", ""}}
	case strings.TrimSpace(c.source) == "":
		return Errors{{0, len(c.source), "an expression is missing here", ""}}
	}
	return nil
}

func runeStarts(s string) []int {
	out := make([]int, 0, len(s)+1)
	for i := range s {
		out = append(out, i)
	}
	return append(out, len(s))
}

// index notes every node by its id.
func (c *compiler) index(root ast.Expr) {
	c.nodes = make(map[int64]ast.Expr)
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) { c.nodes[e.ID()] = e }))
}

// plan makes the program of a checked expression.
func (c *compiler) plan(checked *cel.Ast) (*Program, Errors) {
	tree := checked.NativeRep()
	c.nodes = nil
	c.index(tree.Expr())
	c.prog = &Program{want: c.want}
	c.yields(tree)
	c.restrict(tree)
	if c.errs != nil {
		return nil, c.errs
	}
	if c.affordable(checked); c.errs != nil {
		return nil, c.errs
	}
	loops := c.loops()
	c.prog.uncounted = c.uncounted(checked)
	c.positions(tree)
	c.answerable(tree)
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.OptimizeRegex(patternOf())}
	var err error
	if c.prog.free, err = c.scope.env.PlanProgram(tree, options...); err == nil && (loops || c.prog.uncounted < MaxData) {
		c.prog.counted, err = c.scope.env.PlanProgram(tree, append(options, cel.CostTracking(actual{}), cel.CostLimit(MaxCost))...)
	}
	if err != nil {
		c.fail(tree.Expr(), "the expression cannot be planned: "+planError(err), "")
		return nil, c.errs
	}
	return c.prog, nil
}

// loops says that something is gone through: what more votes or roles than
// costs are reckoned with could prolong.
func (c *compiler) loops() bool {
	for _, e := range c.nodes {
		if e.Kind() == ast.ComprehensionKind {
			return true
		}
	}
	return false
}

func planError(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// fail notes what is wrong with a node.
func (c *compiler) fail(e ast.Expr, message, fix string) {
	from, to := c.extent(e)
	c.errs = append(c.errs, Error{from, to, message, fix})
}

// failName notes what is wrong with a name at the end of a node: the member of
// a selection, the name of a method.
func (c *compiler) failName(e ast.Expr, name, message, fix string) {
	from, to := c.nameExtent(e, name)
	c.errs = append(c.errs, Error{from, to, message, fix})
}

// extent is where a node stands in the source.
func (c *compiler) extent(e ast.Expr) (int, int) {
	from, to := len(c.text.text), 0
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if r, ok := c.info.GetOffsetRange(e.ID()); ok {
			start, stop := c.own(e, c.byteAt(r.Start), c.byteAt(r.Stop))
			from, to = min(from, start), max(to, stop)
		}
	}))
	if from > to {
		from, to = 0, len(c.text.text)
	}
	return c.text.source(from, to)
}

// own widens what CEL notes of a node to what a reader takes for it: a call
// from its name to its closing bracket, a selection to its member's end.
func (c *compiler) own(e ast.Expr, from, to int) (int, int) {
	text := c.text.text
	if from >= len(text) {
		return from, to
	}
	switch text[from] {
	case '(', '[', '{':
		to = max(to, closing(text, from))
		for from > 0 && text[from] == '(' && (nameLength(text[from-1:from]) > 0 || isDigit(text[from-1])) && e.Kind() == ast.CallKind {
			from--
			for from > 0 && (nameLength(text[from-1:from]) > 0 || isDigit(text[from-1])) {
				from--
			}
		}
	case '.':
		if n := len(text[from+1:]) - len(strings.TrimLeft(text[from+1:], " \t\r\n")); e.Kind() == ast.SelectKind {
			to = max(to, from+1+n+nameLength(text[from+1+n:]))
		}
	}
	return from, to
}

// closing is the byte behind the bracket that closes the one at from.
func closing(text string, from int) int {
	depth := 0
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '\'':
			raw := i > 0 && text[i-1]|0x20 == 'r' && (i == 1 || nameLength(text[i-2:i-1]) == 0)
			n := stringLength(text[i:], raw)
			if n < 0 {
				return len(text)
			}
			i += n - 1
		}
	}
	return len(text)
}

// nameExtent is where name stands, looked for from where the node's own token
// is; the whole node where it is not found.
func (c *compiler) nameExtent(e ast.Expr, name string) (int, int) {
	start, stop := c.extent(e)
	r, ok := c.info.GetOffsetRange(e.ID())
	if !ok || name == "" {
		return start, stop
	}
	own, _ := c.text.source(c.byteAt(r.Start), c.byteAt(r.Start)+1)
	if i := strings.Index(c.source[own:], name); i >= 0 && strings.TrimLeft(c.source[own:own+i], ". \t\r\n") == "" {
		return own + i, own + i + len(name)
	}
	if i := strings.LastIndex(c.source[:own], name); i >= 0 && strings.TrimSpace(c.source[i+len(name):own]) == "" {
		return i, i + len(name)
	}
	return start, stop
}

// byteAt is the byte of the text's code point.
func (c *compiler) byteAt(r int32) int {
	return c.runes[min(max(int(r), 0), len(c.runes)-1)]
}

// positions notes where each node that can fail stands, for errors of
// evaluation.
func (c *compiler) positions(tree *ast.AST) {
	c.prog.at = make(map[int64]position, len(c.nodes))
	from, to := c.extent(tree.Expr())
	c.prog.whole = position{from + c.offset, to + c.offset}
	for id, e := range c.nodes {
		switch e.Kind() {
		case ast.SelectKind, ast.CallKind, ast.IdentKind, ast.MapKind, ast.ComprehensionKind:
			from, to = c.extent(e)
		default:
			continue
		}
		c.prog.at[id] = position{from + c.offset, to + c.offset}
	}
}

// yields checks what the expression yields.
func (c *compiler) yields(tree *ast.AST) {
	got := tree.GetType(tree.Expr().ID())
	wanted, ok := wantedTypes[c.want]
	if !ok || got.Kind() == types.DynKind || wanted.Kind() == got.Kind() && (wanted.Kind() != types.StructKind || wanted.IsExactType(got)) {
		return
	}
	c.fail(tree.Expr(), fmt.Sprintf("%s is wanted here, and this is %s", c.want, describe(got)), "")
}

var wantedTypes = map[Type]*types.Type{
	Bool: types.BoolType, Number: types.DoubleType, String: types.StringType,
	Duration: types.DurationType, Time: types.TimestampType,
	List: types.ListType, Map: types.MapType, IdentityType: identityType,
}
