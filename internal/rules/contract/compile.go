package contract

import (
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// Options are what Compile may know beside the source.
type Options struct {
	// Required gives a contract by name, nil where there is none, so that what
	// the contract requires is checked and the roles it declares are known.
	// Without it, requirements and names from elsewhere are taken on trust.
	Required func(name string) *Contract
	// Absent says why Required has a contract not, as a clause that begins with
	// "which", and what to do about it. nil: those at hand are those in force.
	Absent func(name string) (why, fix string)
}

// Compile is the contract of a source that lll.Parse has read, and what is
// wrong with it in the order of the source. Where lll.Failed says so of the
// diagnostics, the contract is nil.
func Compile(file *lll.File, o Options) (*Contract, []lll.Diagnostic) {
	b := &builder{file: file, options: o, c: &Contract{Hash: span.Sum([]byte(file.Text)), Source: file.Source},
		constant: map[*expr.Program]bool{}, conditions: map[*expr.Program]string{}}
	b.top()
	b.check()
	slices.SortStableFunc(b.diagnostics, func(x, y lll.Diagnostic) int { return x.Offset - y.Offset })
	b.diagnostics = slices.CompactFunc(b.diagnostics, func(x, y lll.Diagnostic) bool {
		return x.Offset == y.Offset && x.Message == y.Message
	})
	b.diagnostics = b.diagnostics[:min(len(b.diagnostics), lll.MaxErrors)]
	if lll.Failed(b.diagnostics) {
		return nil, b.diagnostics
	}
	b.c.name()
	return b.c, b.diagnostics
}

// name makes the names that decisions use, once: they are asked for at every
// decision.
func (c *Contract) name() {
	c.ref = c.Name + "@" + c.Version + "#" + c.Hash.String()
	for _, r := range c.Rules {
		r.id = c.Name + "/" + r.Name
	}
	for _, r := range c.Compensations {
		r.id = c.Name + "/" + r.Name
	}
	for _, w := range c.Workflows {
		w.id = c.Name + "/" + w.Name
	}
}

// builder makes one contract. Every method notes what is wrong and goes on, so
// that one run finds all mistakes.
type builder struct {
	file        *lll.File
	options     Options
	c           *Contract
	diagnostics []lll.Diagnostic
	scopes      map[expr.Place]map[expr.Vars]*expr.Scope
	seen        map[string]map[string]lll.Range // kind -> name -> where it stands first
	// What is checked once all is read.
	roles      []reference
	flows      []reference // workflows that state() asks for
	moves      []move
	constant   map[*expr.Program]bool   // conditions that need no facts, and what they give
	conditions map[*expr.Program]string // as written, blanks left out
}

// reference is a name that must be declared somewhere.
type reference struct {
	lll.Range
	name string
}

// move is an action that moves a workflow.
type move struct {
	lll.Range
	workflow, to string
}

func (b *builder) errorf(at lll.Range, fix, format string, args ...any) {
	b.diagnostics = append(b.diagnostics, lll.Diagnostic{Severity: lll.Error, Offset: at.Offset, End: at.End, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (b *builder) warnf(at lll.Range, fix, format string, args ...any) {
	b.diagnostics = append(b.diagnostics, lll.Diagnostic{Severity: lll.Warning, Offset: at.Offset, End: at.End, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// end says so when a line goes on where it should end.
func (b *builder) end(n *lll.Node, atoms int) {
	if len(n.Atoms) > atoms {
		b.errorf(n.Atoms[atoms].Range, "begin a new line before it", "%s says nothing more here", n.Head)
	}
}

// also adds another place to the last diagnostic.
func (b *builder) also(at lll.Range, message string) {
	last := &b.diagnostics[len(b.diagnostics)-1]
	last.Notes = append(last.Notes, lll.Note{Offset: at.Offset, Message: message})
}

// unknown says that a name is not declared, and which is near.
func (b *builder) unknown(at lll.Range, kind, name string, known []string) {
	fix := "declare it, or write a name that is declared"
	if near := lll.Nearest(name, known); near != "" {
		fix = "did you mean " + near + "?"
	} else if len(known) > 0 && len(known) <= 8 {
		fix = "there is " + listed(known)
	}
	b.errorf(at, fix, "there is no %s %s", kind, name)
}

// declare notes a name and says whether it is new.
func (b *builder) declare(kind, name string, at lll.Range) bool {
	if first, ok := b.seen[kind][name]; ok {
		b.errorf(at, "give one of them another name", "there are two %ss named %s", kind, name)
		b.also(first, "the first one")
		return false
	}
	if b.seen == nil {
		b.seen = map[string]map[string]lll.Range{}
	}
	if b.seen[kind] == nil {
		b.seen[kind] = map[string]lll.Range{}
	}
	b.seen[kind][name] = at
	return true
}

func listed(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " and "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

// named gives the name of a block and where it stands; it says so when there
// is none, or one that decisions cannot carry.
func (b *builder) named(n *lll.Node, kind string) (string, lll.Range) {
	at := n.HeadRange
	name := n.Name()
	if a := n.Atom(0); a != nil {
		at = a.Range
	}
	switch {
	case name == "":
		b.errorf(at, fmt.Sprintf("write `%s name { … }`", n.Head), "%s needs a name", kind)
	case !validName(name):
		b.errorf(at, "use letters, digits, dots, dashes and _", "%q cannot be the name of %s", name, kind)
	}
	return name, at
}

// top reads the file's one contract.
func (b *builder) top() {
	found := b.file.Contracts()
	switch len(found) {
	case 0:
		b.errorf(lll.Range{}, "write `contract name version \"1.0.0\" { … }` around its rules", "the file has no contract")
		return
	case 1:
	default:
		b.errorf(found[1].HeadRange, "put each into a file of its own", "a file holds one contract, and this has %d", len(found))
		b.also(found[0].HeadRange, "the first one")
		return
	}
	n := found[0]
	b.c.Node, b.c.Doc = n, n.Doc()
	b.c.Name, _ = b.named(n, "a contract")
	b.version(n)
	b.attributes(n)
	b.params(n)
	b.declarations(n)
	b.rules(n)
	for _, w := range n.Children("workflow") {
		b.workflow(w)
	}
	for _, c := range n.Children("compensate") {
		b.compensation(c)
	}
	for _, s := range n.Children("schedule") {
		b.schedule(s)
	}
	b.tables(n)
	b.c.Tests = n.Children("test")
	b.data(n)
}

func (b *builder) version(n *lll.Node) {
	v := n.After("version")
	if v == nil {
		b.errorf(n.HeadRange, "write `contract "+n.Name()+" version \"1.0.0\" { … }`", "the contract has no version")
		return
	}
	text, ok := v.Plain()
	if !ok && v.Kind == lll.KindVersion {
		text, ok = v.Text, true
	}
	if !ok || !validVersion(text) {
		b.errorf(v.Range, "write three numbers, such as \"1.0.0\"", "%s is no semantic version", v.Source)
		return
	}
	b.c.Version = text
}

// text is the plain text of an attribute, or a name; "" where there is none.
func (b *builder) text(n *lll.Node, key string) string {
	a := n.Attr(key)
	if a == nil {
		return ""
	}
	if a.Value != nil && a.Value.Kind == lll.KindName {
		return a.Value.Text
	}
	s, ok := a.Value.Plain()
	if !ok {
		b.errorf(valueRange(a), "write "+key+": \"…\"", "%s is a text without ${…}", key)
	}
	return s
}

// words are the texts or names of an attribute.
func (b *builder) words(n *lll.Node, key string) []string {
	a := n.Attr(key)
	if a == nil {
		return nil
	}
	list, ok := a.Value.Words()
	if !ok {
		b.errorf(valueRange(a), "write "+key+": [a, b]", "%s is a list of names", key)
	}
	return list
}

func (b *builder) boolean(n *lll.Node, key string, standard bool) bool {
	a := n.Attr(key)
	if a == nil {
		return standard
	}
	v, ok := a.Value.Bool()
	if !ok {
		b.errorf(valueRange(a), "write "+key+": true, or false", "%s is true or false", key)
	}
	return v
}

func valueRange(a *lll.Attr) lll.Range {
	if a.Value != nil {
		return a.Value.Range
	}
	return a.KeyRange
}

func (b *builder) attributes(n *lll.Node) {
	c := b.c
	c.Title, c.Description, c.Tenant = b.text(n, "title"), b.text(n, "description"), b.text(n, "tenant")
	c.Tags, c.Inherits = b.words(n, "tags"), b.words(n, "inherits")
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
		if a.Key != "requires" || a.Value == nil {
			continue
		}
		items := a.Value.List
		if a.Value.Kind != lll.KindList {
			items = []*lll.Value{a.Value}
		}
		for _, item := range items {
			b.require(item)
		}
	}
	for _, name := range c.Inherits {
		c.Requires = append(c.Requires, Requirement{Name: name})
	}
}

// once says so when a block has the same attribute twice.
func (b *builder) once(n *lll.Node, a *lll.Attr) {
	if first := n.Attr(a.Key); first != a {
		b.errorf(a.KeyRange, "keep one of them", "%s stands here twice", a.Key)
		b.also(first.KeyRange, "the first one")
	}
}

func (b *builder) require(v *lll.Value) {
	text, ok := v.Plain()
	r, valid := ParseRequirement(text)
	if !ok || !valid {
		b.errorf(v.Range, "write \"name ^1.0\"", "%s names no contract with its versions", v.Source)
		return
	}
	if !b.declare("requirement", r.Name, v.Range) {
		return
	}
	b.c.Requires = append(b.c.Requires, r)
	if r.Name == b.c.Name {
		b.errorf(v.Range, "leave it out", "the contract requires itself")
		return
	}
	if b.options.Required == nil {
		return
	}
	found := b.options.Required(r.Name)
	switch {
	case found == nil:
		why, fix := "which is not in force", "activate it first"
		if b.options.Absent != nil {
			why, fix = b.options.Absent(r.Name)
		}
		b.errorf(v.Range, fix, "the contract requires %s, %s", r.Name, why)
	case !r.Accepts(found.Version):
		b.errorf(v.Range, "activate a version that will do, or require another", "the contract requires %s, and in force is %s", r, found.Version)
	default:
		if path := b.cycle(found, []string{b.c.Name, found.Name}); path != nil {
			b.errorf(v.Range, "take one of the requirements out", "contracts require each other in a circle: %s", joinArrows(path))
		}
	}
}

// cycle is a way from found back to this contract, nil when there is none.
func (b *builder) cycle(found *Contract, path []string) []string {
	for _, r := range found.Requires {
		if r.Name == b.c.Name {
			return append(path, r.Name)
		}
		if slices.Contains(path, r.Name) {
			continue
		}
		if next := b.options.Required(r.Name); next != nil {
			if whole := b.cycle(next, append(slices.Clone(path), r.Name)); whole != nil {
				return whole
			}
		}
	}
	return nil
}

func joinArrows(path []string) string {
	out := path[0]
	for _, p := range path[1:] {
		out += " -> " + p
	}
	return out
}

// executable are the heads that have a meaning in a contract.
func executable(head string) bool {
	switch head {
	case "import", "params", "role", "permit", "webhook", "rule", "policy", "workflow", "compensate", "schedule", "trust", "quota", "retain", "test":
		return true
	}
	return false
}

// items are the items of a body, none where there is no body.
func items(body *lll.Body) []lll.Item {
	if body == nil {
		return nil
	}
	return body.Items
}

// data keeps what nothing executes.
func (b *builder) data(n *lll.Node) {
	for _, item := range items(n.Body) {
		switch item := item.(type) {
		case *lll.Node:
			if !executable(item.Head) {
				b.c.Data = append(b.c.Data, item)
			}
		case *lll.Attr:
			switch item.Key {
			case "title", "tenant", "description", "requires", "tags", "inherits":
			default:
				b.c.Data = append(b.c.Data, item)
			}
		default:
			b.c.Data = append(b.c.Data, item)
		}
	}
}
