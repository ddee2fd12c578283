package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
)

// TestSlowConnectionsStopNobody holds far more connections than the server takes,
// of each kind that costs it something, and works beside them.
func TestSlowConnectionsStopNobody(t *testing.T) {
	t.Parallel()
	const most, slow = 64, 300
	w, _ := serve(t, httpapi.Limits{Connections: most, ReadHeader: time.Minute, Stall: time.Minute})
	address := strings.TrimPrefix(w.url, "http://")
	begun := []string{
		"",
		"G",
		"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ",
		"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", // and then nothing more
	}
	hold := func(begun string) net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conn, begun)
		require.NoError(t, err)
		return conn
	}
	var silent, answered []net.Conn
	for i := range slow {
		conn := hold(begun[i%len(begun)])
		if i%len(begun) != len(begun)-1 {
			silent = append(silent, conn)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		answered = append(answered, conn)
	}
	alone := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for range 20 {
		resp, err := alone.Get(w.url + "/v1/node")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)

	// Those that had waited for longest made room.
	gone := func(conns []net.Conn) (n int) {
		for _, conn := range conns {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
			if _, err := io.Copy(io.Discard, conn); err == nil || !isTimeout(err) {
				n++
			}
		}
		return n
	}
	require.Equal(t, len(silent)/2, gone(silent[:len(silent)/2]))
	// An answer begins a wait anew, at a moment that the server alone knows: as many
	// more as it takes have come after it.
	for range most {
		hold("")
	}
	require.Equal(t, len(answered)/2, gone(answered[:len(answered)/2]))
	require.Contains(t, w.figures(), `logline_connections_refused_total{reason="waiting"}`)
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func (w *world) figures() string {
	w.t.Helper()
	resp, err := http.Get(w.url + "/metrics")
	require.NoError(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return string(text)
}

// TestConnectionsOfOneAddress lets no address but this machine's and a proxy's
// have more than its part.
func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	proxies, err := httpapi.ParseProxies("192.0.2.0/24", "")
	require.NoError(t, err)
	const one = 3
	for from, want := range map[string]int{"203.0.113.9": one, "2001:db8::1": one, "127.0.0.1": 10, "192.0.2.4": 10} {
		ln := &comingFrom{Listener: listener(t), addr: &net.TCPAddr{IP: net.ParseIP(from), Port: 1}}
		bound := httpapi.Bound(httpapi.New(httpapi.Deps{Proxies: proxies, Limits: httpapi.Limits{ConnectionsOne: one}}), ln)
		accepted := make(chan net.Conn, 10)
		go func() {
			for {
				conn, err := bound.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- conn
			}
		}()
		var open []net.Conn
		for range want {
			dial(t, ln)
			open = append(open, <-accepted)
		}
		if want == one {
			refused := dial(t, ln)
			_, err := refused.Read(make([]byte, 1))
			require.Error(t, err, "%s has as many as one may", from)
			require.False(t, isTimeout(err))
			require.NoError(t, open[0].Close())
			require.Error(t, open[0].Close(), "once")
			dial(t, ln)
			open[0] = <-accepted
		}
		require.NoError(t, ln.Close())
		for range accepted {
			require.Fail(t, "more than one may")
		}
		for _, c := range open {
			require.NoError(t, c.Close())
		}
	}
}

// comingFrom is a listener whose connections have another address.
type comingFrom struct {
	net.Listener
	addr net.Addr
}

func (c *comingFrom) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &elsewhere{conn, c.addr}, nil
}

type elsewhere struct {
	net.Conn
	addr net.Addr
}

func (e *elsewhere) RemoteAddr() net.Addr { return e.addr }

func listener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func dial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	return conn
}

// TestLineThatNeverEnds is not waited for, however steadily its bytes come.
func TestLineThatNeverEnds(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{Stall: 500 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n", w.at("/spans"))
	require.NoError(t, err)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a byte at a time, far more often than the stall
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	answer, err := io.ReadAll(conn)
	require.False(t, err != nil && isTimeout(err), "the server ends it")
	require.Contains(t, string(answer), "line_incomplete")
}
