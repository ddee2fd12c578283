package tasks

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// Store keeps tasks. All methods may be called at once by any number of
// goroutines and processes. A call that returns nil is durable and was one
// transaction; after an error of kind unavailable it may have been done, and
// doing it again does no harm. Times come from the caller, who takes them from a
// Clock; fencing holds whatever they are.
type Store interface {
	Inbox
	Work
	Desk
	Journal
	Timekeeper
}

// ErrMoved says that another process has moved the cursor.
var ErrMoved = fault.New(fault.Conflict, "cursor_moved", "another process has read on in this timeline")

// Inbox takes tasks in.
type Inbox interface {
	// Cursor is the first entry of a timeline that the follower has not read.
	Cursor(ctx context.Context, tenant string) (uint64, error)
	// Advance moves the cursor from one entry to another and makes the drafts,
	// all or nothing; those whose key is there already are left as they are. It
	// says how many were made. ErrMoved where the cursor stands elsewhere.
	Advance(ctx context.Context, now time.Time, tenant string, from, to uint64, drafts []Draft) (made int, err error)
	// Add makes a task that a request asks for; Seq is nil. A key that is there
	// already is left as it is.
	Add(ctx context.Context, now time.Time, tenant string, d Draft) error
	// Rest keeps a tenant's tasks from being given out and its events from being told
	// until it is called with rest false; those it gets meanwhile rest too. A repeat
	// changes nothing. Runs that have begun go on.
	Rest(ctx context.Context, tenant string, rest bool) error
	// Limit sets how many tasks of a queue each tenant may have running at once.
	Limit(ctx context.Context, queue string, most int) error
}

// Claim is what a worker asks for.
type Claim struct {
	Now    time.Time
	Until  time.Time // of the lease
	Most   int       // tasks
	After  string    // the tenant that was served last: whose turn it is not
	Queues []string
	Worker string
}

// Beat is the answer to the heartbeat of one lease.
type Beat struct {
	Lease
	Lost       bool // another run has begun, or the task has ended: stop
	Cancelling bool // the run is asked to end
}

// Work gives tasks out.
type Work interface {
	Timekeeper
	// Claim begins runs of queued tasks that are due. Tenants take turns: those
	// behind After come first, each tenant gets an equal share of what is asked
	// for, and what is left of it goes round again. Within a tenant the lower
	// priority comes first, then the one that is due longest. No queue of a
	// tenant gets beyond its limit, however many claim at once.
	Claim(ctx context.Context, c Claim) ([]Task, error)
	// Heartbeat extends leases that still hold, and says of each how it stands,
	// in any order.
	Heartbeat(ctx context.Context, until time.Time, leases []Lease) ([]Beat, error)
	// Note keeps an output of a run that goes on; nothing where its lease is lost.
	Note(ctx context.Context, l Lease, output []byte) error
	// Settle ends runs, and says which: those of other leases than the last are
	// left out, for they are lost. With lapsed only runs whose lease ended
	// before now.
	Settle(ctx context.Context, now time.Time, lapsed bool, ends []Settlement) ([]Key, error)
	// Lapsed are running tasks whose lease ended before now, at most limit.
	Lapsed(ctx context.Context, now time.Time, limit int) ([]Task, error)
	// Tally adds counts to those that are there, and forgets what is older than
	// before.
	Tally(ctx context.Context, list []Tally, before time.Time) error
}

// List asks for tasks of one tenant, the newest origin first.
type List struct {
	Tenant string
	State  *State // nil: any
	Queue  string // "": any
	Before *Key   // nil: from the newest on
	Limit  int
}

// Desk is for people. Tasks of other tenants do not exist for it.
type Desk interface {
	Get(ctx context.Context, k Key) (Task, error)
	List(ctx context.Context, l List) ([]Task, error)
	// Counts are the counts of a tenant's queues, in order of their names.
	Counts(ctx context.Context, tenant string) ([]Counts, error)
	// Recent are the counts of what runs came to, by minute, from the one that
	// since is in.
	Recent(ctx context.Context, tenant string, since time.Time) ([]Tally, error)
	// Backlog is how many changes of tasks the timeline does not tell of yet, and
	// when the first of them was.
	Backlog(ctx context.Context, tenant string) (changes int64, oldest time.Time, err error)
	// Cancel ends a queued task at once and asks a running one to end; a task
	// that has ended is task_ended. A repeat changes nothing.
	Cancel(ctx context.Context, now time.Time, k Key) (Task, error)
	// Requeue lets a failed or cancelled task be run again, as often as more
	// says, from now on; of any other it is task_not_ended.
	Requeue(ctx context.Context, now time.Time, k Key, more int) (Task, error)
}

// Errors of Desk beside ErrUnknown.
var (
	ErrEnded    = fault.New(fault.Conflict, "task_ended", "the task has ended already; a failed or cancelled one can be queued again")
	ErrNotEnded = fault.New(fault.Conflict, "task_not_ended", "only a failed or cancelled task can be queued again; cancel this one first, or wait for its end")
)

// Journal gives out what the timeline is to tell.
type Journal interface {
	// Untold takes events that nobody else is telling, for as long as until says:
	// of each tenant the oldest first, and of none more than its share while others
	// have any; none of tenants where the teller is held or that rest, and those cost nothing.
	Untold(ctx context.Context, now, until time.Time, limit int) ([]Event, error)
	// Hush forgets all events of a tenant that will hear nothing any more.
	Hush(ctx context.Context, tenant string) error
	// Told forgets events.
	Told(ctx context.Context, events []Event) error
	// Forget removes tasks that were completed or cancelled and whose origin is
	// older than before, at most limit, and says how many there were.
	Forget(ctx context.Context, tenant string, before time.Time, limit int) (int, error)
}
