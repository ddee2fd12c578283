package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

const (
	verifyRoute = "/v1/signatures/verify"
	// maxFrame bounds one request of a stream: a message and what is around it.
	maxFrame = 256 << 10
)

var (
	errVerifiers = fault.New(fault.Unavailable, "verifiers_busy",
		"the server has as many verification streams open as it takes; try again, or use POST").After(5 * time.Second)
	errVerifyTransport = fault.New(fault.Invalid, "stream_transport", "this is a WebSocket with subprotocol logline.v1; without one, POST")
)

// VerifySignatureStream answers checks over a WebSocket: one at a time, in
// order. What a client sends ahead waits in its connection, so nobody has more
// than one under way, however fast it sends.
func (s *Server) VerifySignatureStream(c echo.Context) error {
	req := c.Request()
	if err := s.ownOrigin(req); err != nil {
		return err
	}
	if !websocket.IsWebSocketUpgrade(req) {
		return errVerifyTransport
	}
	if !slices.Contains(websocket.Subprotocols(req), feedSubprotocol) {
		return errSubprotocol
	}
	place, err := s.verifiers.enter()
	if err != nil {
		return err
	}
	defer place.leave()
	if err := place.hold("address "+s.holder(req), errVerifiers); err != nil {
		return err
	}
	conn, err := s.openSocket(c)
	if err != nil {
		return err
	}
	defer conn.Close()
	place.cutBy(func() { _ = conn.Close() })
	defer context.AfterFunc(s.stopping, func() {
		sayStopping(conn)
		_ = conn.SetReadDeadline(time.Now())
	})()
	s.answerChecks(req.Context(), conn, idOf(c), s.clientAddress(req))
	return nil
}

// answerChecks answers until the client leaves, is silent for too long, or
// sends what is no request.
func (s *Server) answerChecks(ctx context.Context, conn *websocket.Conn, requestID string, from netip.Addr) {
	conn.SetReadLimit(maxFrame)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(s.limits.Idle))
		if s.stopping.Err() != nil {
			sayStopping(conn) // the goroutine that is to say it may not have begun
			return
		}
		kind, raw, err := conn.ReadMessage()
		var silent net.Error
		switch {
		case errors.As(err, &silent) && silent.Timeout():
			closeSocket(conn, websocket.CloseNormalClosure, "nothing was asked for a while")
			return
		case err != nil: // gone, or more than maxFrame, which the library answers
			return
		case kind != websocket.TextMessage:
			closeSocket(conn, websocket.CloseUnsupportedData, "requests are text")
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(s.limits.Stall))
		if err := conn.WriteMessage(websocket.TextMessage, s.answerFrame(ctx, raw, requestID, from)); err != nil {
			return
		}
	}
}

// answerFrame is the answer to one request, or the problem with it.
func (s *Server) answerFrame(ctx context.Context, raw []byte, requestID string, from netip.Addr) []byte {
	var body api.SignatureChecks
	err := decodeStrict(raw, &body)
	if limited := s.countFrom(ctx, from, max(len(body.Items), 1)); limited != nil {
		err = limited
	}
	var out any
	if err == nil {
		out, err = s.verdicts(ctx, &body)
	}
	if err != nil {
		return s.appendProblem(ctx, nil, classify(err), requestID)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return s.appendProblem(ctx, nil, fault.From(err), requestID)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// openSocket turns a request into a WebSocket.
func (s *Server) openSocket(c echo.Context) (*websocket.Conn, error) {
	return s.openSocketBy(c, c.Response())
}

// openSocketBy is openSocket for a connection that w gives up.
func (s *Server) openSocketBy(c echo.Context, w http.ResponseWriter) (*websocket.Conn, error) {
	res := c.Response()
	conn, err := s.upgrader.Upgrade(w, c.Request(), http.Header{echo.HeaderXRequestID: {idOf(c)}})
	if err != nil {
		return nil, fault.New(fault.Invalid, "websocket_refused", "the WebSocket cannot be opened: "+err.Error()).Because(err)
	}
	res.Status, res.Committed = http.StatusSwitchingProtocols, true
	return conn, nil
}

func sayStopping(conn *websocket.Conn) {
	closeSocket(conn, websocket.CloseGoingAway, "the server stops")
}

// closeSocket says why a WebSocket ends; the caller closes it.
func closeSocket(conn *websocket.Conn, code int, reason string) {
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeWait))
}
