package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
)

const (
	chunkLines = 500     // lines handed to the engine at once
	queueLines = 1000    // lines read ahead of the engine
	queueBytes = 8 << 20 // bytes read ahead of the engine
)

// numbered is one line of a request that is not blank.
type numbered struct {
	number int    // counted from 1, blank lines included
	bytes  []byte // nil when err says why there are none
	err    error
}

// lineQueue stands between reading a stream and appending it. It holds a bounded
// amount, so a client that sends faster than lines are committed is slowed down,
// and it gives out whatever has come, so that nothing waits for a chunk to fill.
type lineQueue struct {
	mu     sync.Mutex // guards the rest
	moved  sync.Cond  // something was put, taken or closed
	lines  []numbered
	bytes  int
	closed bool
}

func newLineQueue() *lineQueue {
	q := &lineQueue{}
	q.moved.L = &q.mu
	return q
}

// put adds a line, waiting for room; false when the queue is closed. Who takes is
// told when a chunk is full, and by wake.
func (q *lineQueue) put(l numbered) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.lines) > 0 && (len(q.lines) >= queueLines || q.bytes+len(l.bytes) > queueBytes) {
		q.moved.Broadcast()
		q.moved.Wait()
	}
	if q.closed {
		return false
	}
	q.lines = append(q.lines, l)
	q.bytes += len(l.bytes)
	if len(q.lines) >= chunkLines {
		q.moved.Broadcast()
	}
	return true
}

// wake tells who takes of what was put.
func (q *lineQueue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) > 0 {
		q.moved.Broadcast()
	}
}

// take moves up to chunkLines lines into dst[:0], waiting for the first; it is
// empty only when the queue is closed and all has been taken.
func (q *lineQueue) take(dst []numbered) []numbered {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lines) == 0 && !q.closed {
		q.moved.Wait()
	}
	n := min(len(q.lines), chunkLines)
	dst = append(dst[:0], q.lines[:n]...)
	for _, l := range dst {
		q.bytes -= len(l.bytes)
	}
	rest := copy(q.lines, q.lines[n:])
	clear(q.lines[rest:])
	q.lines = q.lines[:rest]
	q.moved.Broadcast()
	return dst
}

// close ends put; what is in the queue can still be taken.
func (q *lineQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.moved.Broadcast()
}

// readLines puts the lines of r into q until r ends, and closes q. A line of
// more than limit bytes, and one that breaks off, are put as refusals. It says
// whether every line was put.
func readLines(r io.Reader, limit int, q *lineQueue) bool {
	defer q.close()
	br := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		l := numbered{number: number}
		line, err := readLine(br, limit)
		code := fault.CodeOf(err)
		if code == codeLineTooLarge || code == codeLineIncomplete {
			l.err = err
		} else {
			l.bytes = line
		}
		if (l.err != nil || len(l.bytes) > 0) && !q.put(l) {
			return false
		}
		if errors.Is(err, io.EOF) || code == codeLineIncomplete {
			return true
		}
		// Lines that came together are taken together: a commit of the first alone
		// would be waited for by all the others.
		if rest, _ := br.Peek(br.Buffered()); bytes.IndexByte(rest, '\n') < 0 {
			q.wake()
		}
	}
}

const (
	codeLineTooLarge   = "line_too_large"
	codeLineIncomplete = "line_incomplete"
)

// readLine reads one line without its end and the white space around it. io.EOF
// comes with the last line, which needs no line break. A line of more than limit
// bytes is read to its end and dropped.
func readLine(br *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	size := 0
	for {
		part, err := br.ReadSlice('\n')
		size += len(part)
		if size <= limit+1 {
			if line == nil && err != bufio.ErrBufferFull {
				line = bytes.Clone(bytes.TrimSpace(part)) // the usual case: one allocation, one copy
			} else {
				line = append(line, part...)
			}
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err != nil && err != io.EOF:
			return nil, fault.New(fault.Invalid, codeLineIncomplete,
				"the request ended, or stopped coming, within this line; send it and what follows again").Because(err)
		case size > limit+1 || size > limit && !bytes.HasSuffix(part, []byte("\n")):
			return nil, errors.Join(fault.Newf(fault.Invalid, codeLineTooLarge, "the line has more than the %d bytes of a span", limit), err)
		}
		return bytes.TrimSpace(line), err
	}
}
