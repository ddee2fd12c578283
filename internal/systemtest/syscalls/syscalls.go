// Package syscalls runs a program under ptrace, writes down every system call
// that changes its files, in order and with the bytes, what it tells the outside
// between them, and makes one of them fail on demand. It serves tests alone and
// works on Linux on amd64.
//
// The program runs below another process, the tracer: a binary that calls Trace
// when it is started with the arguments of Wrap. Signals to the tracer go on to
// the program, which ends with it and whose exit code it takes.
package syscalls

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
)

// Flag is the first argument that makes a binary the tracer.
const Flag = "-trace-system-calls"

// Plan is what the tracer is to do.
type Plan struct {
	Root  string // files below this folder are watched
	Log   string // file that the calls are written to; "" for none
	At    int    // number of the watched changing call, from 0, that Fault befalls
	Fault Fault
}

// Fault is what befalls a call.
type Fault string

// The faults.
const (
	None      Fault = ""
	Fail      Fault = "fail"       // it does nothing and fails with EIO
	Full      Fault = "full"       // it does nothing and fails with ENOSPC
	Half      Fault = "half"       // a write writes half of its bytes and fails with ENOSPC; others do nothing and fail so
	FailAfter Fault = "fail-after" // it does its work and fails with EIO
	Kill      Fault = "kill"       // the program is killed before it
	KillAfter Fault = "kill-after" // the program is killed after it
)

// Faults are all of them.
var Faults = []Fault{Fail, Full, Half, FailAfter, Kill, KillAfter}

// Wrap is the command line that runs args below the tracer binary.
func (p Plan) Wrap(tracer string, args ...string) []string {
	return append([]string{tracer, Flag, p.Root, p.Log, strconv.Itoa(p.At), string(p.Fault)}, args...)
}

// parse reads what Wrap wrote, without the binary.
func parse(args []string) (p Plan, command []string, err error) {
	if len(args) < 6 || args[0] != Flag {
		return p, nil, errors.New("syscalls: these are not the arguments of Wrap")
	}
	at, err := strconv.Atoi(args[3])
	return Plan{Root: args[1], Log: args[2], At: at, Fault: Fault(args[4])}, args[5:], err
}

// Call is one system call that was done, and succeeded.
type Call struct {
	Op   Op     `json:"op"`
	Path string `json:"path,omitempty"` // absolute
	To   string `json:"to,omitempty"`   // of Rename and Link
	At   int64  `json:"at,omitempty"`   // of Write; the size of Truncate
	Data []byte `json:"data,omitempty"` // of Write and Said
}

// Op is a kind of call.
type Op string

// The kinds.
const (
	Create   Op = "create" // an empty file where there was none
	Mkdir    Op = "mkdir"
	Write    Op = "write"
	Truncate Op = "truncate"
	Rename   Op = "rename"
	Link     Op = "link"
	Remove   Op = "remove"  // a file or an empty folder
	Sync     Op = "sync"    // a file or a folder
	Said     Op = "said"    // no change: bytes that went into a pipe or a socket
	Unknown  Op = "unknown" // a change that the tracer does not understand: no test goes on with it
)

// Read reads the calls that a tracer wrote to a file.
func Read(path string) ([]Call, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	var calls []Call
	for {
		var c Call
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			return calls, nil
		} else if err != nil {
			return calls, err
		}
		calls = append(calls, c)
	}
}

// Changes is how many of the calls change something.
func Changes(calls []Call) (n int) {
	for _, c := range calls {
		if c.Op != Said {
			n++
		}
	}
	return n
}

// below says that a path is in a folder, or it.
func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}
