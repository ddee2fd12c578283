package trial

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// expect compares what was seen since the last span with what a test says.
func (s *scene) expect(n *lll.Node) error {
	for _, a := range n.Body.Attrs() {
		if err := s.compare(a); err != nil {
			return placed(a.Range, err)
		}
	}
	return nil
}

// none is how what is not there is told.
const none = "(none)"

func (s *scene) compare(a *lll.Attr) error {
	if a.Value == nil {
		return wrongAt(a.KeyRange, "write "+a.Key+": …", "the line expects nothing")
	}
	seen := s.since()
	if name, ok := strings.CutPrefix(a.Key, "state."); ok {
		return s.compareState(a, name)
	}
	if name, ok := strings.CutPrefix(a.Key, "annotations."); ok {
		return s.compareAnnotation(a, name)
	}
	switch a.Key {
	case "decision":
		return s.compareDecision(a)
	case "reason_matches":
		return s.compareReason(a)
	case "tags":
		return s.contains(a, seen.list(func(o *rules.Outcome) []string { return o.Decision.Tags }), equal)
	case "rules":
		return s.contains(a, seen.list(rulesOf), equalRule)
	case "emitted":
		return s.contains(a, seen.list(func(o *rules.Outcome) []string { return o.Emitted }), equal)
	case "called":
		return s.contains(a, seen.list(func(o *rules.Outcome) []string { return o.Called }), equal)
	case "scheduled":
		return s.contains(a, seen.list(func(o *rules.Outcome) []string { return o.Scheduled }), equal)
	case "notes":
		return s.contains(a, seen.list(func(o *rules.Outcome) []string {
			if o.Detail == nil {
				return nil
			}
			return o.Detail.Notes
		}), strings.Contains)
	}
	return unknown(a, "a test that expects something", "decision", "reason_matches", "tags", "notes", "rules", "emitted", "called", "scheduled", "state.workflow", "annotations.name")
}

// rulesOf are the rules that ran, and what refused the span where that was no
// rule: a permit.
func rulesOf(o *rules.Outcome) []string {
	if o.Refusal != nil && !slices.Contains(o.Decision.Rules, o.Refusal.Rule) {
		return append(slices.Clone(o.Decision.Rules), o.Refusal.Rule)
	}
	return o.Decision.Rules
}

func equal(seen, want string) bool { return seen == want }

// equalRule takes a rule by its name alone, or as contract/rule.
func equalRule(seen, want string) bool { return seen == want || strings.HasSuffix(seen, "/"+want) }

// list gathers from all outcomes, each item once.
func (r *Submitted) list(of func(*rules.Outcome) []string) []string {
	var out []string
	for _, o := range r.Outcomes {
		for _, item := range of(o) {
			if !slices.Contains(out, item) {
				out = append(out, item)
			}
		}
	}
	return out
}

// annotation is the latest of that name.
func (r *Submitted) annotation(name string) (expr.Value, bool) {
	for _, o := range slices.Backward(r.Outcomes) {
		if v, ok := o.Annotations.Member(name); ok {
			return v, true
		}
	}
	return expr.Value{}, false
}

func (s *scene) differs(a *lll.Attr, expected, seen string) {
	s.test.Failures = append(s.test.Failures, Failure{Range: a.Range, What: a.Key, Expected: expected, Seen: s.cast.told(seen)})
}

func (s *scene) compareDecision(a *lll.Attr) error {
	want, err := plain(a.Value, a.Key)
	if err != nil {
		return err
	}
	known := []string{rules.Allow.String(), rules.Pending.String(), rules.Simulate.String(), rules.Reject.String()}
	if !slices.Contains(known, want) {
		fix := "there is " + strings.Join(known, ", ")
		if near := lll.Nearest(want, known); near != "" {
			fix = "did you mean " + near + "?"
		}
		return wrongAt(a.Value.Range, fix, fmt.Sprintf("%q is no decision", want))
	}
	if s.seen.Span == nil && len(s.seen.Outcomes) == 0 {
		return wrongAt(a.Range, "write submit span before it", "nothing was decided yet")
	}
	if seen := s.seen.Verdict.String(); seen != want {
		s.differs(a, want, strings.Join(append([]string{seen}, s.seen.Reasons...), ": "))
	}
	return nil
}

func (s *scene) compareReason(a *lll.Attr) error {
	pattern, err := plain(a.Value, a.Key)
	if err != nil {
		return err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return wrongAt(a.Value.Range, "write a text, or a regular expression (RE2)", "this matches nothing: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if !slices.ContainsFunc(s.seen.Reasons, func(reason string) bool { return re.MatchString(s.cast.told(reason)) }) {
		s.differs(a, pattern, orNone(s.seen.Reasons))
	}
	return nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// contains holds that everything that is wanted was seen.
func (s *scene) contains(a *lll.Attr, seen []string, same func(seen, want string) bool) error {
	want, err := words(a.Value, a.Key)
	if err != nil {
		return err
	}
	var missing []string
	for _, w := range want {
		if !slices.ContainsFunc(seen, func(item string) bool { return same(item, w) }) {
			missing = append(missing, w)
		}
	}
	if len(missing) > 0 {
		s.differs(a, strings.Join(missing, ", "), orNone(seen))
	}
	return nil
}

func (s *scene) compareState(a *lll.Attr, name string) error {
	w := s.contract.Workflow(name)
	if w == nil {
		w = s.set.Workflow(name)
	}
	if w == nil {
		var known []string
		for _, w := range s.contract.Workflows {
			known = append(known, "state."+w.Name)
		}
		return unknown(a, "the contract", known...)
	}
	want := ""
	if a.Value.Kind != lll.KindNull {
		var err error
		if want, err = plain(a.Value, a.Key); err != nil {
			return err
		}
		if w.State(want) == nil {
			var known []string
			for _, st := range w.States {
				known = append(known, st.Name)
			}
			fix := "there is " + strings.Join(known, ", ")
			if near := lll.Nearest(want, known); near != "" {
				fix = "did you mean " + near + "?"
			}
			return wrongAt(a.Value.Range, fix, fmt.Sprintf("the workflow %s has no state %s", w.Name, want))
		}
	}
	if s.seen.Span == nil {
		return wrongAt(a.Range, "write submit span before it", "no span says which "+w.Name+" is meant")
	}
	seen, err := s.StateOf(s.ctx, w, s.seen.Span)
	if err != nil {
		return wrongAt(a.Range, "", "the span has no key of a "+w.Name+": "+err.Error())
	}
	if seen != want {
		s.differs(a, orNone(nonEmpty(want)), orNone(nonEmpty(seen)))
	}
	return nil
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func (s *scene) compareAnnotation(a *lll.Attr, name string) error {
	want, err := s.value(a.Value)
	if err != nil {
		return err
	}
	seen, ok := s.seen.annotation(name)
	switch {
	case !ok && want.Type() == expr.Any:
	case !ok:
		s.differs(a, s.cast.told(want.String()), none)
	case !seen.Equal(want) && seen.String() != want.String():
		s.differs(a, s.cast.told(want.String()), seen.String())
	}
	return nil
}
