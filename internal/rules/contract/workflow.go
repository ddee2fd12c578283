package contract

import (
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// workflow reads a workflow: its states first, for everything else names them.
func (b *builder) workflow(n *lll.Node) {
	name, at := b.named(n, "a workflow")
	if !b.declare("workflow", name, at) {
		return
	}
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
	}
	w := &Workflow{Range: n.Range, Contract: b.c, Name: name, Doc: n.Doc(), Enter: map[string][]Action{}, Exit: map[string][]Action{}}
	if v := n.Value("key"); v != nil {
		w.Key = b.expression(v, expr.Any, expr.Key, ofSpan&^expr.VarNow)
	} else {
		b.errorf(at, "write key: data.id", "the workflow %s has no key", name)
	}
	for _, s := range n.Children("state") {
		b.state(w, s)
	}
	if len(w.States) == 0 {
		b.errorf(at, "write state name", "the workflow %s has no states", name)
		return
	}
	if w.Initial = b.text(n, "initial"); w.Initial == "" {
		b.errorf(at, "write initial: "+w.States[0].Name, "the workflow %s says not where it begins", name)
	} else {
		b.stateAt(w, w.Initial, n.Value("initial").Range)
	}
	if a := n.Attr("starts_on"); a != nil {
		w.StartsOn = b.patterns(a)
	}
	for _, s := range n.Children("state") {
		b.afters(w, s)
	}
	for _, t := range n.Children("transition") {
		b.transition(w, t)
	}
	for _, f := range n.Children("forbid") {
		b.forbid(w, f)
	}
	b.hooks(w, n, "on_enter", w.Enter)
	b.hooks(w, n, "on_exit", w.Exit)
	b.c.Workflows = append(b.c.Workflows, w)
}

func (b *builder) state(w *Workflow, n *lll.Node) {
	name, at := b.named(n, "a state")
	if name == "" || !b.declare("state of "+w.Name, name, at) {
		return
	}
	b.end(n, 1)
	w.States = append(w.States, &State{Range: n.Range, Name: name, Final: b.boolean(n, "final", false)})
}

// stateAt says so when a workflow has no state of that name.
func (b *builder) stateAt(w *Workflow, name string, at lll.Range) *State {
	s := w.State(name)
	if s == nil {
		known := make([]string, len(w.States))
		for i, s := range w.States {
			known[i] = s.Name
		}
		b.unknown(at, "state", name, known)
	}
	return s
}

// afters reads `after 30d -> expired`.
func (b *builder) afters(w *Workflow, n *lll.Node) {
	s := w.State(n.Name())
	if s == nil {
		return
	}
	for _, a := range n.Children("after") {
		if len(a.Atoms) != 3 || a.Atoms[1].Kind != lll.KindArrow || a.Word(2) == "" {
			b.errorf(a.Range, "write after 30d -> state", "the line says not when, or to where")
			continue
		}
		if s.Final {
			b.errorf(a.Range, "take it out, or final", "%s is final, nothing comes after it", s.Name)
		}
		b.stateAt(w, a.Word(2), a.Atoms[2].Range)
		s.After = append(s.After, After{b.duration(a.Atoms[0]), a.Word(2)})
	}
}

// step reads `from -> to` and what is wrong with it.
func (b *builder) step(w *Workflow, n *lll.Node, form string) (from, to string, ok bool) {
	if len(n.Atoms) < 3 || n.Word(0) == "" || n.Atoms[1].Kind != lll.KindArrow || n.Word(2) == "" {
		b.errorf(n.Range, "write "+form, "the %s says not from where to where", n.Head)
		return "", "", false
	}
	from, to = n.Word(0), n.Word(2)
	a, z := b.stateAt(w, from, n.Atoms[0].Range), b.stateAt(w, to, n.Atoms[2].Range)
	return from, to, a != nil && z != nil
}

func (b *builder) transition(w *Workflow, n *lll.Node) {
	from, to, ok := b.step(w, n, "transition from -> to on \"type\"")
	if !ok {
		return
	}
	t := &Transition{Range: n.Range, From: from, To: to}
	on := n.After("on")
	if on == nil {
		b.errorf(n.Range, "write transition "+from+" -> "+to+" on \"type\"", "the transition says not on which spans")
		return
	}
	b.end(n, 5)
	if on.Kind == lll.KindList {
		for _, v := range on.List {
			t.On = append(t.On, b.pattern(v))
		}
	} else {
		t.On = []string{b.pattern(on)}
	}
	if w.State(from).Final {
		b.errorf(n.Range, "take it out, or final", "%s is final, no transition leaves it", from)
	}
	if v := n.Value("guard"); v != nil {
		t.Guard = b.condition(v, expr.Guard, inStep.vars)
		if holds, constant := b.constant[t.Guard]; constant && !holds {
			b.warnf(v.Range, "correct the guard, or take the transition out", "this guard never holds")
		}
	}
	if t.Roles = b.words(n, "roles"); t.Roles != nil {
		b.refer(n.Value("roles"), t.Roles)
	}
	t.Then = b.actions(b.block(n, "then"), inStep)
	w.Transitions = append(w.Transitions, t)
}

func (b *builder) forbid(w *Workflow, n *lll.Node) {
	from, to, ok := b.step(w, n, "forbid from -> to \"why\"")
	if !ok {
		return
	}
	b.end(n, 4)
	why := ""
	if v := n.Atom(3); v != nil {
		if why, ok = v.Plain(); !ok {
			b.errorf(v.Range, "write forbid from -> to \"why\"", "the reason is a text without ${…}")
		}
	}
	for _, t := range w.Transitions {
		if t.From == from && t.To == to {
			b.errorf(n.Range, "take one of them out", "the step is forbidden and there is a transition for it")
			b.also(t.Range, "the transition")
		}
	}
	w.Forbidden = append(w.Forbidden, Forbidden{n.Range, from, to, why})
}

func (b *builder) hooks(w *Workflow, n *lll.Node, head string, into map[string][]Action) {
	for _, h := range n.Children(head) {
		name := h.Name()
		if name == "" {
			b.errorf(h.HeadRange, "write "+head+" state { … }", "%s says not of which state", head)
			continue
		}
		if b.stateAt(w, name, h.Atoms[0].Range) != nil {
			into[name] = append(into[name], b.actions(h.Body, inState)...)
		}
	}
}
