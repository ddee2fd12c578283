package rules

import (
	"slices"
	"strconv"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// sink collects what one decision found: that of the contracts that decide, or
// of one shadow.
type sink struct {
	shadow      bool
	verdict     Verdict
	refusal     *Refusal
	contracts   []string // refs, in the order in which they were asked
	rules       []string
	trace       []Step
	tags        []string
	notes       []string
	reasons     []string
	annotations map[string]expr.Value
	actions     []action
	asks        []ask
	quotas      []heldQuota
	trust       []heldTrust
	moves       []span.Transition
	starts      []instanceEffect
	errors      []string
	shadows     []shadowEffect
	values      map[string]float64
	retain      string
	undoes      string // the span that a revert undoes by what contracts say
	vote        *voteEffect
	windows     map[string]int64
	schedules   []scheduleEffect
	settle      []Settlement
	flawed      bool   // an action could not be done
	run         string // the schedule of whose run this is part
}

// action is one thing to do, with its body for the detail.
type action struct {
	actionEffect
	body   []byte // JCS object, nil: none
	beside bool   // of a require approval: it does not wait
}

// origin is whose actions run.
type origin struct {
	contract *contract.Contract
	rule     string // contract/rule, contract/workflow, contract/schedule
	onError  contract.OnError
}

// few is room for what most decisions find.
const few = 6

// raise takes the greater verdict.
func (s *sink) raise(v Verdict) { s.verdict = max(s.verdict, v) }

// reject refuses the span for a reason that shows nothing of it.
func (s *sink) reject(o origin, reason string) { s.refuse(o, reason, reason) }

// refuse refuses the span; the first refusal stays. kept is the reason without
// anything of the span.
func (s *sink) refuse(o origin, reason, kept string) {
	if s.refusal == nil {
		s.refusal = &Refusal{Contract: o.contract.Ref(), Rule: o.rule, Reason: reason, kept: kept}
		s.reasons = append(s.reasons, reason)
	}
	s.raise(Reject)
}

func (s *sink) rejected() bool { return s.verdict == Reject }

// asked notes that a contract had a say.
func (s *sink) asked(c *contract.Contract) {
	if n := len(s.contracts); n > 0 && s.contracts[n-1] == c.Ref() {
		return
	}
	if ref := c.Ref(); !slices.Contains(s.contracts, ref) {
		s.contracts = append(s.contracts, ref)
	}
}

func (s *sink) ran(rule, branch string) {
	name := rule
	if branch == BranchElse {
		name += "/" + BranchElse
	}
	if s.rules == nil {
		s.rules = make([]string, 0, few)
	}
	if s.trace == nil { // where Explain is set it began before
		s.trace = make([]Step, 0, few)
	}
	if !slices.Contains(s.rules, name) {
		s.rules = append(s.rules, name)
	}
	s.trace = append(s.trace, Step{rule, branch, s.shadow})
}

// failed notes a rule that could not be evaluated.
func (s *sink) failed(rule string, reason expr.Reason) {
	if note := rule + " " + reason.String(); !slices.Contains(s.errors, note) {
		s.errors = append(s.errors, note)
	}
}

func (s *sink) tag(t string) {
	if s.tags == nil {
		s.tags = make([]string, 0, few)
	}
	if !slices.Contains(s.tags, t) {
		s.tags = append(s.tags, t)
	}
}

func (s *sink) annotate(name string, v expr.Value) {
	if s.annotations == nil {
		s.annotations = map[string]expr.Value{}
	}
	s.annotations[name] = v
}

func (s *sink) act(e actionEffect, body []byte, beside bool) {
	e.Index = len(s.actions)
	s.actions = append(s.actions, action{e, body, beside})
}

// detail is the erasable part, nil where there is none.
func (s *sink) detail() (*span.Detail, error) {
	if len(s.notes)+len(s.reasons)+len(s.annotations)+len(s.actions) == 0 {
		return nil, nil
	}
	d := &span.Detail{Notes: s.notes, Reasons: s.reasons}
	if len(s.annotations) > 0 {
		var err error
		if d.Annotations, err = canonicalValue(expr.MapValue(s.annotations)); err != nil {
			return nil, err
		}
		if string(d.Annotations) == "{}" {
			d.Annotations = nil
		}
	}
	bodies := []byte{}
	for _, a := range s.actions {
		if a.body == nil {
			continue
		}
		bodies = append(bodies, ",\""+strconv.Itoa(a.Index)+"\":"...)
		bodies = append(bodies, a.body...)
	}
	if len(bodies) > 0 {
		bodies[0] = '{'
		var err error
		if d.Actions, err = span.Canonicalize(append(bodies, '}')); err != nil {
			return nil, err
		}
	}
	if d.Notes == nil && d.Reasons == nil && d.Annotations == nil && d.Actions == nil {
		return nil, nil
	}
	return d, nil
}

// canonicalValue is JCS of an object.
func canonicalValue(v expr.Value) ([]byte, error) { return span.Canonicalize(v.AppendJSON(nil)) }

// outcome closes the decision. Where the span is allowed, settled turns what it
// does into effects.
func (s *sink) outcome(settled func(*held, *effects) error) (*Outcome, error) {
	e := effects{Errors: s.errors, Shadow: s.shadows, Vote: s.vote, Windows: s.windows}
	o := &Outcome{Verdict: s.verdict, Refusal: s.refusal, Settle: s.settle, Trace: s.trace}
	if len(s.annotations) > 0 {
		o.Annotations = expr.MapValue(s.annotations)
	}
	d := &o.Decision
	d.Outcome, d.Contracts, d.Rules, d.Tags = s.verdict.String(), s.contracts, s.rules, s.tags
	if len(s.contracts) > 0 {
		d.Evaluator = Evaluator
	}
	h := held{Quotas: s.quotas, Retain: s.retain, Starts: s.starts, Transitions: s.moves, Trust: s.trust, Undoes: s.undoes, Values: s.values}
	for _, a := range s.actions {
		waits := s.verdict == Pending && !a.beside
		if waits {
			h.Actions = append(h.Actions, a.actionEffect)
			continue
		}
		e.Actions = append(e.Actions, a.actionEffect)
		o.does(a.actionEffect)
	}
	if s.verdict == Pending {
		e.Asks, e.Retain = s.asks, h.Retain
		h.Retain = ""
		if !h.empty() {
			e.Held = &h
		}
	} else {
		d.Transitions, e.Schedules = h.Transitions, s.schedules
		if err := settled(&h, &e); err != nil {
			return nil, err
		}
		if err := setValues(d, h.Values); err != nil {
			return nil, err
		}
	}
	var err error
	if d.Effects, err = e.encode(); err != nil {
		return nil, err
	}
	if d.Effects != nil || d.Values != nil {
		d.Evaluator = Evaluator // who reads them knows how
	}
	if o.Detail, err = s.detail(); err != nil {
		return nil, err
	}
	return o, nil
}

func setValues(d *span.Decision, values map[string]float64) (err error) {
	if len(values) > 0 {
		d.Values, err = span.Canonical(values)
	}
	return err
}
