package expr

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// syntax puts the parser's first error in our words; those after it are its
// consequences.
func (c *compiler) syntax(issues *cel.Issues) Errors {
	found := issues.Errors()
	if len(found) == 0 {
		return Errors{{0, len(c.source), "this cannot be read as an expression", ""}}
	}
	first := found[0]
	at := len(c.text.text)
	if first.Location.Line() > 0 {
		at = c.offsetOf(first.Location.Line(), first.Location.Column())
	}
	from, to := c.text.source(at, at+max(1, tokenLength(c.text.text[at:])))
	from, to = min(from, len(c.source)), min(to, len(c.source))
	message, fix := syntaxMessage(first.Message, strings.TrimSpace(c.source[from:to]))
	return Errors{{from, to, message, fix}}
}

// offsetOf is the byte of the text at CEL's line (from 1) and column (from 0,
// in code points).
func (c *compiler) offsetOf(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(c.text.text[at:], '\n')
		if n < 0 {
			break
		}
		at += n + 1
	}
	for i := range c.text.text[at:] {
		if column == 0 {
			return at + i
		}
		column--
	}
	return len(c.text.text)
}

func tokenLength(s string) int {
	if n := nameLength(s); n > 0 {
		return n
	}
	if s != "" && isDigit(s[0]) {
		return numberLength(s)
	}
	return min(1, len(s))
}

var reserved = regexp.MustCompile(`^reserved identifier: (.*)$`)

func syntaxMessage(cel, token string) (string, string) {
	switch {
	case strings.Contains(cel, "recursion") || strings.Contains(cel, "nesting depth"):
		return "the expression is nested too deeply", "divide it"
	case strings.Contains(cel, "node count") || strings.Contains(cel, "expression count"):
		return "the expression has too many parts", "divide it"
	case strings.Contains(cel, "invalid double literal"), strings.Contains(cel, "invalid int literal"):
		return "the number is too great", ""
	case reserved.MatchString(cel):
		return quote(reserved.FindStringSubmatch(cel)[1]) + " is a reserved word", "choose another name"
	case strings.Contains(cel, "'<EOF>'") || token == "":
		return "the expression ends too early", "write what follows, and close every bracket"
	case strings.Contains(cel, "variable name") || strings.Contains(cel, "simple identifier") || strings.Contains(cel, "must be a simple name"):
		return "the first argument names the item", "write it like list.all(item, item > 0)"
	case strings.Contains(cel, "invalid argument to has()"):
		return "has() asks for a member", "write has(data.x)"
	}
	return quote(token) + " cannot stand here", ""
}

