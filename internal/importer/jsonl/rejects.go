package jsonl

import (
	"bufio"
	"fmt"
	"os"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
)

// rejectMark begins the line before each rejected one in a file of rejects; the
// line after it is read as it is. No JSON begins like that.
const rejectMark = "#rejected "

// Rejects is a file of rejected lines: for each a line that says where it stood
// and why it was rejected, then the line itself. Imported like any other file,
// it brings in what has been mended. The file is made, readable by its owner
// alone, with the first line; what a file of that name held before is replaced.
// Safe for concurrent use.
type Rejects struct {
	path string

	mu    sync.Mutex // guards all below
	file  *os.File
	buf   *bufio.Writer
	count int64
	last  [2]int64 // the last line by way (see Add), for a line is rejected once
}

// NewRejects makes a writer to path. Nothing is written yet.
func NewRejects(path string) *Rejects { return &Rejects{path: path} }

// Path is where the rejects go.
func (r *Rejects) Path() string { return r.path }

// Count is how many lines have been rejected.
func (r *Rejects) Count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// The two ways by which a line is rejected: before anything was sent, or by the
// node. Each goes through the lines in order.
const (
	byMap = iota
	byNode
)

// AddUnread takes a line that gave no item.
func (r *Rejects) AddUnread(reject Reject) error { return r.add(reject, byMap) }

// AddRefused takes a line of which a record was refused by the node.
func (r *Rejects) AddRefused(reject Reject) error { return r.add(reject, byNode) }

func (r *Rejects) add(reject Reject, way int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last[way] == reject.Line {
		return nil
	}
	r.last[way] = reject.Line
	if r.file == nil {
		if err := r.create(); err != nil {
			return r.failed(err)
		}
	}
	r.count++
	note := ""
	if reject.Length > int64(len(reject.Raw)) {
		note = fmt.Sprintf(" [cut here after %d of %d bytes]", len(reject.Raw), reject.Length)
	}
	if _, err := fmt.Fprintf(r.buf, "%sline %d: %s (%s)%s\n%s\n",
		rejectMark, reject.Line, printable(reject.Reason), printable(reject.Code), note, reject.Raw); err != nil {
		return r.failed(err)
	}
	return nil
}

func (r *Rejects) create() error {
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = file.Chmod(0o600) // one that was there may be open to others
	}
	if err != nil {
		return err
	}
	r.file, r.buf = file, bufio.NewWriter(file)
	return nil
}

// Close writes out what is buffered, to the disk. Without rejects there is no file.
func (r *Rejects) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.buf.Flush()
	if err == nil {
		err = r.file.Sync()
	}
	if closeErr := r.file.Close(); err == nil {
		err = closeErr
	}
	r.file = nil
	if err != nil {
		return r.failed(err)
	}
	return nil
}

func (r *Rejects) failed(err error) error {
	return fault.Newf(fault.Unavailable, "rejects_unwritable", "the file of rejected lines %s cannot be written; name another with --rejects", r.path).Because(err)
}
