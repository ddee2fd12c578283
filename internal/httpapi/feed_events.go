package httpapi

import (
	"net"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/feed"
)

// retryEvents is what a browser waits before it connects again, in milliseconds.
const retryEvents = "retry: 2000\n\n"

// feedEvents runs a feed as server-sent events: the type of a message is the
// name of its event, and the seq to resume from its id.
func feedEvents(c echo.Context, f *feeding) error {
	res := c.Response()
	res.Header().Set(echo.HeaderContentType, typeEvents)
	res.Header().Set("X-Accel-Buffering", "no") // proxies pass each event on at once
	res.WriteHeader(http.StatusOK)
	if conn, ok := c.Request().Context().Value(connKey{}).(net.Conn); ok && c.Request().ProtoMajor == 1 { // of HTTP/2 other requests are on it
		f.server.boundSending(conn)
	}
	rc := http.NewResponseController(res.Writer)
	w := &pacedWriter{w: res, rc: rc, stall: f.server.limits.FeedStall, endless: true}
	defer f.server.metrics.feedOpen("sse")()

	buf := []byte(retryEvents)
	for {
		m, err := f.sub.Next(f.ctx)
		if err != nil {
			closed := f.ending(err)
			if closed == nil {
				f.server.metrics.feedEnded("sse", 0)
				return nil
			}
			f.server.metrics.feedEnded("sse", closed.Code)
			m = closed.Message()
		}
		buf = appendEvent(buf, m)
		_, writeErr := w.Write(buf)
		if writeErr == nil {
			writeErr = rc.Flush()
		}
		if err != nil || writeErr != nil {
			return nil // the reader knows where to resume, or is gone
		}
		if buf = buf[:0]; cap(buf) > 64<<10 {
			buf = nil
		}
	}
}

// appendEvent appends a message in the form of the WHATWG HTML standard §9.2;
// JSON as it is made here has no line breaks.
func appendEvent(dst []byte, m *feed.Message) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, m.Type...)
	dst = append(dst, "\nid: "...)
	dst = strconv.AppendUint(dst, m.Next, 10)
	dst = append(dst, "\ndata: "...)
	dst = append(dst, m.JSON...)
	return append(dst, "\n\n"...)
}
