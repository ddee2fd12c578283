// Package tasks is what the engine does, durably: it follows timelines and makes
// a task of each action that a decision names, runs tasks by handlers, with
// leases and retries, in any number of processes, and tells the timeline what
// became of them.
//
// A task is kept in a [Store] together with the cursor of the follower that made
// it, in one transaction, under the key of its action; so none is lost and none
// is there twice. It is run at least once: a handler whose process ends is run
// again after its lease, and makes its effect idempotent by the task's key.
//
// The package decides nothing: what is to be done stands in decisions. It knows
// no SQL (taskstore does) and no HTTP of ours.
package tasks

import (
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Key names a task for good: the action of a span, or, with Action 0, a request.
type Key struct {
	Tenant string // id
	Origin string // id of the span that asks for it, or one made for the request
	Action int    // which of its actions
}

// ID is the key within its tenant as people see it, "<origin>.<action>".
func (k Key) ID() string { return k.Origin + "." + strconv.Itoa(k.Action) }

// ErrUnknown is the answer for a task that does not exist.
var ErrUnknown = fault.New(fault.NotFound, "task_unknown", "no such task in this tenant; completed and cancelled ones are forgotten after a while, and the timeline goes on telling of them")

// ParseID is the inverse of Key.ID; ErrUnknown for anything else.
func ParseID(tenant, id string) (Key, error) {
	origin, action, _ := strings.Cut(id, ".")
	n, err := strconv.Atoi(action)
	k := Key{tenant, origin, n}
	if err != nil || !span.IsUUID(origin) || n < 0 || n > 1<<30 || k.ID() != id {
		return Key{}, ErrUnknown
	}
	return k, nil
}

// State is where a task stands.
type State int

// The states, by the numbers that are stored.
const (
	Queued    State = iota
	Running         // under a lease
	Completed       // for good
	Failed          // dead letter: tried as often as it may be, or not worth trying again
	Cancelled
)

// States are the names of all states, by number.
var States = [...]string{Queued: "queued", Running: "running", Completed: "completed", Failed: "failed", Cancelled: "cancelled"}

// String is the state's name.
func (s State) String() string {
	if s >= 0 && int(s) < len(States) {
		return States[s]
	}
	return "unknown"
}

// ParseState is the inverse of String.
func ParseState(name string) (State, bool) {
	for i, n := range States {
		if n == name {
			return State(i), true
		}
	}
	return 0, false
}

// Priorities: a lower one runs first, whatever its age.
const (
	Urgent = iota
	Normal
	Low
	Idle
)

// Draft is a task to be made.
type Draft struct {
	Origin   string
	Action   int
	Queue    string
	Kind     string // of its handler
	Name     string // what the contract calls it: a type, a webhook
	Priority int
	Attempts int       // runs that it may have
	Most     int       // tasks of this queue and tenant that may run at once
	RunAt    time.Time // not before
	Seq      *uint64   // of the entry that names the action; nil for a request
	AskedBy  string    // LogLine ID of who requested it
	Input    []byte    // of a request, JSON
}

// Task is one as it is stored.
type Task struct {
	Key
	Queue, Kind, Name string
	Priority          int
	State             State
	Step              int // counts its changes of state
	Attempt           int // counts its runs: the fencing token of the last one
	Attempts          int
	RunAt             time.Time
	LeaseUntil        time.Time // zero unless it runs
	Cancelling        bool      // its run is asked to end
	Worker            string    // who ran it last
	Seq               *uint64
	AskedBy           string
	MadeAt, ChangedAt time.Time
	Code, Error       string // why its last run failed
	Input, Output     []byte
}

// Lease is one run of a task: whoever has it may end the task, as long as no
// later run has begun.
type Lease struct {
	Key
	Queue   string
	Attempt int
}

// Lease is the one under which the task runs.
func (t *Task) Lease() Lease { return Lease{t.Key, t.Queue, t.Attempt} }

// Settlement ends a run.
type Settlement struct {
	Lease
	State       State     // Completed, Failed, Cancelled, or Queued for another run
	RunAt       time.Time // of that one
	Free        bool      // the run does not count against Attempts
	Code, Error string    // why it failed
	Output      []byte    // JSON object; nil: none
}

// What an Event tells.
const (
	ToldQueued    = "queued" // by a request, or again
	ToldStarted   = "started"
	ToldCompleted = "completed"
	ToldRetrying  = "retrying"
	ToldFailed    = "failed"
	ToldCancelled = "cancelled"
)

// Event is one change of a task, for the timeline.
type Event struct {
	Key
	Caused      bool // Origin is a span
	Step        int
	What        string
	Attempt     int
	At          time.Time
	RunAt       time.Time // zero unless it is queued
	Code, Error string
	Result      []byte // JSON object, where it is short; nil: none
}

// MaxResult bounds the output that an event carries, in bytes.
const MaxResult = 1024

// Counts are the tasks of one queue of a tenant, by state. Those that ended
// count on after they are forgotten.
type Counts struct {
	Queue                                         string
	Most                                          int // that may run at once
	Queued, Running, Completed, Failed, Cancelled int64
	DueAt                                         time.Time // when the first of the queued ones is, or was, due; zero: none is queued
}

// Tally counts what runs of one queue of a tenant came to in one minute. It is
// for statistics: what a process that is killed has not stored is lost.
type Tally struct {
	Tenant, Queue string
	Minute        time.Time // at its beginning
	Completed     int64
	Retried       int64 // failed, and tried again
	Failed        int64 // for good
}