// mistakes puts the checker's errors in our words.
func (c *compiler) mistakes(issues *cel.Issues) Errors {
	for _, found := range issues.Errors() {
		e, ok := c.nodes[found.ExprID]
		if !ok {
			message, fix := syntaxMessage(found.Message, c.source)
			return Errors{{0, len(c.source), message, fix}}
		}
		c.mistake(e, found.Message)
	}
	return c.errs
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	undefField = regexp.MustCompile(`^undefined field '([^']*)'`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	noFields   = regexp.MustCompile(`^type '(.*)' does not support field selection`)
	unlike     = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'`)
	noRange    = regexp.MustCompile(`^expression of type '(.*)' cannot be range`)
)

func (c *compiler) mistake(e ast.Expr, message string) {
	switch {
	case undeclared.MatchString(message):
		c.unknown(e, undeclared.FindStringSubmatch(message)[1])
	case undefField.MatchString(message):
		c.unknownField(e, undefField.FindStringSubmatch(message)[1])
	case overload.MatchString(message):
		m := overload.FindStringSubmatch(message)
		c.misapplied(e, m[1], signature(m[2]))
	case noFields.MatchString(message):
		fix := ""
		if kind := noFields.FindStringSubmatch(message)[1]; kind == "Spans" {
			fix = "end spans(…) with .count() or .sum(\"field\")"
		}
		c.fail(e, describeName(noFields.FindStringSubmatch(message)[1])+" has no members", fix)
	case unlike.MatchString(message):
		m := unlike.FindStringSubmatch(message)
		c.fail(e, describeName(m[1])+" is wanted here, and this is "+describeName(m[2]), "")
	case noRange.MatchString(message):
		c.fail(e, "only a list or an object can be gone through, and this is "+describeName(noRange.FindStringSubmatch(message)[1]), "")
	default:
		c.fail(e, "this cannot be: "+message, "")
	}
}

// unknown tells of a name that is not declared.
func (c *compiler) unknown(e ast.Expr, name string) {
	if e.Kind() == ast.CallKind {
		if slices.Contains(macroNames, name) {
			c.failName(e, name, name+"() stands behind a list, with a name for its items", "write it like list.all(item, item > 0)")
			return
		}
		c.failName(e, name, "there is no function "+name+"()", near(name, functionNames(), ""))
		return
	}
	name, _, _ = strings.Cut(name, ".")
	if original, ok := c.text.names[name]; ok {
		name = original
	}
	for _, v := range variables {
		if v.name == name {
			c.fail(e, quote(name)+" is not known in "+c.scope.config.Place.String(), "")
			return
		}
	}
	if member, ok := c.dashed(e); ok {
		c.fail(e, quote(name)+" is not known", "a member with a dash in its name is written data["+quote(member)+"]")
		return
	}
	fix := near(name, c.scope.variableNames(), "")
	if _, ok := c.scope.config.Params[name]; ok {
		fix = "write params." + name
	} else if fix == "" && c.scope.config.Vars&VarData != 0 {
		fix = "a member of the payload is written data." + name + ", a text in quotes"
	}
	c.fail(e, quote(name)+" is not known", fix)
}

// dashed says that a name stands behind a dash with no blank, as in
// data.some-key, and gives the whole.
func (c *compiler) dashed(e ast.Expr) (string, bool) {
	from, to := c.extent(e)
	start := from
	for start > 0 && strings.IndexByte(". \t\n([{,", c.source[start-1]) < 0 {
		start--
	}
	behindDot := start > 0 && c.source[start-1] == '.'
	return c.source[start:to], behindDot && from > start && c.source[from-1] == '-'
}

func (c *compiler) unknownField(e ast.Expr, name string) {
	shape := ""
	if e.Kind() == ast.SelectKind {
		shape = c.shapeOf(e.AsSelect().Operand())
	}
	names, _ := provider{}.FindStructFieldNames(shape)
	message := "there is no member " + quote(name) + " here"
	if shape != "" {
		message = describeName(shape) + " has no member " + quote(name)
	}
	c.failName(e, name, message, near(name, names, ""))
}

// shapeOf guesses the shape of a node that the checker gave no type for.
func (c *compiler) shapeOf(e ast.Expr) string {
	if e.Kind() == ast.IdentKind {
		for _, v := range variables {
			if v.name == e.AsIdent() {
				return v.kind.TypeName()
			}
		}
	}
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "identity" {
		return "Identity"
	}
	return ""
}

// misapplied tells of an operator or function whose operands do not fit.
func (c *compiler) misapplied(e ast.Expr, function string, operands []string) {
	described := make([]string, len(operands))
	for i, o := range operands {
		described[i] = describeName(o)
	}
	list := enumerate(described)
	fix := hint(function, operands)
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		c.fail(e, symbol+" does not work on "+list, fix)
		return
	}
	switch function {
	case operators.Index:
		c.fail(e, "[…] does not work on "+list, fix)
	case operators.Conditional:
		c.fail(e, "? : does not work on "+list, "both results must be of one type, and what is asked true or false")
	default:
		if list == "" {
			list = "no arguments"
		}
		c.failName(e, function, function+"() does not work on "+list, fix)
	}
}

// enumerate writes a, b and c; two stand with "and" only where that is clear.
func enumerate(items []string) string {
	if len(items) < 3 {
		return strings.Join(items, " and ")
	}
	return strings.Join(items[:len(items)-1], ", ") + ", and " + items[len(items)-1]
}

