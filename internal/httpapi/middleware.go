package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
)

// maxRequestID bounds a request id that a proxy may choose.
const maxRequestID = 128

// observe gives the request its id, renders its error, counts it and logs it.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		req, res := c.Request(), c.Response()
		header := res.Header()
		header[echo.HeaderXRequestID] = []string{s.requestID(req)}
		s.always.begin(header, s.secure(req))
		asks(req)
		if req.Body == http.NoBody {
			// The deadline for sending a request must not end one that was sent whole.
			_ = http.NewResponseController(res.Writer).SetReadDeadline(time.Time{})
		}
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()

		err := s.guard(s.share(next), c)
		if err != nil {
			c.Error(err)
		}
		took := time.Since(began)
		route := c.Path()
		if route == "" || res.Status == http.StatusNotFound && errors.Is(err, echo.ErrNotFound) {
			route = "none" // a path of the caller's invention must not become a label
		}
		s.metrics.request(route, req.Method, res.Status, took)
		s.logRequest(c, err, took)
		if errors.Is(err, errCut) {
			panic(http.ErrAbortHandler) // net/http closes the connection without a last chunk
		}
		return nil
	}
}

// guard turns a panic into an internal error.
func (s *Server) guard(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(c.Request().Context(), "handler panicked", slog.String("panic", panicked(p)),
				slog.String("request_id", idOf(c)), slog.String("stack", string(debug.Stack())))
			err = fault.From(errors.New("panic"))
			if c.Response().Committed {
				err = errCut
			}
		}
	}()
	return next(c)
}

// panicked is what may be logged of a panic: what the language says, and of
// anything else its type, since a value may hold what the caller sent. Where it
// happened, the stack tells, in which values are addresses.
func panicked(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// admit bounds how many requests are served at once; the operator's own routes
// always get in.
func (s *Server) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := bounded(c.Request()); err != nil {
			return err
		}
		if len(c.Request().TransferEncoding) > 0 {
			// What comes after a body in chunks may be the rest of a body to a proxy
			// that counted otherwise (RFC 9112 §11.2): nobody reads it.
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		defer func() {
			if held, ok := c.Get(heldKey).(int); ok {
				s.room.give(held)
			}
		}()
		if operators(c.Path()) {
			return next(c)
		}
		if err := s.countAddress(c, 1); err != nil {
			return err
		}
		if err := cleanText(c); err != nil {
			return err
		}
		if c.Path() == feedRoute || c.Path() == verifyRoute && c.Request().Method == http.MethodGet {
			return next(c) // these have places of their own, for as long as they like
		}
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			return next(c)
		default:
			return errBusy
		}
	}
}

// headAsGet answers HEAD as GET: net/http leaves the body out (RFC 9110 §9.3.2).
// What is asked for without an end is left to be refused: it would be one that
// nobody can see, and a WebSocket is opened by GET alone (RFC 6455 §4.1).
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead && !asksForStream(req) {
			get := *req // a copy: net/http goes on reading the method from req
			get.Method = http.MethodGet
			req = &get
		}
		next.ServeHTTP(w, req)
	})
}

func asksForStream(req *http.Request) bool {
	return websocket.IsWebSocketUpgrade(req) || strings.Contains(req.Header.Get(echo.HeaderAccept), typeEvents)
}

// Bounds of what net/http bounds by the size of the whole header alone.
const (
	maxAddress = 8 << 10 // bytes of path and query
	maxFields  = 100     // names in a header; fields of one name are one list
)

// bounded refuses what is no honest request before anybody looks at it.
func bounded(req *http.Request) error {
	if len(req.RequestURI) > maxAddress {
		return errAddressLong
	}
	if len(req.Header) > maxFields {
		return errFields
	}
	return nil
}

// cleanText keeps out of every module what no id, name or filter can hold and
// some databases fail on: NUL and invalid UTF-8.
func cleanText(c echo.Context) error {
	req := c.Request()
	if !clean(req.URL.Path) {
		return errRoute
	}
	if req.URL.RawQuery == "" {
		return nil
	}
	for name, values := range c.QueryParams() {
		if !clean(name) || slices.ContainsFunc(values, func(v string) bool { return !clean(v) }) {
			return fault.New(fault.Invalid, "parameter_invalid", "query parameters are UTF-8 without NUL")
		}
	}
	return nil
}

func clean(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

var errBusy = fault.New(fault.Unavailable, "server_busy",
	"the server is answering as many requests as it takes at once; nothing was done, send the request again").After(time.Second)

func operators(route string) bool {
	return route == "/livez" || route == "/readyz" || route == "/metrics"
}

func (s *Server) logRequest(c echo.Context, err error, took time.Duration) {
	req, res := c.Request(), c.Response()
	level := slog.LevelInfo
	var cause error
	switch {
	case res.Status >= http.StatusInternalServerError:
		level, cause = slog.LevelError, err
		if res.Status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
	case errors.Is(err, errCut):
		level, cause = slog.LevelWarn, err
	case res.Status == http.StatusUnauthorized:
		cause = err // the answer does not say why; no error repeats a credential
	case res.Status == http.StatusSeeOther:
		cause = err // why a page is led to, which is told a code alone
	case operators(c.Path()):
		level = slog.LevelDebug
	}
	if !s.log.Enabled(req.Context(), level) {
		return
	}
	if err == nil && res.Header().Get(echo.HeaderContentLength) != "" {
		_ = http.NewResponseController(res.Writer).Flush() // who waits for the answer does not wait for the log
	}
	attrs := []slog.Attr{
		slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Int("status", res.Status),
		slog.Int64("bytes", res.Size), slog.Duration("took", took), slog.String("request_id", idOf(c)),
		slog.String("remote", s.clientAddress(req).String()),
	}
	if cause != nil {
		attrs = append(attrs, slog.Any("error", cause))
	}
	s.log.LogAttrs(req.Context(), level, "request", attrs...)
}

// idOf is the id of a request that observe has seen.
func idOf(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// requestID is the X-Request-Id that a trusted proxy gives the request, where it
// is one, printable and short; a new one otherwise. Anybody else could make the
// log speak of other people's requests.
func (s *Server) requestID(req *http.Request) string {
	if given := req.Header[echo.HeaderXRequestID]; len(given) == 1 && len(given[0]) <= maxRequestID && plain(given[0]) && s.fromProxy(req) {
		return given[0]
	}
	return newRequestID()
}

func plain(id string) bool {
	if id == "" {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=':
		default:
			return false
		}
	}
	return true
}

func statusText(status int) string { return strconv.Itoa(status) }
