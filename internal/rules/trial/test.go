package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// Report is what came of a contract's tests.
type Report struct {
	Contract *contract.Contract
	Tests    []*Test
	Coverage []Branch
}

// Failed says that a test did.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Tests, func(t *Test) bool { return len(t.Failures) > 0 })
}

// Test is one test block that has run.
type Test struct {
	lll.Range
	Name     string
	Failures []Failure
	// Steps are how many steps it took, the failed one included.
	Steps int
}

// Failure is something that is not as the test says, or that is wrong with the
// test itself: then What is all there is.
type Failure struct {
	lll.Range
	What     string // decision, tags, state.payment …
	Expected string
	Seen     string
	Fix      string
}

// Run runs the tests of a contract. required gives what the contract and those
// that it requires stand on, nil for what is not at hand; tests that are
// standalone do without.
func Run(ctx context.Context, c *contract.Contract, required func(name string) *contract.Contract, o Options) (*Report, error) {
	r := &Report{Contract: c}
	cover := newCoverage(c)
	for _, n := range c.Tests {
		t, err := runTest(ctx, c, n, required, o, cover)
		if err != nil {
			return nil, err
		}
		r.Tests = append(r.Tests, t)
	}
	r.Coverage = cover.branches
	return r, nil
}

// with are the contract and all that it requires, those first that others stand
// on.
func with(c *contract.Contract, required func(name string) *contract.Contract) []*contract.Contract {
	var out []*contract.Contract
	var add func(c *contract.Contract)
	seen := map[string]bool{}
	add = func(c *contract.Contract) {
		if c == nil || seen[c.Name] {
			return
		}
		seen[c.Name] = true
		for _, r := range c.Requires {
			if required != nil {
				add(required(r.Name))
			}
		}
		out = append(out, c)
	}
	add(c)
	return out
}

// scene is one test block while it runs.
type scene struct {
	*Stage
	*reading
	ctx      context.Context
	contract *contract.Contract
	test     *Test
	cover    *coverage
	seen     *Submitted // nil before the first span
	counted  int        // of its outcomes, how many coverage has
}

