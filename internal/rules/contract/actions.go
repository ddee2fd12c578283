package contract

import (
	"fmt"
	"strings"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// actions reads a block of actions.
func (b *builder) actions(body *lll.Body, c *context) []Action {
	if body == nil {
		return nil
	}
	var out []Action
	var ended *lll.Node
	for _, item := range items(body) {
		n, ok := item.(*lll.Node)
		if !ok {
			b.errorf(item.Span(), "write an action, such as reject \"why\"", "only actions stand here")
			continue
		}
		if !c.may(n.Head) {
			b.errorf(n.HeadRange, "take it out", "%s makes no sense in %s", n.Head, c.title)
			continue
		}
		if ended != nil {
			b.warnf(n.Range, "put it before the reject, or take it out", "this action is never reached")
			b.also(ended.Range, "the span is rejected here")
			ended = nil
		}
		if n.Head == "reject" {
			ended = n
		}
		if a := b.action(n, c); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// block is the body of a child block, nil where there is none.
func (b *builder) block(n *lll.Node, head string) *lll.Body {
	found := n.Children(head)
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		b.errorf(found[1].HeadRange, "put the actions into one", "%s stands here twice", head)
		b.also(found[0].HeadRange, "the first one")
	}
	return found[0].Body
}

// action reads one action; nil where it is none, which has been said.
func (b *builder) action(n *lll.Node, c *context) Action {
	if contains([]string{"reject", "note", "annotate", "emit", "call"}, n.Head) {
		c = c.said()
	}
	switch n.Head {
	case "allow":
		return &AllowAction{n.Range}
	case "reject":
		why := b.argument(n, expr.Text, c.vars, true)
		return &RejectAction{n.Range, why, b.withoutFacts(n.Atom(0), why)}
	case "simulate":
		return &SimulateAction{n.Range, b.argument(n, expr.Text, c.vars, false)}
	case "tag":
		return b.tag(n)
	case "note":
		return &NoteAction{n.Range, b.argument(n, expr.Text, c.vars, true)}
	case "annotate":
		return &AnnotateAction{n.Range, b.object(n.Body, expr.Text, c)}
	case "emit":
		return b.emit(n, c)
	case "call":
		return b.call(n, c)
	case "schedule":
		return b.task(n, c)
	case "require":
		return b.approval(n, c)
	case "transition":
		return b.move(n)
	case "trust":
		return b.trustAction(n, c)
	case "consume":
		return b.consume(n, c)
	}
	known := []string{"allow", "reject", "simulate", "tag", "note", "annotate", "emit", "call", "schedule", "require", "transition", "trust", "consume"}
	fix := "the actions are " + listed(known)
	if near := lll.Nearest(n.Head, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	b.errorf(n.HeadRange, fix, "%s is no action", n.Head)
	return nil
}

// argument is the text behind reject, tag, …
func (b *builder) argument(n *lll.Node, place expr.Place, vars expr.Vars, needed bool) *Text {
	v := n.Atom(0)
	if v == nil {
		if needed {
			b.errorf(n.HeadRange, fmt.Sprintf("write %s \"…\"", n.Head), "%s needs a text", n.Head)
		}
		return nil
	}
	b.end(n, 1)
	if v.Kind != lll.KindString && v.Kind != lll.KindText {
		b.errorf(v.Range, fmt.Sprintf("write %s \"…\"", n.Head), "%s takes a text in quotes", n.Head)
		return nil
	}
	return b.compileText(v, place, vars)
}

// tag evaluates the text of a tag, whose holes may show parameters alone.
func (b *builder) tag(n *lll.Node) Action {
	before := len(b.diagnostics)
	t := b.argument(n, expr.Constant, 0, true)
	for i := range b.diagnostics[before:] {
		d := &b.diagnostics[before+i]
		d.Message = strings.Replace(d.Message, "a parameter's value", "a tag, which is the same for every span", 1)
		if d.Fix == "" {
			d.Fix = "show params alone in it; note and annotate take data"
		}
	}
	if t == nil {
		return nil
	}
	a := &TagAction{n.Range, t.Plain}
	if t.Template != nil {
		var err error
		if a.Tag, err = t.Template.Render(expr.Bind(expr.Facts{})); err != nil {
			b.errorf(t.Range, "", "the tag has no value: %v", err)
		}
	}
	if a.Tag == "" || len(a.Tag) > 256 {
		b.errorf(n.Range, "write tag \"word\"", "a tag has 1 to 256 bytes")
	}
	return a
}

func (b *builder) emit(n *lll.Node, c *context) Action {
	typ := n.Name()
	switch {
	case !span.ValidType(typ):
		b.errorf(n.Range, "write emit \"receipt.issued\" { data: { … } }", "%q is no type of a span", typ)
	case span.IsReserved(typ):
		b.errorf(n.Atoms[0].Range, "choose a type that does not begin with logline.", "contracts emit no reserved types")
	}
	b.end(n, 1)
	a := &EmitAction{n.Range, typ, b.object(n.Body, expr.Computed, c)}
	for i := range a.Body.Fields {
		switch f := &a.Body.Fields[i]; f.Name {
		case "data":
			if f.Value.Object == nil && f.Value.Program == nil {
				b.errorf(n.Range, "write data: { key: value }", "the data of an emitted span are an object")
			}
		case "title", "subject", "tags", "visibility":
		default:
			known := []string{"data", "title", "subject", "tags", "visibility"}
			fix := "put it under data"
			if near := lll.Nearest(f.Name, known); near != "" {
				fix = "did you mean " + near + "?"
			}
			b.errorf(b.keyRange(n.Body, f.Name), fix, "an emitted span has no member %s here", f.Name)
		}
	}
	if v := a.Body.Field("visibility"); v != nil && v.Text != nil {
		switch v.Text.Plain {
		case span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic:
		default:
			b.errorf(v.Text.Range, "write private, organization or public in quotes", "%q is no visibility", v.Text.Plain)
		}
	}
	return a
}

// keyRange is where a member's name stands.
func (b *builder) keyRange(body *lll.Body, key string) lll.Range {
	if a := body.Attr(key); a != nil {
		return a.KeyRange
	}
	if n := body.Node(key); n != nil {
		return n.HeadRange
	}
	return body.Range
}

func (b *builder) call(n *lll.Node, c *context) Action {
	name := n.Word(1)
	if n.Word(0) != "webhook" || name == "" {
		b.errorf(n.Range, "write call webhook \"name\" { body: { … } }", "only webhooks are called")
		return nil
	}
	known := make([]string, len(b.c.Webhooks))
	for i, w := range b.c.Webhooks {
		known[i] = w.Name
	}
	b.end(n, 2)
	a := &CallAction{Range: n.Range, Webhook: name}
	if i := index(known, name); i < 0 {
		b.unknown(n.Atoms[1].Range, "webhook", name, known)
	} else {
		a.Retry = b.c.Webhooks[i].Retry
	}
	for _, attr := range n.Body.Attrs() {
		switch attr.Key {
		case "body":
			if attr.Value != nil && attr.Value.Kind == lll.KindObject {
				a.Body = b.object(attr.Value.Body, expr.Computed, c)
			} else {
				b.errorf(valueRange(attr), "write body: { key: value }", "the body of a call is an object")
			}
		case "retries":
			a.Retry.Max = b.whole(attr, 0, 100)
		case "backoff":
			a.Retry.Backoff = b.duration(attr.Value)
		default:
			known := []string{"body", "retries", "backoff"}
			fix := "put it under body"
			if near := lll.Nearest(attr.Key, known); near != "" {
				fix = "did you mean " + near + "?"
			}
			b.errorf(attr.KeyRange, fix, "a call has no %s", attr.Key)
		}
	}
	if body := n.Body.Node("body"); body != nil && body.Body != nil {
		a.Body = b.object(body.Body, expr.Computed, c)
	}
	return a
}

func index(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}

// whole is a whole number between two others.
func (b *builder) whole(a *lll.Attr, least, most int64) int {
	n, ok := a.Value.Int()
	if !ok || n < least || n > most {
		b.errorf(valueRange(a), "", "%s is a whole number from %d to %d", a.Key, least, most)
		return 0
	}
	return int(n)
}

func (b *builder) task(n *lll.Node, c *context) Action {
	if n.Word(0) != "task" || n.Word(1) == "" {
		b.errorf(n.Range, "write schedule task \"name\" { after: 24h  then { … } }", "only tasks are scheduled here")
		return nil
	}
	b.end(n, 2)
	a := &TaskAction{Range: n.Range, Name: n.Word(1)}
	a.After = b.expression(n.Value("after"), expr.Duration, expr.Computed, c.vars)
	a.At = b.expression(n.Value("at"), expr.Time, expr.Computed, c.vars)
	if v := n.Value("cron"); v != nil {
		a.Cron = b.cron(v)
	}
	a.Timezone = b.zone(n)
	a.Unless = b.expression(n.Value("unless"), expr.Bool, expr.Condition, inTask.vars)
	if times := count(n.Value("after") != nil, n.Value("at") != nil, n.Value("cron") != nil); times != 1 {
		b.errorf(n.Range, "write one of after, at and cron", "a task is due at one time")
	}
	a.Then = b.actions(b.block(n, "then"), inTask)
	if len(a.Then) == 0 {
		b.errorf(n.Range, "write then { … }", "the task does nothing")
	}
	if b.declare("schedule", a.Name, n.Atoms[1].Range) {
		b.c.Tasks = append(b.c.Tasks, a)
	}
	return a
}

func count(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

func (b *builder) approval(n *lll.Node, c *context) Action {
	if n.Word(0) != "approval" {
		b.errorf(n.Range, "write require approval { from: [role]  count: 1 }", "only an approval is required")
		return nil
	}
	b.end(n, 1)
	a := &ApprovalAction{Range: n.Range, From: b.words(n, "from"), Count: 1, Distinct: b.boolean(n, "distinct", true)}
	if len(a.From) == 0 {
		b.errorf(n.Range, "write from: [role]", "the approval says not from whom")
	} else {
		b.refer(n.Value("from"), a.From)
	}
	if v := n.Value("count"); v != nil {
		var ok bool
		if a.Count, ok = b.number(v); ok && a.Count <= 0 {
			b.errorf(v.Range, "write count: 1 or more", "the count must be above zero")
		}
	}
	if v := n.Value("within"); v != nil {
		a.Within = b.expression(v, expr.Duration, expr.Computed, c.vars)
	}
	a.Weights = b.weights(n, a)
	a.OnTimeout = b.actions(b.block(n, "on_timeout"), inTimeout)
	a.Index = len(b.c.Approvals)
	b.c.Approvals = append(b.c.Approvals, a)
	if a.Within == nil && len(a.OnTimeout) > 0 {
		b.errorf(n.Range, "write within: 48h", "on_timeout without a time is never reached")
	}
	return a
}

func (b *builder) weights(n *lll.Node, a *ApprovalAction) map[string]float64 {
	body := n.Body.Object("weights")
	if body == nil {
		return nil
	}
	out := map[string]float64{}
	for _, attr := range body.Attrs() {
		if !contains(a.From, attr.Key) {
			b.unknown(attr.KeyRange, "approver", attr.Key, a.From)
		}
		w, ok := b.number(attr.Value)
		if ok && w < 0 {
			b.errorf(attr.Value.Range, "write 0 or more", "a vote cannot weigh less than nothing")
		}
		out[attr.Key] = w
	}
	return out
}

func (b *builder) move(n *lll.Node) Action {
	if n.Word(0) == "" || n.Word(1) != "to" || n.Word(2) == "" {
		b.errorf(n.Range, "write transition workflow to state", "the transition says not of what, or to where")
		return nil
	}
	b.end(n, 3)
	b.moves = append(b.moves, move{n.Range, n.Word(0), n.Word(2)})
	return &TransitionAction{n.Range, n.Word(0), n.Word(2)}
}

func (b *builder) trustAction(n *lll.Node, c *context) Action {
	a := &TrustAction{Range: n.Range}
	who := n.Atom(0)
	if who == nil {
		b.errorf(n.HeadRange, "write trust actor { add: 1.0  because: \"…\" }", "the change says not whose trust")
		return nil
	}
	b.end(n, 1)
	a.Who = b.expression(who, expr.Any, expr.Computed, c.vars)
	add, set := n.Value("add"), n.Value("set")
	if (add == nil) == (set == nil) {
		b.errorf(n.Range, "write one of add and set", "trust is moved by an amount or set to one")
		return nil
	}
	a.Set = set != nil
	if a.Set {
		add = set
	}
	a.Amount = b.expression(add, expr.Number, expr.Computed, c.vars)
	a.Because = b.compileText(n.Value("because"), expr.Text, c.said().vars)
	return a
}

func (b *builder) consume(n *lll.Node, c *context) Action {
	if n.Word(0) != "quota" || n.Word(1) == "" {
		b.errorf(n.Range, "write consume quota \"name\" { limit: 100  per: 1d  key: actor.id }", "only quotas are consumed")
		return nil
	}
	b.end(n, 2)
	q := &Quota{Range: n.Range, Name: n.Word(1)}
	b.quotaAttributes(n, q, c)
	for _, declared := range b.c.Quotas {
		if declared.Name == q.Name {
			q.inherit(declared)
		}
	}
	b.wholeQuota(q)
	return &QuotaAction{n.Range, q}
}

// quotaAttributes reads what a quota or its use says.
func (b *builder) quotaAttributes(n *lll.Node, q *Quota, c *context) {
	if q.Name != "" && !validName(q.Name) {
		b.errorf(n.Range, "use letters, digits, dots, dashes and _", "%q cannot be the name of a quota", q.Name)
	}
	q.Limit = b.expression(n.Value("limit"), expr.Number, expr.Computed, c.vars)
	q.Per = b.duration(n.Value("per"))
	q.Key = b.expression(n.Value("key"), expr.Any, expr.Key, ofSpan&^expr.VarNow)
	if v := n.Value("warn_at"); v != nil {
		items := v.List
		if v.Kind != lll.KindList {
			items = []*lll.Value{v}
		}
		for _, item := range items {
			share, ok := b.number(item)
			if ok && (share <= 0 || share > 1) {
				b.errorf(item.Range, "write a share of the limit, such as 80%", "%s is no share of the limit", item.Source)
			}
			q.WarnAt = append(q.WarnAt, share)
		}
	}
	q.Exceeded = b.actions(b.block(n, "exceeded"), inExceeded)
}

func (q *Quota) inherit(from *Quota) {
	if q.Limit == nil {
		q.Limit = from.Limit
	}
	if q.Per == 0 {
		q.Per = from.Per
	}
	if q.Key == nil {
		q.Key = from.Key
	}
	if q.WarnAt == nil {
		q.WarnAt = from.WarnAt
	}
	if q.Exceeded == nil {
		q.Exceeded = from.Exceeded
	}
}

func (b *builder) wholeQuota(q *Quota) {
	if lll.Failed(b.diagnostics) {
		return // what is missing may be what is wrong
	}
	for _, part := range []struct {
		name string
		is   bool
	}{{"limit", q.Limit != nil}, {"per", q.Per != 0}, {"key", q.Key != nil}} {
		if !part.is {
			b.errorf(q.Range, "write limit: 100  per: 1d  key: actor.id", "the quota %s has no %s", q.Name, part.name)
		}
	}
}

// object reads an object of values.
func (b *builder) object(body *lll.Body, place expr.Place, c *context) *Object {
	o := &Object{}
	if body == nil {
		return o
	}
	o.Range = body.Range
	for _, item := range items(body) {
		switch item := item.(type) {
		case *lll.Attr:
			if o.Field(item.Key) != nil {
				b.errorf(item.KeyRange, "keep one of them", "%s stands here twice", item.Key)
			}
			if item.Value != nil {
				o.Fields = append(o.Fields, Field{item.Key, b.value(item.Value, place, c)})
			}
		case *lll.Node:
			if item.Body == nil || len(item.Atoms) > 0 {
				b.errorf(item.Range, "write key: value", "this is no member of an object")
				continue
			}
			o.Fields = append(o.Fields, Field{item.Head, Node{Object: b.object(item.Body, place, c)}})
		default:
			b.errorf(item.Span(), "write key: value", "this is no member of an object")
		}
	}
	return o
}

func (b *builder) value(v *lll.Value, place expr.Place, c *context) Node {
	switch v.Kind {
	case lll.KindObject:
		return Node{Object: b.object(v.Body, place, c)}
	case lll.KindList:
		n := Node{isList: true}
		for _, item := range v.List {
			n.List = append(n.List, b.value(item, place, c))
		}
		return n
	case lll.KindString, lll.KindText:
		return Node{Text: b.compileText(v, place, c.vars)}
	case lll.KindTyped, lll.KindHole, lll.KindArrow, lll.KindArg, lll.KindParams:
		b.errorf(v.Range, "write a value or an expression", "%s is no value here", v.Kind)
		return Node{Text: &Text{Range: v.Range}}
	}
	return Node{Program: b.expression(v, expr.Any, place, c.vars)}
}
