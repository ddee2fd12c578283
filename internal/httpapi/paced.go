package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// slowest is the pace below which a client is taken for one that only holds a
// place, in bytes a second, beside the stall that everybody has once.
const slowest = 16 << 10

func timeFor(n int) time.Duration { return time.Duration(n) * time.Second / slowest }

// pacedReader gives each read its own deadline: a client may send for as long as
// it likes, but not pause for long, nor be long over one line.
type pacedReader struct {
	r     io.Reader
	rc    *http.ResponseController
	stall time.Duration
	line  time.Time // when the line began that has not ended; zero before the first read
	sent  int       // bytes of it

	mu    sync.Mutex // guards the rest, and the deadline with it
	ended bool
	whole bool // the body has been read to its end
}

func (p *pacedReader) Read(b []byte) (int, error) {
	now := time.Now()
	if p.line.IsZero() || p.sent == 0 {
		p.line = now // whoever pauses between lines has begun none
	}
	until := now.Add(p.stall)
	if last := p.line.Add(p.stall + timeFor(p.sent)); last.Before(until) {
		until = last
	}
	if !p.deadline(until) {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := p.r.Read(b)
	if end := bytes.LastIndexByte(b[:n], '\n'); end >= 0 {
		p.line, p.sent = time.Now(), n-end-1
	} else {
		p.sent += n
	}
	if err == io.EOF {
		p.finish()
	}
	return n, err
}

func (p *pacedReader) deadline(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	_ = p.rc.SetReadDeadline(t)
	return true
}

// finish takes the deadline away: the connection goes on to its next request,
// and net/http already listens on it.
func (p *pacedReader) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = true
	_ = p.rc.SetReadDeadline(time.Time{})
}

// end makes the read that is waiting, and every later one, return at once.
func (p *pacedReader) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if !p.whole {
		_ = p.rc.SetReadDeadline(time.Now())
	}
}

// pacedWriter does for writing what pacedReader does for reading. What the server
// takes to make an answer is not the client's time.
type pacedWriter struct {
	w       io.Writer
	rc      *http.ResponseController
	stall   time.Duration
	endless bool // there is no pace to keep: a feed's client has nothing to read most of the time

	sent int
	took time.Duration // by the client
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	patience := p.stall
	if left := p.stall + timeFor(p.sent) - p.took; !p.endless && left < patience {
		patience = max(left, 0)
	}
	began := time.Now()
	_ = p.rc.SetWriteDeadline(began.Add(patience))
	n, err := p.w.Write(b)
	p.sent, p.took = p.sent+n, p.took+time.Since(began)
	return n, err
}

// bodyReader gives a body that is read whole the time that its size takes at the
// slowest pace, beside the time that every request has.
type bodyReader struct {
	r    io.Reader
	rc   *http.ResponseController
	last time.Time // for what is within firstRoom
	sent int
}

func (b *bodyReader) Read(into []byte) (int, error) {
	if b.sent > firstRoom {
		_ = b.rc.SetReadDeadline(b.last.Add(timeFor(b.sent)))
	}
	n, err := b.r.Read(into)
	b.sent += n
	return n, err
}
