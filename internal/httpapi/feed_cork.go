package httpapi

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// corkBytes is how much is held of what a feed sends before it is written.
const corkBytes = 16 << 10

// corkedConn holds what is written to a feed's connection until the feed waits
// for more, or corkBytes have come together: one system call for many messages.
// What is held is lost with the process, as what the system holds is.
type corkedConn struct {
	net.Conn
	stall time.Duration // how long a write may take

	mu   sync.Mutex // guards the rest; held while writing, so that writes keep their order
	held *[]byte    // of corkBuffers; nil while nothing is held
	open bool       // nothing is held any more
}

// corkBuffers are used again: an idle feed has none.
var corkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, corkBytes); return &b }}

// Write holds b, or writes it after what is held.
func (c *corkedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && len(*c.held)+len(b) > corkBytes {
		if err := c.flush(c.stall); err != nil {
			return 0, err
		}
	}
	if c.open || len(b) > corkBytes {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.stall))
		return c.Conn.Write(b)
	}
	if c.held == nil {
		c.held = corkBuffers.Get().(*[]byte)
	}
	*c.held = append(*c.held, b...)
	return len(b), nil
}

// SetWriteDeadline does nothing: each write that reaches the connection has one.
func (c *corkedConn) SetWriteDeadline(time.Time) error { return nil }

// Flush writes what is held.
func (c *corkedConn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush(c.stall)
}

// Uncork writes what is held and holds nothing from now on; each write may take
// as long as stall.
func (c *corkedConn) Uncork(stall time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.stall = true, stall
	return c.flush(stall)
}

func (c *corkedConn) flush(stall time.Duration) error {
	if c.held == nil {
		return nil
	}
	held := c.held
	c.held = nil
	_ = c.Conn.SetWriteDeadline(time.Now().Add(stall))
	_, err := c.Conn.Write(*held)
	*held = (*held)[:0]
	corkBuffers.Put(held)
	return err
}

// corker gives up its connection corked.
type corker struct {
	http.ResponseWriter
	stall time.Duration
	conn  *corkedConn // after Hijack
}

// Hijack implements http.Hijacker.
func (w *corker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.conn = &corkedConn{Conn: conn, stall: w.stall}
	return w.conn, buffered, nil
}
