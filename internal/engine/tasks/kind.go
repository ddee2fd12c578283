package tasks

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// Handler runs one task and gives its output, a JSON object or nil. It may be
// called more than once for a task, by two processes even, so its effect is
// idempotent by the task's key. It ends soon after ctx does. An error is tried
// again unless it says that this is of no use: see Final.
type Handler func(ctx context.Context, t *Task) (output []byte, err error)

// Kind is how the tasks of one kind are made and run. Zero values mean the
// defaults named beside them.
type Kind struct {
	Name     string
	Queue    string // its name
	Run      Handler
	Priority int           // as it is: Urgent
	Timeout  time.Duration // of one run: 1 minute
	Attempts int           // 20
	Most     int           // tasks of one tenant at once: 16
	First    time.Duration // the longest wait after the first failure, which doubles: 1 s
	Longest  time.Duration // and ends here: 1 hour
}

// Kinds are the kinds of tasks that there are, by name.
type Kinds map[string]Kind

// NewKinds fills in defaults.
func NewKinds(kinds ...Kind) Kinds {
	out := make(Kinds, len(kinds))
	for _, k := range kinds {
		k.Queue = cmp.Or(k.Queue, k.Name)
		k.Timeout = cmp.Or(k.Timeout, time.Minute)
		k.Attempts, k.Most = cmp.Or(k.Attempts, 20), cmp.Or(k.Most, 16)
		k.First, k.Longest = cmp.Or(k.First, time.Second), cmp.Or(k.Longest, time.Hour)
		out[k.Name] = k
	}
	return out
}

// Draft is a task of this kind, due at once.
func (k *Kind) Draft(origin string, action int, name string, now time.Time) Draft {
	return Draft{Origin: origin, Action: action, Queue: k.Queue, Kind: k.Name, Name: name, Priority: k.Priority, Attempts: k.Attempts, Most: k.Most, RunAt: now}
}

// wait is how long a task waits after its failures: exponential, with full
// jitter. random is in [0, 1).
func (k *Kind) wait(failures int, random float64) time.Duration {
	longest := k.First
	for i := 1; i < failures && longest < k.Longest; i++ {
		longest *= 2
	}
	return time.Duration(random * float64(min(longest, k.Longest)))
}

// final is an error that another run would not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final marks an error: the task is not run again.
func Final(err error) error { return final{err} }

// IsFinal says whether a task that failed so is not to be run again: where the
// input is at fault, or what it needs is gone.
func IsFinal(err error) bool {
	var f final
	if errors.As(err, &f) {
		return true
	}
	switch fault.From(err).Kind {
	case fault.Unavailable, fault.Limited, fault.Internal:
		return false
	}
	return true
}

// maxError bounds the text of an error that is kept, in bytes.
const maxError = 500

// An error that nobody has put into words for others has this code, and is shown
// with this text.
const (
	unclassified = "internal"
	unsaid       = "something failed that has no message of its own; the node's log says what"
)

// reason is what is kept of an error: its code, and a text that is safe to show.
func reason(err error) (code, text string) {
	f := fault.From(err)
	text = f.Detail
	if f.Code == unclassified {
		text = unsaid
	}
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return f.Code, text
}
