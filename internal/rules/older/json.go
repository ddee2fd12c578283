package older

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/lll"
)

// jsonValue is a value of JSON with its place.
type jsonValue struct {
	lll.Range
	of      any // nil, bool, json.Number, string; []*jsonValue or *jsonObject
	members []jsonMember
}

type jsonObject struct{}

type jsonMember struct {
	lll.Range
	name  string
	value *jsonValue
}

// json reads a file of rules in JSON: one, a list of them, or an object whose
// member rules is such a list.
func (r *reader) json() []*rule {
	p := &jsonReader{r: r, base: r.at, decoder: json.NewDecoder(strings.NewReader(r.src[r.at:]))}
	p.decoder.UseNumber()
	var all []*jsonValue
	for len(r.diagnostics) == 0 {
		if v := p.value(0); v != nil {
			all = append(all, v)
		} else {
			break
		}
	}
	var rules []*rule
	for _, v := range all {
		rules = append(rules, r.jsonRules(v)...)
	}
	return rules
}

func (r *reader) jsonRules(v *jsonValue) []*rule {
	if list, ok := v.of.([]*jsonValue); ok {
		var rules []*rule
		for _, item := range list {
			if one := r.jsonRule(item); one != nil {
				rules = append(rules, one)
			}
		}
		return rules
	}
	if len(v.members) == 1 && v.members[0].name == "rules" {
		return r.jsonRules(v.members[0].value)
	}
	if one := r.jsonRule(v); one != nil {
		return []*rule{one}
	}
	return nil
}

// jsonReader reads values with their places.
type jsonReader struct {
	r       *reader
	base    int // where the JSON begins in the source
	decoder *json.Decoder
}

// token is the next token and its place; nil at the end or after a mistake.
func (p *jsonReader) token() (json.Token, lll.Range) {
	from := p.base + int(p.decoder.InputOffset())
	for from < len(p.r.src) && strings.IndexByte(" \t\r\n,:", p.r.src[from]) >= 0 {
		from++
	}
	t, err := p.decoder.Token()
	at := lll.Range{Offset: from, End: p.base + int(p.decoder.InputOffset())}
	at.End = max(at.Offset, at.End)
	if err == nil {
		return t, at
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF) && from >= len(p.r.src):
		return io.EOF, at
	case errors.As(err, &syntax):
		p.r.errorf(lll.Range{Offset: from, End: from}, "", "this is no JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	default:
		p.r.errorf(lll.Range{Offset: from, End: from}, "", "the JSON is not closed")
	}
	return nil, at
}

// value reads one value; nil at the end or after a mistake.
func (p *jsonReader) value(depth int) *jsonValue {
	t, at := p.token()
	return p.rest(t, at, depth)
}

func (p *jsonReader) rest(t json.Token, at lll.Range, depth int) *jsonValue {
	v := &jsonValue{Range: at, of: t}
	if t == io.EOF {
		if depth > 0 {
			p.r.errorf(at, "", "the JSON is not closed")
		}
		return nil
	}
	if len(p.r.diagnostics) > 0 {
		return nil
	}
	d, ok := t.(json.Delim)
	if !ok {
		return v
	}
	if depth > maxDepth {
		p.r.errorf(at, "take some brackets out", "the JSON stands more than %d deep in itself", maxDepth)
		return nil
	}
	if d == '[' {
		return p.list(v, depth)
	}
	return p.object(v, depth)
}

func (p *jsonReader) list(v *jsonValue, depth int) *jsonValue {
	list := []*jsonValue{}
	for {
		t, at := p.token()
		if t == json.Delim(']') {
			v.of, v.End = list, at.End
			return v
		}
		item := p.rest(t, at, depth+1)
		if item == nil {
			return nil
		}
		list = append(list, item)
	}
}

func (p *jsonReader) object(v *jsonValue, depth int) *jsonValue {
	v.of = &jsonObject{}
	for {
		t, at := p.token()
		if t == json.Delim('}') {
			v.End = at.End
			return v
		}
		name, ok := t.(string)
		if !ok {
			p.rest(io.EOF, at, depth+1)
			return nil
		}
		if slices.ContainsFunc(v.members, func(m jsonMember) bool { return m.name == name }) {
			p.r.errorf(at, "keep one of them", "%s stands here twice", name)
			return nil
		}
		member := p.value(depth + 1)
		if member == nil {
			return nil
		}
		v.members = append(v.members, jsonMember{at, name, member})
	}
}

