package expr

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// restrict refuses what checks of types cannot: directory data outside texts,
// questions where none may be asked, patterns that are not known beforehand.
func (c *compiler) restrict(tree *ast.AST) {
	c.counted = make(map[int64]bool)
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			c.directory(tree, e)
		case ast.CallKind:
			c.call(tree, e)
		}
	}))
	if c.errs != nil {
		return
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "spans" && !c.counted[e.ID()] {
			c.fail(e, "spans(…) alone has no value", "end it with .count() or .sum(\"field\")")
		}
	}))
}

// directory refuses handles and names where something is decided: they are on
// no timeline, so nobody could decide the same again.
func (c *compiler) directory(tree *ast.AST, e ast.Expr) {
	if c.scope.config.Place == Text {
		return
	}
	sel := e.AsSelect()
	f := findField(tree.GetType(sel.Operand().ID()).TypeName(), sel.FieldName())
	if f != nil && f.directory {
		c.failName(e, f.name, quote(f.name)+" comes from the directory, which is on no timeline: it may be shown in texts and decides nothing", "decide by id")
	}
}

func (c *compiler) call(tree *ast.AST, e ast.Expr) {
	call := e.AsCall()
	switch call.FunctionName() {
	case "matches":
		c.pattern(tree, e)
	case "count", "sum", "identity", "state":
		if !c.scope.config.Place.asks() {
			c.failName(e, call.FunctionName(), call.FunctionName()+"() asks the timeline, and "+c.scope.config.Place.String()+" may not", "")
		}
		c.question(tree, e)
	}
}

// constant is the value of a node that is a literal or a parameter.
func constant(tree *ast.AST, e ast.Expr) ref.Val {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral()
	case ast.IdentKind:
		if r, ok := tree.ReferenceMap()[e.ID()]; ok {
			return r.Value
		}
	case ast.CallKind:
		call := e.AsCall()
		if len(call.Args()) != 1 {
			return nil
		}
		switch v := constant(tree, call.Args()[0]).(type) {
		case types.String:
			if call.FunctionName() == "duration" {
				return toDuration(v)
			}
		case types.Duration:
			if call.FunctionName() == operators.Negate {
				return v.Negate()
			}
		}
	}
	return nil
}

// pattern checks that the pattern of matches is known and can be compiled.
func (c *compiler) pattern(tree *ast.AST, e ast.Expr) {
	args := e.AsCall().Args()
	pattern, ok := constant(tree, args[len(args)-1]).(types.String)
	if !ok {
		c.fail(args[len(args)-1], "the pattern of matches() must be known when the contract is activated", "write it as a text or a parameter")
		return
	}
	if len(pattern) > MaxPattern {
		c.fail(args[len(args)-1], fmt.Sprintf("the pattern has more than %d bytes", MaxPattern), "divide it")
		return
	}
	if _, err := regexp.Compile(string(pattern)); err != nil {
		c.fail(args[len(args)-1], "the pattern cannot be read: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "the syntax is that of RE2")
	}
}

// patternOf plans matches() with its pattern compiled.
func patternOf() *interpreter.RegexOptimization {
	return &interpreter.RegexOptimization{
		Function: "matches", RegexIndex: 1,
		Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
			compiled, err := regexp.Compile(pattern)
			if err != nil {
				return nil, err
			}
			return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(v ...ref.Val) ref.Val {
				s, ok := v[0].(types.String)
				if !ok {
					return mismatch(v[0])
				}
				return types.Bool(compiled.MatchString(string(s)))
			}), nil
		},
	}
}

// question checks what is asked of the timeline.
func (c *compiler) question(tree *ast.AST, e ast.Expr) {
	call := e.AsCall()
	switch call.FunctionName() {
	case "identity":
		c.prog.identities = true
	case "state":
		name, ok := constant(tree, call.Args()[0]).(types.String)
		if !ok {
			c.fail(call.Args()[0], "the workflow of state() must be known when the contract is activated", "write its name in quotes")
			return
		}
		if !slices.Contains(c.prog.workflows, string(name)) {
			c.prog.workflows = append(c.prog.workflows, string(name))
		}
	default:
		c.aggregate(tree, e)
	}
}

