// Package followers keeps how those stand that read timelines by cursor: where
// each is, what it fails at, and whether it is held there. A follower says so to
// its [Watch], which also tells it where it may not go on: where somebody paused
// it, or where it failed at the same place so often that it is parked. That is
// kept in the node's database (migration 0015), so that all processes see it
// soon and it outlives them; changes are told to the timelines they are about.
//
// It moves no cursor and reads no timeline; what a follower does is its own.
package followers

import (
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// The followers there are, by name.
const (
	Tasks  = "tasks"  // makes tasks of what decisions ask for
	Teller = "teller" // tells timelines what became of tasks
	Words  = "words"  // keeps the index of words
	Mirror = "mirror" // writes timelines to files
)

// abouts say what each is for.
var abouts = map[string]string{
	Tasks:  "makes tasks of what decisions ask for",
	Teller: "tells the timeline what became of tasks",
	Words:  "keeps the index of words; what is not indexed is searched by reading it",
	Mirror: "writes the timeline to files",
}

// About is what a follower is for, "" for one that there is not.
func About(name string) string { return abouts[name] }

// State is how a follower stands in one timeline.
type State int

// The states. All but Failing are stored, by these numbers.
const (
	Running State = iota
	Paused        // by somebody, until somebody resumes it
	Parked        // it failed at one place as often as it may
	Failing       // it failed and tries again
)

// String is what the API calls it.
func (s State) String() string {
	return [...]string{Running: "running", Paused: "paused", Parked: "parked", Failing: "error"}[s]
}

// Nowhere, as an entry, is none in particular.
const Nowhere = ^uint64(0)

// Status is one follower in one timeline.
type Status struct {
	Tenant, Name string
	State        State
	Step         int       // counts its changes of state
	Cursor       uint64    // the first entry that it has not read, as far as it has said
	Entry        uint64    // at which it fails, or Nowhere
	Tries        int       // that failed there
	Code, Error  string    // of the last one
	FailingSince time.Time // zero: it does not fail
	ChangedAt    time.Time // when it was last held or let go; zero: never
	ChangedBy    string    // LogLine ID; "": the node
	SeenAt       time.Time // when it last said how it stands; zero: never
}

// Errors of those who step in.
var (
	ErrUnknown   = fault.New(fault.NotFound, "follower_unknown", "no follower of this name reads this tenant's timeline; logline followers list names them")
	ErrNotHeld   = fault.New(fault.Conflict, "follower_not_parked", "the follower is not parked: it goes on by itself, or was paused, and then resume it")
	ErrEntry     = fault.New(fault.Conflict, "follower_elsewhere", "the follower is not parked at this entry; look where it is, and name that entry")
	ErrOperators = fault.New(fault.Forbidden, "follower_operators", "files are the operator's, who alone says where they are written, with the setting mirror; a tenant does not pause that, but may let it go on where it is parked")
	ErrUnskipped = fault.New(fault.Conflict, "follower_cannot_skip", "this follower leaves no entry out: what it writes would be wrong; mend what it fails at, and requeue it")
)

// maxError bounds the text of an error that is kept, in bytes.
const maxError = 500

// unclassified is the code of errors that nobody has put into words for others.
const unclassified = "internal"

// unsaid is their text.
const unsaid = "something failed that has no message of its own; the node's log says what"

// reason is what is kept of an error: what may be shown to those who look after
// the tenant. What a database or a disk said beside is in the log.
func reason(err error) (code, text string) {
	f := fault.From(err)
	text = f.Detail
	if f.Code == unclassified {
		text = unsaid
	}
	if text = strings.ToValidUTF8(text, "?"); len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return f.Code, strings.ReplaceAll(text, "\x00", "?")
}

// passes says of an error that it will pass without anybody's doing: what is
// needed cannot be reached now.
func passes(err error) bool {
	k := fault.KindOf(err)
	return k == fault.Unavailable || k == fault.Limited
}
