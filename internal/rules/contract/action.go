package contract

import (
	"time"

	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// Action is one thing that a rule, a state or a schedule does.
type Action interface {
	// Span is where it stands in the source.
	Span() lll.Range
}

// The actions of the language.
type (
	// AllowAction says nothing: it ends an else with a word.
	AllowAction struct{ lll.Range }
	// RejectAction refuses the span.
	RejectAction struct {
		lll.Range
		Why *Text
		// Kept is Why with … for all that depends on the span or on anybody: what
		// keeps a refused attempt is never erased.
		Kept string
	}
	// SimulateAction decides the span without recording it.
	SimulateAction struct {
		lll.Range
		Why *Text // nil: none
	}
	// TagAction puts a tag into the line, which is never erased: it holds
	// nothing of the span.
	TagAction struct {
		lll.Range
		Tag string
	}
	// NoteAction puts a text into the detail.
	NoteAction struct {
		lll.Range
		Note *Text
	}
	// AnnotateAction puts members into the detail's annotations.
	AnnotateAction struct {
		lll.Range
		Fields *Object
	}
	// EmitAction makes a span, signed by the node and caused by this one.
	EmitAction struct {
		lll.Range
		Type string
		Body *Object // data, and beside it title, subject, tags, visibility
	}
	// CallAction calls a webhook of the tenant.
	CallAction struct {
		lll.Range
		Webhook string
		Body    *Object // body; nil: none
		Retry   Retry
	}
	// TaskAction does something later.
	TaskAction struct {
		lll.Range
		Name  string
		After *expr.Program // a duration; nil unless said
		At    *expr.Program // a time; nil unless said
		Cron  string
		// Timezone is an IANA name, "" for UTC.
		Timezone string
		// Unless is asked when it is due; nil: never. With Cron it comes back until
		// this holds.
		Unless *expr.Program
		Then   []Action
	}
	// ApprovalAction lets the span wait for votes.
	ApprovalAction struct {
		lll.Range
		Index     int      // in Contract.Approvals
		From      []string // roles, or LogLine IDs
		Count     float64  // the weight that is needed
		Distinct  bool     // each voter counts once
		Within    *expr.Program
		Weights   map[string]float64 // by role; 1 where it is silent
		OnTimeout []Action           // none: it expires
	}
	// TransitionAction moves this span's instance of a workflow.
	TransitionAction struct {
		lll.Range
		Workflow, To string
	}
	// TrustAction moves a score.
	TrustAction struct {
		lll.Range
		Who     *expr.Program // an identity, or its id
		Set     bool          // to Amount, not by it
		Amount  *expr.Program
		Because *Text // nil: none
	}
	// QuotaAction counts against a quota.
	QuotaAction struct {
		lll.Range
		*Quota
	}
)

// Quota is how much is allowed for a key in a window.
type Quota struct {
	lll.Range
	Name     string
	Limit    *expr.Program
	Per      time.Duration
	Key      *expr.Program
	WarnAt   []float64 // shares of the limit
	Exceeded []Action  // none: reject
}

// Text is a text with holes.
type Text struct {
	lll.Range
	Template *expr.Template // nil: Plain is all of it
	Plain    string         // as written
}

// plain is a text without holes.
func (t *Text) plain() string {
	if t == nil {
		return ""
	}
	return t.Plain
}

// Object is an object whose values are evaluated.
type Object struct {
	lll.Range
	Fields []Field
}

// Field is one member of an Object, in the order of the source.
type Field struct {
	Name  string
	Value Node
}

// Field is the value of that name, nil when there is none. It works on nil.
func (o *Object) Field(name string) *Node {
	if o == nil {
		return nil
	}
	for i := range o.Fields {
		if o.Fields[i].Name == name {
			return &o.Fields[i].Value
		}
	}
	return nil
}

// Node is a value to be: exactly one of its fields is set.
type Node struct {
	Program *expr.Program
	Text    *Text
	Object  *Object
	List    []Node
	isList  bool
}

// IsList says that the node is a list, which may be empty.
func (n *Node) IsList() bool { return n.isList }

// Walk calls visit for every action in list and, below each, for those that
// it may lead to in the same decision: exceeded, on_timeout, a task's then.
func Walk(list []Action, visit func(Action)) {
	for _, a := range list {
		visit(a)
		switch a := a.(type) {
		case *TaskAction:
			Walk(a.Then, visit)
		case *ApprovalAction:
			Walk(a.OnTimeout, visit)
		case *QuotaAction:
			Walk(a.Exceeded, visit)
		}
	}
}
