package contract

import (
	"cmp"
	"math"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// context is where actions and expressions stand: the variables they have and
// the actions that make sense there. on_timeout sees nothing of the span, for
// what it says stands beside a resolution, which is never erased.
type context struct {
	vars  expr.Vars
	texts expr.Vars // of what is said and sent, where that is less; 0: the same
	title string    // "the actions of a rule"
	may   func(head string) bool
}

// said is the context of what is said and sent.
func (c *context) said() *context {
	if c.texts == 0 {
		return c
	}
	return &context{vars: c.texts, title: c.title, may: c.may}
}

const ofSpan = expr.VarSpan | expr.VarData | expr.VarActor | expr.VarTenant | expr.VarNow

var (
	inRule     = &context{ofSpan, 0, "a rule", anyAction}
	inStep     = &context{ofSpan | expr.VarEnteredAt | expr.VarApprovals, 0, "a transition", anyAction}
	inState    = &context{ofSpan | expr.VarEnteredAt | expr.VarApprovals, 0, "on_enter and on_exit", without("reject", "simulate", "require", "consume", "transition")}
	inTimeout  = &context{expr.VarTenant | expr.VarNow | expr.VarApprovals, 0, "on_timeout", only("allow", "reject", "tag", "note", "annotate", "emit", "call")}
	inExceeded = &context{ofSpan | expr.VarEnteredAt | expr.VarApprovals, 0, "exceeded", without("consume", "transition", "schedule")}
	// A revert is never erased, so what it says shows nothing of a payload.
	inUndoing  = &context{ofSpan, expr.VarSpan | expr.VarTenant | expr.VarNow, "a compensation", without("allow", "simulate", "require", "consume", "schedule")}
	inTask     = &context{ofSpan, 0, "a task", only("tag", "note", "annotate", "emit", "call", "trust")}
	inSchedule = &context{expr.VarTenant | expr.VarNow, 0, "a schedule", only("tag", "note", "annotate", "emit", "call", "trust")}
	inForeach  = &context{expr.VarTenant | expr.VarNow | expr.VarIt, 0, "a schedule", only("tag", "note", "annotate", "emit", "call", "trust")}
)

func anyAction(string) bool { return true }

func only(heads ...string) func(string) bool {
	return func(head string) bool { return contains(heads, head) }
}

func without(heads ...string) func(string) bool {
	return func(head string) bool { return !contains(heads, head) }
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// scope is the scope of a place with these variables, made once.
func (b *builder) scope(place expr.Place, vars expr.Vars) *expr.Scope {
	if s := b.scopes[place][vars]; s != nil {
		return s
	}
	s, err := expr.NewScope(expr.ScopeConfig{Place: place, Vars: vars, Params: b.c.Params})
	if err != nil {
		b.errorf(b.c.Node.HeadRange, "", "the parameters cannot be declared: %v", err)
		return nil
	}
	if b.scopes == nil {
		b.scopes = map[expr.Place]map[expr.Vars]*expr.Scope{}
	}
	if b.scopes[place] == nil {
		b.scopes[place] = map[expr.Vars]*expr.Scope{}
	}
	b.scopes[place][vars] = s
	return s
}

// report takes over what expr found.
func (b *builder) report(errs expr.Errors) {
	for _, e := range errs {
		b.errorf(lll.Range{Offset: e.Offset, End: e.End}, e.Fix, "%s", e.Message)
	}
}

// take notes what a program asks of the timeline.
func (b *builder) take(p *expr.Program, at lll.Range) *expr.Program {
	if p == nil {
		return nil
	}
	for _, name := range p.Workflows() {
		b.flows = append(b.flows, reference{at, name})
	}
	for _, a := range p.Aggregates() {
		if len(a.Pattern)+len(a.Field) > 256 { // they stand in keys of rows
			b.errorf(lll.Range{Offset: a.Offset, End: a.End}, "give the field a shorter name", "the pattern and the field have more than 256 bytes")
		}
		b.aggregate(a)
	}
	return p
}

// aggregate takes in one question.
func (b *builder) aggregate(a *expr.Aggregate) {
	id := AggregateID(a)
	longest, known := b.c.Windows[id]
	if !known {
		b.c.Aggregates = append(b.c.Aggregates, a)
	}
	switch {
	case a.Windowed && a.Within <= 0 || longest == Unbounded:
		longest = Unbounded
	case a.Windowed:
		longest = max(longest, a.Within)
	}
	if b.c.Windows == nil {
		b.c.Windows = map[string]time.Duration{}
	}
	b.c.Windows[id] = longest
}

// AggregateID names what an aggregate counts or sums, whatever it filters by
// at run time: "payment.executed by author sum amount". The window is not part
// of it, for running totals serve every window.
func AggregateID(a *expr.Aggregate) string {
	id := a.Pattern
	if a.ByAuthor {
		id += " by author"
	}
	if a.BySubject {
		id += " by subject"
	}
	if a.Op == expr.Sum {
		return id + " sum " + a.Field
	}
	return id + " count"
}

// AggregateDims says by what the running totals of an AggregateID are kept
// apart. Patterns and filters have no blanks, so that the words are its own.
func AggregateDims(id string) (byAuthor, bySubject bool) {
	words := strings.Fields(id)
	for i := 1; i+1 < len(words) && words[i] == "by"; i += 2 {
		byAuthor, bySubject = byAuthor || words[i+1] == "author", bySubject || words[i+1] == "subject"
	}
	return byAuthor, bySubject
}

// expression compiles a value as an expression.
func (b *builder) expression(v *lll.Value, want expr.Type, place expr.Place, vars expr.Vars) *expr.Program {
	if v == nil {
		return nil
	}
	s := b.scope(place, vars)
	if s == nil {
		return nil
	}
	code, offset := v.Code()
	p, errs := expr.Compile(code, offset, want, s)
	b.report(errs)
	b.uses(code)
	return b.take(p, v.Range)
}

// uses notes what of an identity the expression may look at. A word too many
// costs a look-up, none is missed.
func (b *builder) uses(code string) {
	b.c.usesTrust = b.c.usesTrust || strings.Contains(code, "trust") || strings.Contains(code, "last_positive_at")
	b.c.usesStatus = b.c.usesStatus || strings.Contains(code, "status")
}

// condition compiles a condition, and notes it where it needs no facts.
func (b *builder) condition(v *lll.Value, place expr.Place, vars expr.Vars) *expr.Program {
	p := b.expression(v, expr.Bool, place, vars)
	if p == nil {
		return nil
	}
	code, _ := v.Code()
	b.conditions[p] = strings.Join(strings.Fields(code), " ")
	if value, ok := b.fold(v, expr.Bool); ok {
		b.constant[p], _ = value.Bool()
	}
	return p
}

// fold is the value of an expression that needs no facts; false for others,
// without a word.
func (b *builder) fold(v *lll.Value, want expr.Type) (expr.Value, bool) {
	s := b.scope(expr.Constant, 0)
	if s == nil {
		return expr.Value{}, false
	}
	code, offset := v.Code()
	p, errs := expr.Compile(code, offset, want, s)
	if len(errs) > 0 {
		return expr.Value{}, false
	}
	value, err := p.Eval(expr.Bind(expr.Facts{}))
	return value, err == nil
}

// fixed is the value of an expression that must need no facts.
func (b *builder) fixed(v *lll.Value, want expr.Type) (expr.Value, bool) {
	p := b.expression(v, want, expr.Constant, 0)
	if p == nil {
		return expr.Value{}, false
	}
	value, err := p.Eval(expr.Bind(expr.Facts{}))
	if err != nil {
		b.errorf(v.Range, "", "%s has no value: %v", v.Source, err)
	}
	return value, err == nil
}

// duration is a fixed duration above zero; 0 where it is none.
func (b *builder) duration(v *lll.Value) time.Duration {
	if v == nil {
		return 0
	}
	value, ok := b.fixed(v, expr.Duration)
	if !ok {
		return 0
	}
	d, _ := value.Duration()
	if d <= 0 {
		b.errorf(v.Range, "write 48h, 30d or the like", "the duration must be above zero")
	}
	return d
}

// number is a fixed number.
func (b *builder) number(v *lll.Value) (float64, bool) {
	if v == nil {
		return 0, false
	}
	value, ok := b.fixed(v, expr.Number)
	if !ok {
		return 0, false
	}
	f, _ := value.Number()
	if math.Abs(f) > 1<<53-1 {
		b.errorf(v.Range, "write a smaller one", "a line holds no number beyond 2^53-1")
		return 0, false
	}
	return f, true
}

// compileText compiles a text with its holes.
func (b *builder) compileText(v *lll.Value, place expr.Place, vars expr.Vars) *Text {
	if v == nil {
		return nil
	}
	if s, ok := v.Plain(); ok {
		return &Text{Range: v.Range, Plain: s}
	}
	t := &Text{Range: v.Range, Plain: v.Text}
	s := b.scope(place, vars)
	if s == nil {
		return t
	}
	parts := []expr.Part{{Hole: true, Source: v.Source, Offset: v.Offset}} // an expression without quotes
	if v.Kind == lll.KindString {
		parts = make([]expr.Part, len(v.Parts))
		for i, p := range v.Parts {
			parts[i] = expr.Part{Text: p.Text, Hole: p.Hole, Source: p.Text, Offset: p.Offset}
			b.uses(p.Text)
		}
	}
	var errs expr.Errors
	t.Template, errs = expr.CompileText(parts, s)
	b.report(errs)
	if t.Template != nil {
		for _, p := range t.Template.Programs() {
			b.take(p, v.Range)
		}
	}
	return t
}

// withoutFacts is a text in which only what needs no facts has its value: of
// every other hole the text says that there is one.
func (b *builder) withoutFacts(v *lll.Value, t *Text) string {
	s := b.scope(expr.Constant, 0)
	if v == nil || t == nil || s == nil || t.Template == nil {
		return t.plain()
	}
	var out strings.Builder
	for _, p := range v.Parts {
		if !p.Hole {
			out.WriteString(p.Text)
			continue
		}
		hole, errs := expr.CompileText([]expr.Part{{Hole: true, Source: p.Text, Offset: p.Offset}}, s)
		text := ""
		if len(errs) == 0 {
			text, _ = hole.Render(expr.Bind(expr.Facts{}))
		}
		out.WriteString(cmp.Or(text, "…"))
	}
	return out.String()
}