// typePattern and fieldPath are what may stand in spans() and sum(): segments
// between dots, without blanks.
var (
	typePattern = regexp.MustCompile(`^[a-z0-9_*-]+(\.[a-z0-9_*-]+)*$`)
	fieldPath   = regexp.MustCompile(`^[^\s.]+(\.[^\s.]+)*$`)
)

// chain is spans("pattern") with its filters.
type chain struct {
	spans               int64 // the call's id
	pattern             ast.Expr
	by, subject, within ast.Expr
}

func (c *compiler) aggregate(tree *ast.AST, e ast.Expr) {
	filters, ok := c.filters(e.AsCall().Target())
	if !ok {
		return
	}
	c.counted[filters.spans] = true
	pattern, ok := constant(tree, filters.pattern).(types.String)
	if !ok {
		c.fail(filters.pattern, "the type pattern of spans() must be known when the contract is activated", "write it in quotes, like \"payment.*\"")
		return
	}
	if !typePattern.MatchString(string(pattern)) {
		c.fail(filters.pattern, quote(string(pattern))+" is no pattern of span types", "write one like \"payment.requested\" or \"payment.*\"")
	}
	if args := e.AsCall().Args(); len(args) == 1 {
		name, ok := constant(tree, args[0]).(types.String)
		if !ok {
			c.fail(args[0], "the field of sum() must be known when the contract is activated", "write its name in quotes")
		} else if !fieldPath.MatchString(string(name)) {
			c.fail(args[0], quote(string(name))+" is no field", "write a member of the payload, like \"amount\" or \"total.net\"")
		}
	}
	if filters.within != nil {
		if d, ok := constant(tree, filters.within).(types.Duration); ok && d.Duration <= 0 {
			c.fail(filters.within, "a window is longer than nothing", "")
		}
	}
}

// filters takes the calls before count() or sum() apart.
func (c *compiler) filters(e ast.Expr) (chain, bool) {
	var out chain
	for e != nil && e.Kind() == ast.CallKind {
		call := e.AsCall()
		var slot *ast.Expr
		switch call.FunctionName() {
		case "spans":
			out.spans, out.pattern = e.ID(), call.Args()[0]
			return out, true
		case "by":
			slot = &out.by
		case "subject":
			slot = &out.subject
		case "within":
			slot = &out.within
		}
		if slot == nil {
			break
		}
		if *slot != nil {
			c.failName(e, call.FunctionName(), call.FunctionName()+"() stands twice", "leave one out")
			return out, false
		}
		*slot, e = call.Args()[0], call.Target()
	}
	c.fail(e, "the spans to count must be written out here", "begin with spans(\"pattern\")")
	return out, false
}