// ruleMembers are the members of a rule, and what they may also be called.
var ruleMembers = map[string]string{"if": "if", "when": "if", "then": "then", "reason": "reason", "because": "reason", "name": "name", "on": "on"}

func (r *reader) jsonRule(v *jsonValue) *rule {
	const form = `write {"if": {"amount": {"gt": 10000}}, "then": "reject", "reason": "…"}`
	if _, ok := v.of.(*jsonObject); !ok {
		r.errorf(v.Range, form, "a rule is an object")
		return nil
	}
	one := &rule{at: v.Range}
	seen := map[string]bool{}
	for _, m := range v.members {
		what := ruleMembers[m.name]
		if what == "" {
			r.unknown(m.Range, "a rule has no member "+m.name, m.name, []string{"if", "then", "reason", "name", "on"})
			continue
		}
		if seen[what] {
			r.errorf(m.Range, "keep one of them", "the rule says twice what %s says", what)
		}
		seen[what] = true
		switch what {
		case "if":
			one.when = negated(r.jsonCondition(m.value), false)
		case "then":
			one.then = r.jsonActions(m.value)
		case "reason":
			one.because = r.jsonText(m.value, "the reason")
		case "name":
			one.name = ruleName(r.jsonText(m.value, "the name"))
		case "on":
			one.on = r.jsonTypes(m.value)
		}
	}
	if !seen["then"] && len(r.diagnostics) == 0 {
		r.errorf(v.Range, form, "the rule says not what it does")
	}
	return one
}

func (r *reader) unknown(at lll.Range, message, word string, known []string) {
	fix := "there is " + strings.Join(known, ", ")
	if near := lll.Nearest(strings.ToLower(word), known); near != "" {
		fix = "did you mean " + near + "?"
	}
	r.errorf(at, fix, "%s", message)
}

// ruleName is what of a name may stand in that of a rule.
func ruleName(name string) string {
	name = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '_'
	}, name)
	return strings.Trim(name[:min(len(name), 60)], "_")
}

func (r *reader) jsonText(v *jsonValue, what string) string {
	text, ok := v.of.(string)
	if !ok {
		r.errorf(v.Range, `write "…"`, "%s is a text", what)
	}
	return text
}

func (r *reader) jsonTypes(v *jsonValue) []string {
	list, ok := v.of.([]*jsonValue)
	if !ok {
		list = []*jsonValue{v}
	}
	var types []string
	for _, item := range list {
		types = append(types, r.jsonText(item, "the type of a span"))
	}
	return types
}

// jsonActions reads "reject", {"tag": "x"}, or a list of them.
func (r *reader) jsonActions(v *jsonValue) []action {
	switch of := v.of.(type) {
	case string:
		word := strings.ToLower(of)
		if !contains(actionWords, word) {
			r.unknown(v.Range, of+" is nothing that a rule can do", word, actionWords)
		} else if takesText(word) {
			r.errorf(v.Range, `write {"`+word+`": "…"}`, "%s says not what", word)
		}
		return []action{{word: word}}
	case []*jsonValue:
		var all []action
		for _, item := range of {
			if _, nested := item.of.([]*jsonValue); nested {
				r.errorf(item.Range, "take the brackets out", "a list of actions stands in no other")
				continue
			}
			all = append(all, r.jsonActions(item)...)
		}
		if len(all) == 0 {
			r.errorf(v.Range, `write "reject"`, "the rule does nothing")
		}
		return all
	case *jsonObject:
		var all []action
		for _, m := range v.members {
			if !takesText(m.name) {
				r.unknown(m.Range, m.name+" is nothing that a rule can do with a text", m.name, []string{"tag", "note"})
				continue
			}
			all = append(all, action{m.name, r.jsonText(m.value, "what "+m.name+" says")})
		}
		if len(all) > 0 {
			return all
		}
	}
	if len(r.diagnostics) == 0 {
		r.errorf(v.Range, `write "reject", or {"tag": "…"}`, "the rule says not what it does")
	}
	return nil
}