// hint says what is often meant.
func hint(function string, operands []string) string {
	has := func(kind string) bool { return slices.Contains(operands, kind) }
	switch {
	case function == "within":
		return "write within(24h)"
	case function == "sum":
		return "write sum(\"field\")"
	case function == "by" || function == "subject":
		return "write by(actor.id), subject(\"…\")"
	case has("null"):
		return "ask whether a member is there with has(data.x)"
	case function == operators.Add && has("string") && has("double"):
		return "make a text of the number with string(x)"
	case has("Tenant"):
		return "write tenant.slug or tenant.id"
	case has("Identity") && has("string"):
		return "write its id, like actor.id"
	case has("Spans"):
		return "end spans(…) with .count() or .sum(\"field\")"
	case has("duration") && has("double"):
		return "a duration has a unit, like 48h; its hours are d.getHours()"
	case function == "matches" && len(operands) == 2:
		return "write text.matches(\"pattern\")"
	}
	return ""
}

// signature takes "(double, map(string, dyn))" or "string.(dyn)" apart.
func signature(s string) []string {
	var out []string
	if target, rest, ok := strings.Cut(s, ".("); ok && !strings.HasPrefix(s, "(") {
		out, s = append(out, target), "("+rest
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "("), ")")
	depth, from := 0, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && depth == 0:
			if part := strings.TrimSpace(s[from:i]); part != "" {
				out = append(out, part)
			}
			from = i + 1
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
	}
	return out
}

func describe(t *types.Type) string { return describeName(cel.FormatCELType(t)) }

// describeName says what a type of CEL is, by its name.
func describeName(name string) string {
	switch name {
	case "bool":
		return Bool.String()
	case "double", "int":
		return Number.String()
	case "string":
		return String.String()
	case "duration", "google.protobuf.Duration":
		return Duration.String()
	case "timestamp", "google.protobuf.Timestamp":
		return Time.String()
	case "dyn":
		return "a value of the payload"
	case "null", "null_type":
		return "null"
	case "Span":
		return "the span"
	case "Identity":
		return IdentityType.String()
	case "Tenant":
		return "the tenant"
	case "Approval":
		return "an approval"
	case "Spans":
		return "a choice of spans"
	}
	if item, ok := strings.CutPrefix(name, "list("); ok {
		if item = strings.TrimSuffix(item, ")"); item == "dyn" {
			return List.String()
		}
		return "a list of " + plural(strings.TrimSuffix(item, ")"))
	}
	if strings.HasPrefix(name, "map") {
		return Map.String()
	}
	return name
}

func plural(item string) string {
	switch item {
	case "double":
		return "numbers"
	case "string":
		return "texts"
	case "bool":
		return "true or false"
	}
	return strings.TrimPrefix(strings.TrimPrefix(describeName(item), "a "), "an ") + "s"
}

// kindName names a value's type as messages do, for errors of evaluation.
func (v Value) kindName() string {
	switch v.v.(type) {
	case nil, types.Null:
		return "null"
	case *spanVal:
		return "the span"
	case *tenantVal:
		return "the tenant"
	case *approvalVal:
		return "an approval"
	}
	return v.Type().String()
}

// near suggests the nearest of the known names.
func near(name string, known []string, prefix string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := edits(strings.ToLower(name), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + prefix + best + "?"
}

// edits counts the letters to insert, remove, change or swap with the next
// that make b of a.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, row, next := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(y)]
}

func (s *Scope) paramNames() []string {
	out := make([]string, 0, len(s.config.Params))
	for name := range s.config.Params {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (s *Scope) variableNames() []string {
	out := []string{"params"}
	for i, v := range variables {
		if s.config.Vars&(1<<i) != 0 {
			out = append(out, v.name)
		}
	}
	return out
}

// macroNames are those of CEL's macros.
var macroNames = []string{"has", "all", "exists", "exists_one", "map", "filter"}

// functionNames are those that can be written, in order.
func functionNames() []string {
	env, err := baseEnv()
	if err != nil {
		return nil
	}
	out := slices.Clone(macroNames)
	for name := range env.Functions() {
		if nameLength(name) == len(name) && !strings.HasPrefix(name, "_") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
