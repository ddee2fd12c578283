package contract

import (
	"time"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

// NodeWide is the Tenant of contracts that come from the node, for every
// tenant.
const NodeWide = "*"

// Contract is one version of a contract, checked and compiled.
type Contract struct {
	Name    string
	Version string    // semantic, without "v"
	Hash    span.Hash // of the source
	Source  *lll.Source
	Node    *lll.Node

	Title, Description string
	Doc                string
	Tenant             string // NodeWide, a slug or a tenant id; "" fits every tenant
	Tags               []string
	Inherits           []string
	Requires           []Requirement
	Imports            []Import

	Params    map[string]expr.Value
	Roles     []Role
	Permits   []Permit
	Webhooks  []Webhook
	Quotas    []*Quota
	Rules     []*Rule // policies too, by priority and name
	Workflows []*Workflow
	Schedules []*Schedule
	// Compensations are asked in their order when a span is reverted about which
	// the contract had a say.
	Compensations []*Compensation
	Trust         *Trust // nil: no table
	Retains       []Retain
	Tests         []*lll.Node // internal/rules/trial runs them
	Data          []lll.Item  // what nothing executes

	// Aggregates are the numbers that expressions of the contract ask of the
	// timeline, each once.
	Aggregates []*expr.Aggregate
	// Windows say how far back the answers to an AggregateID look, the longest of
	// them: 0 where only totals are asked for, Unbounded where a window is
	// reckoned when it is asked.
	Windows map[string]time.Duration
	// Tasks and Approvals are those of all actions: a task is found again by
	// its name, an approval by its place.
	Tasks     []*TaskAction
	Approvals []*ApprovalAction

	// Whether an expression may look at trust or status, of whomever.
	usesTrust, usesStatus bool
	ref                   string
}

// Unbounded is a window that may be of any length.
const Unbounded time.Duration = -1

// Ref is the contract as decisions name it: name@version#hash.
func (c *Contract) Ref() string { return c.ref }

// Workflow is the workflow of that name, nil when there is none.
func (c *Contract) Workflow(name string) *Workflow {
	for _, w := range c.Workflows {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// Rule is the rule of that name, nil when there is none.
func (c *Contract) Rule(name string) *Rule {
	for _, r := range c.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Compensation is the compensation of that name, nil when there is none.
func (c *Contract) Compensation(name string) *Compensation {
	for _, r := range c.Compensations {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Import names another source, for tools; nothing is read at run time.
type Import struct{ Source, As string }

// Role is a role that the contract declares. logline.member spans grant it.
type Role struct {
	lll.Range
	Name, About string
	Can         []string
}

// Permit gives some types to some roles, and takes them from everybody else.
type Permit struct {
	lll.Range
	Verb    string // append
	Pattern string
	Roles   []string
}

// Webhook is the name of a setting of the tenant that calls go to.
type Webhook struct {
	lll.Range
	Name, Endpoint string
	Timeout        time.Duration // 0: the engine's
	Retry          Retry         // of calls that say nothing else
}

// OnError says what an evaluation that gave no value means.
type OnError uint8

const (
	Skip   OnError = iota // the rule does not match
	Reject                // the span is refused
)

// Rule is one rule, or one `when` of a policy.
type Rule struct {
	lll.Range
	Contract *Contract
	Name     string
	Doc      string
	On       []string // patterns
	Priority int      // lower first
	Enabled  bool
	Shadow   bool // evaluated and noted, never decides
	OnError  OnError
	When     *expr.Program // nil: always
	Then     []Action
	Else     []Action
	id       string
}

// ID is the rule as decisions name it: contract/rule.
func (r *Rule) ID() string { return r.id }

// DefaultPriority is that of rules that say none.
const DefaultPriority = 100

// Workflow is a state machine whose instances are named by a key.
type Workflow struct {
	lll.Range
	Contract    *Contract
	Name        string
	Doc         string
	Key         *expr.Program // of a text
	Initial     string
	StartsOn    []string // patterns, beside those of the first transitions
	States      []*State
	Transitions []*Transition
	Forbidden   []Forbidden
	Enter, Exit map[string][]Action // by state
	id          string
}

// ID is the workflow as decisions name it: contract/workflow.
func (w *Workflow) ID() string { return w.id }

// State is the state of that name, nil when there is none.
func (w *Workflow) State(name string) *State {
	for _, s := range w.States {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Forbids says that the step is forbidden, and the reason given.
func (w *Workflow) Forbids(from, to string) (why string, forbidden bool) {
	for _, f := range w.Forbidden {
		if f.From == from && f.To == to {
			return f.Why, true
		}
	}
	return "", false
}

// State is one state of a workflow.
type State struct {
	lll.Range
	Name  string
	Final bool
	After []After
}

// After is the step that time takes: an instance that has been in the state
// for Delay goes to To.
type After struct {
	Delay time.Duration
	To    string
}

// Transition is a step that a span may ask for.
type Transition struct {
	lll.Range
	From, To string
	On       []string      // patterns
	Guard    *expr.Program // nil: none
	Roles    []string      // one of them is needed; none: anybody
	Then     []Action
}

// Forbidden is a step that is refused with a reason of its own.
type Forbidden struct {
	lll.Range
	From, To, Why string
}

// Schedule runs by cron, every so often, or some time after a span.
type Schedule struct {
	lll.Range
	Contract *Contract
	Name     string
	Cron     string // five fields, "" for none
	Every    time.Duration
	On       []string // patterns; Delay after such a span
	Delay    time.Duration
	Timezone string // IANA name, "" for UTC
	Missed   Missed
	Foreach  string // identities, or ""
	Where    *expr.Program
	Then     []Action
	Retry    Retry
}

// ID is the schedule as rows name it: contract/schedule.
func (s *Schedule) ID() string { return s.Contract.Name + "/" + s.Name }

// Clocked says that the clock alone brings its runs.
func (s *Schedule) Clocked() bool { return s.Cron != "" || s.Every > 0 }

// Missed says what becomes of the due times of a schedule at which no node ran.
type Missed string

// What becomes of what was missed.
const (
	MissedOnce Missed = "once" // it runs once for all of them: the standard
	MissedSkip Missed = "skip" // nothing
	MissedAll  Missed = "all"  // it runs for each, in order
)

// LeastEvery is the shortest time between two runs of a schedule.
const LeastEvery = time.Second

// ForeachIdentities is the source of a schedule that runs for every member.
const ForeachIdentities = "identities"

// Retry says how often a failed run or call is tried again.
type Retry struct {
	Max     int
	Backoff time.Duration
}

// Trust is the contract's table of scores.
type Trust struct {
	lll.Range
	Min, Max float64
	Adds     []TrustAdd
}

// TrustAdd moves the author's score for each span of a type.
type TrustAdd struct {
	Pattern string
	Amount  float64
}

// Retain says when payloads are erased. The line stays.
type Retain struct {
	lll.Range
	Pattern string
	For     time.Duration
	Forever bool
}
