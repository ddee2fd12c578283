package systemtest

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy stands between the program and a server, as a bad network does.
type proxy struct {
	address string
	target  string

	mu     sync.Mutex // guards the rest
	moved  *sync.Cond // the mode has changed
	mode   mode
	delay  time.Duration // of each piece that passes
	conns  map[net.Conn]bool
	closed bool
}

type mode int

const (
	passing  mode = iota
	refusing      // connections are closed as they come
	stalling      // connections are taken, and nothing moves
)

// newProxy listens for the host and port of a URL and returns itself and the
// URL that leads through it.
func newProxy(t *testing.T, rawURL string) (p *proxy, through string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = &proxy{address: l.Addr().String(), target: u.Host, conns: map[net.Conn]bool{}}
	p.moved = sync.NewCond(&p.mu)
	var pumps sync.WaitGroup
	pumps.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			pumps.Go(func() { p.serve(in, &pumps) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(func() { p.closed = true })
		p.cut()
		pumps.Wait()
	})
	u.Host = p.address
	return p, u.String()
}

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.moved.Broadcast()
}

// refuse is a server that is gone: what is open breaks, new connections too.
func (p *proxy) refuse() { p.set(func() { p.mode = refusing }); p.cut() }

// stall is a network that swallows everything.
func (p *proxy) stall() { p.set(func() { p.mode = stalling }) }

// slow lets everything pass, each piece d later.
func (p *proxy) slow(d time.Duration) { p.set(func() { p.mode, p.delay = passing, d }) }

// pass ends all that.
func (p *proxy) pass() { p.slow(0) }

// cut breaks the connections that are open now.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// open adds a connection, or closes it where none may be open.
func (p *proxy) open(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == refusing {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) serve(in net.Conn, pumps *sync.WaitGroup) {
	if !p.open(in) {
		return
	}
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = in.Close()
		return
	}
	if !p.open(out) {
		_ = in.Close()
		return
	}
	pumps.Go(func() { p.pump(in, out) })
	p.pump(out, in)
}

// pump moves bytes one way until either side ends.
func (p *proxy) pump(from, to net.Conn) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.set(func() { delete(p.conns, from); delete(p.conns, to) })
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !p.may() {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// may waits until a piece may pass, and tells whether it ever may.
func (p *proxy) may() bool {
	p.mu.Lock()
	for p.mode == stalling && !p.closed {
		p.moved.Wait()
	}
	delay, closed := p.delay, p.closed
	p.mu.Unlock()
	if delay > 0 {
		<-time.After(delay)
	}
	return !closed
}
