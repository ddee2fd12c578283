package trial

import (
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// Branch is one thing that a contract may do, and whether a test has it done.
type Branch struct {
	lll.Range
	Name    string // "two_approvals: then"
	Covered bool
}

// coverage collects what ran of one contract.
type coverage struct {
	branches []Branch
	index    map[string][]int // by "rule branch" of a step
	forbids  map[string]int   // by "workflow reason" of a refusal
}

func newCoverage(c *contract.Contract) *coverage {
	v := &coverage{index: map[string][]int{}, forbids: map[string]int{}}
	for _, r := range c.Rules {
		if !r.Enabled {
			continue
		}
		if r.When == nil {
			v.branch(r.Range, r.Name, r.ID(), rules.BranchThen)
			continue
		}
		v.branch(r.Range, r.Name+": the condition holds", r.ID(), rules.BranchThen)
		v.branch(r.Range, r.Name+": it does not hold", r.ID(), rules.BranchElse, rules.BranchMissing)
	}
	for _, w := range c.Workflows {
		for _, t := range w.Transitions {
			v.branch(t.Range, w.Name+": "+t.From+" -> "+t.To, w.ID(), t.From+" -> "+t.To)
		}
		for _, st := range w.States {
			for _, a := range st.After {
				v.branch(st.Range, w.Name+": "+st.Name+" -> "+a.To+" after "+expr.FormatDuration(a.Delay), w.ID(), st.Name+" -> "+a.To+inTime)
			}
		}
		for _, f := range w.Forbidden {
			v.branches = append(v.branches, Branch{Range: f.Range, Name: w.Name + ": " + f.From + " -> " + f.To + " is forbidden"})
			v.forbids[w.ID()+" "+f.Why] = len(v.branches) - 1
		}
	}
	for _, r := range c.Compensations {
		if r.When == nil {
			v.branch(r.Range, r.Name, r.ID(), rules.BranchThen)
			continue
		}
		v.branch(r.Range, r.Name+": the condition holds", r.ID(), rules.BranchThen)
		v.branch(r.Range, r.Name+": it does not hold", r.ID(), rules.BranchElse, rules.BranchMissing)
	}
	for _, sc := range c.Schedules {
		v.branch(sc.Range, "schedule "+sc.Name, sc.ID(), rules.BranchThen)
	}
	return v
}

func (v *coverage) branch(at lll.Range, name, rule string, branches ...string) {
	v.branches = append(v.branches, Branch{Range: at, Name: name})
	for _, b := range branches {
		key := rule + " " + b
		v.index[key] = append(v.index[key], len(v.branches)-1)
	}
}

// inTime tells the steps that time takes from those that spans ask for.
const inTime = " in time"

func (v *coverage) add(o *rules.Outcome, timed bool) {
	for _, step := range o.Trace {
		key := step.Rule + " " + step.Branch
		if timed && v.index[key+inTime] != nil {
			key += inTime
		}
		for _, i := range v.index[key] {
			v.branches[i].Covered = true
		}
	}
	if o.Refusal != nil {
		if i, ok := v.forbids[o.Refusal.Rule+" "+o.Refusal.Reason]; ok {
			v.branches[i].Covered = true
		}
	}
}
