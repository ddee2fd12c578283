package httpapi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
)

// feedPatience is the longest that a test waits for something to come.
const feedPatience = 30 * time.Second

// frame is a message of a feed as a client reads it.
type frame struct {
	Type     string          `json:"type"`
	Tenant   string          `json:"tenant"`
	Next     uint64          `json:"next"`
	From     uint64          `json:"from"`
	To       uint64          `json:"to"`
	Entry    json.RawMessage `json:"entry"`
	Status   string          `json:"status"`
	Note     string          `json:"note"`
	Code     int             `json:"code"`
	Reason   string          `json:"reason"`
	resumeAt string          // id of the event, where it came as one
}

func (f *frame) seq(t testing.TB) uint64 {
	t.Helper()
	var e struct{ Seq uint64 }
	require.NoError(t, json.Unmarshal(f.Entry, &e), "%s", f.Entry)
	return e.Seq
}

// quick is a server whose feeds have no time to lose.
func quick(d *httpapi.Deps) {
	d.Limits.Heartbeat, d.Limits.FeedPoll = 200*time.Millisecond, 100*time.Millisecond
}

// tap is an open feed, whatever it came through.
type tap struct {
	t    testing.TB
	read func() (frame, error)
	conn *websocket.Conn // nil for server-sent events
	stop func()
}

func (w *world) feedPath(query string) string {
	path := w.at("/feed")
	if query != "" {
		path += "?" + query
	}
	return path
}

// dial opens a WebSocket, or says how it was refused.
func (w *world) dial(path, token string, header http.Header) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{Subprotocols: []string{"logline.v1"}, HandshakeTimeout: feedPatience}
	if header == nil {
		header = http.Header{}
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return d.Dial("ws"+strings.TrimPrefix(w.url, "http")+path, header)
}

// socket opens a feed as a WebSocket.
func (w *world) socket(query, token string) *tap {
	w.t.Helper()
	conn, resp, err := w.dial(w.feedPath(query), token, nil)
	if err != nil && resp != nil {
		w.t.Logf("refused: %s", resp.Status)
	}
	require.NoError(w.t, err)
	require.Equal(w.t, "logline.v1", conn.Subprotocol())
	require.NotEmpty(w.t, resp.Header.Get("X-Request-Id"))
	w.t.Cleanup(func() { _ = conn.Close() })
	return tapOf(w.t, conn)
}

func tapOf(t testing.TB, conn *websocket.Conn) *tap {
	return &tap{t: t, conn: conn, stop: func() { _ = conn.Close() }, read: func() (f frame, err error) {
		_ = conn.SetReadDeadline(time.Now().Add(feedPatience))
		kind, raw, err := conn.ReadMessage()
		if err != nil {
			return f, err
		}
		require.Equal(t, websocket.TextMessage, kind)
		return f, json.Unmarshal(raw, &f)
	}}
}

// alive reads for the tap all the time, so that pings are answered while the
// test is busy elsewhere.
func (c *tap) alive() *tap {
	type read struct {
		frame
		err error
	}
	read1, frames := c.read, make(chan read, 4096) // more than any test leaves unread
	go func() {
		for {
			f, err := read1()
			frames <- read{f, err}
			if err != nil {
				return
			}
		}
	}()
	c.read = func() (frame, error) {
		r := <-frames
		return r.frame, r.err
	}
	return c
}

// events opens a feed as server-sent events.
func (w *world) events(query, token string, header ...string) *tap {
	w.t.Helper()
	req := w.request(http.MethodGet, w.feedPath(query), token, "", nil)
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return tapEvents(w.t, resp.Body)
}

// tapEvents reads server-sent events.
func tapEvents(t testing.TB, body io.ReadCloser) *tap {
	lines := bufio.NewReader(body)
	return &tap{t: t, stop: func() { _ = body.Close() }, read: func() (f frame, err error) {
		timer := time.AfterFunc(feedPatience, func() { _ = body.Close() })
		defer timer.Stop()
		event := ""
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return f, err
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "event":
				event = value
			case "id":
				f.resumeAt = value
			case "data":
				if err := json.Unmarshal([]byte(value), &f); err != nil {
					return f, err
				}
			case "":
				if event == "" {
					continue // after retry:
				}
				require.Equal(t, f.Type, event)
				return f, nil
			}
		}
	}}
}

func (c *tap) next() frame {
	c.t.Helper()
	f, err := c.read()
	require.NoError(c.t, err)
	return f
}

// until reads frames up to the seq before to: the entries among them. Every other
// one must be in a gap, all in order, none twice.
func (c *tap) until(from, to uint64) (entries []frame) {
	c.t.Helper()
	begun := time.Now()
	for at := from; at < to; {
		f := c.next()
		require.Less(c.t, time.Since(begun), 2*feedPatience, "nothing but %s comes", f.Type) // heartbeats go on for ever
		switch f.Type {
		case "entry":
			require.Equal(c.t, at, f.seq(c.t))
			entries = append(entries, f)
			at++
		case "gap":
			require.Equal(c.t, at, f.From)
			require.Greater(c.t, f.To, f.From)
			at = f.To
		case "hello", "heartbeat", "filter":
			require.Equal(c.t, at, f.Next)
		case "checkpoint":
		default:
			require.Fail(c.t, "unexpected", "%+v", f)
		}
		if f.resumeAt != "" && f.Type != "checkpoint" {
			require.Equal(c.t, strconv.FormatUint(at, 10), f.resumeAt, f.Type)
		}
	}
	return entries
}

func (c *tap) seqs(from, to uint64) []uint64 {
	c.t.Helper()
	var out []uint64
	for _, f := range c.until(from, to) {
		out = append(out, f.seq(c.t))
	}
	return out
}

// ended reads until the server ends the feed, and is how.
func (c *tap) ended() (code int, reason string) {
	c.t.Helper()
	for {
		f, err := c.read()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code, closed.Text
		case err == nil && f.Type == "close":
			_, err := c.read()
			require.Error(c.t, err, "nothing comes after the end")
			return f.Code, f.Reason
		}
		require.NoError(c.t, err)
	}
}

func (c *tap) send(text string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

// both opens a feed in each way.
func (w *world) both(query string, keys *id.Keys) map[string]*tap {
	w.t.Helper()
	return map[string]*tap{"websocket": w.socket(query, w.token(keys)), "sse": w.events(query, w.token(keys))}
}

func upTo(from, to uint64) []uint64 {
	var out []uint64
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}
