package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

// Report is what contracts would have decided.
type Report struct {
	Contracts []string `json:"contracts"` // name@version#hash
	Clock     Clock    `json:"clock"`

	Entries   int `json:"entries"`   // of the timeline
	Decided   int `json:"decided"`   // by these contracts, those included about which they say nothing
	Own       int `json:"own"`       // the node's own entries and contracts, which contracts do not decide
	Attempts  int `json:"attempts"`  // refused then: the record has no content to decide again
	Unasked   int `json:"unasked"`   // votes that these contracts do not ask for
	Backwards int `json:"backwards"` // occurred before the entry that stands before them
	Fired     int `json:"fired"`     // timers that came due

	UndecidedCount int         `json:"undecided_count"`
	Undecided      []Undecided `json:"undecided,omitempty"` // the first

	Outcomes map[string]int `json:"outcomes"`          // allow, pending, simulate, reject
	Changes  []Change       `json:"changes,omitempty"` // of outcomes
	Settled  map[string]int `json:"settled,omitempty"` // what became of those that waited: executed, rejected, …
	Waiting  int            `json:"waiting"`           // still, at the end

	Rules     []RuleCount     `json:"rules,omitempty"`
	Tags      []Count         `json:"tags,omitempty"`
	Actions   []Count         `json:"actions,omitempty"` // "emit type", "call webhook", "schedule task"
	Workflows []WorkflowCount `json:"workflows,omitempty"`

	DifferenceCount int          `json:"difference_count"`
	Differences     []Difference `json:"differences,omitempty"` // the first
}

// Difference is an entry that would have been decided otherwise.
type Difference struct {
	Seq     uint64 `json:"seq"`
	Span    string `json:"span"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	At      string `json:"at"` // by the clock
	Was     string `json:"was"`
	Now     string `json:"now"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Undecided is an entry that cannot be decided again.
type Undecided struct {
	Seq  uint64 `json:"seq"`
	Span string `json:"span"`
	Type string `json:"type"`
	Why  string `json:"why"` // redacted, private
}

// Change counts entries by what was decided and what would have been.
type Change struct {
	Was   string `json:"was"`
	Now   string `json:"now"`
	Spans int    `json:"spans"`
}

// Count counts entries by a name.
type Count struct {
	Name  string `json:"name"`
	Spans int    `json:"spans"`
}

// RuleCount says of how many entries a rule, a workflow or a permit had a say,
// and how many it refused.
type RuleCount struct {
	Name    string `json:"name"` // contract/rule
	Spans   int    `json:"spans"`
	Refused int    `json:"refused"`
}

// WorkflowCount says what became of the instances of a workflow.
type WorkflowCount struct {
	Name      string       `json:"name"` // contract/workflow
	Instances int          `json:"instances"`
	States    []StateCount `json:"states"` // in the order of the contract
}

// StateCount counts instances.
type StateCount struct {
	Name    string `json:"name"`
	Entered int    `json:"entered"` // that were ever in it
	Now     int    `json:"now"`     // that are at the end
}

// tally counts while entries come.
type tally struct {
	outcomes  [rules.Reject + 1]int
	changes   map[[2]string]int
	rules     map[string]*RuleCount
	tags      map[string]int
	actioned  map[string]int
	workflows []*contract.Workflow
	instances map[string]map[string]course // of a workflow, by their keys
}

// course is the states that an instance was in, the last one last.
type course []string

func (t *tally) contract(c *contract.Contract) {
	if t.rules == nil {
		t.rules, t.tags, t.actioned, t.changes = map[string]*RuleCount{}, map[string]int{}, map[string]int{}, map[[2]string]int{}
		t.instances = map[string]map[string]course{}
	}
	for _, r := range c.Rules {
		t.rule(r.ID())
	}
	t.workflows = append(t.workflows, c.Workflows...)
}

func (t *tally) rule(name string) *RuleCount {
	r := t.rules[name]
	if r == nil {
		r = &RuleCount{Name: name}
		t.rules[name] = r
	}
	return r
}

func (t *tally) outcome(o *rules.Outcome) {
	t.outcomes[o.Verdict]++
	for _, name := range o.Decision.Rules {
		t.rule(name).Spans++
	}
	if o.Refusal != nil {
		r := t.rule(o.Refusal.Rule)
		r.Refused++
		if !slices.Contains(o.Decision.Rules, o.Refusal.Rule) {
			r.Spans++
		}
	}
	for _, tag := range o.Decision.Tags {
		t.tags[tag]++
	}
	if o.Verdict <= rules.Pending {
		t.actions(o)
	}
}

func (t *tally) actions(o *rules.Outcome) {
	for _, name := range o.Emitted {
		t.actioned[rules.ActionEmit+" "+name]++
	}
	for _, name := range o.Called {
		t.actioned[rules.ActionCall+" "+name]++
	}
	for _, name := range o.Scheduled {
		t.actioned[rules.ActionSchedule+" "+name]++
	}
}

func (t *tally) change(was, now string) { t.changes[[2]string{was, now}]++ }

func (t *tally) transitions(list []span.Transition) {
	for _, m := range list {
		of := t.instances[m.Workflow]
		if of == nil {
			of = map[string]course{}
			t.instances[m.Workflow] = of
		}
		was := of[m.Key]
		if c := was.enter(m.From).enter(m.To); len(c) > len(was) { // else it is the same room
			of[m.Key] = c
		}
	}
}

// usualStates is room for the states of most instances.
const usualStates = 4

// enter puts a state last.
func (c course) enter(state string) course {
	i := slices.Index(c, state)
	if i < 0 {
		if c == nil {
			c = make(course, 0, usualStates)
		}
		return append(c, state)
	}
	copy(c[i:], c[i+1:])
	c[len(c)-1] = state
	return c
}

// into writes the counts down, in an order that does not depend on chance.
func (t *tally) into(r *Report) {
	r.Outcomes = map[string]int{}
	for v, n := range t.outcomes {
		if n > 0 {
			r.Outcomes[rules.Verdict(v).String()] = n
		}
	}
	r.Changes = nil
	for _, c := range slices.SortedFunc(maps.Keys(t.changes), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		r.Changes = append(r.Changes, Change{Was: c[0], Now: c[1], Spans: t.changes[c]})
	}
	r.Rules = nil
	for _, name := range slices.Sorted(maps.Keys(t.rules)) {
		r.Rules = append(r.Rules, *t.rules[name])
	}
	r.Tags, r.Actions, r.Workflows = countsOf(t.tags), countsOf(t.actioned), nil
	for _, w := range t.workflows {
		r.Workflows = append(r.Workflows, t.workflow(w))
	}
	slices.SortStableFunc(r.Workflows, func(a, b WorkflowCount) int { return cmp.Compare(a.Name, b.Name) })
}

func (t *tally) workflow(w *contract.Workflow) WorkflowCount {
	out := WorkflowCount{Name: w.ID()}
	at := map[string]int{}
	for i, s := range w.States {
		out.States = append(out.States, StateCount{Name: s.Name})
		at[s.Name] = i
	}
	for _, c := range t.instances[out.Name] {
		for _, state := range c {
			if i, ok := at[state]; ok {
				out.States[i].Entered++
			}
		}
		if i, ok := at[c[len(c)-1]]; ok {
			out.Instances++
			out.States[i].Now++
		}
	}
	return out
}

func countsOf(m map[string]int) []Count {
	var out []Count
	for _, name := range slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	}) {
		out = append(out, Count{name, m[name]})
	}
	return out
}