func runTest(ctx context.Context, c *contract.Contract, n *lll.Node, required func(string) *contract.Contract, o Options, cover *coverage) (*Test, error) {
	t := &Test{Range: n.Range, Name: n.Name()}
	if alone, _ := n.Value("standalone").Bool(); alone {
		required = nil
	}
	stage, err := NewStage(with(c, required), o)
	if err != nil {
		return nil, err
	}
	s := &scene{Stage: stage, ctx: ctx, contract: c, test: t, cover: cover}
	if s.reading, err = newReading(c, stage.Now, stage.cast.real); err != nil {
		return nil, err
	}
	for _, step := range n.Children() {
		t.Steps++
		err := placed(step.Range, s.step(step))
		s.covered()
		var w *wrong
		if errors.As(err, &w) {
			t.Failures = append(t.Failures, Failure{Range: w.Range, What: w.message, Fix: w.fix})
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		if len(t.Failures) > 0 {
			return t, nil // what follows was written for another state of things
		}
	}
	return t, nil
}

// covered hands what ran since to the coverage.
func (s *scene) covered() {
	if s.seen == nil {
		return
	}
	for i, o := range s.seen.Outcomes[s.counted:] {
		s.cover.add(o, s.seen.timed[s.counted+i])
	}
	s.counted = len(s.seen.Outcomes)
}

// atoms are how many words a step has at most.
var atoms = map[string]int{"given": 4, "submit": 2, "approve": 2, "revert": 2, "advance": 1, "expect": 0}

func (s *scene) step(n *lll.Node) error {
	if most, ok := atoms[n.Head]; ok && len(n.Atoms) > most {
		return wrongAt(n.Atoms[most].Range, "begin the next step on a line of its own", n.Head+" ends before this")
	}
	switch n.Head {
	case "given":
		return s.given(n)
	case "submit":
		return s.submit(n)
	case "approve":
		return s.approve(n)
	case "revert":
		return s.revert(n)
	case "advance":
		return s.advance(n)
	case "expect":
		return s.expect(n)
	}
	return wrongAt(n.HeadRange, "write given, submit, approve, revert, advance or expect", n.Head+" is no step of a test")
}

func (s *scene) given(n *lll.Node) error {
	switch n.Word(0) {
	case "identity":
		return s.givenIdentity(n)
	case "span":
		d, err := s.draftOf(n)
		if err != nil {
			return err
		}
		return s.Record(s.ctx, d)
	case "state":
		workflow, key, state := n.Word(1), n.Word(2), n.Word(3)
		if workflow == "" || key == "" || state == "" {
			return wrongAt(n.Range, `write given state payment "p1" "submitted"`, "the line says not which instance is in which state")
		}
		return s.Put(s.ctx, s.workflow(workflow), key, state)
	}
	return wrongAt(n.HeadRange, "write given identity, given span or given state", "the line says not what is given")
}

// workflow is the contract's own workflow of that name, where it has one.
func (s *scene) workflow(name string) string {
	if w := s.contract.Workflow(name); w != nil {
		return w.ID()
	}
	return name
}

func (s *scene) givenIdentity(n *lll.Node) error {
	if n.Word(1) == "" {
		return wrongAt(n.Range, `write given identity "ana" { roles: ["finance"] }`, "the line says not who")
	}
	var p Person
	for _, a := range n.Body.Attrs() {
		var err error
		switch a.Key {
		case "handle":
			p.Handle, err = plain(a.Value, a.Key)
		case "name":
			p.Name, err = plain(a.Value, a.Key)
		case "status":
			p.Status, err = plain(a.Value, a.Key)
		case "subject":
			p.Subject, err = plain(a.Value, a.Key)
		case "roles":
			p.Roles, err = words(a.Value, a.Key)
			p.Roles = append([]string{}, p.Roles...)
		case "trust":
			var v expr.Value
			if v, err = s.value(a.Value); err == nil {
				var ok bool
				if p.Trust, ok = v.Number(); !ok {
					err = wrongAt(a.Value.Range, "write trust: 80.0", "trust is a number")
				}
			}
		default:
			err = unknown(a, "an identity", "handle", "name", "status", "trust", "roles", "subject")
		}
		if err != nil {
			return err
		}
	}
	return s.Introduce(s.ctx, n.Word(1), p)
}

func unknown(a *lll.Attr, what string, known ...string) error {
	fix := "there is " + strings.Join(known, ", ")
	if near := lll.Nearest(a.Key, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	return wrongAt(a.KeyRange, fix, fmt.Sprintf("%q is nothing that %s has", a.Key, what))
}

// draftOf reads `span "type" { by: "ana"  data: { … } }`.
func (s *scene) draftOf(n *lll.Node) (Draft, error) {
	d := Draft{Type: n.Word(1), Data: expr.MapValue(nil)}
	if n.Word(0) != "span" || d.Type == "" {
		return d, wrongAt(n.Range, `write `+n.Head+` span "type" { by: "ana"  data: { … } }`, "the line names no span")
	}
	if data := n.Body.Object("data"); data != nil {
		var err error
		if d.Data, err = s.object(data); err != nil {
			return d, err
		}
	}
	for _, a := range n.Body.Attrs() {
		var err error
		switch a.Key {
		case "data":
			if a.Value.Kind != lll.KindObject {
				err = wrongAt(a.Value.Range, "write data: { … }", "the data of a span are an object")
			}
		case "by":
			d.By, err = plain(a.Value, a.Key)
		case "title":
			d.Title, err = plain(a.Value, a.Key)
		case "subject":
			d.Subject, err = plain(a.Value, a.Key)
			d.Subject = s.real(d.Subject)
		case "on_behalf_of":
			d.OnBehalfOf, err = plain(a.Value, a.Key)
		case "visibility":
			d.Visibility, err = plain(a.Value, a.Key)
		case "occurred_at":
			d.OccurredAt, err = plain(a.Value, a.Key)
		case "tags":
			d.Tags, err = words(a.Value, a.Key)
		default:
			err = unknown(a, "a span", "by", "data", "title", "subject", "tags", "visibility", "occurred_at", "on_behalf_of")
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

func (s *scene) submit(n *lll.Node) error {
	d, err := s.draftOf(n)
	if err != nil {
		return err
	}
	seen, err := s.Submit(s.ctx, d)
	if err == nil {
		s.seen, s.counted = seen, 0
	}
	return err
}

func (s *scene) approve(n *lll.Node) error {
	who := n.After("by")
	name, err := plain(who, "by")
	if who == nil || err != nil {
		return wrongAt(n.Range, `write approve by "ana"`, "the line says not who approves")
	}
	return s.Approve(s.ctx, name, s.since())
}

func (s *scene) revert(n *lll.Node) error {
	who := n.After("by")
	name, err := plain(who, "by")
	if who == nil || err != nil {
		return wrongAt(n.Range, `write revert by "ana"`, "the line says not who reverts")
	}
	s.seen, err = s.Revert(s.ctx, name)
	s.counted = 0
	return err
}

func (s *scene) advance(n *lll.Node) error {
	v := n.Atom(0)
	if v == nil {
		return wrongAt(n.Range, "write advance 49h", "the line says not how long")
	}
	value, err := s.value(v)
	if err != nil {
		return err
	}
	d, ok := value.Duration()
	if !ok || d <= 0 {
		return wrongAt(v.Range, "write advance 49h", "time goes on by a duration above zero")
	}
	return s.Advance(s.ctx, d, s.since())
}

// since is what came of the last span, also where there was none.
func (s *scene) since() *Submitted {
	if s.seen == nil {
		s.seen = &Submitted{}
	}
	return s.seen
}