// jsonCondition reads an object all members of which must hold.
func (r *reader) jsonCondition(v *jsonValue) node {
	if _, ok := v.of.(*jsonObject); !ok {
		r.errorf(v.Range, `write {"amount": {"gt": 10000}}`, "a condition is an object")
		return nil
	}
	if len(v.members) == 0 {
		r.errorf(v.Range, "leave it out where the rule is for every span", "the condition is empty")
	}
	all := &junction{and: true}
	for _, m := range v.members {
		switch word := strings.TrimPrefix(m.name, "$"); word {
		case "and", "all", "or", "any":
			all.list = append(all.list, r.jsonList(m, word == "and" || word == "all"))
		case "not":
			all.list = append(all.list, &negation{r.jsonCondition(m.value)})
		default:
			all.list = append(all.list, r.jsonField(m)...)
		}
	}
	return all
}

func (r *reader) jsonList(m jsonMember, and bool) node {
	list, ok := m.value.of.([]*jsonValue)
	if !ok || len(list) == 0 {
		r.errorf(m.value.Range, "write ["+`{"amount": {"gt": 10000}}`+"]", "%s has a list of conditions", m.name)
	}
	j := &junction{and: and}
	for _, item := range list {
		j.list = append(j.list, r.jsonCondition(item))
	}
	return j
}

// jsonOps are the comparisons, and what else they may be called.
var jsonOps = map[string]string{
	"eq": "==", "is": "==", "==": "==", "=": "==", "ne": "!=", "neq": "!=", "!=": "!=",
	"gt": ">", ">": ">", "gte": ">=", "ge": ">=", ">=": ">=", "lt": "<", "<": "<", "lte": "<=", "le": "<=", "<=": "<=",
	"in": "in", "nin": "!in", "contains": "contains", "exists": "exists",
}

// jsonField reads what is asked of one field.
func (r *reader) jsonField(m jsonMember) []node {
	path := strings.Split(m.name, ".")
	if contains(path, "") {
		r.errorf(m.Range, "write one dot between two names", "%q names no field", m.name)
		return nil
	}
	f := fieldOf(path)
	if _, ok := m.value.of.(*jsonObject); !ok {
		op := "=="
		if _, list := m.value.of.([]*jsonValue); list {
			op = "in"
		}
		return []node{r.jsonComparison(f, op, m.value)}
	}
	var all []node
	for _, o := range m.value.members {
		op := jsonOps[strings.TrimPrefix(o.name, "$")]
		if op == "" {
			r.unknown(o.Range, o.name+" compares nothing", strings.TrimPrefix(o.name, "$"),
				[]string{"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists"})
			continue
		}
		all = append(all, r.jsonComparison(f, op, o.value))
	}
	if len(m.value.members) == 0 {
		r.errorf(m.value.Range, `write {"gt": 10000}`, "nothing is asked of %s", m.name)
	}
	return all
}

func (r *reader) jsonComparison(f field, op string, v *jsonValue) node {
	c := &comparison{field: f, op: op}
	switch op {
	case "exists":
		there, ok := v.of.(bool)
		if !ok {
			r.errorf(v.Range, "write true or false", "exists is true or false")
		}
		if !there {
			c.op = "!exists"
		}
		return c
	case "in", "!in":
		list, ok := v.of.([]*jsonValue)
		if !ok {
			r.errorf(v.Range, "write a list", "in has a list")
		}
		c.value.kind = kindList
		for _, item := range list {
			if item.of == nil {
				r.errorf(item.Range, `write {"eq": null} beside it`, "null stands in no list")
				continue
			}
			c.value.list = append(c.value.list, r.jsonScalar(item))
		}
		return c
	}
	c.value = r.jsonScalar(v)
	if c.value.kind == kindNull && op != "==" && op != "!=" {
		r.errorf(v.Range, "compare with eq or ne", "null is neither more nor less than anything")
	}
	return c
}

func (r *reader) jsonScalar(v *jsonValue) value {
	switch of := v.of.(type) {
	case nil:
		return value{kind: kindNull}
	case bool:
		return value{kind: kindBool, text: fmt.Sprint(of)}
	case json.Number:
		return value{kind: kindNumber, text: of.String()}
	case string:
		return value{kind: kindText, text: of}
	}
	r.errorf(v.Range, "compare with a text, a number, true, false or null", "a field is compared with one value")
	return value{}
}
