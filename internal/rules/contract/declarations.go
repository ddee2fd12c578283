package contract

import (
	"math"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// params evaluates the parameters, each of which may use those before it.
func (b *builder) params(n *lll.Node) {
	b.c.Params = map[string]expr.Value{}
	for _, block := range n.Children("params") {
		for _, item := range items(block.Body) {
			switch item := item.(type) {
			case *lll.Attr:
				if b.declare("parameter", item.Key, item.KeyRange) && item.Value != nil {
					b.param(item.Key, item.Value)
				}
			case *lll.Node:
				if item.Body != nil && len(item.Atoms) == 0 && b.declare("parameter", item.Head, item.HeadRange) {
					b.c.Params[item.Head] = b.fixedObject(item.Body)
				}
			}
		}
	}
	b.scopes = nil // those of before know fewer parameters
}

func (b *builder) param(name string, v *lll.Value) {
	b.scopes = nil
	if value, ok := b.fixedValue(v); ok && value.Type() != expr.Any {
		b.c.Params[name] = value
	} else if ok {
		b.errorf(v.Range, "leave it out", "a parameter has a value")
	}
}

// fixedValue is a value that needs no facts. Plain literals need no compiling.
func (b *builder) fixedValue(v *lll.Value) (expr.Value, bool) {
	if s, ok := v.Plain(); ok {
		return expr.StringValue(s), true
	}
	switch v.Kind {
	case lll.KindNumber, lll.KindPercent:
		if f, ok := v.Number(); ok && v.Kind == lll.KindNumber {
			return expr.NumberValue(f), true
		}
	case lll.KindBool:
		t, _ := v.Bool()
		return expr.BoolValue(t), true
	case lll.KindDuration:
		if d, ok := v.Duration(); ok {
			return expr.DurationValue(d), true
		}
	case lll.KindObject:
		return b.fixedObject(v.Body), true
	case lll.KindList:
		items := make([]expr.Value, 0, len(v.List))
		for _, item := range v.List {
			if value, ok := b.fixedValue(item); ok {
				items = append(items, value)
			}
		}
		return expr.ListValue(items...), true
	}
	return b.fixed(v, expr.Any)
}

func (b *builder) fixedObject(body *lll.Body) expr.Value {
	members := map[string]expr.Value{}
	for _, a := range body.Attrs() {
		if a.Value == nil {
			continue
		}
		if value, ok := b.fixedValue(a.Value); ok {
			members[a.Key] = value
		}
	}
	for _, n := range body.Nodes() {
		if n.Body != nil && len(n.Atoms) == 0 {
			members[n.Head] = b.fixedObject(n.Body)
		}
	}
	return expr.MapValue(members)
}

// declarations reads what rules refer to: roles, permits, webhooks, quotas and
// imports.
func (b *builder) declarations(n *lll.Node) {
	for _, r := range n.Children("role") {
		name, at := b.named(r, "a role")
		if !b.declare("role", name, at) {
			continue
		}
		if name != "" && !span.ValidRole(name) {
			b.errorf(at, "use a-z, 0-9, _ and -, at most 64", "%q cannot be the name of a role", name)
		}
		b.end(r, 2)
		b.c.Roles = append(b.c.Roles, Role{Range: r.Range, Name: name, About: r.Word(1), Can: b.words(r, "can")})
	}
	for _, w := range n.Children("webhook") {
		b.webhook(w)
	}
	for _, q := range n.Children("quota") {
		b.quota(q)
	}
	for _, p := range n.Children("permit") {
		b.permit(p)
	}
	for _, i := range n.Children("import") {
		source, ok := i.Atom(0).Plain()
		if !ok {
			b.errorf(i.Range, "write import \"file.lll\" as name", "import names a source in quotes")
		}
		alias := ""
		if v := i.After("as"); v != nil {
			alias = v.Text
		}
		b.end(i, 3)
		b.c.Imports = append(b.c.Imports, Import{source, alias})
	}
}

func (b *builder) webhook(n *lll.Node) {
	name, at := b.named(n, "a webhook")
	if !b.declare("webhook", name, at) {
		return
	}
	w := Webhook{Range: n.Range, Name: name, Endpoint: b.text(n, "endpoint"), Timeout: b.duration(n.Value("timeout"))}
	if w.Endpoint == "" {
		w.Endpoint = name
	}
	if a := n.Attr("endpoint"); a != nil && (!validName(w.Endpoint) || strings.Contains(w.Endpoint, ":")) {
		b.errorf(valueRange(a), "write the name of a setting of the tenant, such as endpoint: \"finance-inbox\"", "no address stands in a contract")
	}
	if a := n.Attr("retries"); a != nil {
		w.Retry.Max = b.whole(a, 0, 100)
	}
	w.Retry.Backoff = b.duration(n.Value("backoff"))
	b.c.Webhooks = append(b.c.Webhooks, w)
}

// quota reads a quota on its own. One with `on` counts by itself; the others
// are the defaults of those that consume them.
func (b *builder) quota(n *lll.Node) {
	name, at := b.named(n, "a quota")
	if !b.declare("quota", name, at) {
		return
	}
	q := &Quota{Range: n.Range, Name: name}
	b.quotaAttributes(n, q, inRule)
	b.c.Quotas = append(b.c.Quotas, q)
	if n.Attr("on") == nil {
		if n.Attr("when") != nil {
			b.errorf(n.Attr("when").KeyRange, "write on: \"type\" beside it", "a quota with a condition says on which spans")
		}
		return
	}
	b.wholeQuota(q)
	r := &Rule{Range: n.Range, Contract: b.c, Name: "quota." + name, Doc: n.Doc(), Priority: DefaultPriority, Enabled: true}
	r.On = b.patterns(n.Attr("on"))
	r.Then = []Action{&QuotaAction{n.Range, q}}
	b.decides(r, n.Value("when"))
}

// permit reads `permit append "type" to [roles]`.
func (b *builder) permit(n *lll.Node) {
	const form = "write permit append \"type\" to [role]"
	p := Permit{Range: n.Range, Verb: n.Word(0)}
	pattern, to := n.Atom(1), n.After("to")
	if p.Verb == "" || pattern == nil || to == nil {
		b.errorf(n.Range, form, "the permit says not what is given to whom")
		return
	}
	if p.Verb != "append" {
		fix := form
		if near := lll.Nearest(p.Verb, []string{"append"}); near != "" {
			fix = "did you mean " + near + "?"
		}
		b.errorf(n.Atoms[0].Range, fix, "%s cannot be permitted", p.Verb)
	}
	b.end(n, 4)
	p.Pattern = b.pattern(pattern)
	roles, ok := to.Words()
	if !ok || len(roles) == 0 {
		b.errorf(to.Range, form, "a permit is given to a list of roles")
	}
	p.Roles = roles
	b.refer(to, roles)
	b.c.Permits = append(b.c.Permits, p)
}

// refer notes roles that must be known.
func (b *builder) refer(v *lll.Value, names []string) {
	for i, name := range names {
		at := v.Range
		if v.Kind == lll.KindList && i < len(v.List) {
			at = v.List[i].Range
		}
		b.roles = append(b.roles, reference{at, name})
	}
}

// pattern is the pattern of types that a value holds.
func (b *builder) pattern(v *lll.Value) string {
	text, ok := v.Plain()
	switch {
	case !ok && v.Kind == lll.KindName:
		b.errorf(v.Range, "write \""+v.Text+"\"", "a pattern stands in quotes")
	case !ok:
		b.errorf(v.Range, "write a type such as \"payment.requested\"", "%s is no pattern of types", v.Source)
	case !ValidPattern(text):
		b.errorf(v.Range, "types are lower-case words with dots; * is one of them, ** all that follow", "%q is no pattern of types", text)
	case !span.IsReserved(strings.ReplaceAll(text, "*", "x")):
	case strings.Contains(text, "*"):
		b.warnf(v.Range, "write the type out, such as \"logline.contract\"", "%q matches nothing: types of the protocol are matched by their whole name alone", text)
	case span.NodeOnly(text):
		b.warnf(v.Range, "take it out", "%q matches nothing: such spans are the node's own, and contracts do not decide them", text)
	}
	return text
}

// patterns are those of an attribute, one or a list.
func (b *builder) patterns(a *lll.Attr) []string {
	if a == nil || a.Value == nil {
		return nil
	}
	if a.Value.Kind != lll.KindList {
		return []string{b.pattern(a.Value)}
	}
	out := make([]string, 0, len(a.Value.List))
	for _, v := range a.Value.List {
		out = append(out, b.pattern(v))
	}
	if len(out) == 0 {
		b.errorf(a.Value.Range, "write on: \"type\"", "the list names no type")
	}
	return out
}

// tables reads trust and retain.
func (b *builder) tables(n *lll.Node) {
	for i, t := range n.Children("trust") {
		if i > 0 {
			b.errorf(t.HeadRange, "put the lines into one", "trust stands here twice")
			continue
		}
		b.trust(t)
	}
	for _, r := range n.Children("retain") {
		b.retain(r)
	}
}

func (b *builder) trust(n *lll.Node) {
	t := &Trust{Range: n.Range, Min: 0, Max: 100}
	if a := n.Attr("range"); a != nil {
		if v := a.Value; v == nil || v.Kind != lll.KindList || len(v.List) != 2 {
			b.errorf(valueRange(a), "write range: [0.0, 100.0]", "a range has a least and a greatest score")
		} else {
			least, ok := b.number(v.List[0])
			most, ok2 := b.number(v.List[1])
			if ok && ok2 && least >= most {
				b.errorf(v.Range, "write the least first", "the range holds no score")
			}
			t.Min, t.Max = least, most
		}
	}
	for _, add := range n.Children("add") {
		pattern, amount := add.Atom(0), add.Atom(1)
		if pattern == nil || amount == nil {
			b.errorf(add.Range, "write add \"type\" 5.0", "the line says not what moves trust, or by how much")
			continue
		}
		b.end(add, 2)
		f, ok := amount.Number()
		if !ok || math.Abs(f) > 1<<53-1 {
			b.errorf(amount.Range, "write add \"type\" 5.0", "%s is no number", amount.Source)
		}
		t.Adds = append(t.Adds, TrustAdd{b.pattern(pattern), f})
	}
	b.c.Trust = t
}

func (b *builder) retain(n *lll.Node) {
	pattern, howLong := n.Atom(0), n.Atom(1)
	if pattern == nil || howLong == nil {
		b.errorf(n.Range, "write retain \"type\" 90d, or forever", "the line says not what is kept, or how long")
		return
	}
	b.end(n, 2)
	r := Retain{Range: n.Range, Pattern: b.pattern(pattern)}
	if howLong.Kind == lll.KindName && howLong.Text == "forever" {
		r.Forever = true
	} else {
		r.For = b.duration(howLong)
	}
	if r.For > 0 && r.For < time.Hour {
		b.warnf(howLong.Range, "", "payloads are erased less than an hour after they came")
	}
	b.c.Retains = append(b.c.Retains, r)
}