// answerable puts the functions that ask the supplier in the place of those
// that are written.
func (c *compiler) answerable(tree *ast.AST) {
	next := ast.MaxID(tree)
	ask := func(e ast.Expr, function string, args ...ast.Expr) {
		next++
		supplier := factory.NewIdent(next, supplierName)
		tree.SetType(next, supplierType)
		tree.SetReference(next, ast.NewIdentReference(supplierName, nil))
		e.SetKindCase(factory.NewCall(e.ID(), function, append([]ast.Expr{supplier}, args...)...))
		tree.SetReference(e.ID(), ast.NewFunctionReference(function))
	}
	constant := func(v ref.Val, t *types.Type) ast.Expr {
		next++
		tree.SetType(next, t)
		return factory.NewLiteral(next, v)
	}
	orDefault := func(e ast.Expr, v ref.Val, t *types.Type) ast.Expr {
		if e != nil {
			return e
		}
		return constant(v, t)
	}
	list := func(items []ast.Expr) ast.Expr {
		next++
		tree.SetType(next, types.ListType)
		return factory.NewList(next, items, nil)
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.MapKind {
			// CEL's own maps are walked in any order.
			var names, values []ast.Expr
			for _, entry := range e.AsMap().Entries() {
				names = append(names, entry.AsMapEntry().Key())
				values = append(values, entry.AsMapEntry().Value())
			}
			e.SetKindCase(factory.NewCall(e.ID(), objectName, list(names), list(values)))
			tree.SetReference(e.ID(), ast.NewFunctionReference(objectName))
			return
		}
		if e.Kind() != ast.CallKind {
			return
		}
		switch call := e.AsCall(); call.FunctionName() {
		case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate:
			fold(tree, e)
		case operators.Equals, operators.NotEquals:
			c.limited(tree, e, &next)
		case "identity":
			ask(e, identityName, call.Args()...)
		case "state":
			ask(e, stateName, call.Args()...)
		case "count", "sum":
			filters, _ := c.filters(call.Target())
			asked := c.asked(tree, e, filters)
			c.prog.aggregates = append(c.prog.aggregates, &asked.Aggregate)
			ask(e, aggregateName, constant(asked, types.DynType),
				orDefault(filters.by, types.String(""), types.StringType),
				orDefault(filters.subject, types.String(""), types.StringType),
				orDefault(filters.within, types.Duration{}, types.DurationType))
		}
	}))
}

// fold puts the result in the place of arithmetic on constants, such as
// params.limit * 80%. What has no result is left to fail when it is evaluated.
func fold(tree *ast.AST, e ast.Expr) {
	var operands []ref.Val
	for _, arg := range e.AsCall().Args() {
		v := constant(tree, arg)
		switch v.(type) {
		case types.Double, types.Duration:
			operands = append(operands, v)
		default:
			return
		}
	}
	var result ref.Val
	switch e.AsCall().FunctionName() {
	case operators.Negate:
		result = negate(operands[0])
	case operators.Add:
		result = add(operands[0], operands[1])
	case operators.Subtract:
		result = subtract(operands[0], operands[1])
	default:
		result = onNumbers(operands[0], operands[1], binary[e.AsCall().FunctionName()])
	}
	if !types.IsError(result) {
		e.SetKindCase(factory.NewLiteral(e.ID(), result))
	}
}

// limited puts our own comparison where both operands may be great.
func (c *compiler) limited(tree *ast.AST, e ast.Expr, next *int64) {
	call := e.AsCall()
	for _, arg := range call.Args() {
		switch tree.GetType(arg.ID()).Kind() {
		case types.DynKind, types.ListKind, types.MapKind:
		default:
			return
		}
	}
	if call.FunctionName() == operators.Equals {
		e.SetKindCase(factory.NewCall(e.ID(), equalName, call.Args()...))
		tree.SetReference(e.ID(), ast.NewFunctionReference(equalName))
		return
	}
	*next++
	same := factory.NewCall(*next, equalName, call.Args()...)
	tree.SetType(*next, types.BoolType)
	tree.SetReference(*next, ast.NewFunctionReference(equalName))
	c.nodes[*next] = same
	e.SetKindCase(factory.NewCall(e.ID(), operators.LogicalNot, same))
	tree.SetReference(e.ID(), ast.NewFunctionReference(overloads.LogicalNot))
}

// asked describes an aggregate.
func (c *compiler) asked(tree *ast.AST, e ast.Expr, filters chain) *aggregateVal {
	pattern, _ := constant(tree, filters.pattern).(types.String)
	from, to := c.extent(e)
	out := &aggregateVal{Aggregate: Aggregate{
		Pattern: string(pattern), ByAuthor: filters.by != nil, BySubject: filters.subject != nil, Windowed: filters.within != nil,
		Offset: from + c.offset, End: to + c.offset,
	}}
	if args := e.AsCall().Args(); len(args) == 1 {
		name, _ := constant(tree, args[0]).(types.String)
		out.Op, out.Field = Sum, string(name)
	}
	if filters.within != nil {
		if d, ok := constant(tree, filters.within).(types.Duration); ok {
			out.Within = d.Duration
		}
	}
	return out
}
