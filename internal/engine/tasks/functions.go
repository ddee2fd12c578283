package tasks

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Functions are the Go functions of a program that run as tasks: its modules
// contribute them while the program is wired, each under a name of its own with
// its queue and limits, and ask for them here. What contracts ask for, emit and
// call, are such functions too; of any other a contract can name none.
//
// Register before the first Kinds or Ask; these are safe for concurrent use.
type Functions struct {
	store  Requests
	wake   func()
	now    func(context.Context) (time.Time, error)
	rand   io.Reader
	kinds  Kinds
	module map[string]string // which contributed a kind
}

// Requests keeps what is asked for. Every Store is one.
type Requests interface {
	Add(ctx context.Context, now time.Time, tenant string, d Draft) error
	Get(ctx context.Context, k Key) (Task, error)
}

// NewFunctions makes a program's functions, none so far; wake is called after a
// request, and now is the time that workers go by.
func NewFunctions(store Requests, wake func(), now func(context.Context) (time.Time, error), rand io.Reader) *Functions {
	return &Functions{store, wake, now, rand, Kinds{}, map[string]string{}}
}

var kindName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

const (
	// maxAtOnce bounds a queue's limit, and maxAttempts the runs of a task.
	maxAtOnce   = 1_000_000
	maxAttempts = 1_000_000
	// MaxInput bounds what a request says, in bytes.
	MaxInput = 1 << 20
)

// Register takes in what a module contributes. A kind without a name or a handler,
// one that another module has, and one that gives a queue another limit than the
// kinds that share it, are mistakes of the program: it must not start.
func (f *Functions) Register(module string, kinds ...Kind) error {
	wrong := func(k *Kind, why string) error {
		return fault.Newf(fault.Internal, "task_kind", "module %s contributes the kind of tasks %q, %s", module, k.Name, why)
	}
	for i := range kinds {
		k := &kinds[i]
		switch other, taken := f.module[k.Name]; {
		case !kindName.MatchString(k.Name):
			return wrong(k, "which is no name: use 1 to 64 of a-z, 0-9 and _, a letter first")
		case k.Queue != "" && !kindName.MatchString(k.Queue):
			return wrong(k, "whose queue has no name: use 1 to 64 of a-z, 0-9 and _, a letter first")
		case k.Run == nil:
			return wrong(k, "which has no handler")
		case taken:
			return wrong(k, "which module "+other+" has contributed")
		case k.Priority < Urgent || k.Priority > Idle:
			return wrong(k, "whose priority is none")
		case k.Most < 0 || k.Most > maxAtOnce || k.Attempts < 0 || k.Attempts > maxAttempts || k.Timeout < 0 || k.First < 0 || k.Longest < 0:
			return wrong(k, "whose limits are out of range")
		}
		full := NewKinds(*k)[k.Name]
		for _, sharing := range f.kinds {
			if sharing.Queue == full.Queue && sharing.Most != full.Most {
				return wrong(k, "which gives the queue "+full.Queue+" another limit than the kind "+sharing.Name)
			}
		}
		f.kinds[k.Name], f.module[k.Name] = full, module
	}
	return nil
}

// Kinds are all that were contributed, for a Worker and a Follower.
func (f *Functions) Kinds() Kinds { return f.kinds }

// Ask makes a task that runs one of them with input, a JSON object or nil, for
// identity by; name says what it is about, for people. It is queued when Ask
// returns, and the timeline tells of it.
func (f *Functions) Ask(ctx context.Context, tenant, by, kind, name string, input []byte) (Task, error) {
	k, known := f.kinds[kind]
	if !known {
		return Task{}, fault.Newf(fault.Internal, "task_kind_unknown", "nothing in this program runs tasks of kind %q", kind)
	}
	if len(input) > MaxInput {
		return Task{}, fault.Newf(fault.Invalid, "input_too_large", "what is asked for takes %d bytes; %d are the most", len(input), MaxInput)
	}
	if input != nil && !json.Valid(input) {
		return Task{}, fault.Newf(fault.Internal, "task_input", "the input of a task of kind %q is no JSON", kind)
	}
	now, err := f.now(ctx)
	if err != nil {
		return Task{}, err
	}
	id, err := span.RandomID(now, f.rand)
	if err != nil {
		return Task{}, err
	}
	d := k.Draft(id, 0, name, now)
	d.AskedBy, d.Input = by, input
	if err := f.store.Add(ctx, now, tenant, d); err != nil {
		return Task{}, err
	}
	f.wake()
	return f.store.Get(ctx, Key{Tenant: tenant, Origin: id})
}
