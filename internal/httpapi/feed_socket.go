package httpapi

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/timeline"
)

// closeWait is how long an ended feed waits for its close frame to be sent, and
// then for the answer: a connection closed at once can lose what was sent last.
const closeWait = 2 * time.Second

// newUpgrader makes the one upgrader of a server; it says nothing itself, so
// that refusals look as everywhere else.
func newUpgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		Subprotocols:    []string{feedSubprotocol},
		ReadBufferSize:  1024,
		WriteBufferSize: 4096,
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true }, // ownOrigin did
		Error:           func(http.ResponseWriter, *http.Request, int, error) {},
	}
}

// feedSocket runs a feed over a WebSocket: this goroutine writes, another reads.
func feedSocket(c echo.Context, f *feeding) error {
	w := &corker{ResponseWriter: c.Response(), stall: f.server.limits.FeedStall}
	conn, err := f.server.openSocketBy(c, w)
	if err != nil {
		return err
	}
	sock := &socket{feeding: f, conn: conn, cork: w.conn, read: make(chan struct{})}
	f.place.cutBy(func() { _ = conn.Close() })
	f.server.boundSending(w.conn.Conn)
	go sock.receive()
	code := sock.end(sock.send())
	f.server.metrics.feedEnded("websocket", code)
	return nil
}

// socket is a feed's WebSocket.
type socket struct {
	*feeding
	conn *websocket.Conn
	cork *corkedConn   // under conn
	read chan struct{} // closed when receive has ended
}

// send writes messages until the feed ends.
func (s *socket) send() error {
	defer s.server.metrics.feedOpen("websocket")()
	s.sub.BeforeWaiting(func() {
		if err := s.cork.Flush(); err != nil {
			s.cancel(err)
		}
	})
	for {
		m, err := s.sub.Next(s.ctx)
		if err != nil {
			return err
		}
		if err := s.conn.WritePreparedMessage(m.Prepared(prepare).(*websocket.PreparedMessage)); err != nil {
			return err
		}
		if m.Type != feed.TypeHeartbeat {
			continue
		}
		// Whoever answers no ping is not there any more.
		if err := s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.server.limits.FeedStall)); err != nil {
			return err
		}
	}
}

func prepare(json []byte) any {
	m, _ := websocket.NewPreparedMessage(websocket.TextMessage, json) // fails for types that are no data
	return m
}

// receive reads what the client sends until the connection ends. Once the feed
// has, it only listens for the end.
func (s *socket) receive() {
	defer close(s.read)
	s.conn.SetReadLimit(feed.MaxClientMessage)
	s.conn.SetPongHandler(func(string) error { s.awaitPing(); return nil })
	s.awaitPing()
	for {
		kind, raw, err := s.conn.ReadMessage()
		if err != nil {
			s.cancel(err)
			return
		}
		s.awaitPing()
		if s.ctx.Err() != nil {
			continue
		}
		if kind != websocket.TextMessage {
			s.cancel(&feed.Closed{Code: websocket.CloseUnsupportedData, Why: "messages are text"})
			continue
		}
		filter, mine, err := parseTaskFilter(raw)
		if mine && err == nil {
			s.showTasks(filter)
			continue
		}
		var q timeline.Query
		if !mine {
			q, err = feed.ParseFilter(raw)
		}
		if err != nil {
			s.cancel(&feed.Closed{Code: feed.CodeMessage, Why: fieldsOf(err)})
			continue
		}
		s.sub.SetFilter(s.ctx, q)
	}
}

// awaitPing gives the client until after the next ping to be heard of.
func (s *socket) awaitPing() {
	_ = s.conn.SetReadDeadline(time.Now().Add(2*s.server.limits.Heartbeat + s.server.limits.FeedStall))
}

// end says how the feed ended, closes the connection and waits for the reader.
func (s *socket) end(err error) (code int) {
	code = websocket.CloseAbnormalClosure
	_ = s.cork.Uncork(closeWait) // where it cannot be sent any more, what follows cannot either
	if closed := s.ending(err); closed != nil {
		code = closed.Code
		sent := s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, closed.Reason()), time.Now().Add(closeWait))
		s.cancel(nil) // the reader only listens from here on
		if sent == nil {
			timer := time.NewTimer(closeWait)
			defer timer.Stop()
			select {
			case <-s.read:
			case <-timer.C:
			}
		}
	}
	s.cancel(nil)
	_ = s.conn.Close()
	<-s.read
	return code
}

// fieldsOf is what is wrong with a message, in few words.
func fieldsOf(err error) string {
	f := fault.From(err)
	if len(f.Fields) > 0 {
		return f.Fields[0].Pointer + " must be " + f.Fields[0].Detail
	}
	return f.Detail
}
