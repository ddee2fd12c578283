package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
)

// serve runs the world's server as the program does, and stops it.
func serve(t *testing.T, limits httpapi.Limits) (w *world, stop func() error) {
	t.Helper()
	var deps httpapi.Deps
	w = newWorld(t, func(d *httpapi.Deps) { deps = *d })
	deps.Limits = limits
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.url = "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpapi.New(deps).Run(ctx, ln) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return w, stop
}

func TestRunAndStop(t *testing.T) {
	t.Parallel()
	w, stop := serve(t, httpapi.Limits{Drain: 10 * time.Second})
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)

	// A stream that is open when the server stops ends without the look of an end.
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write(append(w.note(w.owner, 2), '\n')) }()
	resp, err := w.http.Do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", body))
	require.NoError(t, err)
	defer resp.Body.Close()
	results := bufio.NewReader(resp.Body)
	line, err := results.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, `"status":201`)
	began := time.Now()
	require.NoError(t, stop())
	require.Less(t, time.Since(began), 5*time.Second, "stopping does not wait for lines that may never come")
	_, err = results.ReadString('\n')
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
	_, err = http.Get(w.url + "/livez")
	require.Error(t, err)
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{ReadHeader: 200 * time.Millisecond, Stall: 200 * time.Millisecond})
	dial := func(text string) net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		return conn
	}
	half := dial("GET /livez HTTP/1.1\r\nHost:")
	_, err := io.ReadAll(half)
	require.NoError(t, err, "a header that does not come ends the connection")

	conn := dial(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{", w.at("/spans")))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(all), "body_incomplete")
}

// Deadlines set for one request must not reach the next on its connection.
func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{Stall: 100 * time.Millisecond})
	reused := 0
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if i.Reused {
			reused++
		}
	}}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	for i := range 5 {
		lines := strings.NewReader(string(w.note(w.owner, i)) + "\n")
		r := w.do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", lines).WithContext(ctx))
		require.Equal(t, 201, r.want(t, http.StatusOK).results(t)[0].Status)
		<-time.After(150 * time.Millisecond) // longer than Stall: what was left behind would strike now
		w.do(w.request(http.MethodGet, w.at("/checkpoint"), "", "", nil).WithContext(ctx)).want(t, http.StatusOK)
		w.do(w.request(http.MethodPost, w.at("/spans"), "", "application/json", strings.NewReader(string(w.note(w.owner, i)))).WithContext(ctx)).
			want(t, http.StatusCreated)
	}
	require.Equal(t, 14, reused)
}
