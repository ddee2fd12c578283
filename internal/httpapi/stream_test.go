package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/span"
)

func TestAppendLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Line = 4000 })
	good := make([][]byte, 6)
	for i := range good {
		good[i] = w.note(w.owner, i)
	}
	long := w.seal(w.owner, []byte(`{"x":"`+strings.Repeat("x", 9000)+`"}`))
	veryLong := bytes.Repeat([]byte("y"), 200_000)
	simulated := w.note(w.owner, 7, func(h *span.Header) { h.Status = span.StatusSimulated })
	body := bytes.Join([][]byte{
		good[0],             // 1
		nil,                 // 2: blank
		[]byte("nonsense"),  // 3
		good[1],             // 4
		good[0],             // 5: a repeat
		[]byte("  \t "),     // 6: blank
		long,                // 7
		good[2],             // 8
		veryLong,            // 9
		append(good[3], 13), // 10: ends with CR LF
		simulated,           // 11
		good[4],             // 12
	}, []byte("\n"))
	want := []struct {
		line, status int
		code         string
	}{
		{1, 201, ""}, {3, 400, "json_syntax"}, {4, 201, ""}, {5, 200, ""}, {7, 413, "line_too_large"}, {8, 201, ""},
		{9, 413, "line_too_large"}, {10, 201, ""}, {11, 200, ""}, {12, 201, ""},
	}
	for _, ending := range []string{"", "\n", "\n\n", "\r\n"} {
		r := w.do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", io.MultiReader(bytes.NewReader(body), strings.NewReader(ending))))
		results := r.want(t, http.StatusOK).results(t)
		require.Len(t, results, len(want))
		var seqs []uint64
		for i, res := range results {
			require.Equal(t, want[i].line, res.Line)
			if want[i].code != "" {
				require.Equal(t, want[i].status, res.Status)
				require.Equal(t, want[i].code, res.Problem.Code)
				require.Equal(t, r.header.Get("X-Request-Id"), res.Problem.Instance)
				continue
			}
			require.Nil(t, res.Problem)
			if res.Line == 11 {
				require.JSONEq(t, `{"outcome":"allow"}`, string(res.Decision))
				require.Nil(t, res.Receipt)
				continue
			}
			if ending == "" {
				require.Equal(t, want[i].status, res.Status, "line %d", res.Line)
			} else {
				require.Equal(t, 200, res.Status, "the second time all are repeats")
			}
			seqs = append(seqs, w.checkReceipt(res.Receipt).Seq)
		}
		require.IsIncreasing(t, append(seqs[:2:2], seqs[3:]...))
		require.Equal(t, seqs[0], seqs[2])
	}
	require.Empty(t, w.appendLines().want(t, http.StatusOK).body)
	require.Empty(t, w.appendLines(nil, nil).want(t, http.StatusOK).body)
}

// A last line without a line break but too long must not pass for an end.
func TestLastLineTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Line = 4000 })
	for _, size := range []int{4001, 70_000} {
		results := w.appendLines(w.note(w.owner, 1), bytes.Repeat([]byte("x"), size)).results(t)
		require.Len(t, results, 2)
		require.Equal(t, "line_too_large", results[1].Problem.Code)
	}
	atLimit := append(w.note(w.owner, 2), bytes.Repeat([]byte(" "), 4000)...)[:4000]
	require.Equal(t, 201, w.appendLines(atLimit, nil).results(t)[0].Status)
}

func TestManyLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 1700 // more than a few chunks
	lines := make([][]byte, n)
	for i := range lines {
		lines[i] = w.note(w.owner, i)
		if i%100 == 50 {
			lines[i] = fmt.Appendf(nil, "bad %d", i)
		}
	}
	results := w.appendLines(lines...).results(t)
	require.Len(t, results, n)
	last := int64(-1)
	for i, r := range results {
		require.Equal(t, i+1, r.Line)
		if i%100 == 50 {
			require.NotNil(t, r.Problem)
			continue
		}
		require.Equal(t, 201, r.Status)
		require.Greater(t, int64(r.Receipt.Inclusion.Index), last, "the order of the lines is the order of the timeline")
		last = int64(r.Receipt.Inclusion.Index)
		require.Contains(t, string(r.Receipt.Entry), spanID(t, lines[i]))
	}
}

// Results come while the request is still being sent.
func TestStreaming(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, feed := io.Pipe()
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := w.http.Do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", body))
		if err == nil {
			answered <- resp
		}
	}()
	send := func(raw []byte) {
		_, err := feed.Write(append(raw, '\n'))
		require.NoError(t, err)
	}
	send(w.note(w.owner, 0))
	resp := <-answered
	defer resp.Body.Close()
	results := bufio.NewReader(resp.Body)
	for i := 1; i <= 5; i++ {
		line, err := results.ReadBytes('\n')
		require.NoError(t, err)
		var r client.LineResult
		require.NoError(t, json.Unmarshal(line, &r))
		require.Equal(t, i, r.Line)
		require.Equal(t, 201, r.Status)
		if i < 5 {
			send(w.note(w.owner, i))
		}
	}
	require.NoError(t, feed.Close())
	_, err := results.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// A client that sends everything before it reads anything still gets its answer.
func TestSendAllThenRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 2000
	var body bytes.Buffer
	for i := range n {
		body.Write(w.note(w.owner, i))
		body.WriteByte('\n')
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", w.at("/spans"), body.Len())
	require.NoError(t, err)
	_, err = conn.Write(body.Bytes())
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, n, bytes.Count(all, []byte(`"status":201`)))
}

// A request that breaks off within a line leaves that line alone.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.note(w.owner, 1), w.note(w.owner, 2)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n%s\n%s", w.at("/spans"), first, second)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var results []client.LineResult
	for line := range strings.Lines(string(all)) {
		var r client.LineResult
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		results = append(results, r)
	}
	require.Len(t, results, 2)
	require.Equal(t, 201, results[0].Status)
	require.Equal(t, "line_incomplete", results[1].Problem.Code)
	w.get(w.at("/spans/"+spanID(t, second)), w.token(w.owner)).problem(t, http.StatusNotFound, "span_unknown")
}

// A single span that breaks off is not appended either.
func TestBodyBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n%s", w.at("/spans"), w.note(w.owner, 1))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(all), "body_incomplete")
}

// counting counts the lines that reached the engine.
type counting struct {
	httpapi.Engine
	lines chan int
}

func (c *counting) SubmitMany(ctx context.Context, tenant string, lines [][]byte) []engine.Result {
	c.lines <- len(lines)
	return c.Engine.SubmitMany(ctx, tenant, lines)
}

// A client that pauses for too long loses its connection, not what it sent.
func TestStalledClient(t *testing.T) {
	t.Parallel()
	c := &counting{lines: make(chan int, 100)}
	w := newWorld(t, func(d *httpapi.Deps) {
		c.Engine = d.Engine
		d.Engine, d.Limits.Stall = c, 50*time.Millisecond
	})
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write(append(w.note(w.owner, 1), "\n{\"half"...)) }()
	resp, err := w.http.Do(w.request(http.MethodPost, w.at("/spans"), "", "application/x-ndjson", body))
	require.NoError(t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 1, <-c.lines)
	require.Contains(t, string(all), `{"line":1,"status":201`)
	require.Contains(t, string(all), "line_incomplete")
}
