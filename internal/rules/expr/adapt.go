package expr

import (
	"math"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// adapt makes of a parsed expression what LLL means by it: integers become
// doubles, params.x its constant, and a comparison with null a question whether
// a member is there.
func (c *compiler) adapt(tree *ast.AST) {
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(c.adaptNode))
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(c.leftOver))
}

var factory = ast.NewExprFactory()

func (c *compiler) adaptNode(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		c.literal(e)
	case ast.SelectKind:
		c.selection(e)
	case ast.CallKind:
		c.comparedWithNull(e)
	case ast.StructKind:
		c.fail(e, "there are no objects of a type here", "write {\"name\": value}")
	case ast.MapKind:
		c.memberNames(e)
	case ast.ComprehensionKind:
		c.iteration(e)
	}
}

// memberNames checks those of an object.
func (c *compiler) memberNames(e ast.Expr) {
	seen := make(map[types.String]bool)
	for _, entry := range e.AsMap().Entries() {
		key := entry.AsMapEntry().Key()
		if key.Kind() != ast.LiteralKind || key.AsLiteral().Type() != types.StringType {
			c.fail(key, "the names of an object are texts", "put the name in quotes")
			continue
		}
		name := key.AsLiteral().(types.String)
		if seen[name] {
			c.fail(key, quote(string(name))+" stands twice", "leave one out")
		}
		seen[name] = true
	}
}

// maxExact is the greatest integer up to which a double holds every one.
const maxExact = 1 << 53

func (c *compiler) literal(e ast.Expr) {
	switch v := e.AsLiteral().(type) {
	case types.Int:
		if v > maxExact || v < -maxExact {
			c.fail(e, "numbers are doubles, which hold integers up to 9007199254740992 (2^53) exactly", "write it as a text, or as a double like 1e18")
			return
		}
		e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(v)))
	case types.Double:
		if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
			c.fail(e, "the number is too great", "")
		}
	case types.Uint, types.Bytes:
		c.fail(e, "there is no such literal here", "numbers have no suffix")
	}
}

// selection decodes a member's name and puts a parameter's constant.
func (c *compiler) selection(e ast.Expr) {
	sel := e.AsSelect()
	name := sel.FieldName()
	if original, ok := c.text.names[name]; ok {
		name = original
		if sel.IsTestOnly() {
			e.SetKindCase(factory.NewPresenceTest(e.ID(), sel.Operand(), name))
		} else {
			e.SetKindCase(factory.NewSelect(e.ID(), sel.Operand(), name))
		}
	}
	if sel.Operand().Kind() != ast.IdentKind || sel.Operand().AsIdent() != "params" {
		return
	}
	if _, ok := c.scope.config.Params[name]; !ok {
		c.failName(e, name, "the contract has no parameter "+quote(name), near(name, c.scope.paramNames(), "params."))
		return
	}
	if sel.IsTestOnly() {
		e.SetKindCase(factory.NewLiteral(e.ID(), types.True))
		return
	}
	e.SetKindCase(factory.NewIdent(e.ID(), paramPrefix+name))
}

// comparedWithNull makes of x.y == null the question whether y is absent. It
// leaves other comparisons with null: only members can be absent.
func (c *compiler) comparedWithNull(e ast.Expr) {
	call := e.AsCall()
	name := call.FunctionName()
	if name != operators.Equals && name != operators.NotEquals || len(call.Args()) != 2 {
		return
	}
	member := call.Args()[0]
	if isNull(member) {
		member = call.Args()[1]
	} else if !isNull(call.Args()[1]) {
		return
	}
	operand, field, ok := memberOf(member)
	if !ok {
		return
	}
	if name == operators.NotEquals {
		e.SetKindCase(factory.NewPresenceTest(e.ID(), operand, field))
		return
	}
	member.SetKindCase(factory.NewPresenceTest(member.ID(), operand, field))
	e.SetKindCase(factory.NewCall(e.ID(), operators.LogicalNot, member))
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// memberOf takes x.y and x["y"] apart.
func memberOf(e ast.Expr) (ast.Expr, string, bool) {
	switch e.Kind() {
	case ast.SelectKind:
		sel := e.AsSelect()
		return sel.Operand(), sel.FieldName(), !sel.IsTestOnly()
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 || call.Args()[1].Kind() != ast.LiteralKind {
			return nil, "", false
		}
		name, ok := call.Args()[1].AsLiteral().(types.String)
		return call.Args()[0], string(name), ok
	}
	return nil, "", false
}

// iteration refuses a name for an item that would hide a variable.
func (c *compiler) iteration(e ast.Expr) {
	name := e.AsComprehension().IterVar()
	for _, v := range variables {
		if v.name == name {
			c.fail(e, quote(name)+" is a variable already", "choose another name for the item")
		}
	}
	if name == "params" {
		c.fail(e, "\"params\" is a variable already", "choose another name for the item")
	}
}

// leftOver finds params where no member of it was selected.
func (c *compiler) leftOver(e ast.Expr) {
	if e.Kind() != ast.IdentKind || e.AsIdent() != "params" {
		return
	}
	for _, failed := range c.errs {
		if from, to := c.extent(e); failed.Offset >= from && failed.Offset <= to+1 {
			return // already told
		}
	}
	c.fail(e, "the parameters have no value as a whole", "write params.name")
}
