package rules

import (
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Evaluator names in decisions the rules by which they were made. It changes
// when the same contracts would decide otherwise.
const Evaluator = "lll/1"

// effects is the member `effects` of a decision: what Fold needs beside
// transitions and values, so that it depends on lines alone. It holds names,
// identities, keys, times and numbers; texts and data stand in the detail.
// docs/decisions.md is its specification.
type effects struct {
	// Actions are what the decision asks the engine to do. Their bodies are in
	// detail.actions under their index, erasable.
	Actions []actionEffect `json:"actions,omitempty"`
	// Asks, of a pending span: the approvals that it waits for. Held is what
	// happens once it has them.
	Asks []ask `json:"asks,omitempty"`
	Held *held `json:"held,omitempty"`
	// Errors are the rules that could not be evaluated, with the reason's name:
	// "contract/rule missing".
	Errors []string `json:"errors,omitempty"`
	// Fired is the key of the timer that this entry of the node's answers, Ran
	// the schedule that it is a run of.
	Fired string `json:"fired,omitempty"`
	Ran   string `json:"ran,omitempty"`
	// Instances say of the transitions' workflow instances what the transitions
	// do not.
	Instances []instanceEffect `json:"instances,omitempty"`
	Quotas    []quotaEffect    `json:"quotas,omitempty"`
	// Retain is when the payload is to be erased.
	Retain    string           `json:"retain,omitempty"`
	Schedules []scheduleEffect `json:"schedules,omitempty"`
	// Settles is the pending span that this resolution settles.
	Settles string         `json:"settles,omitempty"`
	Shadow  []shadowEffect `json:"shadow,omitempty"`
	Trust   []trustEffect  `json:"trust,omitempty"`
	// Undoes is the span that a revert undoes, where contracts said how.
	Undoes string      `json:"undoes,omitempty"`
	Vote   *voteEffect `json:"vote,omitempty"`
	// Windows, where the entry activates a contract: how far back it looks at the
	// numbers that it asks for, in milliseconds by their names. 0 is at totals
	// alone; unbounded, as far as there is anything.
	Windows map[string]int64 `json:"windows,omitempty"`
}

const unbounded = -1

// actionEffect is one action by kind and name.
type actionEffect struct {
	Kind string `json:"kind"` // emit, call, schedule
	Name string `json:"name"` // a type, a webhook, a task
	Rule string `json:"rule"` // contract/rule
	// Index is where detail.actions has the body; Of the span with that detail,
	// where it is not this one.
	Index int    `json:"index"`
	Of    string `json:"of,omitempty"`
	// Of a task: the contract it is pinned to, and when it is due.
	Contract string `json:"contract,omitempty"`
	Due      string `json:"due,omitempty"`
}

// Kinds of actions.
const (
	ActionEmit     = "emit"
	ActionCall     = "call"
	ActionSchedule = "schedule"
)

// ask is one approval that is asked for.
type ask struct {
	Contract string             `json:"contract"` // name@version#hash
	Index    int                `json:"index"`    // in Contract.Approvals
	Rule     string             `json:"rule"`
	From     []string           `json:"from"`
	Count    float64            `json:"count"`
	Distinct bool               `json:"distinct,omitzero"`
	Weights  map[string]float64 `json:"weights,omitempty"`
	Deadline string             `json:"deadline,omitempty"`
}

// held is what a pending span does once it is executed.
type held struct {
	Actions     []actionEffect     `json:"actions,omitempty"`
	Quotas      []heldQuota        `json:"quotas,omitempty"`
	Retain      string             `json:"retain,omitempty"`
	Starts      []instanceEffect   `json:"starts,omitempty"`
	Transitions []span.Transition  `json:"transitions,omitempty"`
	Trust       []heldTrust        `json:"trust,omitempty"`
	Undoes      string             `json:"undoes,omitempty"`
	Values      map[string]float64 `json:"values,omitempty"`
}

func (h *held) empty() bool {
	return len(h.Actions)+len(h.Quotas)+len(h.Starts)+len(h.Transitions)+len(h.Trust)+len(h.Values) == 0 && h.Retain == "" && h.Undoes == ""
}

// heldQuota is one use of a quota.
type heldQuota struct {
	Contract string    `json:"contract"` // its name
	Name     string    `json:"name"`
	Key      string    `json:"key"`
	Per      int64     `json:"per"` // milliseconds
	Limit    float64   `json:"limit"`
	WarnAt   []float64 `json:"warn_at,omitempty"`
}

// heldTrust is one change of a score.
type heldTrust struct {
	Identity string  `json:"identity"`
	Set      bool    `json:"set,omitzero"`
	Amount   float64 `json:"amount"`
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
}

// instanceEffect is what Fold must know of a workflow instance that moved.
type instanceEffect struct {
	Workflow string `json:"workflow"` // contract/workflow
	Key      string `json:"key"`
	// Contract is the version that a new instance is pinned to, empty for one
	// that was there.
	Contract string `json:"contract,omitempty"`
	// Timers are the steps that time will take from the state it is in now.
	Timers []timerEffect `json:"timers,omitempty"`
	// Over says that the state it is in now is final.
	Over bool `json:"over,omitzero"`
}

type timerEffect struct {
	Due string `json:"due"`
	To  string `json:"to"`
}

// quotaEffect is the use of a quota after this entry.
type quotaEffect struct {
	Contract string  `json:"contract"` // its name
	Name     string  `json:"name"`
	Key      string  `json:"key"`
	Window   string  `json:"window"` // when it began
	Used     int64   `json:"used"`
	Limit    float64 `json:"limit"`
	Warn     float64 `json:"warn,omitzero"` // the share of the limit that was passed now
}

// shadowEffect is what a shadow would have decided.
type shadowEffect struct {
	Contract string   `json:"contract"`
	Outcome  string   `json:"outcome"`
	Rules    []string `json:"rules,omitempty"`
	// Errors are those of its rules that could not be evaluated.
	Errors []string `json:"errors,omitempty"`
}

// trustEffect is a score after this entry.
type trustEffect struct {
	Identity string  `json:"identity"`
	Score    float64 `json:"score"`
	Rose     bool    `json:"rose,omitzero"`
}

// voteEffect is what a vote weighs for each approval that its span waits for.
type voteEffect struct {
	Span    string    `json:"span"`
	Roles   []string  `json:"roles,omitempty"`
	Weights []float64 `json:"weights"`
}

// encode is JCS of effects, nil where there are none.
func (e *effects) encode() ([]byte, error) {
	if reflect.ValueOf(e).Elem().IsZero() {
		return nil, nil // most decisions: nothing to marshal
	}
	b, err := span.Canonical(e)
	if err != nil || string(b) == "{}" {
		return nil, err
	}
	return b, nil
}

// noEffects are those of most lines. Nobody changes them.
var noEffects = &effects{}

// decodeEffects reads the effects of a line.
func decodeEffects(src []byte) (*effects, error) {
	if src == nil {
		return noEffects, nil
	}
	e := &effects{}
	if err := jsonv2.Unmarshal(src, e); err != nil {
		return nil, errLine.Because(err)
	}
	return e, nil
}

func decodeValues(src []byte) (map[string]float64, error) {
	if src == nil {
		return nil, nil
	}
	var v map[string]float64
	if err := jsonv2.Unmarshal(src, &v); err != nil {
		return nil, errLine.Because(err)
	}
	return v, nil
}

var errLine = fault.New(fault.Invalid, "decision_unreadable",
	"the decision's effects or values are not those of evaluator "+Evaluator+"; this timeline needs a newer program")
