package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
)

// connections is a listener that bounds how many connections are open, in all and
// of one address. Whoever holds many that ask for nothing keeps nobody out: at the
// bound, a new one takes the place of the one that has asked for nothing for longest.
type connections struct {
	net.Listener
	most, mostOne int
	proxies       Proxies // bring many clients each, and so does this machine: they are not bounded by address
	plain         bool    // HTTP, not TLS, is what the connections carry
	refused       func(why string)

	mu   sync.Mutex // guards the rest
	open map[*connection]struct{}
	by   map[netip.Prefix]int
}

// connection is one of them. It waits from its beginning, and from the end of each
// answer, to the next request.
type connection struct {
	net.Conn
	list  *connections
	block netip.Prefix // invalid where it is not bounded by address
	plain bool         // what is written is HTTP, not TLS
	asked atomic.Bool  // a request of it is served
	since atomic.Int64 // it waits, in Unix nanoseconds
	once  sync.Once
}

func (s *Server) bound(ln net.Listener) *connections {
	return &connections{
		Listener: ln, most: s.limits.Connections, mostOne: s.limits.ConnectionsOne, proxies: s.deps.Proxies, plain: s.deps.TLS == nil, refused: s.metrics.connectionRefused,
		open: make(map[*connection]struct{}), by: make(map[netip.Prefix]int),
	}
}

// Accept gives the next connection that there is room for.
func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.take(conn); c != nil {
			return c, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // and the system keeps nothing of it either
		}
		_ = conn.Close()
	}
}

func (l *connections) take(conn net.Conn) *connection {
	c := &connection{Conn: conn, list: l, block: l.blockOf(conn.RemoteAddr()), plain: l.plain}
	c.since.Store(time.Now().UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.block.IsValid() && l.by[c.block] >= l.mostOne {
		l.refused("address")
		return nil
	}
	if len(l.open) >= l.most && !l.makeRoom() {
		l.refused("all")
		return nil
	}
	l.open[c] = struct{}{}
	if c.block.IsValid() {
		l.by[c.block]++
	}
	return c
}

// makeRoom closes the connection that has waited for longest. The caller holds mu.
func (l *connections) makeRoom() bool {
	var longest *connection
	for c := range l.open {
		if !c.asked.Load() && (longest == nil || c.since.Load() < longest.since.Load()) {
			longest = c
		}
	}
	if longest == nil {
		return false
	}
	l.forget(longest)
	_ = longest.Conn.Close()
	l.refused("waiting")
	return true
}

// forget takes a connection off the list. The caller holds mu.
func (l *connections) forget(c *connection) {
	c.once.Do(func() {
		delete(l.open, c)
		if !c.block.IsValid() {
			return
		}
		if l.by[c.block]--; l.by[c.block] == 0 {
			delete(l.by, c.block)
		}
	})
}

// blockOf is what counts as one address: of IPv6 the 64 bits that one customer has.
func (l *connections) blockOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return blockOf(tcp.AddrPort().Addr().Unmap().WithZone(""), l.proxies)
}

func blockOf(at netip.Addr, proxies Proxies) netip.Prefix {
	if !at.IsValid() || at.IsLoopback() || proxies.header(at) != "" {
		return netip.Prefix{}
	}
	bits := at.BitLen()
	if at.Is6() {
		bits = 64
	}
	block, _ := at.Prefix(bits) // fails for lengths that an address has not
	return block
}

// Close closes the connection and makes room for another.
func (c *connection) Close() error {
	c.list.mu.Lock()
	c.list.forget(c)
	c.list.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite and SetWriteBuffer are what net/http and feeds ask of TCP.
func (c *connection) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

func (c *connection) SetWriteBuffer(n int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetWriteBuffer(n)
	}
	return nil
}

// Write writes, but in the place of what net/http itself says about bytes that
// are no request: it has text for it, where everything here answers with problems.
func (c *connection) Write(b []byte) (int, error) {
	if c.plain && !c.asked.Load() {
		if status, ok := refusal(b); ok {
			_, err := c.Conn.Write(status)
			return len(b), err
		}
	}
	return c.Conn.Write(b)
}

// refusal is the problem for an answer of net/http's own, as a whole answer.
func refusal(said []byte) ([]byte, bool) {
	line, _, _ := bytes.Cut(said, []byte("\r\n"))
	var status int
	if _, err := fmt.Sscanf(string(line), "HTTP/1.1 %d", &status); err != nil || status < http.StatusBadRequest {
		return nil, false
	}
	code, detail := "request_malformed", "the bytes that came are no HTTP/1.1 request that is taken here; the connection ends"
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		code, detail = "header_too_large", fmt.Sprintf("the header has more than the %d bytes taken here; the connection ends", maxHeader)
	case http.StatusExpectationFailed:
		code, detail = "expectation_unknown", "Expect takes 100-continue alone; the connection ends"
	case http.StatusNotImplemented:
		code, detail = "transfer_unsupported", "Transfer-Encoding takes chunked alone; the connection ends"
	}
	header, body := bareProblem(status, code, detail)
	header.Set(echo.HeaderConnection, "close")
	header.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&out) // into memory
	out.WriteString("\r\n")
	return append(out.Bytes(), body...), true
}

// bareProblem is a problem without a request that echo knows of. code and detail
// are plain text.
func bareProblem(status int, code, detail string) (header http.Header, body []byte) {
	request := newRequestID()
	header = http.Header{echo.HeaderContentType: {problemType}, echo.HeaderXRequestID: {request}}
	always := newHeaders()
	always.begin(header, false)
	body = fmt.Appendf(nil, `{"type":"%s%s","title":"%s","status":%d,"detail":"%s","instance":"%s"}`,
		problemPrefix, code, titleByKind[fault.Invalid], status, detail, request)
	return header, body
}

// newRequestID is an id that nobody has had.
func newRequestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// connectionOf is the connection below TLS and whatever else lies on it; nil
// where the server runs on a listener of somebody else.
func connectionOf(conn net.Conn) *connection {
	for {
		switch c := conn.(type) {
		case *connection:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// waits is told by net/http when an answer is out and no request has come yet.
func waits(conn net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	if c := connectionOf(conn); c != nil {
		c.since.Store(time.Now().UnixNano())
		c.asked.Store(false)
	}
}

// asks is told when a request has come whole.
func asks(req *http.Request) {
	if conn, ok := req.Context().Value(connKey{}).(net.Conn); ok {
		if c := connectionOf(conn); c != nil {
			c.asked.Store(true)
		}
	}
}
